import { ANALYSIS_WEB_MEASUREMENT, MEASUREMENT_EXPERIMENT_RESULT, OBS_WEB, OBS_WEB_CTRL } from '../tables/schema.ts';
import type { JudgementOptions } from './judgement.ts';
import { resultsQuery } from './results.ts';
import { AnalysisError, dayParams, experimentCondition, IN_DAY, type Query } from './selection.ts';
import { verdictsQuery } from './verdicts.ts';

export interface AnalysisOptions extends JudgementOptions {
  /**
   * `run_generation` of the verdicts: the instant in milliseconds since 1970 at which the analysis *stage* of the run began, the same
   * for every attempt. Not that of its observations: of two runs that judge one day, the later judged sees more of it.
   */
  readonly generation: number;
}

/** One step of an analysis, as data. Printing the list of steps is the dry run. */
export type Step =
  /** Rows to take away: `table` and a condition. Nothing is done where no row meets it. */
  | { readonly do: 'delete'; readonly table: string; readonly condition: string; readonly params: Query['params'] }
  /** Rows to make: `INSERT INTO table (columns) SELECT`. `id` names the statement, so that a left-over one can be stopped. */
  | {
      readonly do: 'insert';
      readonly id: string;
      readonly table: string;
      readonly sql: string;
      readonly params: Query['params'];
    };

/** What a day's analysis needs to be there, and is made by migrations. */
export const NEEDED_TABLES: readonly string[] = [
  OBS_WEB.name,
  OBS_WEB_CTRL.name,
  'fingerprints_dns',
  ANALYSIS_WEB_MEASUREMENT.name,
  MEASUREMENT_EXPERIMENT_RESULT.name,
];

/** The tables that an analysis fills, in this order: the second is made from the first. */
export const FILLED_TABLES = [ANALYSIS_WEB_MEASUREMENT.name, MEASUREMENT_EXPERIMENT_RESULT.name] as const;

/** Names of the needed tables that are there: result rows are {name}. */
export const PRESENT_TABLES: Query = {
  sql: 'SELECT name FROM system.tables WHERE database = currentDatabase() AND name IN {names:Array(String)}',
  params: { names: NEEDED_TABLES },
};

/** Throws AnalysisError when a needed table is absent: judging without its control would blame the network for everything. */
export function assertTables(present: readonly string[]): void {
  const missing = NEEDED_TABLES.filter(name => !present.includes(name));
  if (missing.length === 0) return;
  const what = missing.length === 1 ? `the table ${missing[0]} is` : `the tables ${missing.join(', ')} are`;
  throw new AnalysisError(
    `${what} not in the database, and no verdict is made without; workers and "oonipipeline run" make the tables when they start, and one that was dropped after TRUNCATE TABLE pipeline_migrations`,
  );
}

/**
 * Makes the rows of one of the filled tables, so that it may be done again: an earlier attempt may have put some in, or all, and its
 * answer was lost. First they are taken away, then made. Verdicts before results.
 */
export function makeSteps(table: (typeof FILLED_TABLES)[number], options: AnalysisOptions): readonly Step[] {
  const { sql, params } = table === ANALYSIS_WEB_MEASUREMENT.name ? verdictsQuery(options) : resultsQuery(options);
  const columns = (table === ANALYSIS_WEB_MEASUREMENT.name ? ANALYSIS_WEB_MEASUREMENT : MEASUREMENT_EXPERIMENT_RESULT)
    .columns;
  const filtered = within(options);
  return [
    {
      do: 'delete',
      table,
      condition: `${filtered.sql} AND run_generation = {generation:UInt64}`,
      params: filtered.params,
    },
    {
      do: 'insert',
      id: `${table}-${options.day}-${options.generation}`,
      table,
      sql: `INSERT INTO ${table} (${columns.map(([name]) => name).join(', ')})\n${sql}\n${BOUNDED}`,
      params: { ...params, generation: options.generation },
    },
  ];
}

/**
 * Memory that does not grow with the day (`npm run bench -- analysis`): the window takes the rows in the order of the table; groups and the
 * right side of joins go to disk when they are large. A measurement's uid is the document's word, so a day may reach into any
 * number of the verdicts' partitions.
 */
export const BOUNDED = `SETTINGS optimize_read_in_window_order = 1, query_plan_reuse_storage_ordering_for_window_functions = 1,
  join_algorithm = 'grace_hash', grace_hash_join_initial_buckets = 1, max_bytes_in_join = 300000000,
  max_bytes_before_external_group_by = 300000000, max_bytes_before_external_sort = 300000000,
  throw_on_max_partitions_per_insert_block = 0`;

/** What stands in a filled table of this day and generation: one row {rows, measurements}. They differ when a row is there twice. */
export function countMade(table: string, options: AnalysisOptions): Query {
  return {
    sql: `SELECT count() AS rows, uniqExact(measurement_uid) AS measurements FROM ${table} WHERE ${IN_DAY} AND run_generation = {generation:UInt64}`,
    params: { ...dayParams(options.day), generation: options.generation },
  };
}

/**
 * How many measurements with an older verdict have none of this generation, though they lie within it: one row {measurements}. They have
 * no observations any more.
 */
export function countStale(options: AnalysisOptions): Query {
  const { sql, params } = within(options);
  const table = ANALYSIS_WEB_MEASUREMENT.name;
  return {
    sql: `SELECT uniqExact(measurement_uid) AS measurements FROM ${table} WHERE ${sql} AND run_generation < {generation:UInt64} AND measurement_uid NOT IN (${made(table)})`,
    params,
  };
}

/**
 * Rows to take away once the new ones are in ("repeat means replace"), for each filled table: older ones of the measurements
 * judged now; own ones of measurements that a newer analysis has judged meanwhile; and with `stale` also the older ones of measurements
 * that have no observations any more.
 */
export function retireSteps(options: AnalysisOptions, stale: boolean): readonly Step[] {
  const { sql, params } = within(options);
  return FILLED_TABLES.flatMap(table => [
    {
      do: 'delete',
      table,
      condition: stale
        ? `${sql} AND run_generation < {generation:UInt64}`
        : `${IN_DAY} AND run_generation < {generation:UInt64} AND measurement_uid IN (${made(table)})`,
      params,
    },
    {
      do: 'delete',
      table,
      condition: `${IN_DAY} AND run_generation = {generation:UInt64} AND measurement_uid IN (SELECT measurement_uid FROM ${table} WHERE ${IN_DAY} AND run_generation > {generation:UInt64})`,
      params,
    },
  ]);
}

function within(options: AnalysisOptions): Query {
  const experiment = experimentCondition(options.filter, { of: 'day' });
  return {
    sql: `${IN_DAY} ${experiment.sql}`.trim(),
    params: { ...dayParams(options.day), ...experiment.params, generation: options.generation },
  };
}

function made(table: string): string {
  return `SELECT measurement_uid FROM ${table} WHERE ${IN_DAY} AND run_generation = {generation:UInt64}`;
}
