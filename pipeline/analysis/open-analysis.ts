import { type OpenedRun, pastRuns, type RunKey, type RunOrigin, recordRun } from '../ledger/ledger.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { StatementError } from '../tables/errors.ts';
import { PIPELINE_RUNS } from '../tables/ledger-tables.ts';
import { ANALYSIS_WEB_MEASUREMENT } from '../tables/schema.ts';
import type { JudgementOptions } from './judgement.ts';
import { newestVerdict } from './steps.ts';

type AnalysisKey = Omit<RunKey, 'generation' | 'stage'>;

/**
 * Opens an analysis: takes a generation greater than that of every analysis in the ledger and of every verdict of its days, and records it as
 * started. Call it when the observations that it judges are complete, and before anything is read to be judged. Then of two analyses of a
 * measurement the one with the greater generation has seen all that the other's observations brought, whatever the clocks say and
 * however long either takes: the observations of the lesser were complete before the greater was opened, or else the lesser had found
 * the greater in the ledger.
 *
 * Asked again with the same `runID` it takes a new generation and records the earlier one as cancelled: a statement of the attempt before
 * may still go on, and what it makes must not stand beside what this one makes.
 *
 * @param judged what it will judge
 * @param notBefore milliseconds since 1970; runs that are looked for by the time at which their workflow began are found
 */
export async function openAnalysis(
  clickhouse: ClickHouse,
  key: AnalysisKey,
  origin: RunOrigin,
  judged: readonly JudgementOptions[],
  notBefore: number,
  signal?: AbortSignal,
): Promise<OpenedRun> {
  const [newest, own] = await Promise.all([
    newestGeneration(clickhouse, judged, signal),
    ownAnalyses(clickhouse, key, origin, signal),
  ]);
  for (const earlier of own.filter(({ state }) => state === 'started')) {
    const message = 'another attempt of the run took its place';
    await recordRun(clickhouse, earlier, origin, { state: 'cancelled', reason: 'Repeated', message }, signal);
  }
  const generation = Math.max(notBefore, newest.now, newest.generation + 1);
  const run: OpenedRun = { ...key, stage: 'Analysis', generation, openedAt: newest.now };
  await recordRun(clickhouse, run, origin, { state: 'started' }, signal);
  return run;
}

/** The analysis that an attempt of this run has opened last, if one has. */
export async function lastOpened(
  clickhouse: ClickHouse,
  key: AnalysisKey,
  origin: RunOrigin,
  signal?: AbortSignal,
): Promise<OpenedRun | undefined> {
  return (await ownAnalyses(clickhouse, key, origin, signal)).at(-1);
}

/**
 * Whether another run's analysis has the generation of this one: both were opened at the same moment. They have seen the same observations,
 * but each may have taken the other's rows for its own, so both are to be opened again.
 */
export async function sharesGeneration(
  clickhouse: ClickHouse,
  run: OpenedRun,
  origin: RunOrigin,
  signal?: AbortSignal,
): Promise<boolean> {
  const others = await clickhouse.select(
    `SELECT 1 FROM ${PIPELINE_RUNS.name}
     WHERE stage = 'Analysis' AND generation = {generation:UInt64} AND run_id != {runID:String}
       AND NOT (state = 'completed' AND rows[{verdicts:String}] = 0)
     LIMIT 1`,
    { params: { generation: run.generation, runID: origin.runID, verdicts: ANALYSIS_WEB_MEASUREMENT.name }, signal },
  );
  return others.length > 0;
}

async function ownAnalyses(clickhouse: ClickHouse, key: AnalysisKey, origin: RunOrigin, signal?: AbortSignal) {
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
