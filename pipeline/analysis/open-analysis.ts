import {
  type LedgerRead,
  type OpenedRun,
  type PastRun,
  type RunKey,
  type RunRecorder,
  readLedger,
  readLedgerAnd,
  recordRun,
} from '../ledger/ledger.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { PIPELINE_RUNS } from '../tables/ledger-tables.ts';
import type { JudgementOptions } from './judgement.ts';
import type { Query } from './selection.ts';
import { newestVerdict } from './steps.ts';

type AnalysisKey = Omit<RunKey, 'generation' | 'stage'>;

/**
 * Opens an analysis: takes a generation greater than that of every analysis in the ledger and of every verdict of its days, and records it
 * as started, unless it judges nothing. Call it when the observations that it judges are complete, and before the analysis reads any of
 * them. Then, of two analyses of a measurement, the one with the greater generation has read the observations of both. This holds for any
 * clocks and any durations: either the observations of the lesser were complete before the greater was opened, or the lesser found the
 * greater in the ledger.
 *
 * A repeated call with the same `runID` takes a new generation and records the earlier one as cancelled. A statement of the earlier attempt
 * may still be running, and its verdicts must not remain beside those of this attempt.
 *
 * @param judged the measurements that it will judge
 * @param notBefore milliseconds since 1970. The generation is not before this time, so a search from the start of the workflow finds the
 *   run
 */
export async function openAnalysis(
  recorder: RunRecorder,
  key: AnalysisKey,
  judged: readonly JudgementOptions[],
  notBefore: number,
): Promise<OpenedRun> {
  const { clickhouse, signal } = recorder;
  const [first, ...others] = judged;
  const { sql, params } = newestGeneration(first);
  const runsOf = { stages: ['Analysis'], buckets: [key.bucket] } as const;
  const [ledger, verdict] = await Promise.all([
    readLedgerAnd(clickhouse, runsOf, { sql: `(${sql})`, params }, signal),
    newestVerdictOf(clickhouse, others, signal),
  ]);
  for (const earlier of ownAnalyses(ledger, recorder, key).filter(({ state }) => state === 'started')) {
    const message = 'another attempt of the run took its place';
    await recordRun(recorder, earlier, { state: 'cancelled', reason: 'Repeated', message });
  }
  const { now, other: newest } = ledger;
  const generation = Math.max(notBefore, now, newest + 1, verdict + 1);
  const run: OpenedRun = { ...key, stage: 'Analysis', generation, openedAt: now };
  // Without days to judge, the caller records the end at once, and other analyses need not know that this one has begun.
  if (judged.length > 0) await recordRun(recorder, run, { state: 'started' });
  return run;
}

/** Returns the analysis that an attempt of this run opened last; undefined when there is none. */
export async function lastOpened(recorder: RunRecorder, key: AnalysisKey): Promise<OpenedRun | undefined> {
  const ledger = await readLedger(recorder.clickhouse, ['Analysis'], [key.bucket], recorder.signal);
  return ownAnalyses(ledger, recorder, key).at(-1);
}

function ownAnalyses({ runs }: LedgerRead, { origin }: RunRecorder, key: AnalysisKey): PastRun[] {
  return runs.filter(each => each.runID === origin.runID && each.filterID === key.filterID);
}

/** Returns the query for the greatest generation of an analysis of any bucket, and of the verdicts of what will be judged; 0 without one. */
function newestGeneration(judged: JudgementOptions | undefined): Query {
  const analysis = `SELECT max(generation) FROM ${PIPELINE_RUNS.name} WHERE stage = 'Analysis'`;
  if (!judged) return { sql: analysis, params: {} };
  const { sql, params } = newestVerdict(judged);
  return { sql: `SELECT greatest((${analysis}), (${sql}))`, params };
}

/** Returns the greatest generation of the verdicts of what will be judged; 0 without verdicts. */
async function newestVerdictOf(
  clickhouse: ClickHouse,
  judged: readonly JudgementOptions[],
  signal?: AbortSignal,
): Promise<number> {
  const found = await Promise.all(
    judged.map(options => {
      const { sql, params } = newestVerdict(options);
      return clickhouse.select<{ newest: number }>(sql, { params, signal });
    }),
  );
  return Math.max(0, ...found.map(([row]) => row?.newest ?? 0));
}
