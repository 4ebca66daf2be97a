import { granularityOf } from '../bucket.ts';
import { EVERYTHING } from '../filter.ts';
import type { Logger } from '../log.ts';
import { referenceVersions } from '../reference/load.ts';
import { type ClickHouse, identifier, quote } from '../tables/clickhouse.ts';
import { syncReplicas } from '../tables/cluster.ts';
import { FINGERPRINTS_DNS } from '../tables/reference-tables.ts';
import { OBS_WEB, OBS_WEB_CTRL } from '../tables/schema.ts';
import type { DayTask } from './days.ts';
import { type Observed, planDays, presentDaysQuery, recentDays, type TouchedDay, touchedDaysQuery } from './days.ts';
import { AnalysisError, experimentCondition, inDays, type Query } from './selection.ts';
import {
  type AnalysisOptions,
  accountQuery,
  assertTables,
  FILLED_TABLES,
  judgesInFull,
  makeStep,
  PRESENT_TABLES,
  retireSteps,
  type Step,
} from './steps.ts';

/** What an analysis of some days did. */
export interface AnalysedDays {
  /** Verdicts made. */
  readonly verdicts: number;
  /** Version of the fingerprints they were made with; empty: loaded by the Python pipeline, or none. */
  readonly fingerprints: string;
  /** Older verdicts of measurements without observations that were kept, because most of the day would have gone. */
  readonly kept: number;
}

/** How often a cluster is asked for rows to delete. */
const ROUNDS = 3;

/** What to analyse after the observations of a bucket's run, oldest day first (days.ts). */
export async function tasksAfter(clickhouse: ClickHouse, observed: Observed, signal?: AbortSignal): Promise<DayTask[]> {
  const days = async ({ sql, params }: Query) =>
    (await clickhouse.select<TouchedDay>(sql, { params, signal })).map(({ day }) => day);
  const touched = await days(touchedDaysQuery(observed));
  const settles = granularityOf(observed.bucket) === 'Hour' && observed.settled;
  return planDays(touched, settles ? await days(presentDaysQuery(recentDays(observed.bucket))) : [], observed);
}

/**
 * Looks for all that a judgement reads. Returns whether any address of a block page is known. Throws AnalysisError when a table is absent, and
 * TableErrors.
 */
export async function requireTables(
  clickhouse: ClickHouse,
  signal?: AbortSignal,
): Promise<{ readonly hasFingerprints: boolean }> {
  const { sql, params } = PRESENT_TABLES;
  const present = await clickhouse.select<{ name: string; rows: number }>(sql, { params, signal });
  assertTables(present.map(({ name }) => name));
  return { hasFingerprints: present.some(({ name, rows }) => name === FINGERPRINTS_DNS.name && rows > 0) };
}

/** What an analysis has made is not to be kept: it is to be made again with a greater generation. */
export class AnalysisAgainError extends AnalysisError {
  /** Whether the fingerprints were exchanged while they were read, which says nothing about the tables. */
  readonly exchanged: boolean;

  constructor(message: string, exchanged: boolean) {
    super(message);
    this.exchanged = exchanged;
  }
}

/**
 * Judges the selected measurements of some days: makes verdicts and results with `options.generation`, which no row may have yet, and takes away
 * those they replace. Leaves each verdict once, for a plain read as for FINAL. To do it again after an error, take a greater generation: a
 * statement whose answer was lost may still go on, and what it makes is then the older. The tables must be there. Throws
 * AnalysisAgainError when the tables do not hold a verdict and a result for each measurement that was to be judged, or the fingerprints
 * were exchanged; and TableErrors.
 */
export async function analyseDays(
  clickhouse: ClickHouse,
  options: AnalysisOptions,
  log: Logger,
  signal?: AbortSignal,
): Promise<AnalysedDays> {
  await syncReplicas(clickhouse, [OBS_WEB.name, OBS_WEB_CTRL.name, ...FILLED_TABLES], signal);
  const narrowed = await nameMeasurements(clickhouse, options, signal);
  const { verdicts, fingerprints, stale } = await make(clickhouse, narrowed, signal);
  // A verdict goes when its measurement has no observations any more: the archive's object shrank. When that is most of a day, its
  // observations have rather been dropped to save space, and verdicts are not taken along silently.
  const kept = stale > verdicts ? stale : 0;
  if (kept > 0) {
    log.warn(
      `${nameOf(options)}: ${kept} measurements have a verdict but no observations, more than the ${verdicts} that have both; their verdicts are kept`,
    );
  }
  await remove(clickhouse, retireSteps(narrowed, judgesInFull(narrowed) && kept === 0), log, signal);
  return { verdicts, fingerprints, kept };
}

/** Number of measurements that a selection names. Their uids are part of the text of a statement. */
const NAMED = 1000;

/**
 * Replaces a selection by evidence with the names of its measurements when they are few. ClickHouse plans the subqueries of the evidence at each place
 * that reads the control, and that takes longer than to judge a few measurements.
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
  // What a selection by evidence names has passed no filter.
  return { ...options, filter: EVERYTHING, selection: { of: 'measurements', uids: found.map(({ uid }) => uid) } };
}

/** A row of accountQuery. */
interface Account {
  readonly verdicts: number;
  readonly repeated: number;
  readonly unjudged: number;
  readonly unresulted: number;
  readonly stale: number;
  readonly fingerprints: string;
}

/**
 * Makes verdicts and results, and looks whether they are there. The statement of the verdicts reads the fingerprints and, elsewhere, their
 * version; a new version may be exchanged in between, and a verdict would name one that it was not made with. So the version is asked
 * before and after.
 */
async function make(
  clickhouse: ClickHouse,
  options: AnalysisOptions,
  signal?: AbortSignal,
): Promise<Pick<Account, 'verdicts' | 'stale' | 'fingerprints'>> {
  const before = (await referenceVersions(clickhouse, signal)).fingerprints_dns ?? '';
  for (const table of FILLED_TABLES) await insert(clickhouse, makeStep(table, options), signal);
  const { sql, params } = accountQuery(options);
  const [account] = await clickhouse.select<Account>(sql, { params, signal });
  if (!account) throw new AnalysisError('ClickHouse gave no answer to the question for what an analysis has stored');
  const what = `${nameOf(options)}, generation ${options.generation}: `;
  const { verdicts, repeated, unjudged, unresulted, stale, fingerprints } = account;
  if (repeated > 0) throw new AnalysisAgainError(`${what}${repeated} verdicts are stored twice`, false);
  if (unjudged > 0) throw new AnalysisAgainError(`${what}${unjudged} measurements have no verdict`, false);
  if (unresulted > 0) throw new AnalysisAgainError(`${what}${unresulted} verdicts have no result`, false);
  if (fingerprints !== before) throw new AnalysisAgainError(`${what}fingerprints_dns was exchanged`, true);
  return { verdicts, stale, fingerprints };
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
    // `replace_running_query` stops what runs on the server that is asked; an earlier attempt may have asked another one.
    await clickhouse.command(
      `KILL QUERY ON CLUSTER ${identifier(clickhouse.cluster)} WHERE query_id = ${quote(step.id)} SYNC`,
      { signal },
    );
  }
  await clickhouse.commandOnce(step.sql, { params: step.params, queryId: step.id, signal });
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
        // Subqueries count as nondeterministic on replicated tables: a replica that is behind finds fewer rows, and deletes fewer.
        { params, settings: { allow_nondeterministic_mutations: 1 }, signal },
      );
      if (!all) log.warn(`${table}: a replica is unavailable; it deletes replaced rows when it is available again`);
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
