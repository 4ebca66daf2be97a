import type { DayTask } from '../analysis/days.ts';
import {
  type Observed,
  planDays,
  presentDaysQuery,
  recentDays,
  type TouchedDay,
  touchedDaysQuery,
} from '../analysis/days.ts';
import {
  type AnalysisOptions,
  assertTables,
  countMade,
  countStale,
  FILLED_TABLES,
  judgesInFull,
  makeStep,
  PRESENT_TABLES,
  retireSteps,
  type Step,
  takeBackStep,
} from '../analysis/plan.ts';
import { AnalysisError, type Query } from '../analysis/selection.ts';
import { granularityOf } from '../bucket.ts';
import type { Logger } from '../log.ts';
import { type ClickHouse, identifier, quote } from './clickhouse.ts';
import { referenceVersions } from './reference.ts';

/** What an analysis of some days did. */
export interface AnalysedDays {
  /** Verdicts made. */
  readonly verdicts: number;
  /** Version of the fingerprints they were made with; empty: loaded by the Python pipeline, or none. */
  readonly fingerprints: string;
  /** Older verdicts of measurements without observations that were kept, because most of the day would have gone. */
  readonly kept: number;
}

/** How often rows are made before giving up when the tables do not hold what they should. */
const ROUNDS = 3;

/** What to analyse after the observations of a bucket's run, oldest day first (days.ts). */
export async function tasksAfter(clickhouse: ClickHouse, observed: Observed, signal?: AbortSignal): Promise<DayTask[]> {
  const days = async ({ sql, params }: Query) =>
    (await clickhouse.select<TouchedDay>(sql, { params, signal })).map(({ day }) => day);
  const touched = await days(touchedDaysQuery(observed));
  const settles = granularityOf(observed.bucket) === 'Hour' && observed.settled;
  return planDays(touched, settles ? await days(presentDaysQuery(recentDays(observed.bucket))) : [], observed);
}

/** Looks for all that a judgement reads. Throws AnalysisError when a table is absent, and TableErrors. */
export async function requireTables(clickhouse: ClickHouse, signal?: AbortSignal): Promise<void> {
  const { sql, params } = PRESENT_TABLES;
  assertTables((await clickhouse.select<{ name: string }>(sql, { params, signal })).map(({ name }) => name));
}

/** Whether any address of a block page is known. */
export async function hasFingerprints(clickhouse: ClickHouse, signal?: AbortSignal): Promise<boolean> {
  return (await clickhouse.select('SELECT 1 FROM fingerprints_dns LIMIT 1', { signal })).length > 0;
}

/** analyseDays for one day. */
export function analyseDay(
  clickhouse: ClickHouse,
  options: Omit<AnalysisOptions, 'days' | 'runID'> & { readonly day: string; readonly runID?: string },
  log: Logger,
  signal?: AbortSignal,
): Promise<AnalysedDays> {
  const { day, runID = 'by-hand', ...rest } = options;
  return analyseDays(clickhouse, { ...rest, runID, days: [day] }, log, signal);
}

/**
 * Judges the selected measurements of some days: makes verdicts and results with `options.generation`, which no row may have yet, and takes away
 * those they replace. To do it again after an error, take a greater generation: a statement whose answer was lost may still go on, and what
 * it makes is then the older. Leaves each verdict once, for a plain read as for FINAL. The tables must be there. Throws AnalysisError when
 * they do not come to hold a verdict and a result for each measurement selected, and TableErrors.
 */
export async function analyseDays(
  clickhouse: ClickHouse,
  options: AnalysisOptions,
  log: Logger,
  signal?: AbortSignal,
): Promise<AnalysedDays> {
  const { verdicts, fingerprints } = await make(clickhouse, options, log, signal);
  const kept = await keptOf(clickhouse, options, verdicts, signal);
  if (kept > 0) {
    log.warn(
      `${nameOf(options)}: ${kept} measurements have a verdict but no observations, more than the ${verdicts} that have both; their verdicts are kept`,
    );
  }
  await remove(clickhouse, retireSteps(options, judgesInFull(options) && kept === 0), log, signal);
  return { verdicts, fingerprints, kept };
}

/** A row of countMade. */
interface Made {
  /** Rows of verdicts, measurements among them, rows of results, measurements that were to be judged. */
  readonly verdicts: number;
  readonly measurements: number;
  readonly results: number;
  readonly selected: number;
}

/**
 * Makes verdicts and results until the tables hold what they should. The statement of the verdicts reads the fingerprints and, elsewhere, their
 * version; a new version may be swapped in between, and a verdict would name one that it was not made with. So the version is asked
 * before and after, and all is made again when it changed: hourly at most.
 */
async function make(
  clickhouse: ClickHouse,
  options: AnalysisOptions,
  log: Logger,
  signal?: AbortSignal,
): Promise<Pick<AnalysedDays, 'verdicts' | 'fingerprints'>> {
  const [verdictTable, resultTable] = FILLED_TABLES;
  const versionNow = async () => (await referenceVersions(clickhouse, signal)).fingerprints_dns ?? '';
  const count = countMade(options);
  let before = await versionNow();
  for (let round = 1; ; round++) {
    const written = {
      verdicts: await insert(clickhouse, makeStep(verdictTable, options), signal),
      results: await insert(clickhouse, makeStep(resultTable, options), signal),
    };
    const [[made], fingerprints] = await Promise.all([
      clickhouse.select<Made>(count.sql, { params: count.params, signal }),
      versionNow(),
    ]);
    if (!made) throw new AnalysisError('ClickHouse gave no answer to the question for what an analysis has made');
    const problem = problemOf(options, made);
    if (problem === undefined && fingerprints === before) return { verdicts: made.verdicts, fingerprints };
    if (problem !== undefined && round >= ROUNDS) {
      // Another run may change the observations all the while. It judges them again when it ends; what was written must be there.
      if (made.verdicts !== written.verdicts || made.results !== written.results) throw new AnalysisError(problem);
      log.warn(`${problem}; the observations are changing`);
      return { verdicts: made.verdicts, fingerprints };
    }
    before = fingerprints;
    await remove(
      clickhouse,
      FILLED_TABLES.map(table => takeBackStep(table, options)),
      log,
      signal,
    );
  }
}

/** A sentence, when the tables do not hold one verdict and one result for each measurement that was to be judged. */
function problemOf(options: AnalysisOptions, { verdicts, measurements, results, selected }: Made): string | undefined {
  const what = `${nameOf(options)}, generation ${options.generation}`;
  if (verdicts !== measurements) return `${what}: ${verdicts} verdicts are stored for ${measurements} measurements`;
  if (verdicts !== selected)
    return `${what}: ${verdicts} verdicts are stored, and ${selected} measurements were to be judged`;
  if (results !== verdicts) return `${what}: ${results} results are stored for ${verdicts} verdicts`;
  return undefined;
}

function nameOf({ days }: AnalysisOptions): string {
  return days.length === 1 ? `${days[0]}` : `${days.length} days from ${days[0]} to ${days.at(-1)}`;
}

/**
 * A verdict goes when its measurement has no observations any more: the archive's object shrank. When that is most of a day, its
 * observations have rather been dropped to save space, and verdicts are not taken along silently.
 */
async function keptOf(
  clickhouse: ClickHouse,
  options: AnalysisOptions,
  verdicts: number,
  signal?: AbortSignal,
): Promise<number> {
  if (!judgesInFull(options)) return 0;
  const { sql, params } = countStale(options);
  const [stale] = await clickhouse.select<{ measurements: number }>(sql, { params, signal });
  return stale && stale.measurements > verdicts ? stale.measurements : 0;
}

async function insert(
  clickhouse: ClickHouse,
  step: Extract<Step, { do: 'insert' }>,
  signal?: AbortSignal,
): Promise<number | undefined> {
  if (clickhouse.cluster !== '') {
    // `replace_running_query` stops what runs on the server that is asked; an earlier attempt may have asked another one.
    await clickhouse.command(
      `KILL QUERY ON CLUSTER ${identifier(clickhouse.cluster)} WHERE query_id = ${quote(step.id)} SYNC`,
      { signal },
    );
  }
  return clickhouse.commandOnce(step.sql, { params: step.params, queryId: step.id, signal });
}

/**
 * Deletes the rows of some steps, in order. Without a partition a delete looks at every part of the table, years of them, and mostly there is
 * nothing to delete; so the partitions are asked for first, for all steps at once. On a cluster it looks again: a replica that had not yet
 * received the new rows has found fewer of the old ones.
 */
async function remove(
  clickhouse: ClickHouse,
  steps: readonly DeleteStep[],
  log: Logger,
  signal?: AbortSignal,
): Promise<void> {
  for (let round = 1; ; round++) {
    const found = await partitionsOf(clickhouse, steps, signal);
    if (found.length === 0) return;
    if (round > ROUNDS) {
      log.warn(
        `${found.length} partitions show replaced verdicts until their day is judged again; FINAL reads are right`,
      );
      return;
    }
    for (const { step, partition } of found) {
      const { table, condition, params } = steps[step]!;
      const all = await clickhouse.mutate(
        `DELETE FROM ${identifier(table)} IN PARTITION ID ${quote(partition)} WHERE ${condition}`,
        // Subqueries count as nondeterministic on replicated tables: a replica that is behind finds fewer rows, and deletes fewer.
        { params, settings: { allow_nondeterministic_mutations: 1 }, signal },
      );
      if (!all) log.warn(`${table}: a replica is away and deletes replaced rows when it is back`);
    }
    if (clickhouse.cluster === '') return;
  }
}

type DeleteStep = Extract<Step, { do: 'delete' }>;

async function partitionsOf(
  clickhouse: ClickHouse,
  steps: readonly DeleteStep[],
  signal?: AbortSignal,
): Promise<{ step: number; partition: string }[]> {
  const queries = steps.map(
    ({ table, condition }, index) =>
      `SELECT DISTINCT ${index} AS step, _partition_id AS partition FROM ${identifier(table)} WHERE ${condition}`,
  );
  const params = Object.assign({}, ...steps.map(step => step.params));
  return clickhouse.select(`SELECT * FROM (${queries.join('\nUNION ALL ')}) ORDER BY step, partition`, {
    params,
    signal,
  });
}
