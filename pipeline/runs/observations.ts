import type { Archive } from '../archive/archive.ts';
import { type Batch, planBatches } from '../archive/batches.ts';
import type { ArchiveFile, BadKey } from '../archive/keys.ts';
import { listBucket } from '../archive/listing.ts';
import { type Counts, noCounts } from '../counts.ts';
import { finalizeRows } from '../ledger/finalize-rows.ts';
import {
  type LedgerRead,
  type OpenedRun,
  openRunAmong,
  type PastRun,
  type RecordedFiles,
  type RunKey,
  type RunOutcome,
  type RunRecorder,
  type RunState,
  readLedger,
  recordEndOf,
  recordedFiles,
  recordFailures,
  recordRun,
} from '../ledger/ledger.ts';
import { overlappingBuckets } from '../ledger/replaced-rows.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { StatementError } from '../tables/errors.ts';
import type { Logger } from '../telemetry/log.ts';
import { ArchiveShrankError, expectNotShrunk } from './shrink.ts';

export type BucketKey = Omit<RunKey, 'generation' | 'stage'>;

/** The work to do for a bucket's observations. */
export interface BucketPlan {
  readonly run: OpenedRun;
  readonly batches: readonly Batch[];
  readonly files: number;
  /** Compressed bytes. */
  readonly bytes: number;
}

/** The end of a stage that did not complete. `message` is a sentence. */
export interface AbandonedEnd {
  readonly state: 'failed' | 'cancelled';
  /** Error type of the failure. */
  readonly reason: string;
  readonly message: string;
}

/** The outcome of a bucket's observations. */
export interface BucketEnd {
  readonly counts: Counts;
  /** Number of rows in the tables with the run's generation, by table. */
  readonly rowsStored: Readonly<Record<string, number>>;
  /** A sentence, if more measurements failed than the setting allows. */
  readonly tooManyFailures?: string;
}

export interface BucketTools {
  readonly archive: Archive;
  readonly clickhouse: ClickHouse;
  readonly log: Logger;
  /** Share of failed measurements above which a run fails, if at least MIN_FAILED failed. */
  readonly maxFailedShare: number;
}

/** Tools and options for the plan of a bucket. */
export interface PlanContext extends RunRecorder, Pick<BucketTools, 'archive' | 'log'> {
  /** Replace rows even if the archive lists far less of a bucket than was read before. */
  readonly allowShrink?: boolean | undefined;
}

/**
 * Minimum number of failed measurements, and of unreadable objects, for their share to count. One failed measurement of an hour with five is
 * a fifth of them, but it says nothing about the others.
 */
const MIN_FAILED = 10;
const MIN_UNREADABLE = 3;

/**
 * Opens the run of a bucket and divides its files into batches. The ledger records the run before the archive is listed, so another run over
 * the same measurements that is active meanwhile is known to overlap it. Throws ArchiveShrankError, after it records the run as failed, when
 * the archive lists far less than before and `allowShrink` is not set. Throws ArchiveErrors and TableErrors.
 *
 * @param startedAt milliseconds since 1970
 * @param ledger the ledger of the overlapping buckets, if it was just read
 */
export async function planBucket(
  context: PlanContext,
  bucket: BucketKey,
  startedAt: number,
  ledger?: LedgerRead,
): Promise<BucketPlan> {
  const { archive, clickhouse, log, allowShrink = false, signal } = context;
  const opening = { ...bucket, stage: 'Observations' } as const;
  const known = ledger ?? (await readLedger(clickhouse, ['Observations'], overlappingBuckets(bucket.bucket), signal));
  const { run, others } = await openRunAmong(context, opening, known, startedAt);
  for (const gone of unrecorded(run, others)) {
    const message = `the run ended without a record, and the run of generation ${run.generation} takes its place`;
    await finalizeRows({ clickhouse, log, signal }, gone, false);
    await recordEndOf(clickhouse, gone, { state: 'cancelled', reason: 'EndNotRecorded', message }, signal);
  }
  const files: ArchiveFile[] = [];
  const bad: BadKey[] = [];
  const onBadKey = (key: BadKey) => bad.push(key);
  for await (const file of listBucket(archive, bucket.bucket, bucket.filter, { signal, onBadKey })) files.push(file);
  if (files.length === 0) await archive.check({ signal });
  if (!allowShrink) {
    await expectNotShrunk(context, run, files, others).catch(async error => {
      if (error instanceof ArchiveShrankError) {
        const { message } = error;
        await recordRun(context, run, { state: 'failed', reason: 'ArchiveShrank', message });
      }
      throw error;
    });
  }
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
 * Returns older runs of the bucket and filter without a recorded end. Only one run of a bucket and filter is active at a time, so these have
 * ended. They are recorded as cancelled, and their rows do not cause duplicates.
 */
function unrecorded(run: OpenedRun, others: readonly PastRun[]): PastRun[] {
  return others.filter(
    each =>
      each.bucket === run.bucket &&
      each.filterID === run.filterID &&
      each.generation < run.generation &&
      (each.state === 'started' || each.state === 'inserted'),
  );
}

/** The stored rows of a run differ from its counts: its archive changed between two attempts, or a table was lost. The run is planned again. */
export class UnaccountedError extends Error {
  override name = 'UnaccountedError';
}

/**
 * Ends the observations of a bucket after all its batches are stored: deletes the older rows that it replaces and records the outcome. The run
 * counts as failed if the share of failed measurements is larger than allowed (at least MIN_FAILED of them), or the share of objects that
 * could not be read at all (at least MIN_UNREADABLE, or all). A failed run keeps its rows, and also older rows that it has not written again.
 * May be repeated. Throws UnaccountedError when the ledger or the tables have more than was counted.
 */
export async function finishBucket(
  context: RunRecorder & Pick<BucketTools, 'log' | 'maxFailedShare'>,
  run: OpenedRun,
  counts: Counts,
): Promise<BucketEnd> {
  const recorded = await recordedFiles(context.clickhouse, run, context.signal);
  expectAllRecorded(run, counts, recorded);
  const message = tooManyFailures(run.bucket, counts, recorded, context.maxFailedShare);
  const outcome =
    message === undefined
      ? ({ state: 'completed' } as const)
      : ({ state: 'failed', reason: 'TooManyFailures', message } as const);
  const rowsStored = await close(context, run, { ...outcome, counts });
  return { counts, rowsStored, ...(message !== undefined && { tooManyFailures: message }) };
}

/** Throws UnaccountedError, or StatementError if the ledger has less than was written to it, which a replica may show for a moment. */
function expectAllRecorded(run: OpenedRun, counts: Counts, recorded: RecordedFiles): void {
  if (recorded.files === counts.files && recorded.read === counts.read) return;
  const what = `pipeline_files holds ${recorded.read} measurements of ${recorded.files} objects of ${run.bucket}, and ${counts.read} of ${counts.files} were counted`;
  if (recorded.files < counts.files) throw new StatementError(what);
  throw new UnaccountedError(`${what}: the archive changed between two attempts`);
}

/** Returns a sentence if more of a bucket failed than is allowed. */
function tooManyFailures(bucket: string, counts: Counts, recorded: RecordedFiles, allowed: number): string | undefined {
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  const exceeded = (failed: number, all: number, least: number, what: string) =>
    failed > all * allowed && failed >= least
      ? `${failed} of ${all} ${what}, ${percent(failed / all)}; max_failed_share allows ${percent(allowed)}. pipeline_failures lists them with their reasons.`
      : undefined;
  return (
    exceeded(counts.failed, counts.read, MIN_FAILED, `measurements of ${bucket} failed`) ??
    // If no object could be read, the bucket must not end as an empty one.
    exceeded(
      recorded.unreadable,
      recorded.files,
      Math.min(MIN_UNREADABLE, recorded.files),
      `objects of ${bucket} could not be read`,
    )
  );
}

/** Records that a run failed or was cancelled, and deletes duplicates among the rows that it stored. May be repeated. */
export async function abandonBucket(
  context: RunRecorder & Pick<BucketTools, 'log'>,
  run: OpenedRun,
  end: AbandonedEnd & { readonly counts?: Counts },
): Promise<void> {
  const { state, reason, message, counts = noCounts() } = end;
  await close(context, run, { state, reason, message, counts });
}

async function close(
  context: RunRecorder & Pick<BucketTools, 'log'>,
  run: OpenedRun,
  outcome: RunOutcome & { readonly state: Exclude<RunState, 'started' | 'inserted'>; readonly counts: Counts },
): Promise<Readonly<Record<string, number>>> {
  const { state, counts } = outcome;
  // A completed run without rows has nothing that another run would have to consider.
  const wrote = state !== 'completed' || Object.values(counts.rows).some(rows => rows > 0);
  if (wrote) await recordRun(context, run, { ...outcome, state: 'inserted' });
  const { rowsStored, shared, tableLost } = await finalizeRows(context, run, state === 'completed');
  if (state === 'completed' && tableLost) {
    throw new UnaccountedError(
      `a table was dropped and created again while ${run.bucket} was run: rows of it are gone`,
    );
  }
  if (state === 'completed' && !shared) expectNoOtherRows(run, counts, rowsStored);
  await recordRun(context, run, { ...outcome, rowsStored });
  return rowsStored;
}

/**
 * Throws if the tables have more rows than were counted. This happens only when an interrupted attempt has read an object that was replaced
 * afterwards. Fewer rows are correct: a measurement that is in the archive twice is stored once, and a newer run may have written it again.
 */
function expectNoOtherRows(run: OpenedRun, counts: Counts, rowsStored: Readonly<Record<string, number>>): void {
  for (const [table, stored] of Object.entries(rowsStored)) {
    const counted = counts.rows[table] ?? 0;
    if (stored <= counted) continue;
    throw new UnaccountedError(
      `${table} holds ${stored} rows of ${run.bucket}, and ${counted} were counted: the archive changed between two attempts`,
    );
  }
}
