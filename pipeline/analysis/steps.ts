import { PIPELINE_RUNS } from '../tables/ledger-tables.ts';
import { ANALYSIS_WEB_MEASUREMENT, MEASUREMENT_EXPERIMENT_RESULT, OBS_WEB, OBS_WEB_CTRL } from '../tables/schema.ts';
import { contentsIn, isSmall } from './contents.ts';
import type { JudgementOptions } from './judgement.ts';
import { resultsQuery } from './results.ts';
import { AnalysisError, experimentCondition, inDays, type Query } from './selection.ts';
import { FINGERPRINTS_VERSION, verdictsQuery } from './verdicts.ts';

export interface AnalysisOptions extends JudgementOptions {
  /**
   * `run_generation` of the verdicts, greater than that of every analysis that began before this one (openAnalysis). It differs from the generation
   * of the observations: of two runs that judge one day, the one that judges later reads more of it.
   */
  readonly generation: number;
  /** Time at which the analysis was opened, by ClickHouse's clock, milliseconds since 1970; absent: every run has completed. */
  readonly openedAt?: number;
  /** Identifies the run, the same for each of its attempts and for no other run. */
  readonly runID: string;
}

/** One step of an analysis, as data. */
export type Step =
  /** Rows to delete: `table` and a condition. Nothing is done when no row meets it. */
  | { readonly do: 'delete'; readonly table: string; readonly condition: string; readonly params: Query['params'] }
  /** Rows to write: `INSERT INTO table (columns) SELECT`. `id` names the statement, so that a later attempt can stop it. */
  | {
      readonly do: 'insert';
      readonly id: string;
      readonly table: string;
      readonly sql: string;
      readonly params: Query['params'];
    };

export type DeleteStep = Extract<Step, { do: 'delete' }>;

/** Tables that the analysis of a day needs, and that migrations create. */
const NEEDED_TABLES: readonly string[] = [
  OBS_WEB.name,
  OBS_WEB_CTRL.name,
  'fingerprints_dns',
  'fingerprints_http',
  ANALYSIS_WEB_MEASUREMENT.name,
  MEASUREMENT_EXPERIMENT_RESULT.name,
];

/** The tables that an analysis writes, in this order: the second is made from the first. */
export const FILLED_TABLES = [ANALYSIS_WEB_MEASUREMENT.name, MEASUREMENT_EXPERIMENT_RESULT.name] as const;

/** Query for the needed tables that exist: its rows are {name, rows, comment}. */
export const PRESENT_TABLES: Query = {
  sql: 'SELECT name, ifNull(total_rows, 0) AS rows, comment FROM system.tables WHERE database = currentDatabase() AND name IN {names:Array(String)}',
  params: { names: NEEDED_TABLES },
};

/** Throws AnalysisError when a needed table is missing: a judgement without its control would blame the network for everything. */
export function assertTables(present: readonly string[]): void {
  const missing = NEEDED_TABLES.filter(name => !present.includes(name));
  if (missing.length === 0) return;
  const what = missing.length === 1 ? `the table ${missing[0]} is` : `the tables ${missing.join(', ')} are`;
  throw new AnalysisError(
    `${what} not in the database, and no verdict is made without; workers, "oonipipeline run" and "oonipipeline migrate" create the tables, also one that was dropped`,
  );
}

/**
 * Returns the step that writes the rows of one table, verdicts before results. The id of its statement consists of the run, the days and the
 * table: a later attempt stops what still runs of an earlier one, and no other run has the id.
 */
export function makeStep(
  table: (typeof FILLED_TABLES)[number],
  options: AnalysisOptions,
): Extract<Step, { do: 'insert' }> {
  const ofVerdicts = table === ANALYSIS_WEB_MEASUREMENT.name;
  const { sql, params } = ofVerdicts ? verdictsQuery(options) : resultsQuery(options);
  const columns = (ofVerdicts ? ANALYSIS_WEB_MEASUREMENT : MEASUREMENT_EXPERIMENT_RESULT).columns;
  // The statement of the verdicts returns one row for each sorting key, so ClickHouse need not search them for rows to replace.
  const settings = `${boundedSettings(options)}${ofVerdicts ? ', optimize_on_insert = 0' : ''}`;
  const { days, selection, runID, generation } = options;
  return {
    do: 'insert',
    id: [table, runID, days[0], days.length, selection.of].join('-'),
    table,
    sql: `INSERT INTO ${table} (${columns.map(([name]) => name).join(', ')})\n${sql}\n${settings}`,
    params: { ...params, generation },
  };
}

/** Number of endpoints of the control up to which the right sides of joins stay in memory, 200 bytes each. */
const JOINED_IN_MEMORY = 1_000_000;

/**
 * Returns the settings of a statement. They limit its memory for a day of any size (`npm run bench -- analysis`): the window reads the rows in the
 * order of the table; groups and the right side of joins go to disk when they are large. A join that may go to disk costs more for each row of its left
 * side, so a day with few endpoints is joined in memory. For a small day, ClickHouse does not compile expressions to machine code, which takes 1.4 s
 * for each form of the statement. The uid of a measurement comes from the document, so a day may belong to any number of partitions of the verdicts.
 */
export function boundedSettings(options: Pick<AnalysisOptions, 'contents'>): string {
  const contents = contentsIn(options);
  const join =
    contents.controlEndpoints <= JOINED_IN_MEMORY
      ? `join_algorithm = 'hash'`
      : `join_algorithm = 'grace_hash', grace_hash_join_initial_buckets = 1, max_bytes_in_join = 300000000`;
  return `SETTINGS optimize_read_in_window_order = 1, query_plan_reuse_storage_ordering_for_window_functions = 1, ${join},
  max_bytes_before_external_group_by = 300000000, max_bytes_before_external_sort = 300000000,
  throw_on_max_partitions_per_insert_block = 0${isSmall(contents) ? ', compile_expressions = 0' : ''}`;
}

/** The rows of an analysis have its generation. */
const OWN = 'run_generation = {generation:UInt64}';

/** Hash of the sorting key of the verdicts, which identifies a measurement. */
const KEY = `sipHash128(${ANALYSIS_WEB_MEASUREMENT.orderBy.join(', ')})`;

/** A row of accountQuery. */
export interface Account {
  /** Number of verdicts by `outcome country`. Countries come from probes: one that is not two capital letters becomes ZZ, so that they are few. */
  readonly verdicts: Readonly<Record<string, number>>;
  /** Whether each measurement that should be judged has one verdict and one result. If not, missingQuery says whether this is wrong. */
  readonly complete: 0 | 1;
  /** Number of verdicts and results of the days with another generation. Without any, there is nothing to replace. */
  readonly others: number;
  /** Number of records in the ledger of other analyses with this generation. */
  readonly sharing: number;
  /** Version of the fingerprints now. */
  readonly fingerprints: string;
}

/**
 * Returns the query that compares the stored rows of an analysis with the measurements that it should judge: one row, an Account. It reads each
 * table once, and compares numbers and sums of hashes: for a small day ClickHouse plans sets of keys longer than it fills them.
 */
export function accountQuery(options: AnalysisOptions): Query {
  const within = inDays(options.days);
  const experiment = experimentCondition(options.filter, options.selection, options.days);
  const [verdicts, results] = FILLED_TABLES;
  const hash = `reinterpretAsUInt128(${KEY})`;
  const stored = (table: string, more = '') =>
    `SELECT countIf(${OWN}) AS n, sumIf(${hash}, ${OWN}) AS keys, count() - n AS others${more} FROM ${table} WHERE ${within.sql}`;
  const ofOutcome = "concat(if(outcome = '', 'none', outcome), ' ', if(match(probe_cc, '^[A-Z]{2}$'), probe_cc, 'ZZ'))";
  const counts = `, sumMapIf(map(${ofOutcome}, toUInt64(1)), ${OWN}) AS counts`;
  const observed = `SELECT DISTINCT ${hash} AS key FROM obs_web WHERE ${within.sql} ${experiment.sql}`;
  return {
    sql: `SELECT v.counts AS verdicts, v.n = o.n AND v.n = r.n AND v.keys = o.keys AND v.keys = r.keys AS complete, v.others + r.others AS others,
  (SELECT count() FROM ${PIPELINE_RUNS.name} WHERE stage = 'Analysis' AND generation = {generation:UInt64} AND run_id != {runID:String}
    AND NOT (state = 'completed' AND rows[{judged:String}] = 0)) AS sharing,
  ${FINGERPRINTS_VERSION} AS fingerprints
FROM (${stored(verdicts, counts)}) AS v
CROSS JOIN (${stored(results)}) AS r
CROSS JOIN (SELECT count() AS n, sum(key) AS keys FROM (${observed})) AS o`,
    params: {
      ...within.params,
      ...experiment.params,
      generation: options.generation,
      runID: options.runID,
      judged: verdicts,
    },
  };
}

/**
 * Returns the query for what is wrong with the stored rows of an analysis: one row {repeated, unjudged, unresulted}, all 0 when everything is
 * stored. A newer analysis may have deleted verdicts of this one, so a verdict that is at least as new counts. Measurements of runs that had not
 * completed when this analysis was opened do not count: it may have read them or not, and those runs judge them.
 */
export function missingQuery(options: AnalysisOptions): Query {
  const within = inDays(options.days);
  const experiment = experimentCondition(options.filter, options.selection, options.days);
  const [verdicts, results] = FILLED_TABLES;
  const own = `${within.sql} AND ${OWN}`;
  const stored = (table: string) =>
    `SELECT ${KEY} FROM ${table} WHERE ${within.sql} AND run_generation >= {generation:UInt64}`;
  const observed = `FROM obs_web WHERE ${within.sql} ${experiment.sql}`;
  const unsettled = `SELECT bucket, generation FROM ${PIPELINE_RUNS.name} FINAL
    WHERE stage = 'Observations' AND (state IN ('started', 'inserted') OR recorded_at >= fromUnixTimestamp64Milli({opened:Int64}, 'UTC'))`;
  return {
    sql: `SELECT
  (SELECT count() - uniqExact(${KEY}) FROM ${verdicts} WHERE ${own}) AS repeated,
  (SELECT uniqExact(${KEY}) ${observed} AND (bucket_date, run_generation) NOT IN (${unsettled}) AND ${KEY} NOT IN (${stored(verdicts)})) AS unjudged,
  (SELECT count() FROM ${verdicts} WHERE ${own} AND ${KEY} NOT IN (${stored(results)}) AND measurement_uid IN (SELECT measurement_uid ${observed})) AS unresulted`,
    params: {
      ...within.params,
      ...experiment.params,
      generation: options.generation,
      opened: options.openedAt ?? Date.UTC(2200, 0),
    },
  };
}

/**
 * Returns the query for the measurements of the days with an older verdict and none of this generation, because they have no observations any
 * more: one row {stale}. Only for an analysis that judges in full.
 */
export function staleQuery(options: AnalysisOptions): Query {
  const { sql, params } = judgedInFull(options);
  const table = ANALYSIS_WEB_MEASUREMENT.name;
  return {
    sql: `SELECT uniqExact(measurement_uid) AS stale FROM ${table} WHERE ${sql} AND run_generation < {generation:UInt64} AND measurement_uid NOT IN (${made(table, options)})`,
    params,
  };
}

/** Returns whether all measurements of the days that pass the filter are judged. Then another verdict has no observations. */
export function judgesInFull({ selection }: AnalysisOptions): boolean {
  return selection.of === 'day' || (selection.of === 'evidence' && selection.filtered);
}

/**
 * Returns the rows to delete when the new ones are stored, for each written table: older rows of the measurements that are judged now; own
 * rows of measurements that a newer analysis has judged meanwhile; with `stale` also the older rows of measurements that have no observations
 * any more.
 */
export function retireSteps(options: AnalysisOptions, stale: boolean): readonly DeleteStep[] {
  const within = inDays(options.days);
  const params = { ...within.params, generation: options.generation };
  const full = judgedInFull(options);
  return FILLED_TABLES.flatMap((table): DeleteStep[] => {
    const again = `${within.sql} AND run_generation < {generation:UInt64} AND measurement_uid IN (${made(table, options)})`;
    const gone = `${full.sql} AND run_generation < {generation:UInt64}`;
    const newer = `SELECT measurement_uid FROM ${table} WHERE ${within.sql} AND run_generation > {generation:UInt64}`;
    return [
      ...(stale ? [{ do: 'delete', table, condition: gone, params: full.params } as const] : []),
      // The condition before it, which has no subquery, covers a day without a filter.
      ...(stale && full.sql === within.sql ? [] : [{ do: 'delete', table, condition: again, params } as const]),
      {
        do: 'delete',
        table,
        condition: `${within.sql} AND run_generation = {generation:UInt64} AND measurement_uid IN (${newer})`,
        params,
      },
    ];
  });
}

/**
 * Returns the query for the greatest generation of the verdicts of the selected measurements and their days: one row {newest}, 0 when there are
 * none. It finds late uploads by their uids, because they are few and their days are many.
 */
export function newestVerdict(options: JudgementOptions): Query {
  const within = inDays(options.days);
  const { selection } = options;
  const experiment =
    selection.of === 'bucket' ? experimentCondition(options.filter, selection, options.days) : undefined;
  const uids =
    experiment && `AND measurement_uid IN (SELECT measurement_uid FROM obs_web WHERE ${within.sql} ${experiment.sql})`;
  return {
    sql: `SELECT max(run_generation) AS newest FROM ${ANALYSIS_WEB_MEASUREMENT.name} WHERE ${within.sql} ${uids ?? ''}`,
    params: { ...within.params, ...experiment?.params },
  };
}

function judgedInFull(options: AnalysisOptions): Query {
  const within = inDays(options.days);
  const filter = experimentCondition(options.filter, { of: 'day' }, options.days);
  return {
    sql: `${within.sql} ${filter.sql}`.trim(),
    params: { ...within.params, ...filter.params, generation: options.generation },
  };
}

function made(table: string, { days }: AnalysisOptions): string {
  return `SELECT measurement_uid FROM ${table} WHERE ${inDays(days).sql} AND run_generation = {generation:UInt64}`;
}
