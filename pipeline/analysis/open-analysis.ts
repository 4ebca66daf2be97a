import { type OpenedRun, pastRuns, type RunKey, type RunRecorder, recordRun } from '../ledger/ledger.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { StatementError } from '../tables/errors.ts';
import { PIPELINE_RUNS } from '../tables/ledger-tables.ts';
import { ANALYSIS_WEB_MEASUREMENT } from '../tables/schema.ts';
import type { JudgementOptions } from './judgement.ts';
import { newestVerdict } from './steps.ts';

type AnalysisKey = Omit<RunKey, 'generation' | 'stage'>;

/**
 * Opens an analysis: takes a generation greater than that of every analysis in the ledger and of every verdict of its days, and records it as
 * started. Call it when the observations that it judges are complete, and before the analysis reads any of them. Then, of two analyses of a
 * measurement, the one with the greater generation has read the observations of both. This holds for any clocks and any durations: either
 * the observations of the lesser were complete before the greater was opened, or the lesser found the greater in the ledger.
 *
 * A repeated call with the same `runID` takes a new generation and records the earlier one as cancelled. A statement of the earlier attempt
 * may still be running, and its verdicts must not remain beside those of this attempt.
 *
 * @param judged the measurements that it will judge
 * @param notBefore milliseconds since 1970. The generation is not before this time, so a search from the start of the workflow finds the run
 */
export async function openAnalysis(
  recorder: RunRecorder,
  key: AnalysisKey,
  judged: readonly JudgementOptions[],
  notBefore: number,
): Promise<OpenedRun> {
  const [newest, own] = await Promise.all([
    newestGeneration(recorder.clickhouse, judged, recorder.signal),
    ownAnalyses(recorder, key),
  ]);
  for (const earlier of own.filter(({ state }) => state === 'started')) {
    const message = 'another attempt of the run took its place';
    await recordRun(recorder, earlier, { state: 'cancelled', reason: 'Repeated', message });
  }
  const generation = Math.max(notBefore, newest.now, newest.generation + 1);
  const run: OpenedRun = { ...key, stage: 'Analysis', generation, openedAt: newest.now };
  await recordRun(recorder, run, { state: 'started' });
  return run;
}

/** Returns the analysis that an attempt of this run opened last; undefined when there is none. */
export async function lastOpened(recorder: RunRecorder, key: AnalysisKey): Promise<OpenedRun | undefined> {
  return (await ownAnalyses(recorder, key)).at(-1);
}

/**
 * Returns whether the analysis of another run has the same generation, because both were opened in the same millisecond. Both have read the
 * same observations, but each may have taken the other's rows for its own, so both must be opened again.
 */
export async function sharesGeneration({ clickhouse, origin, signal }: RunRecorder, run: OpenedRun): Promise<boolean> {
  const others = await clickhouse.select(
    `SELECT 1 FROM ${PIPELINE_RUNS.name}
     WHERE stage = 'Analysis' AND generation = {generation:UInt64} AND run_id != {runID:String}
       AND NOT (state = 'completed' AND rows[{verdicts:String}] = 0)
     LIMIT 1`,
    { params: { generation: run.generation, runID: origin.runID, verdicts: ANALYSIS_WEB_MEASUREMENT.name }, signal },
  );
  return others.length > 0;
}

async function ownAnalyses({ clickhouse, origin, signal }: RunRecorder, key: AnalysisKey) {
  const past = await pastRuns(clickhouse, 'Analysis', [key.bucket], signal);
  return past.filter(each => each.runID === origin.runID && each.filterID === key.filterID);
}

/** The greatest generation in the ledger of analyses and in the verdicts, and ClickHouse's clock in milliseconds since 1970. */
async function newestGeneration(
  clickhouse: ClickHouse,
  judged: readonly JudgementOptions[],
  signal?: AbortSignal,
): Promise<{ generation: number; now: number }> {
  const [ledger, ...verdicts] = await Promise.all([
    clickhouse.select<{ newest: number; now: number }>(
      `SELECT max(generation) AS newest, toUnixTimestamp64Milli(now64(3, 'UTC')) AS now
       FROM ${PIPELINE_RUNS.name} WHERE stage = 'Analysis'`,
      { signal },
    ),
    ...judged.map(options => {
      const { sql, params } = newestVerdict(options);
      return clickhouse.select<{ newest: number }>(sql, { params, signal });
    }),
  ]);
  const [first] = ledger;
  if (!first) throw new StatementError('ClickHouse gave no answer to the question for its newest analysis');
  return { generation: Math.max(first.newest, ...verdicts.map(([row]) => row?.newest ?? 0)), now: first.now };
}
