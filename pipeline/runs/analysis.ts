import {
  type AnalysedDays,
  AnalysisAgainError,
  analyseDays,
  requireTables,
  tasksAfter,
  type VerdictCount,
} from '../analysis/analyse.ts';
import { type DayTask, isLastHour } from '../analysis/days.ts';
import { lastOpened, openAnalysis } from '../analysis/open-analysis.ts';
import type { RulesVersion } from '../analysis/rules.ts';
import { boundsOf } from '../bucket.ts';
import { noCounts } from '../counts.ts';
import { EVERYTHING, filterIDOf } from '../filter.ts';
import { type OpenedRun, openRun, pastRuns, type RunOrigin, type RunRecorder, recordRun } from '../ledger/ledger.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { TableError } from '../tables/errors.ts';
import { ANALYSIS_WEB_MEASUREMENT } from '../tables/schema.ts';
import type { Logger } from '../telemetry/log.ts';
import { withSpan } from '../telemetry/spans.ts';
import type { AbandonedEnd, BucketKey } from './observations.ts';

export interface AnalysisTools {
  readonly clickhouse: ClickHouse;
  readonly log: Logger;
  readonly rulesVersion: RulesVersion;
  /** Whether the installation has no block page fingerprints on purpose, so that missing ones need no warning. */
  readonly withoutFingerprints?: boolean;
}

export interface AnalysisTask {
  readonly bucket: BucketKey;
  /** Generation of the observations whose days are analysed. If absent, the bucket is the measurement day to analyse. */
  readonly observations?: number;
  /** For a bucket of an hour: the bucket whose analysis judges the whole day. */
  readonly settledBy?: SettledBy;
  /** Start of the run, milliseconds since 1970. The analysis has its own generation, which is not before this time. */
  readonly startedAt: number;
}

/** The bucket whose analysis judges the whole upload day: the last bucket of this day in the order of the plan. */
export interface SettledBy {
  readonly bucket: string;
  /** Time of the plan, by ClickHouse's clock: milliseconds since 1970. */
  readonly since: number;
}

export interface AnalysisEnd {
  /** Measurement days, oldest first. */
  readonly days: readonly string[];
  readonly verdicts: number;
}

export interface AnalysisWatch {
  readonly signal?: AbortSignal;
  /** Days that an earlier attempt has analysed, and their number of verdicts. */
  readonly resume?: AnalysisEnd;
  /** Called after each statement, with all days that are done. */
  readonly onDay?: (done: AnalysisEnd) => void;
  /** Receives the verdicts of each statement, by outcome and country. */
  readonly onVerdicts?: (counts: readonly VerdictCount[]) => void;
}

/** Attempts to make verdicts when ClickHouse breaks off or has not stored them. After these, the caller has to repeat the stage. */
const TRIES = 3;

/**
 * Runs the analysis stage: it judges the days that the run's observations touched, or the bucket's own day when the analysis is requested
 * alone. The ledger records it like the observations. May be repeated with the same `origin`: it replaces the verdicts of an earlier
 * attempt. Throws TableErrors and AnalysisError.
 */
export async function analyseBucket(
  tools: AnalysisTools,
  task: AnalysisTask,
  origin: RunOrigin,
  watch: AnalysisWatch = {},
): Promise<AnalysisEnd> {
  const { clickhouse, log, rulesVersion } = tools;
  const { signal, resume } = watch;
  const recorder = { clickhouse, origin, signal };
  const fingerprints = new Set<string>();
  const done = { days: [...(resume?.days ?? [])], verdicts: resume?.verdicts ?? 0 };
  const tasks = (await tasksOf(clickhouse, task, signal)).filter(({ days }) => !done.days.includes(days[0]!));
  /** Version of the fingerprints that was read last; undefined when it may have changed. */
  let version: string | undefined;
  if (tasks.length > 0) {
    const found = await requireTables(clickhouse, signal);
    version = found.fingerprints;
    if (!tools.withoutFingerprints && !found.hasFingerprints)
      log.warn(`${task.bucket.bucket}: fingerprints_dns is empty, so no block page can be recognised`);
  }
  const open = () => {
    const judged = tasks.map(each => ({ ...each, rulesVersion }));
    // Another server's clock may be ahead. The analysis must not be older than its observations, so that the ledger shows which are judged.
    const notBefore = Math.max(task.startedAt, task.observations ?? 0);
    return openAnalysis(recorder, task.bucket, judged, notBefore);
  };
  let run = await open();
  const judge = async (each: DayTask): Promise<AnalysedDays> => {
    for (let attempt = 1; ; attempt++) {
      try {
        const { generation, openedAt } = run;
        const options = { ...each, generation, openedAt, runID: origin.runID, rulesVersion };
        const days = {
          'ooni.first_day': each.days[0] ?? '',
          'ooni.days': each.days.length,
          'ooni.generation': generation,
        };
        return await withSpan('judge days', days, async span => {
          const analysed = await analyseDays({ clickhouse, log, signal }, options, version);
          version = analysed.fingerprints;
          span.setAttribute('ooni.verdicts', analysed.verdicts);
          return analysed;
        });
      } catch (error) {
        version = undefined;
        const again = error instanceof AnalysisAgainError || (error instanceof TableError && error.transient);
        if (attempt === TRIES || !again) throw error;
        log.warn(`${task.bucket.bucket}: the verdicts are computed again: ${error.message}`);
        run = await open();
      }
    }
  };
  for (const each of tasks) {
    let analysed = await judge(each);
    while (analysed.isShared) {
      run = await open();
      analysed = await judge(each);
    }
    watch.onVerdicts?.(analysed.counts);
    fingerprints.add(analysed.fingerprints);
    done.days.push(...each.days);
    done.verdicts += analysed.verdicts;
    watch.onDay?.({ days: [...done.days], verdicts: done.verdicts });
  }
  await complete({ ...recorder, rulesVersion }, run, done.verdicts, fingerprints);
  return done;
}

/**
 * Records a complete analysis without verdicts, for a run whose observations had nothing to read. Observations of an earlier run of the
 * bucket are judged when their day is judged again.
 */
export async function recordNothingToAnalyse(
  context: RunRecorder & Pick<AnalysisTools, 'rulesVersion'>,
  task: AnalysisTask,
): Promise<void> {
  const key = { ...task.bucket, stage: 'Analysis' } as const;
  const notBefore = Math.max(task.startedAt, task.observations ?? 0);
  const run = await openRun(context, key, [key.bucket], notBefore);
  await complete(context, run, 0, new Set());
}

async function complete(
  context: RunRecorder & Pick<AnalysisTools, 'rulesVersion'>,
  run: OpenedRun,
  verdicts: number,
  fingerprints: ReadonlySet<string>,
): Promise<void> {
  const { origin, rulesVersion } = context;
  // Each verdict has the fingerprints version that it was made with. A run of many days can use several versions.
  const referenceVersions = {
    ...origin.referenceVersions,
    rules: String(rulesVersion),
    ...(fingerprints.size > 0 && { fingerprints_dns: [...fingerprints].join(', ') }),
  };
  const counts = { ...noCounts(), rows: { [ANALYSIS_WEB_MEASUREMENT.name]: verdicts } };
  const outcome = { state: 'completed', counts, rowsStored: counts.rows } as const;
  await recordRun({ ...context, origin: { ...origin, referenceVersions } }, run, outcome);
}

/** Records that an analysis failed or was cancelled. Its verdicts are kept. May be repeated. */
export async function abandonAnalysis(
  recorder: RunRecorder,
  task: AnalysisTask,
  { state, reason, message }: AbandonedEnd,
): Promise<void> {
  const run =
    (await lastOpened(recorder, task.bucket)) ?? (await openAnalysis(recorder, task.bucket, [], task.startedAt));
  await recordRun(recorder, run, { state, reason, message });
}

/**
 * Returns whether the analysis runs even if its observations had nothing to read. It does for the bucket that judges the whole day, because
 * the other hours have judged their measurements only in part.
 */
export function settlesDay(task: {
  readonly bucket: string;
  readonly filterID: string;
  readonly settledBy?: SettledBy;
}): boolean {
  return task.filterID === filterIDOf(EVERYTHING) && isLastOfDay(task);
}

function isLastOfDay({ bucket, settledBy }: { readonly bucket: string; readonly settledBy?: SettledBy }): boolean {
  return isLastHour(bucket) || settledBy?.bucket === bucket;
}

/**
 * Returns whether the bucket that judges the whole day has not yet opened its analysis. That analysis will include the observations of this
 * bucket. An analysis that is already open may or may not include them.
 */
async function awaitsAnother(clickhouse: ClickHouse, task: AnalysisTask, signal?: AbortSignal): Promise<boolean> {
  const { bucket, settledBy } = task;
  if (settledBy === undefined || settledBy.bucket === bucket.bucket) return false;
  const past = await pastRuns(clickhouse, 'Analysis', [settledBy.bucket], signal);
  return !past.some(each => each.openedAt >= settledBy.since);
}

async function tasksOf(clickhouse: ClickHouse, task: AnalysisTask, signal?: AbortSignal): Promise<DayTask[]> {
  const { bucket, filter } = task.bucket;
  if (task.observations === undefined) return [{ days: [bucket.slice(0, 10)], filter, selection: { of: 'day' } }];
  const isSettled = async (now: number) =>
    now >= boundsOf(bucket.slice(0, 10)).end && !(await awaitsAnother(clickhouse, task, signal));
  const last = isLastOfDay({ bucket, ...(task.settledBy && { settledBy: task.settledBy }) });
  return tasksAfter(clickhouse, { bucket, filter, generation: task.observations, last }, isSettled, signal);
}
