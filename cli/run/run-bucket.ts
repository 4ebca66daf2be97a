import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { RulesVersion } from '../../pipeline/analysis/rules.ts';
import type { Archive } from '../../pipeline/archive/archive.ts';
import type { Batch } from '../../pipeline/archive/batches.ts';
import { type Counts, noCounts, sumCounts } from '../../pipeline/counts.ts';
import { attemptID, type OpenedRun, type RunOrigin, type RunStage } from '../../pipeline/ledger/ledger.ts';
import { type AnalysisTask, abandonAnalysis, analyseBucket, type SettledBy } from '../../pipeline/runs/analysis.ts';
import type { Checkpoint } from '../../pipeline/runs/batch.ts';
import { type BrokenStage, type RunPlan, type RunSteps, runStages } from '../../pipeline/runs/bucket-run.ts';
import { ARCHIVE_CHANGED, type ClassifiedError, classifyError } from '../../pipeline/runs/failure.ts';
import type { RunMetrics } from '../../pipeline/runs/metrics.ts';
import { abandonBucket, type BucketKey, finishBucket } from '../../pipeline/runs/observations.ts';
import { keepOrPlan } from '../../pipeline/runs/resume.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import type { Logger } from '../../pipeline/telemetry/log.ts';
import { type Attributes, countAttributes, failSpan, type Span, withSpan } from '../../pipeline/telemetry/spans.ts';
import { inStage, inWork } from '../../pipeline/telemetry/work-context.ts';
import { ThreadWorkError } from '../../pipeline/threads/errors.ts';
import type { ThreadPool } from '../../pipeline/threads/pool.ts';
import { CODE_VERSION } from '../../pipeline/version.ts';
import type { Reprocess } from '../../worker/contract.ts';

export interface RunTools {
  readonly archive: Archive;
  readonly clickhouse: ClickHouse;
  readonly pool: ThreadPool;
  readonly log: Logger;
  readonly metrics?: RunMetrics;
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
  /** Whether the observations of an earlier run are kept. `counts` and `rows` are zero then. */
  readonly kept?: boolean;
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
  readonly failure: Pick<ClassifiedError, 'type' | 'message' | 'retry'>;
  readonly done: BucketDone;

  constructor(failure: StageError['failure'], done: BucketDone) {
    super(failure.message);
    this.failure = failure;
    this.done = done;
  }
}

/** Stages of a bucket to run, and the way to run them. */
export interface BucketOptions {
  readonly stages: readonly RunStage[];
  readonly reprocess: Reprocess;
  /** For a bucket of an hour. */
  readonly settledBy?: SettledBy;
}

/** One run of a bucket. */
interface BucketRun {
  readonly tools: RunTools;
  readonly bucket: BucketKey;
  readonly options: BucketOptions;
  /** Receives the number of measurements that the bucket's batches have read so far. */
  readonly onRead: (measurements: number) => void;
  readonly signal: AbortSignal;
}

/**
 * Runs all stages of one bucket in this process, by the same algorithm as BucketWorkflow. The ledger records the outcome. A process that dies
 * in the middle leaves the run as `started`, and the next run of this bucket replaces the rows that it wrote.
 *
 * @returns how the bucket ended; throws the signal's reason after it records the run as cancelled
 */
export function runBucket(run: BucketRun): Promise<BucketOutcome> {
  const id = randomUUID();
  const startedAt = Date.now();
  const { bucket, filterID: filter } = run.bucket;
  const attributes = { 'ooni.bucket': bucket, 'ooni.filter': filter, 'ooni.run': id };
  return inWork({ bucket, filter, run: id }, () =>
    withSpan('run bucket', attributes, async span => {
      const outcome = await outcomeOf(run, id);
      const { state, counts, verdicts } = outcome;
      span.setAttributes(countAttributes(counts));
      const line = { seconds: (Date.now() - startedAt) / 1000, ...counts, verdicts };
      if (outcome.state === 'completed') run.tools.log.info(line, `bucket ${bucket} completed`);
      else {
        failSpan(span, outcome.reason);
        run.tools.log.info({ ...line, reason: outcome.reason }, `bucket ${bucket} ${state}: ${outcome.reason}`);
      }
      return outcome;
    }),
  );
}

async function outcomeOf(run: BucketRun, id: string): Promise<BucketOutcome> {
  try {
    const { observed, analysis } = await runStages(run.options.stages, stepsOf(run, id));
    const { counts = noCounts(), rowsStored: rows = {} } = observed ?? {};
    const kept = observed?.plan.kept ?? false;
    return { counts, rows, verdicts: analysis ?? 0, kept, state: 'completed' };
  } catch (error) {
    if (!(error instanceof StageError)) throw error;
    const { failure, done } = error;
    const { type: reason, message } = failure;
    return { ...done, state: 'failed', reason, message, outage: failure.retry === 'always' };
  }
}

interface LocalPlan extends RunPlan<Batch> {
  readonly generation: number;
  /** Absent if the observations of an earlier run are kept. */
  readonly opened?: OpenedRun;
}

/** Returns the steps of a run in this process. */
function stepsOf(run: BucketRun, id: string): RunSteps<Batch, LocalPlan, number> {
  const { tools, bucket, options, signal } = run;
  const startedAt = Date.now();
  const first = originOf(tools, id, 1);
  let origin = first;
  const mayKeep = options.stages.length > 1 && options.reprocess !== 'All';
  const taskOf = (generation: number | undefined): AnalysisTask => ({
    bucket,
    startedAt,
    ...(options.settledBy && { settledBy: options.settledBy }),
    ...(generation !== undefined && { observations: generation }),
  });
  const record = async ({ stage, plan, counts }: BrokenStage<LocalPlan>, state: RecordedState, outcome: Outcome) => {
    if (stage === 'Analysis')
      return abandonAnalysis({ ...tools, origin: first }, taskOf(plan?.generation), { state, ...outcome });
    // The ledger may keep a run that was not planned as started, like a run of a killed process.
    if (plan?.opened) await abandonBucket({ ...tools, origin }, plan.opened, { state, ...outcome, counts });
  };
  return {
    async plan(attempt) {
      origin = originOf(tools, id, attempt);
      const found = await step('Observations', 'plan run', {}, () =>
        keepOrPlan({ ...tools, origin, signal }, bucket, startedAt, mayKeep),
      );
      if ('kept' in found) return { generation: found.kept.generation, batches: [], kept: true };
      const { run: opened, batches } = found.plan;
      return { generation: opened.generation, batches, opened };
    },
    openBatches: plan => openBatches(run, plan.opened!),
    finish: (plan, counts) =>
      step('Observations', 'finish run', { 'ooni.generation': plan.generation }, () =>
        finishBucket({ ...tools, origin, signal }, plan.opened!, counts).then(end => {
          tools.metrics?.runs.inc({ stage: 'Observations', state: end.tooManyFailures ? 'failed' : 'completed' });
          return end;
        }),
      ),
    async analyse(observed) {
      const task = taskOf(observed?.plan.generation);
      const { metrics } = tools;
      const watch = { signal, ...(metrics && { onVerdicts: metrics.countVerdicts }) };
      const judge = () => analyseBucket(tools, task, first, watch);
      const { verdicts } = await step('Analysis', 'analyse', {}, () =>
        metrics ? metrics.timeAnalysis(judge) : judge(),
      );
      metrics?.runs.inc({ stage: 'Analysis', state: 'completed' });
      return verdicts;
    },
    abandon: broken => abandon(run, broken, (state, outcome) => record(broken, state, outcome)),
    tooManyFailures: (message, { counts, rowsStored }) =>
      new StageError({ type: 'TooManyFailures', message, retry: 'never' }, { counts, rows: rowsStored, verdicts: 0 }),
    archiveChanged: error => error instanceof StageError && error.failure.type === ARCHIVE_CHANGED,
  };
}

/** Does a step in a span. Its logs and statements name the stage. */
function step<T>(stage: RunStage, name: string, attributes: Attributes, work: (span: Span) => Promise<T>): Promise<T> {
  return inStage(stage, () => withSpan(name, attributes, work));
}

function originOf(tools: RunTools, id: string, attempt: number): RunOrigin {
  return {
    workflowID: `oonipipeline run on ${hostname()}`,
    runID: attemptID(id, attempt),
    backfill: '',
    codeVersion: CODE_VERSION,
    referenceVersions: tools.referenceVersions,
  };
}

/** Returns batches that run on the threads of the pool and stop together. */
function openBatches(
  { tools, onRead, signal }: BucketRun,
  opened: OpenedRun,
): ReturnType<RunSteps<Batch, LocalPlan, number>['openBatches']> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const reached = new Map<Batch, Counts>();
  const stored = new Map<Batch, Counts>();
  const onProgress = (batch: Batch, progress: Counts) => {
    reached.set(batch, progress);
    onRead(sumCounts(reached.values()).read);
  };
  return {
    run: work => work(),
    async observe(batch) {
      const counted = tools.metrics?.watchBatch();
      const listener = {
        onProgress: (progress: Counts) => onProgress(batch, progress),
        ...tools.metrics?.batchListener,
        onCheckpoint: ({ counts }: Checkpoint) => {
          stored.set(batch, counts);
          counted?.reached(counts);
        },
      };
      const attributes = { 'ooni.generation': opened.generation };
      const done = await step('Observations', 'observe batch', attributes, async span => {
        const counts = await tools.pool.run({ run: opened, batch }, listener, either);
        span.setAttributes(countAttributes(counts));
        return counts;
      }).finally(() => counted?.end());
      onProgress(batch, done);
      return done;
    },
    storedBefore: (_, batch) => stored.get(batch),
    cancel: () => stop.abort(),
  };
}

type RecordedState = 'cancelled' | 'failed';
type Outcome = { readonly reason: string; readonly message: string };

/**
 * Records a stage that does not complete, and throws: the signal's reason if the run was stopped, otherwise a StageError. After an outage
 * the stage counts as cancelled, not as failed: the next run retries it without a request.
 */
async function abandon(
  { tools: { log, metrics }, signal }: BucketRun,
  { stage, error, counts, rowsStored: rows }: BrokenStage<LocalPlan>,
  record: (state: RecordedState, outcome: Outcome) => Promise<void>,
): Promise<never> {
  const failure = error instanceof ThreadWorkError ? error.failure : classifyError(error);
  const stopped = signal.aborted;
  const outcome = stopped
    ? { reason: 'Cancelled', message: 'oonipipeline run was asked to stop' }
    : { reason: failure.type, message: failure.message };
  const state = stopped || failure.retry === 'always' ? 'cancelled' : 'failed';
  metrics?.runs.inc({ stage, state });
  // If ClickHouse is unavailable, it cannot record the outcome either. An attempt would only take another minute.
  if (stopped || failure.type !== 'ClickHouseUnavailable') {
    await record(state, outcome).catch(unrecorded =>
      log.warn(`the end of the run could not be recorded: ${(unrecorded as Error).message}`),
    );
  }
  if (stopped) throw signal.reason;
  if (failure.retry === 'few') log.error({ err: error }, 'unexpected error');
  throw new StageError(failure, { counts, rows, verdicts: 0 });
}
