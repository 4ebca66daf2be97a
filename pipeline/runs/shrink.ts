import type { ArchiveObject } from '../archive/archive.ts';
import { isBadKey, parseKey } from '../archive/keys.ts';
import { admits } from '../filter.ts';
import { filesOfRuns } from '../ledger/file-extents.ts';
import { wouldClear } from '../ledger/finalize-rows.ts';
import type { OpenedRun, PastRun, RunKey } from '../ledger/ledger.ts';
import { covers } from '../ledger/replaced-rows.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';

/**
 * Share of the objects, or of their compressed bytes, that the last completed run of a bucket read. A bucket has shrunk when the archive lists
 * less than this share. Archives grow; a volume, a prefix or a policy is a far more frequent cause for the loss of half a bucket than a person.
 */
export const SHRINK_SHARE = 0.5;

/** The archive lists far less of a bucket than a run read before. The rows of the bucket are kept until somebody allows their replacement. */
export class ArchiveShrankError extends Error {
  override name = 'ArchiveShrankError';
}

interface Amount {
  readonly files: number;
  /** Compressed bytes. */
  readonly bytes: number;
}

/**
 * Throws ArchiveShrankError when a listing is far smaller than the objects that completed runs have read of the bucket under the filter, or
 * when it is empty and the run would delete rows.
 *
 * @param others the other runs in the ledger over the buckets that overlap the run's
 */
export async function expectNotShrunk(
  { clickhouse, signal }: { readonly clickhouse: ClickHouse; readonly signal?: AbortSignal | undefined },
  run: OpenedRun,
  listed: readonly ArchiveObject[],
  others: readonly PastRun[],
): Promise<void> {
  const now = amountOf(listed);
  const before = await readBefore(clickhouse, run, others, signal);
  if (now.files < before.files * SHRINK_SHARE || now.bytes < before.bytes * SHRINK_SHARE) {
    throw shrank(run, now, `its last completed run read ${amountText(before)}`);
  }
  if (now.files === 0 && (await wouldClear(clickhouse, run, others, signal))) {
    throw shrank(run, now, 'the tables have rows of it');
  }
}

/** Returns the objects that completed runs have read within the bucket and filter of a run. */
async function readBefore(
  clickhouse: ClickHouse,
  run: OpenedRun,
  others: readonly PastRun[],
  signal?: AbortSignal,
): Promise<Amount> {
  const last = lastCompleted(run, others);
  const [only] = last;
  if (!only) return { files: 0, bytes: 0 };
  if (last.length === 1 && only.bucket === run.bucket && only.filterID === run.filterID) return only;
  const files = await filesOfRuns(clickhouse, last, signal);
  return amountOf(files.filter(({ key, size }) => isWithin(run, { key, size, etag: '' })));
}

/** Returns the completed runs that read objects, except for those that a newer completed run replaced as a whole. */
function lastCompleted(run: OpenedRun, others: readonly PastRun[]): PastRun[] {
  const completed = others.filter(each => each.state === 'completed' && each.generation < run.generation);
  const replaces = (newer: PastRun, older: PastRun) =>
    newer.generation > older.generation && older.bucket.startsWith(newer.bucket) && covers(newer.filter, older.filter);
  return completed.filter(each => each.files > 0 && !completed.some(newer => replaces(newer, each)));
}

/** Returns whether an object is within the bucket and filter of a run, according to its key. */
export function isWithin({ bucket, filter }: Pick<RunKey, 'bucket' | 'filter'>, object: ArchiveObject): boolean {
  const file = parseKey(object);
  if (file === undefined || isBadKey(file)) return false;
  return (
    file.hour.startsWith(bucket) && admits(filter.probeCC, file.probeCC) && admits(filter.testNames, file.testName)
  );
}

function amountOf(objects: readonly { readonly size: number }[]): Amount {
  return { files: objects.length, bytes: objects.reduce((sum, { size }) => sum + size, 0) };
}

function amountText({ files, bytes }: Amount): string {
  return `${files} ${files === 1 ? 'object' : 'objects'} (${bytes} bytes)`;
}

function shrank({ bucket }: OpenedRun, now: Amount, before: string): ArchiveShrankError {
  return new ArchiveShrankError(
    `the archive lists ${amountText(now)} of ${bucket}, and ${before}; its rows are kept. Check that the archive is whole. ` +
      'If the objects were removed on purpose, run the bucket in a Backfill with allowShrink: true and reprocess: Failed, or with oonipipeline run --allow-shrink --reprocess Failed',
  );
}
