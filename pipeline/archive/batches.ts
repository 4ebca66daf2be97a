import type { Filter } from '../filter.ts';
import type { Archive } from './archive.ts';
import type { ArchiveFile } from './keys.ts';
import { type ListingOptions, listBucket } from './listing.ts';

/** Minimum compressed bytes of a batch, and approximate maximum number of batches (archive.md section 6). */
const BATCH_MIN_BYTES = 60_000_000;
const BATCH_DIVISOR = 100;

/** A contiguous range of a bucket's listing, named by its first and last key, so that any worker can list it again. */
export interface Batch {
  readonly first: string;
  readonly last: string;
  readonly files: number;
  /** Compressed bytes. */
  readonly bytes: number;
}

/**
 * Splits a listing (in key order) into batches of about max(60 MB, total / 100) compressed bytes. A batch takes files until it
 * reaches that size, so it exceeds it by at most its last file. The last batch may be smaller. Files are never split.
 */
export function planBatches(files: Iterable<ArchiveFile>): Batch[] {
  const listed = [...files];
  const total = listed.reduce((sum, file) => sum + file.size, 0);
  const limit = Math.max(BATCH_MIN_BYTES, Math.floor(total / BATCH_DIVISOR));
  const batches: Batch[] = [];
  let start = 0;
  let bytes = 0;
  listed.forEach((file, index) => {
    bytes += file.size;
    if (bytes < limit && index < listed.length - 1) return;
    batches.push({ first: listed[start]!.key, last: file.key, files: index - start + 1, bytes });
    start = index + 1;
    bytes = 0;
  });
  return batches;
}

/**
 * Lists the files of one batch, in key order. It includes files that appeared in the range after planning, and omits files that
 * were removed.
 */
export function listBatch(
  archive: Archive,
  bucket: string,
  filter: Filter,
  batch: Pick<Batch, 'first' | 'last'>,
  options: Omit<ListingOptions, 'range'> = {},
): AsyncGenerator<ArchiveFile> {
  return listBucket(archive, bucket, filter, { ...options, range: { first: batch.first, last: batch.last } });
}
