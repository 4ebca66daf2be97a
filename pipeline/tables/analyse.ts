import { type DayTask, planDays, type TouchedDay, touchedDaysQuery } from '../analysis/days.ts';
import {
  type AnalysisOptions,
  assertTables,
  countMade,
  countStale,
  FILLED_TABLES,
  makeSteps,
  PRESENT_TABLES,
  retireSteps,
  type Step,
} from '../analysis/plan.ts';
import { AnalysisError, type Query } from '../analysis/selection.ts';
import type { Logger } from '../log.ts';
import { type ClickHouse, identifier, quote } from './clickhouse.ts';
import { TableError } from './errors.ts';
import { referenceVersions } from './reference.ts';

/** What the analysis of a day did. */
export interface AnalysedDay {
  readonly day: string;
  /** Verdicts made. */
  readonly verdicts: number;
  /** Version of the fingerprints they were made with; empty: loaded by the Python pipeline, or none. */
  readonly fingerprints: string;
  /** Older verdicts of measurements without observations that were kept, because most of the day would have gone. */
  readonly kept: number;
}

/** Times a table is filled for a day before giving up. */
const ROUNDS = 3;

/** The days to analyse after the observations of a bucket's run, oldest first (days.ts). */
export async function daysAfter(
  clickhouse: ClickHouse,
  bucket: string,
  generation: number,
  signal?: AbortSignal,
): Promise<DayTask[]> {
  const { sql, params } = touchedDaysQuery(bucket, generation);
  return planDays(await clickhouse.select<TouchedDay>(sql, { params, signal }), bucket, generation);
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

/**
 * Judges the measurements of one day: makes verdicts and results with `options.generation` and takes away those they replace. May
 * be repeated with the same generation at any point, whatever an earlier attempt left behind, and leaves each verdict once, for a plain
 * read as for FINAL. The tables must be there. Throws AnalysisError when they do not come to hold what was put in, and TableErrors.
 */
export async function analyseDay(
  clickhouse: ClickHouse,
  options: AnalysisOptions,
  log: Logger,
  signal?: AbortSignal,
): Promise<AnalysedDay> {
  const rows = <Row>(query: Query) => clickhouse.select<Row>(query.sql, { params: query.params, signal });
  const [verdictTable, resultTable] = FILLED_TABLES;
  const { verdicts, fingerprints } = await makeVerdicts(clickhouse, verdictTable, options, signal);
  await make(clickhouse, resultTable, options, signal);

  const kept = await keptOf(options, verdicts, rows);
  if (kept > 0) {
    log.warn(
      `${options.day}: ${kept} measurements have a verdict but no observations, more than the ${verdicts} that have both; their verdicts are kept`,
    );
  }
  const stale = options.selection.of === 'day' && kept === 0;
  for (const step of retireSteps(options, stale)) await run(clickhouse, step, signal);
  return { day: options.day, verdicts, fingerprints, kept };
}

/**
 * Makes the verdicts. Their statement reads the fingerprints and, elsewhere, their version; a new version may be swapped in between, and a
 * verdict would name one that it was not made with. So the version is asked before and after, and they are made again when it
 * changed: hourly at most.
 */
async function makeVerdicts(
  clickhouse: ClickHouse,
  table: (typeof FILLED_TABLES)[number],
  options: AnalysisOptions,
  signal?: AbortSignal,
): Promise<Pick<AnalysedDay, 'verdicts' | 'fingerprints'>> {
  const versionNow = async () => (await referenceVersions(clickhouse, signal)).fingerprints_dns ?? '';
  for (let before = await versionNow(); ; ) {
    const verdicts = await make(clickhouse, table, options, signal);
    const fingerprints = await versionNow();
    if (fingerprints === before) return { verdicts, fingerprints };
    before = fingerprints;
  }
}

/**
 * Fills one table for a day and returns for how many measurements. An INSERT whose answer was lost may still have happened, or go on
 * happening: it is stopped by its id, what it put in is taken away, and it is made again.
 */
async function make(
  clickhouse: ClickHouse,
  table: (typeof FILLED_TABLES)[number],
  options: AnalysisOptions,
  signal?: AbortSignal,
): Promise<number> {
  const count = countMade(table, options);
  for (let round = 1; ; round++) {
    try {
      for (const step of makeSteps(table, options)) await run(clickhouse, step, signal);
    } catch (error) {
      if (round < ROUNDS && error instanceof TableError && error.transient) continue;
      throw error;
    }
    const [made] = await clickhouse.select<{ rows: number; measurements: number }>(count.sql, {
      params: count.params,
      signal,
    });
    if (made && made.rows === made.measurements) return made.rows;
    if (round === ROUNDS) {
      throw new AnalysisError(
        `${table} holds ${made?.rows} rows of ${made?.measurements} measurements of ${options.day}, made ${ROUNDS} times: is something else writing generation ${options.generation}?`,
      );
    }
  }
}

/**
 * A verdict goes when its measurement has no observations any more: the archive's object shrank. When that is most of a day, its
 * observations have rather been dropped to save space, and verdicts are not taken along silently.
 */
async function keptOf(
  options: AnalysisOptions,
  verdicts: number,
  rows: <Row>(query: Query) => Promise<Row[]>,
): Promise<number> {
  if (options.selection.of !== 'day') return 0;
  const [stale] = await rows<{ measurements: number }>(countStale(options));
  return stale && stale.measurements > verdicts ? stale.measurements : 0;
}

async function run(clickhouse: ClickHouse, step: Step, signal?: AbortSignal): Promise<void> {
  const { params } = step;
  if (step.do === 'insert') {
    return clickhouse.commandOnce(step.sql, { params, queryId: step.id, signal });
  }
  const table = identifier(step.table);
  // Without a partition a delete looks at every part of the table, years of them; and mostly there is nothing to delete.
  const partitions = await clickhouse.select<{ id: string }>(
    `SELECT DISTINCT _partition_id AS id FROM ${table} WHERE ${step.condition}`,
    { params, signal },
  );
  for (const { id } of partitions) {
    await clickhouse.command(`DELETE FROM ${table} IN PARTITION ID ${quote(id)} WHERE ${step.condition}`, {
      params,
      // Subqueries count as nondeterministic on replicated tables; these read rows that no one is changing (their generation is ours).
      settings: { allow_nondeterministic_mutations: 1 },
      signal,
    });
  }
}
