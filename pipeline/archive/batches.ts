import type { Filter } from '../filter.ts';
import type { Archive } from './archive.ts';
import type { ArchiveFile } from './keys.ts';
import { type ListingOptions, listBucket } from './listing.ts';

/** A batch has at least this many compressed bytes, and there are about this many batches at most (archive.md section 6). */
export const BATCH_MIN_BYTES = 60_000_000;
export const BATCH_DIVISOR = 100;

/** A contiguous range of a bucket's listing: named by two keys, so that any worker can list it again. */
export interface Batch {
  readonly first: string;
  readonly last: string;
  readonly files: number;
  /** Compressed bytes. */
  readonly bytes: number;
}

/**
 * Cuts a listing (in key order) into batches of about max(60 MB, total / 100) compressed bytes: files are taken until the batch
 * has that many, so it overshoots by its last file at most, and the last batch may be small. Files are never split.
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
 * The files of one batch, in key order. What appeared in the archive within the range since the plan is read too; what is
 * gone is missing.
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
