import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { RulesVersion } from '../../pipeline/analysis/rules.ts';
import type { Archive } from '../../pipeline/archive/archive.ts';
import { addCounts, type Counts, noCounts } from '../../pipeline/counts.ts';
import { attemptID, type RunOrigin, type RunStage } from '../../pipeline/ledger/ledger.ts';
import type { Logger } from '../../pipeline/log.ts';
import { type AnalysisTask, abandonAnalysis, analyseBucket, type SettledBy } from '../../pipeline/runs/analysis.ts';
import { ARCHIVE_CHANGED, type ClassifiedError, judge } from '../../pipeline/runs/failure.ts';
import {
  abandonBucket,
  type BucketKey,
  type BucketPlan,
  finishBucket,
  planBucket,
} from '../../pipeline/runs/observations.ts';
import { observationsToKeep } from '../../pipeline/runs/resume.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { ThreadWorkError } from '../../pipeline/threads/errors.ts';
import type { ThreadPool } from '../../pipeline/threads/pool.ts';
import { CODE_VERSION } from '../../pipeline/version.ts';

export interface RunTools {
  readonly archive: Archive;
  readonly clickhouse: ClickHouse;
  readonly pool: ThreadPool;
  readonly log: Logger;
  readonly maxFailedShare: number;
  /** Replace rows even if the archive lists far less of a bucket than was read before. */
  readonly allowShrink: boolean;
  readonly rulesVersion: RulesVersion;
  /** Judge without block page fingerprints, as the user requested. */
  readonly withoutFingerprints?: boolean;
  /** Versions of reference data, by name, for the ledger. */
  readonly referenceVersions: Readonly<Record<string, string>>;
}

export interface BucketDone {
  readonly counts: Counts;
  /** Rows in the tables with the run's generation, by table. */
  readonly rows: Readonly<Record<string, number>>;
  readonly verdicts: number;
}

/** How a bucket ended. `counts` and `rows` are those of its observations, even if a later stage failed. */
export type BucketOutcome = BucketDone &
  (
    | { readonly state: 'completed' }
    | {
        readonly state: 'failed';
        readonly reason: string;
        readonly message: string;
        /** The data is not the cause: something outside is unavailable or misconfigured. In the ledger the bucket stays to be done. */
        readonly outage: boolean;
      }
  );

/** A stage did not complete. */
class StageError extends Error {
  readonly judged: Pick<ClassifiedError, 'type' | 'message' | 'retry'>;
  readonly done: BucketDone;

  constructor(judged: StageError['judged'], done: BucketDone) {
    super(judged.message);
    this.judged = judged;
    this.done = done;
  }
}

/** How often a bucket is planned again because the archive changed during the run. */
const PLANS = 5;
const NOTHING: BucketDone = { counts: noCounts(), rows: {}, verdicts: 0 };

/**
 * Runs all stages of one bucket in this process, as BucketWorkflow does. The ledger records the outcome. A process that dies in the middle
 * leaves the run as `started`, and the next run of this bucket replaces the rows that it wrote.
 *
 * @param onRead receives the number of measurements that the bucket's batches have read so far
 * @returns how the bucket ended; throws the signal's reason after it records the run as cancelled
 */
export async function runBucket(
  tools: RunTools,
  bucket: BucketKey,
  { stages, reprocess, settledBy }: HowToRun,
  onRead: (measurements: number) => void,
  signal: AbortSignal,
): Promise<BucketOutcome> {
  const id = randomUUID();
  try {
    const kept = stages.length > 1 && reprocess !== 'All' ? await keep(tools, bucket, signal) : undefined;
    const observed = stages.includes('Observations')
      ? (kept ?? (await observe(tools, bucket, id, onRead, signal)))
      : undefined;
    const done = observed?.done ?? NOTHING;
    const verdicts = stages.includes('Analysis')
      ? await analyse(tools, { bucket, ...(settledBy && { settledBy }) }, id, observed, signal)
      : 0;
    return { ...done, verdicts, state: 'completed' };
  } catch (error) {
    if (!(error instanceof StageError)) throw error;
    const { judged, done } = error;
    return {
      ...done,
      state: 'failed',
      reason: judged.type,
      message: judged.message,
      outage: judged.retry === 'always',
    };
  }
}

function originOf(tools: RunTools, id: string, plan: number): RunOrigin {
  return {
    workflowID: `oonipipeline run on ${hostname()}`,
    runID: attemptID(id, plan),
    backfill: '',
    codeVersion: CODE_VERSION,
    referenceVersions: tools.referenceVersions,
  };
}

export type Reprocess = 'None' | 'Failed' | 'All';

/** Stages of a bucket to run, and how. */
export interface HowToRun {
  readonly stages: readonly RunStage[];
  readonly reprocess: Reprocess;
  /** For a bucket of an hour. */
  readonly settledBy?: SettledBy;
}

interface Observed {
  readonly generation: number;
  readonly done: BucketDone;
}

/** Returns the observations of an earlier run if only their verdicts are missing. */
async function keep(tools: RunTools, bucket: BucketKey, signal: AbortSignal): Promise<Observed | undefined> {
  try {
    const kept = await observationsToKeep(tools, bucket, signal);
    return kept && { generation: kept.generation, done: NOTHING };
  } catch (error) {
    return giveUp(tools.log, error, NOTHING, signal, async () => undefined);
  }
}

async function observe(
  tools: RunTools,
  bucket: BucketKey,
  id: string,
  onRead: (measurements: number) => void,
  signal: AbortSignal,
): Promise<Observed> {
  for (let plan = 1; ; plan++) {
    try {
      return await observeOnce(tools, bucket, originOf(tools, id, plan), onRead, signal);
    } catch (error) {
      if (!(error instanceof StageError) || error.judged.type !== ARCHIVE_CHANGED || plan === PLANS) throw error;
    }
  }
}

async function observeOnce(
  tools: RunTools,
  bucket: BucketKey,
  origin: RunOrigin,
  onRead: (measurements: number) => void,
  signal: AbortSignal,
): Promise<Observed> {
  const counts = noCounts();
  let plan: BucketPlan | undefined;
  try {
    plan = await planBucket(tools, bucket, origin, Date.now(), signal);
    const { generation } = plan.run;
    await runBatches(tools, plan, counts, onRead, signal);
    const end = await finishBucket(tools, plan.run, origin, counts, signal);
    const done = { counts: end.counts, rows: end.rowsStored, verdicts: 0 };
    if (end.tooManyFailures === undefined) return { generation, done };
    // The ledger already records this.
    throw new StageError({ type: 'TooManyFailures', message: end.tooManyFailures, retry: 'never' }, done);
  } catch (error) {
    if (error instanceof StageError) throw error;
    const { run } = plan ?? {};
    return giveUp(tools.log, error, { ...NOTHING, counts }, signal, async (state, outcome) => {
      // The ledger may keep a run that was not planned as started, like a run of a killed process.
      if (run) await abandonBucket(tools, run, origin, state, { ...outcome, counts });
    });
  }
}

/** Runs all batches at once; the threads of the pool limit how many run at a time. The first batch that fails stops the others. */
async function runBatches(
  tools: RunTools,
  { run, batches }: BucketPlan,
  counts: Counts,
  onRead: (measurements: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const read = new Map<string, number>();
  const failures: unknown[] = [];
  await Promise.all(
    batches.map(async batch => {
      const onProgress = (progress: Counts) => {
        read.set(batch.first, progress.read);
        onRead([...read.values()].reduce((sum, each) => sum + each, 0));
      };
      try {
        const done = await tools.pool.run({ run, batch }, { onProgress }, either);
        onProgress(done);
        addCounts(counts, done);
      } catch (error) {
        failures.push(error);
        stop.abort(error);
      }
    }),
  );
  if (failures.length > 0) throw failures[0];
}

async function analyse(
  tools: RunTools,
  what: Pick<AnalysisTask, 'bucket' | 'settledBy'>,
  id: string,
  observed: Observed | undefined,
  signal: AbortSignal,
): Promise<number> {
  const { generation } = observed ?? {};
  const task = { ...what, startedAt: Date.now(), ...(generation !== undefined && { observations: generation }) };
  const origin = originOf(tools, id, 1);
  try {
    return (await analyseBucket(tools, task, origin, { signal })).verdicts;
  } catch (error) {
    return giveUp(tools.log, error, observed?.done ?? NOTHING, signal, (state, outcome) =>
      abandonAnalysis(tools, task, origin, state, outcome),
    );
  }
}

/**
 * Records a stage that does not complete, and throws: the signal's reason if the run was stopped, otherwise a StageError. After an outage
 * the stage counts as cancelled, not as failed: the next run retries it without a request.
 */
async function giveUp(
  log: Logger,
  error: unknown,
  done: BucketDone,
  signal: AbortSignal,
  record: (state: 'cancelled' | 'failed', outcome: { reason: string; message: string }) => Promise<void>,
): Promise<never> {
  const judged = error instanceof ThreadWorkError ? error.judged : judge(error);
  const stopped = signal.aborted;
  const outcome = stopped
    ? { reason: 'Cancelled', message: 'oonipipeline run was asked to stop' }
    : { reason: judged.type, message: judged.message };
  // If ClickHouse is unavailable, it cannot record the outcome either. An attempt would only take another minute.
  if (stopped || judged.type !== 'ClickHouseUnavailable') {
    const state = stopped || judged.retry === 'always' ? 'cancelled' : 'failed';
    await record(state, outcome).catch(unrecorded =>
      log.warn(`the end of the run could not be recorded: ${(unrecorded as Error).message}`),
    );
  }
  if (stopped) throw signal.reason;
  if (judged.retry === 'few') log.error({ err: error }, 'an unforeseen error');
  throw new StageError(judged, done);
}
