import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import type { RulesVersion } from '../../pipeline/analysis/rules.ts';
import type { Archive } from '../../pipeline/archive/archive.ts';
import { nextBucket } from '../../pipeline/bucket.ts';
import { type Counts, noCounts } from '../../pipeline/counts.ts';
import { readHistory } from '../../pipeline/ledger/history.ts';
import { attemptID, type OpenedRun, openRun, type RunOrigin } from '../../pipeline/ledger/ledger.ts';
import { overlappingBuckets } from '../../pipeline/ledger/replaced-rows.ts';
import type { Logger } from '../../pipeline/log.ts';
import { ReferenceDataError } from '../../pipeline/reference/dataset.ts';
import { DATASETS, sourceOf } from '../../pipeline/reference/datasets.ts';
import { ensureReference, loadReference, tryReference } from '../../pipeline/reference/load.ts';
import {
  type AnalysisEnd,
  type AnalysisTask,
  abandonAnalysis,
  analyseBucket,
  recordNothingToAnalyse,
  settlesDay,
} from '../../pipeline/runs/analysis.ts';
import { type BackfillRange, pageOfBackfill, planBackfill } from '../../pipeline/runs/backfill-plan.ts';
import type { BatchStage, Checkpoint } from '../../pipeline/runs/batch.ts';
import { judge } from '../../pipeline/runs/failure.ts';
import type { RunMetrics } from '../../pipeline/runs/metrics.ts';
import { abandonBucket, type BucketKey, finishBucket } from '../../pipeline/runs/observations.ts';
import { keepOrPlan } from '../../pipeline/runs/resume.ts';
import type { Settings } from '../../pipeline/settings.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { ThreadWorkError } from '../../pipeline/threads/errors.ts';
import type { ThreadPool } from '../../pipeline/threads/pool.ts';
import { CODE_VERSION } from '../../pipeline/version.ts';
import { OTHER_INSTALLATION, type RunCounts, type RunInput } from '../contract.ts';
import { BatchProgress } from './batch-progress.ts';
import type { ClickHouseWatch } from './clickhouse-watch.ts';
import { describeRun } from './describe-run.ts';
import { toFailure } from './failures.ts';
import type { Activities, PlanKey, RunHandle } from './types.ts';
import { activityWait, type Wait, WaitNote } from './waits.ts';

export interface ActivityTools {
  readonly settings: Settings;
  readonly archive: Archive;
  readonly clickhouse: ClickHouse;
  readonly pool: ThreadPool;
  readonly metrics: RunMetrics;
  readonly rulesVersion: RulesVersion;
  /** Versions of reference data by name, for the ledger. */
  readonly referenceVersions: Readonly<Record<string, string>>;
  readonly log: Logger;
  /** Stops activities while ClickHouse hangs. */
  readonly watch?: ClickHouseWatch;
}

/** Milliseconds between heartbeats of an activity. A cancellation arrives with the answer. */
const HEARTBEAT_INTERVAL = 5000;

/** Number of problems of reference data in a result; the table reference_versions has more of them. */
const MAX_PROBLEMS = 5;

/** Returns the activities of this worker. All send heartbeats, all can be repeated, and failures.ts classifies all their errors. */
export function createActivities(tools: ActivityTools): Activities {
  const { archive, clickhouse, pool, metrics, settings, rulesVersion, log } = tools;
  const bucketTools = { archive, clickhouse, log, maxFailedShare: settings.max_failed_share };
  const originOf = (key: PlanKey): RunOrigin => {
    const { workflowExecution } = Context.current().info;
    return {
      workflowID: workflowExecution?.workflowId ?? '',
      runID: attemptID(workflowExecution?.runId ?? '', key.plan),
      backfill: key.run.backfill ?? '',
      codeVersion: CODE_VERSION,
      referenceVersions: tools.referenceVersions,
    };
  };

  const own = <T, Details = never>(
    { installation }: { readonly installation: string },
    work: (signal: AbortSignal, heartbeat: Heartbeat<Details>) => Promise<T>,
    countsOf?: (reached: Details) => RunCounts,
  ): Promise<T> => {
    refuseOther(installation, settings.installation);
    return activity(log, work, countsOf, tools.watch);
  };
  /** The first batch of a worker loads the fingerprints of a new installation. Later, a schedule does. */
  let firstLoad: Promise<void> | undefined;
  const httpFingerprints = (): Promise<void> => {
    const source = sourceOf(settings, 'fingerprints_http');
    firstLoad ??= tryReference(clickhouse, 'fingerprints_http', source, { now: Date.now(), log }).catch(error => {
      firstLoad = undefined;
      throw error;
    });
    return firstLoad;
  };

  return {
    planRun: key =>
      own(key.run, async signal => {
        const origin = originOf(key);
        const { allowShrink, mayKeep = false } = key.run;
        const context = { ...bucketTools, allowShrink, rulesVersion, origin, signal };
        const found = await keepOrPlan(context, bucketOf(key.run), key.startedAt, mayKeep);
        if ('kept' in found) return { handle: found.kept, batches: [], files: 0, bytes: 0, kept: true };
        const { run, ...plan } = found.plan;
        const handle = { generation: run.generation, openedAt: run.openedAt };
        const judges = key.run.stages.includes('Analysis') && settlesDay(key.run);
        if (plan.batches.length > 0 || judges) return { handle, ...plan };
        // Most buckets of a narrow filter are empty, and another activity for each would be most of the work.
        const end = await finishBucket(context, run, noCounts());
        metrics.runs.inc({ stage: 'Observations', state: 'completed' });
        if (key.run.stages.includes('Analysis')) {
          const task = { ...analysisTask(key), observations: run.generation };
          await recordNothingToAnalyse(context, task);
          metrics.runs.inc({ stage: 'Analysis', state: 'completed' });
        }
        return { handle, ...plan, end };
      }),

    observeBatch: (key, handle, batch) =>
      own<RunCounts, Checkpoint>(
        key.run,
        async (signal, heartbeat) => {
          const resume = heartbeat.details;
          const watch = metrics.watchBatch(resume?.counts);
          const progress = new BatchProgress(batch.files, log);
          try {
            await httpFingerprints();
            const task = { run: openedRun(key, handle), batch, ...(resume && { resume }) };
            const listener = {
              onCheckpoint: (checkpoint: Checkpoint) => {
                heartbeat.send(checkpoint);
                watch.reached(checkpoint.counts);
              },
              ...metrics.batchListener,
              onProgress: (counts: Counts) => progress.reached(counts),
              onStage: (stage: BatchStage, seconds: number) => {
                metrics.batchListener.onStage(stage, seconds);
                progress.took(stage, seconds);
              },
              onRetry: (message: string, wait: number) => {
                metrics.batchListener.onRetry();
                heartbeat.wait.note({ reason: 'InsertRetried', message }, wait);
              },
            };
            return await pool.run(task, listener, signal);
          } finally {
            progress.end();
            watch.end();
          }
        },
        ({ counts }) => counts,
      ),

    finishRun: (key, handle, counts) =>
      own(key.run, async signal => {
        const context = { ...bucketTools, origin: originOf(key), signal };
        const end = await finishBucket(context, openedRun(key, handle), counts);
        metrics.runs.inc({ stage: 'Observations', state: end.tooManyFailures ? 'failed' : 'completed' });
        return end;
      }),

    abandonRun: (key, stage, failure, handle, counts) =>
      own(key.run, async signal => {
        metrics.runs.inc({ stage, state: failure.state });
        const context = { clickhouse, log, origin: originOf(key), signal };
        if (stage === 'Analysis') return abandonAnalysis(context, analysisTask(key), failure);
        const bucket = bucketOf(key.run);
        const opened = handle
          ? openedRun(key, handle)
          : await openRun(context, { ...bucket, stage }, overlappingBuckets(bucket.bucket), key.startedAt);
        return abandonBucket(context, opened, { ...failure, counts });
      }),

    analyse: (key, generation) =>
      own<readonly string[], AnalysisEnd>(key.run, async (signal, heartbeat) => {
        const task = { ...analysisTask(key), ...(generation !== null && { observations: generation }) };
        const watch = {
          signal,
          resume: heartbeat.details,
          onDay: (done: AnalysisEnd) => heartbeat.send(done),
          onVerdicts: metrics.countVerdicts,
        };
        const source = sourceOf(settings, 'fingerprints_dns');
        await ensureReference(clickhouse, 'fingerprints_dns', source, { now: Date.now(), log, signal });
        const analysisTools = { clickhouse, log, rulesVersion, withoutFingerprints: source === undefined };
        const { days } = await metrics.timeAnalysis(() => analyseBucket(analysisTools, task, originOf(key), watch));
        metrics.runs.inc({ stage: 'Analysis', state: 'completed' });
        return days;
      }),

    describeRun: run => own(run, () => describeRun(Context.current().client, run)),

    needsRun: run =>
      own(run, async signal => {
        const { bucket, filter, filterID, stages } = run;
        const query = { filter, filterID, stages, from: bucket, before: nextBucket(bucket) };
        return !(await readHistory(clickhouse, query, signal)).of(bucket).completed;
      }),

    refreshReference: input =>
      own(input, async signal => {
        const dataset = DATASETS.find(each => each === input.dataset);
        if (!dataset)
          throw new ReferenceDataError(
            `there is no reference data "${input.dataset}"; there is ${DATASETS.join(', ')}`,
          );
        const source = sourceOf(settings, dataset);
        if (source === undefined) return { dataset, changed: false, rows: 0, leftOut: 0, problems: [] };
        const loaded = await loadReference(clickhouse, dataset, source, { now: Date.now(), log, signal });
        const { version, changed, rows, problems } = loaded;
        return {
          dataset,
          version,
          changed,
          rows,
          leftOut: problems.length,
          problems: problems.slice(0, MAX_PROBLEMS),
        };
      }),

    planBackfill: (input, now) =>
      own(input, signal => planBackfill({ archive, clickhouse }, input satisfies BackfillRange, now, signal)),

    pageBackfill: (input, plan, cursor, retry) =>
      own(input, signal =>
        pageOfBackfill({ clickhouse, signal }, input, plan, { cursor: cursor ?? undefined, retry: retry ?? undefined }),
      ),
  };
}

/**
 * Throws for a task of another installation, whose archive and database are not those of this worker. Such a task was put into this queue
 * by hand. It fails at once, because no worker of this queue may run it.
 */
function refuseOther(installation: string, ours: string): void {
  if (installation === ours) return;
  throw ApplicationFailure.nonRetryable(
    `the task belongs to installation "${installation}", and this worker to "${ours}"; start it on the task queues of its own installation`,
    OTHER_INSTALLATION,
  );
}

/** Heartbeat of an activity, with the progress that a later attempt needs. */
interface Heartbeat<Details> {
  /** Progress of an earlier attempt. */
  readonly details: Details | undefined;
  send(details: Details): void;
  /** Cause for which the activity waits. */
  readonly wait: WaitNote;
}

/** Details of a heartbeat: the progress (null: none yet), and what the activity waits for. */
interface HeartbeatPayload<Details> {
  readonly reached: Details | null;
  readonly waitsFor?: Wait;
}

/** Returns the progress in the last heartbeat of an earlier attempt. Workers of older versions sent it without the wait. */
export function reachedBefore<Details>(details: unknown): Details | undefined {
  const isBeat = typeof details === 'object' && details !== null && 'reached' in details;
  return isBeat ? ((details as HeartbeatPayload<Details>).reached ?? undefined) : (details as Details | undefined);
}

/**
 * Runs the work of an activity with heartbeats and a signal for its cancellation, and converts its errors for Temporal.
 *
 * @param countsOf returns the counts of the progress; they are added to an error, because stored data have been read
 */
async function activity<T, Details = never>(
  log: Logger,
  work: (signal: AbortSignal, heartbeat: Heartbeat<Details>) => Promise<T>,
  countsOf?: (reached: Details) => RunCounts,
  watch?: ClickHouseWatch,
): Promise<T> {
  const context = Context.current();
  const { activityType, attempt, workflowExecution } = context.info;
  let reached = reachedBefore<Details>(context.info.heartbeatDetails);
  const wait = new WaitNote();
  const sendHeartbeat = () => {
    const waitsFor = wait.current() ?? watch?.waitsFor;
    context.heartbeat({ reached: reached ?? null, ...(waitsFor && { waitsFor }) } satisfies HeartbeatPayload<Details>);
  };
  const heartbeat: Heartbeat<Details> = {
    details: reached,
    wait,
    send: details => {
      reached = details;
      sendHeartbeat();
    },
  };
  // A heartbeat replaces the previous one, so it repeats the progress.
  const timer = setInterval(sendHeartbeat, HEARTBEAT_INTERVAL);
  try {
    const { cancellationSignal } = context;
    const run = (hung?: AbortSignal) => {
      const signal = hung ? AbortSignal.any([cancellationSignal, hung]) : cancellationSignal;
      return activityWait.run(wait, () => work(signal, heartbeat));
    };
    return await (watch ? watch.during(run) : run());
  } catch (error) {
    const counts = reached && countsOf?.(reached);
    // This includes the stop of a worker: Temporal then gives the activity to another one.
    if (context.cancellationSignal.aborted) throw new CancelledFailure('stopped', counts && [counts]);
    const judged = error instanceof ThreadWorkError ? error.judged : judge(error);
    const failure = toFailure(judged, attempt, counts);
    const where = { activity: activityType, workflow: workflowExecution?.workflowId, attempt, type: judged.type };
    log.warn(where, `${failure.nonRetryable ? 'failed' : 'will be retried'}: ${judged.message}`);
    throw failure;
  } finally {
    clearInterval(timer);
  }
}

function bucketOf({ bucket, filter, filterID }: RunInput): BucketKey {
  return { bucket, filter, filterID };
}

function openedRun({ run }: PlanKey, handle: RunHandle): OpenedRun {
  return { ...bucketOf(run), stage: 'Observations', ...handle };
}

function analysisTask({ run, startedAt }: PlanKey): AnalysisTask {
  const { settledBy } = run;
  return { bucket: bucketOf(run), startedAt, ...(settledBy && { settledBy }) };
}
