import type { Archive } from '../archive/archive.ts';
import { type Batch, planBatches } from '../archive/batches.ts';
import type { ArchiveFile, BadKey } from '../archive/keys.ts';
import { listBucket } from '../archive/listing.ts';
import { type Counts, noCounts } from '../counts.ts';
import type { Logger } from '../log.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import {
  type OpenedRun,
  openRun,
  type RunKey,
  type RunOrigin,
  type RunState,
  recordFailures,
  recordRun,
} from '../tables/ledger.ts';
import { overlappingBuckets } from '../tables/retire.ts';
import { settle } from '../tables/settle.ts';

export type BucketKey = Omit<RunKey, 'generation' | 'stage'>;

/** What there is to do for a bucket's observations. */
export interface BucketPlan {
  readonly run: OpenedRun;
  readonly batches: readonly Batch[];
  readonly files: number;
  /** Compressed bytes. */
  readonly bytes: number;
}

/** How the observations of a bucket ended. */
export interface BucketEnd {
  readonly counts: Counts;
  /** Rows in the tables with the run's generation, by table. */
  readonly rowsStored: Readonly<Record<string, number>>;
  /** A sentence, when more measurements failed than the setting allows. */
  readonly tooManyFailures?: string;
}

export interface BucketTools {
  readonly archive: Archive;
  readonly clickhouse: ClickHouse;
  readonly log: Logger;
  /** Share of failed measurements above which a run fails. */
  readonly maxFailedShare: number;
}

/**
 * Opens the run of a bucket and cuts its files into batches. The run is in the ledger before the archive is listed, so whatever
 * another run over the same measurements does meanwhile is known to overlap it.
 *
 * @param startedAt milliseconds since 1970
 */
export async function planBucket(
  tools: Pick<BucketTools, 'archive' | 'clickhouse'>,
  bucket: BucketKey,
  origin: RunOrigin,
  startedAt: number,
  signal?: AbortSignal,
): Promise<BucketPlan> {
  const { archive, clickhouse } = tools;
  const overlapping = overlappingBuckets(bucket.bucket);
  const run = await openRun(clickhouse, { ...bucket, stage: 'Observations' }, origin, overlapping, startedAt, signal);
  const files: ArchiveFile[] = [];
  const bad: BadKey[] = [];
  const onBadKey = (key: BadKey) => bad.push(key);
  for await (const file of listBucket(archive, bucket.bucket, bucket.filter, { signal, onBadKey })) files.push(file);
  const failures = bad.map(({ key, reason }) => ({
    key,
    line: 0,
    stage: 'list',
    class: 'UnknownKey',
    message: reason,
  }));
  await recordFailures(clickhouse, run, failures, signal);
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  return { run, batches: planBatches(files), files: files.length, bytes };
}

/**
 * Ends the observations of a bucket of which every batch is in: older rows go, the ledger gets the outcome. With more failed
 * measurements than allowed the run counts as failed: what was read stays, and what it did not bring again stays, too. May be repeated.
 */
export async function finishBucket(
  tools: BucketTools,
  run: OpenedRun,
  origin: RunOrigin,
  counts: Counts,
  signal?: AbortSignal,
): Promise<BucketEnd> {
  const { read, failed } = counts;
  const share = read === 0 ? 0 : failed / read;
  if (share > tools.maxFailedShare) {
    const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
    const message = `${failed} of ${read} measurements of ${run.bucket} failed, ${percent(share)}; max_failed_share allows ${percent(tools.maxFailedShare)}. What failed and why stands in pipeline_failures.`;
    const rowsStored = await close(
      tools,
      run,
      origin,
      'failed',
      { counts, reason: 'TooManyFailures', message },
      signal,
    );
    return { counts, rowsStored, tooManyFailures: message };
  }
  return { counts, rowsStored: await close(tools, run, origin, 'completed', { counts }, signal) };
}

/** Records that a run ended before its end, and makes plain reads right for what it did store. May be repeated. */
export async function abandonBucket(
  tools: Pick<BucketTools, 'clickhouse' | 'log'>,
  run: OpenedRun,
  origin: RunOrigin,
  state: 'failed' | 'cancelled',
  outcome: { readonly counts?: Counts; readonly reason: string; readonly message: string },
  signal?: AbortSignal,
): Promise<void> {
  await close(tools, run, origin, state, { counts: outcome.counts ?? noCounts(), ...outcome }, signal);
}

async function close(
  { clickhouse, log }: Pick<BucketTools, 'clickhouse' | 'log'>,
  run: OpenedRun,
  origin: RunOrigin,
  state: Exclude<RunState, 'started' | 'inserted'>,
  outcome: { readonly counts: Counts; readonly reason?: string; readonly message?: string },
  signal?: AbortSignal,
): Promise<Readonly<Record<string, number>>> {
  // A run that read nothing and completed has no rows that another one would have to look out for.
  const wrote = state !== 'completed' || outcome.counts.read > 0;
  if (wrote) await recordRun(clickhouse, run, origin, { state: 'inserted', ...outcome }, signal);
  const { rowsStored } = await settle(clickhouse, run, state === 'completed', log, signal);
  await recordRun(clickhouse, run, origin, { state, rowsStored, ...outcome }, signal);
  return rowsStored;
}
