import type { DayTask } from '../analysis/days.ts';
import type { RulesVersion } from '../analysis/rules.ts';
import { noCounts } from '../counts.ts';
import type { Logger } from '../log.ts';
import { analyseDay, daysAfter, hasFingerprints, requireTables } from '../tables/analyse.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { type OpenedRun, openRun, type RunOrigin, recordRun } from '../tables/ledger.ts';
import { ANALYSIS_WEB_MEASUREMENT } from '../tables/schema.ts';
import type { BucketKey } from './bucket.ts';

export interface AnalysisTools {
  readonly clickhouse: ClickHouse;
  readonly log: Logger;
  readonly rulesVersion: RulesVersion;
}

export interface AnalysisTask {
  readonly bucket: BucketKey;
  /** Generation of the observations whose days are to be analysed; absent: the bucket is the measurement day to analyse. */
  readonly observations?: number;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
}

export interface AnalysisEnd {
  /** Measurement days, oldest first. */
  readonly days: readonly string[];
  readonly verdicts: number;
}

export interface AnalysisWatch {
  readonly signal?: AbortSignal;
  /** Days an earlier attempt has analysed, and their verdicts. */
  readonly resume?: AnalysisEnd;
  /** Told after each day. */
  readonly onDay?: (done: AnalysisEnd) => void;
}

/**
 * The analysis stage of a run (DESIGN section 6): the days that its observations touched, or the bucket's own day when it is
 * asked for alone. Recorded in the ledger like the observations. May be repeated with the same `origin`: a day that is done again gives
 * the same verdicts once. Throws TableErrors and AnalysisError.
 */
export async function analyseBucket(
  tools: AnalysisTools,
  task: AnalysisTask,
  origin: RunOrigin,
  watch: AnalysisWatch = {},
): Promise<AnalysisEnd> {
  const { clickhouse, log } = tools;
  const { signal, resume } = watch;
  const run = await openAnalysis(clickhouse, task, origin, signal);
  const { filter, generation } = run;
  const fingerprints = new Set<string>();
  const done = { days: [...(resume?.days ?? [])], verdicts: resume?.verdicts ?? 0 };
  const tasks = (await tasksOf(clickhouse, task, signal)).filter(({ day }) => !done.days.includes(day));
  if (tasks.length > 0) {
    await requireTables(clickhouse, signal);
    if (!(await hasFingerprints(clickhouse, signal)))
      log.warn(`${task.bucket.bucket}: fingerprints_dns is empty, so no block page can be recognised`);
  }
  for (const { day, selection } of tasks) {
    const options = { day, selection, filter, generation, rulesVersion: tools.rulesVersion };
    const analysed = await analyseDay(clickhouse, options, log, signal);
    fingerprints.add(analysed.fingerprints);
    done.days.push(day);
    done.verdicts += analysed.verdicts;
    watch.onDay?.({ days: [...done.days], verdicts: done.verdicts });
  }
  await complete(tools, run, origin, done.verdicts, fingerprints, signal);
  return done;
}

/**
 * Records the analysis of a bucket that had nothing to read: complete, with no verdicts. For a run whose observations have ended so;
 * what an earlier run brought for the bucket is judged when its day is judged again.
 */
export async function recordNothingToAnalyse(
  tools: Pick<AnalysisTools, 'clickhouse' | 'rulesVersion'>,
  task: AnalysisTask,
  origin: RunOrigin,
  signal?: AbortSignal,
): Promise<void> {
  const run = await openAnalysis(tools.clickhouse, task, origin, signal);
  await complete(tools, run, origin, 0, new Set(), signal);
}

async function complete(
  { clickhouse, rulesVersion }: Pick<AnalysisTools, 'clickhouse' | 'rulesVersion'>,
  run: OpenedRun,
  origin: RunOrigin,
  verdicts: number,
  fingerprints: ReadonlySet<string>,
  signal?: AbortSignal,
): Promise<void> {
  // Each verdict names the version it was made with; a run of many days may have met several.
  const referenceVersions = {
    ...origin.referenceVersions,
    rules: String(rulesVersion),
    ...(fingerprints.size > 0 && { fingerprints_dns: [...fingerprints].join(', ') }),
  };
  const counts = { ...noCounts(), rows: { [ANALYSIS_WEB_MEASUREMENT.name]: verdicts } };
  const outcome = { state: 'completed', counts, rowsStored: counts.rows } as const;
  await recordRun(clickhouse, run, { ...origin, referenceVersions }, outcome, signal);
}

/** Records that an analysis ended before its end. What it has judged stays. May be repeated. */
export async function abandonAnalysis(
  tools: Pick<AnalysisTools, 'clickhouse'>,
  task: AnalysisTask,
  origin: RunOrigin,
  state: 'failed' | 'cancelled',
  outcome: { readonly reason: string; readonly message: string },
  signal?: AbortSignal,
): Promise<void> {
  const run = await openAnalysis(tools.clickhouse, task, origin, signal);
  await recordRun(tools.clickhouse, run, origin, { state, ...outcome }, signal);
}

/** Its generation is its own: of two runs that judge one day, the one that judges later sees more of the day. */
function openAnalysis(
  clickhouse: ClickHouse,
  { bucket, startedAt }: AnalysisTask,
  origin: RunOrigin,
  signal?: AbortSignal,
): Promise<OpenedRun> {
  return openRun(clickhouse, { ...bucket, stage: 'Analysis' }, origin, [bucket.bucket], startedAt, signal);
}

async function tasksOf(clickhouse: ClickHouse, task: AnalysisTask, signal?: AbortSignal): Promise<DayTask[]> {
  const { bucket, observations } = task;
  if (observations !== undefined) return daysAfter(clickhouse, bucket.bucket, observations, signal);
  return [{ day: bucket.bucket.slice(0, 10), selection: { of: 'day' } }];
}
