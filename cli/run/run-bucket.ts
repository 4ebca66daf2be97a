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
  /** Replace rows although the archive lists far less of a bucket than was read before. */
  readonly allowShrink: boolean;
  readonly rulesVersion: RulesVersion;
  /** Judge without fingerprints of block pages, as was asked for. */
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

/** How a bucket ended. `counts` and `rows` are those of its observations, also where the run failed behind them. */
export type BucketOutcome = BucketDone &
  (
    | { readonly state: 'completed' }
    | {
        readonly state: 'failed';
        readonly reason: string;
        readonly message: string;
        /** It was not the data: something outside is away or set wrong. The ledger leaves the bucket to be done. */
        readonly outage: boolean;
      }
  );

/** A stage did not come to its end. */
class StageError extends Error {
  readonly judged: Pick<ClassifiedError, 'type' | 'message' | 'retry'>;
  readonly done: BucketDone;

  constructor(judged: StageError['judged'], done: BucketDone) {
    super(judged.message);
    this.judged = judged;
    this.done = done;
  }
}

/** How often a bucket is planned anew because the archive changed under it. */
const PLANS = 5;
const NOTHING: BucketDone = { counts: noCounts(), rows: {}, verdicts: 0 };

/**
 * One bucket through its stages, as BucketWorkflow does it, in this process. What becomes of it stands in the ledger; a process that
 * dies in the middle leaves the run as `started`, and the next one over this bucket replaces what it wrote.
 *
 * @param onRead told of the measurements that the bucket's batches have read so far
 * @returns how it ended; throws the signal's reason, after the run is recorded as cancelled
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

/** What is to be done with a bucket. */
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

/** Observations of an earlier run of which only the verdicts are missing. */
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
    // The ledger has been told so.
    throw new StageError({ type: 'TooManyFailures', message: end.tooManyFailures, retry: 'never' }, done);
  } catch (error) {
    if (error instanceof StageError) throw error;
    const { run } = plan ?? {};
    return giveUp(tools.log, error, { ...NOTHING, counts }, signal, async (state, outcome) => {
      // A run that was not planned may stand in the ledger as started: like one whose process was killed.
      if (run) await abandonBucket(tools, run, origin, state, { ...outcome, counts });
    });
  }
}

/** All batches at once: the threads of the pool decide how many are worked on. The first that fails stops the others. */
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
 * Records a stage that does not come to its end, and throws: the signal's reason when it was told to stop, else a StageError. After
 * an outage it counts as cancelled, not as failed: the next run takes it up again without being asked to.
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
    ? { reason: 'Cancelled', message: 'oonipipeline run was told to stop' }
    : { reason: judged.type, message: judged.message };
  // What ClickHouse cannot answer now, it cannot record either; asking would only take another minute.
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
