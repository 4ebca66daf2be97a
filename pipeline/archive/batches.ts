import type { Filter } from '../filter.ts';
import type { Archive } from './archive.ts';
import type { ArchiveFile, ListingOptions } from './listing.ts';

/** A contiguous range of a bucket's listing: named by two keys, so that any worker can list it again. */
export interface Batch {
  readonly first: string;
  readonly last: string;
  readonly files: number;
  /** Compressed bytes. */
  readonly bytes: number;
}

/** Cuts a listing (in key order) into batches of about max(60 MB, total / 100) compressed bytes. */
export declare function planBatches(files: Iterable<ArchiveFile>): Batch[];

/** The files of one batch, in key order. */
export declare function listBatch(
  archive: Archive,
  bucket: string,
  filter: Filter,
  batch: Pick<Batch, 'first' | 'last'>,
  options?: Omit<ListingOptions, 'range'>,
): AsyncGenerator<ArchiveFile>;
