import { granularityOf } from '../bucket.ts';
import { EVERYTHING } from '../filter.ts';
import { type ClickHouse, identifier, quote } from '../tables/clickhouse.ts';
import { syncReplicas } from '../tables/cluster.ts';
import { FINGERPRINTS_DNS } from '../tables/reference-tables.ts';
import { OBS_WEB, OBS_WEB_CTRL } from '../tables/schema.ts';
import type { Logger } from '../telemetry/log.ts';
import { type Contents, type ContentsRow, contentsOf, contentsQuery } from './contents.ts';
import {
  type DayTask,
  type Observed,
  planDays,
  presentDaysQuery,
  recentDays,
  type TouchedDays,
  touchedDaysQuery,
} from './days.ts';
import { AnalysisError, experimentCondition, inDays } from './selection.ts';
import {
  type Account,
  type AnalysisOptions,
  accountQuery,
  assertTables,
  type DeleteStep,
  FILLED_TABLES,
  judgesInFull,
  makeStep,
  missingQuery,
  PRESENT_TABLES,
  retireSteps,
  type Step,
  staleQuery,
} from './steps.ts';

/** Number of verdicts of one outcome in one country: `none` by rules without outcomes, ZZ for a country that is not two capital letters. */
export interface VerdictCount {
  readonly outcome: string;
  readonly probe_cc: string;
  readonly verdicts: number;
}

/** Result of the analysis of some days. */
export interface AnalysedDays {
  /** Number of verdicts. */
  readonly verdicts: number;
  /** The verdicts by outcome and country. */
  readonly counts: readonly VerdictCount[];
  /** Version of the fingerprints that were used; empty: the Python pipeline loaded them, or there are none. */
  readonly fingerprints: string;
  /** Older verdicts of measurements without observations that were kept, because they are most of a day. */
  readonly kept: number;
  /**
   * Whether the analysis of another run has the same generation, because both were opened in the same millisecond. Both have read the same
   * observations, but each may have taken the other's rows for its own, so both must be opened again. Such an analysis is not checked and
   * deletes nothing.
   */
  readonly isShared: boolean;
}

/** Number of times that a cluster is searched for rows to delete. */
const ROUNDS = 3;

/**
 * Returns the statements to run after the observations of a bucket's run, oldest day first (days.ts).
 *
 * @param isSettled whether no other bucket of the upload day judges the day later; gets ClickHouse's clock, milliseconds since 1970
 */
export async function tasksAfter(
  clickhouse: ClickHouse,
  observed: Omit<Observed, 'settled'>,
  isSettled: (now: number) => Promise<boolean>,
  signal?: AbortSignal,
): Promise<DayTask[]> {
  const touched = touchedDaysQuery(observed);
  const [found] = await clickhouse.select<TouchedDays>(touched.sql, { params: touched.params, signal });
  if (!found) throw new AnalysisError('ClickHouse returned no row for the days of a bucket');
  const settled = await isSettled(found.now);
  const settles = settled && granularityOf(observed.bucket) === 'Hour';
  const present = settles ? await presentDays(clickhouse, observed.bucket, signal) : [];
  return planDays(found.days, present, { ...observed, settled });
}

async function presentDays(clickhouse: ClickHouse, bucket: string, signal?: AbortSignal): Promise<string[]> {
  const { sql, params } = presentDaysQuery(recentDays(bucket));
  return (await clickhouse.select<{ day: string }>(sql, { params, signal })).map(({ day }) => day);
}

/**
 * Checks that all tables that a judgement reads exist. Returns whether fingerprints are loaded, and their version. Throws AnalysisError when
 * a table is missing, and TableErrors.
 */
export async function requireTables(
  clickhouse: ClickHouse,
  signal?: AbortSignal,
): Promise<{ readonly hasFingerprints: boolean; readonly fingerprints: string }> {
  const { sql, params } = PRESENT_TABLES;
  const present = await clickhouse.select<{ name: string; rows: number; comment: string }>(sql, { params, signal });
  assertTables(present.map(({ name }) => name));
  const table = present.find(({ name }) => name === FINGERPRINTS_DNS.name);
  return { hasFingerprints: (table?.rows ?? 0) > 0, fingerprints: table?.comment ?? '' };
}

/** The verdicts of an analysis are not valid and must be made again with a greater generation. */
export class AnalysisAgainError extends AnalysisError {
  /** Whether the fingerprints were exchanged while they were read; the tables are not the cause. */
  readonly exchanged: boolean;

  constructor(message: string, exchanged: boolean) {
    super(message);
    this.exchanged = exchanged;
  }
}

/** The server, a log, and a signal that stops the analysis. */
export interface DayTools {
  readonly clickhouse: ClickHouse;
  readonly log: Logger;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Judges the selected measurements of some days: writes verdicts and results with `options.generation`, which no row may have yet, and deletes
 * the rows that they replace. Afterwards each verdict is there once, for plain reads as for FINAL. After an error, repeat it with a greater
 * generation: a statement whose answer was lost may still be running, and its rows are then the older ones. The tables must exist. Throws
 * AnalysisAgainError when the tables lack a verdict or a result of a measurement to judge, or when the fingerprints were exchanged. Throws
 * TableErrors.
 *
 * @param known version of the fingerprints, if it was just read
 */
export async function analyseDays(tools: DayTools, options: AnalysisOptions, known?: string): Promise<AnalysedDays> {
  const { clickhouse, log, signal } = tools;
  await syncReplicas(clickhouse, [OBS_WEB.name, OBS_WEB_CTRL.name, ...FILLED_TABLES], signal);
  const narrowed = await nameMeasurements(clickhouse, options, signal);
  const before = known ?? (await requireTables(clickhouse, signal)).fingerprints;
  const contents = await findContents(clickhouse, options, signal);
  const { counts, fingerprints, others, sharing } = await make(clickhouse, { ...narrowed, contents }, before, signal);
  const verdicts = counts.reduce((sum, count) => sum + count.verdicts, 0);
  // The next judgement has a greater generation, and it deletes what it replaces.
  if (sharing > 0) return { verdicts, counts, fingerprints, kept: 0, isShared: true };
  // The rows that an analysis replaces, and those that replace its own: of two analyses, the one that inserts later finds the rows of the other.
  // A replica may not have received them.
  if (others === 0 && clickhouse.cluster === '') return { verdicts, counts, fingerprints, kept: 0, isShared: false };
  // A verdict is deleted when its measurement has no observations any more, because the archive's object shrank. If this concerns most of a
  // day, somebody has probably dropped its observations to save space, and the verdicts are kept.
  const stale = judgesInFull(narrowed) ? await countStale(clickhouse, narrowed, signal) : 0;
  const kept = stale > verdicts ? stale : 0;
  if (kept > 0) {
    log.warn(
      `${nameOf(options)}: ${kept} measurements have a verdict but no observations, more than the ${verdicts} that have both; their verdicts are kept`,
    );
  }
  await remove(tools, retireSteps(narrowed, judgesInFull(narrowed) && kept === 0));
  return { verdicts, counts, fingerprints, kept, isShared: false };
}

/** Maximum number of measurements that a selection names. Their uids are part of the text of a statement. */
const NAMED = 1000;

/**
 * Replaces a selection by evidence with the names of its measurements when they are few. ClickHouse plans the subqueries of the evidence at each
 * place that reads the control, which takes longer than judging a few measurements.
 */
async function nameMeasurements(
  clickhouse: ClickHouse,
  options: AnalysisOptions,
  signal?: AbortSignal,
): Promise<AnalysisOptions> {
  const { filter, selection, days } = options;
  if (selection.of !== 'evidence' || selection.filtered) return options;
  const within = inDays(days);
  const experiment = experimentCondition(filter, selection, days);
  const found = await clickhouse.select<{ uid: string }>(
    `SELECT DISTINCT measurement_uid AS uid FROM ${OBS_WEB.name} WHERE ${within.sql} ${experiment.sql} LIMIT ${NAMED + 1}`,
    { params: { ...within.params, ...experiment.params }, signal },
  );
  if (found.length > NAMED) return options;
  // The measurements of a selection by evidence are not restricted by a filter.
  return { ...options, filter: EVERYTHING, selection: { of: 'measurements', uids: found.map(({ uid }) => uid) } };
}

async function findContents(
  clickhouse: ClickHouse,
  { days, rulesVersion }: AnalysisOptions,
  signal?: AbortSignal,
): Promise<Contents> {
  const { sql, params } = contentsQuery(days, rulesVersion);
  const [row] = await clickhouse.select<ContentsRow>(sql, { params, signal });
  return contentsOf(row);
}

async function countStale(clickhouse: ClickHouse, options: AnalysisOptions, signal?: AbortSignal): Promise<number> {
  const { sql, params } = staleQuery(options);
  const [found] = await clickhouse.select<{ stale: number }>(sql, { params, signal });
  if (!found) throw new AnalysisError('ClickHouse returned no row for the older verdicts of an analysis');
  return found.stale;
}

/**
 * Writes verdicts and results, and checks that they are stored. The statement of the verdicts reads the fingerprints and their version at
 * different moments. A new version may be exchanged in between, and a verdict would name a version that it was not made with. Therefore the
 * version afterwards is compared with the version `before`.
 */
async function make(
  clickhouse: ClickHouse,
  options: AnalysisOptions,
  before: string,
  signal?: AbortSignal,
): Promise<Pick<Account, 'others' | 'sharing' | 'fingerprints'> & Pick<AnalysedDays, 'counts'>> {
  for (const table of FILLED_TABLES) await insert(clickhouse, makeStep(table, options), signal);
  const { sql, params } = accountQuery(options);
  const [account] = await clickhouse.select<Account>(sql, { params, signal });
  if (!account) throw new AnalysisError('ClickHouse returned no row for the stored rows of an analysis');
  const { verdicts, complete, others, sharing, fingerprints } = account;
  const counts = Object.entries(verdicts).map(([key, count]) => {
    const [outcome = '', country = ''] = key.split(' ');
    return { outcome, probe_cc: country, verdicts: count };
  });
  const made = { counts, others, sharing, fingerprints };
  // The rows of both analyses are counted together, so nothing is known of either.
  if (sharing > 0) return made;
  if (!complete) await expectNothingMissing(clickhouse, options, signal);
  if (fingerprints !== before) {
    throw new AnalysisAgainError(
      `${nameOf(options)}, generation ${options.generation}: fingerprints_dns was exchanged`,
      true,
    );
  }
  return made;
}

/** Throws AnalysisAgainError when a verdict or a result that the analysis should have stored is missing or stored twice. */
async function expectNothingMissing(
  clickhouse: ClickHouse,
  options: AnalysisOptions,
  signal?: AbortSignal,
): Promise<void> {
  const { sql, params } = missingQuery(options);
  type Missing = { repeated: number; unjudged: number; unresulted: number };
  const [missing] = await clickhouse.select<Missing>(sql, { params, signal });
  if (!missing) throw new AnalysisError('ClickHouse returned no row for the missing rows of an analysis');
  const { repeated, unjudged, unresulted } = missing;
  const what = `${nameOf(options)}, generation ${options.generation}: `;
  if (repeated > 0) throw new AnalysisAgainError(`${what}${repeated} verdicts are stored twice`, false);
  if (unjudged > 0) throw new AnalysisAgainError(`${what}${unjudged} measurements have no verdict`, false);
  if (unresulted > 0) throw new AnalysisAgainError(`${what}${unresulted} verdicts have no result`, false);
}

function nameOf({ days }: AnalysisOptions): string {
  return days.length === 1 ? `${days[0]}` : `${days.length} days from ${days[0]} to ${days.at(-1)}`;
}

async function insert(
  clickhouse: ClickHouse,
  step: Extract<Step, { do: 'insert' }>,
  signal?: AbortSignal,
): Promise<void> {
  if (clickhouse.cluster !== '') {
    // `replace_running_query` stops a statement of the server that receives it; an earlier attempt may have used another server.
    await clickhouse.command(
      `KILL QUERY ON CLUSTER ${identifier(clickhouse.cluster)} WHERE query_id = ${quote(step.id)} SYNC`,
      { signal },
    );
  }
  await clickhouse.commandOnce(step.sql, { params: step.params, queryId: step.id, signal });
}

/**
 * Deletes the rows of some steps, in order. A delete without a partition reads every part of the table, which has years of them, and mostly
 * there is nothing to delete. Therefore one query first finds the partitions of all steps. On a cluster it searches again, because a
 * replica that had not received the new rows found fewer of the old ones.
 */
async function remove({ clickhouse, log, signal }: DayTools, steps: readonly DeleteStep[]): Promise<void> {
  await syncReplicas(clickhouse, FILLED_TABLES, signal);
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
        `${identifier(table)} IN PARTITION ID ${quote(partition)}`,
        condition,
        // On replicated tables, subqueries count as nondeterministic: a replica that is behind finds fewer rows, and deletes fewer.
        { params, settings: { allow_nondeterministic_mutations: 1 }, signal },
      );
      if (!all) log.warn(`${table}: a replica is unavailable; it deletes replaced rows when it is available again`);
    }
    if (clickhouse.cluster === '') return;
  }
}

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
