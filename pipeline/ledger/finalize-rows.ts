import { type ClickHouse, identifier, quote } from '../tables/clickhouse.ts';
import { syncReplicas } from '../tables/cluster.ts';
import { literals } from '../tables/ddl.ts';
import { StatementError } from '../tables/errors.ts';
import { LEDGER_TABLES, PIPELINE_FAILURES } from '../tables/ledger-tables.ts';
import {
  OBS_HTTP_MIDDLEBOX,
  OBS_PERFORMANCE,
  OBS_TUNNEL,
  OBS_WEB,
  OBS_WEB_CTRL,
  type ObservationTable,
  type Table,
} from '../tables/schema.ts';
import type { Logger } from '../telemetry/log.ts';
import { duplicateUploadCondition } from './duplicate-uploads.ts';
import { type OpenedRun, type PastRun, pastRuns, type RunKey, TABLE_LOST } from './ledger.ts';
import {
  type FoundRows,
  overlappingBuckets,
  partitionOf,
  planRetirement,
  type Retirement,
  retireCondition,
  straysQuery,
  supersededCondition,
} from './replaced-rows.ts';
import { deleteVerdictsOf } from './verdicts-of-rows.ts';

/** Control rows are deleted first: with a filter by country they are found through the rows of their measurements in obs_web. */
const ORDER = [OBS_WEB_CTRL, OBS_HTTP_MIDDLEBOX, OBS_TUNNEL, OBS_PERFORMANCE, OBS_WEB] as const;

/** Rounds of deleting copies: a merge can move rows during a delete, and the next round finds the moved rows. */
const DEDUPLICATION_ROUNDS = 5;

/** Tools for the deletion of rows: the server, a log, and a signal that stops it. */
export interface RowTools {
  readonly clickhouse: ClickHouse;
  readonly log: Logger;
  readonly signal?: AbortSignal | undefined;
}

export interface FinalizedRows {
  /** Rows in the tables with the run's generation, by table. Tables without any are left out. */
  readonly rowsStored: Record<string, number>;
  /** Number of groups of older rows that were deleted, for the log. */
  readonly retired: number;
  /** Whether a table with rows of the run was dropped and created again during the run. */
  readonly tableLost?: boolean;
  /** Whether another run over the bucket began in the same millisecond. The rows of the two cannot be distinguished then. */
  readonly shared: boolean;
}

/**
 * Deletes replaced and duplicate rows after a run, so that reads without FINAL are correct. Call it when all rows of the run are written
 * and its state in the ledger is `inserted` or later. May be repeated. The steps, in order:
 *
 * 1. Delete the rows that the run replaces (replaced-rows.ts), and the verdicts of measurements that have no rows left.
 * 2. Delete the run's own rows of measurements that a newer run has written again. The newer run deleted older rows before these rows were
 *    inserted, so it did not delete them itself. Each run records `inserted` first and reads the other runs afterwards, so of two runs
 *    that end at the same time at least one sees the other.
 * 3. On the two days that are in two layouts of the archive, keep one copy of each measurement that is in both (duplicate-uploads.ts).
 * 4. Delete the copies of rows that were inserted twice. An INSERT is repeated when its answer is lost or its worker is killed before it
 *    records the result. Both copies have the same key and generation, so FINAL shows only one of them at any time.
 *
 * @param complete false for a failed or cancelled run, which replaces only measurements that it has written again
 */
export async function finalizeRows(tools: RowTools, run: OpenedRun, complete: boolean): Promise<FinalizedRows> {
  const { clickhouse, signal } = tools;
  await syncReplicas(
    clickhouse,
    [...ORDER, ...LEDGER_TABLES].map(({ name }) => name),
    signal,
  );
  const [past, found] = await Promise.all([
    pastRuns(clickhouse, 'Observations', overlappingBuckets(run.bucket), signal),
    findGroups(clickhouse, run, signal),
  ]);
  const newer = past.filter(each => each.generation > run.generation && each.state !== 'started');
  const plans = new Map([...found].map(([table, groups]) => [table, planRetirement(run, groups, past, complete)]));
  const strays = await knownStrays(clickhouse, run, [...plans.values()].flat(), signal);
  const retired = (table: ObservationTable) => ({ retirements: plans.get(table) ?? [], complete, strays });
  const leaving = retired(OBS_WEB.name);
  if (complete && leaving.retirements.length > 0) {
    await deleteVerdictsOf(clickhouse, run, retireCondition(OBS_WEB.name, run, leaving), signal);
  }
  for (const { name } of ORDER) {
    const older = retired(name);
    if (older.retirements.length > 0) {
      await deleteRows(tools, name, run.bucket, retireCondition(name, run, older));
    }
    for (const other of newer) {
      await deleteRows(tools, name, run.bucket, supersededCondition(name, run, other));
    }
    const copies = duplicateUploadCondition(name, run.bucket);
    if (copies) await deleteRows(tools, name, run.bucket, copies);
  }
  await retireFailures(clickhouse, plans.get(PIPELINE_FAILURES.name) ?? [], signal);
  const ownRows = ORDER.flatMap(({ name: table }) =>
    (found.get(table) ?? []).filter(each => isOwn(run, each)).map(({ all, distinct }) => ({ table, all, distinct })),
  );
  const groups = [...plans.values()].reduce((sum, plan) => sum + plan.length, 0);
  // Deletes take time, in which a statement whose answer was lost may insert rows again.
  const hasDeleted = groups > 0 || newer.length > 0 || duplicateUploadCondition(OBS_WEB.name, run.bucket) !== undefined;
  const lost = past.some(each => isOwn(run, each) && each.filterID === run.filterID && each.reason === TABLE_LOST);
  return {
    rowsStored: ownRows.length > 0 ? await deduplicate(tools, run, hasDeleted ? undefined : ownRows) : {},
    retired: groups,
    ...(lost && { tableLost: true }),
    shared: past.some(each => isOwn(run, each) && each.filterID !== run.filterID),
  };
}

/** Returns whether a run that reads no objects would delete all rows of an older run or of a program without a ledger. */
export async function wouldClear(
  clickhouse: ClickHouse,
  run: OpenedRun,
  others: readonly PastRun[],
  signal?: AbortSignal,
): Promise<boolean> {
  const found = await findGroups(clickhouse, run, signal);
  return ORDER.some(({ name }) =>
    planRetirement(run, found.get(name) ?? [], others, true).some(({ reach }) => reach === 'everything'),
  );
}

/** Maximum number of uids in one DELETE. The DELETE is an entry in the replicas' queue, and an entry is limited to a megabyte. */
const NAMED_STRAYS = 10_000;

/**
 * Returns the uids of the strays, which the DELETE of a `matching` retirement must keep. The DELETE contains them as values, because a
 * replica that is behind does not know all strays from its own ledger and would delete their rows. Undefined when no retirement is
 * `matching`, or when there are too many strays.
 */
async function knownStrays(
  clickhouse: ClickHouse,
  run: OpenedRun,
  plan: readonly Retirement[],
  signal?: AbortSignal,
): Promise<readonly string[] | undefined> {
  if (!plan.some(({ reach }) => reach === 'matching')) return undefined;
  const [found] = await clickhouse.select<{ uids: string[] }>(straysQuery(run), { signal });
  return found && found.uids.length <= NAMED_STRAYS ? found.uids : undefined;
}

function isOwn(run: FoundRows, found: FoundRows): boolean {
  return found.bucket === run.bucket && found.generation === run.generation;
}

/** A group of rows in a table, with the number of rows of the run itself; 0 for other groups. */
interface Group extends FoundRows {
  /** Number of rows, and of different sorting keys among them. */
  readonly all: number;
  readonly distinct: number;
}

/** Finds the groups of rows of the run and of older runs, in the buckets that overlap the run's, by table. Counts the rows of the run. */
async function findGroups(clickhouse: ClickHouse, run: OpenedRun, signal?: AbortSignal): Promise<Map<string, Group[]>> {
  const buckets = literals(overlappingBuckets(run.bucket));
  const isOwnRow = `bucket_date = ${quote(run.bucket)} AND run_generation = ${run.generation}`;
  const queries = [
    ...ORDER.map(
      table =>
        `SELECT ${quote(table.name)} AS table, bucket_date AS bucket, run_generation AS generation,
           countIf(${isOwnRow}) AS all, uniqExactIf(sipHash128(${keyOf(table)}), ${isOwnRow}) AS distinct
         FROM ${identifier(table.name)} WHERE bucket_date IN ${buckets} AND run_generation <= ${run.generation}
         GROUP BY bucket_date, run_generation`,
    ),
    `SELECT DISTINCT ${quote(PIPELINE_FAILURES.name)} AS table, bucket, generation, 0 AS all, 0 AS distinct
     FROM ${PIPELINE_FAILURES.name} WHERE bucket IN ${buckets} AND generation <= ${run.generation}`,
  ];
  const rows = await clickhouse.select<Group & { table: string }>(queries.join(' UNION ALL '), { signal });
  const found = new Map<string, Group[]>();
  for (const { table, ...row } of rows) found.set(table, [...(found.get(table) ?? []), row]);
  return found;
}

/** Deletes the failures that older runs recorded, where the run has read everything that those runs read. */
async function retireFailures(
  clickhouse: ClickHouse,
  plan: readonly Retirement[],
  signal?: AbortSignal,
): Promise<void> {
  const conditions = plan
    .filter(each => each.reach === 'everything')
    .map(each => `(bucket = ${quote(each.bucket)} AND generation IN (${each.generations.join(', ')}))`);
  if (conditions.length === 0) return;
  await clickhouse.mutate(PIPELINE_FAILURES.name, conditions.join(' OR '), { signal });
}

/** Numbers of rows of the run in a table. */
interface Counted extends Pick<Group, 'all' | 'distinct'> {
  readonly table: ObservationTable;
}

async function countRows({ clickhouse, signal }: RowTools, run: RunKey): Promise<readonly Counted[]> {
  return clickhouse.select<Counted>(
    ORDER.map(
      table =>
        `SELECT ${quote(table.name)} AS table, count() AS all, uniqExact(sipHash128(${keyOf(table)})) AS distinct ${own(table, run)}`,
    ).join(' UNION ALL '),
    { signal },
  );
}

/**
 * Deletes duplicate rows of the run and returns the number of remaining rows by table.
 *
 * @param known the numbers of rows, if they were just read
 */
async function deduplicate(tools: RowTools, run: RunKey, known?: readonly Counted[]): Promise<Record<string, number>> {
  const { log } = tools;
  for (let round = 1; ; round++) {
    const counted = (round === 1 && known) || (await countRows(tools, run));
    const twice = counted.filter(({ all, distinct }) => all > distinct);
    if (twice.length === 0 || round > DEDUPLICATION_ROUNDS) {
      for (const { table, all, distinct } of twice) {
        log.warn(
          `${table} shows ${all - distinct} rows of ${run.bucket} twice until it is merged; FINAL reads are right`,
        );
      }
      return Object.fromEntries(
        counted.filter(({ distinct }) => distinct > 0).map(({ table, distinct }) => [table, distinct]),
      );
    }
    for (const { table, all, distinct } of twice) {
      log.info(`${table}: ${all - distinct} rows of ${run.bucket} were inserted twice; deleting one of each`);
      await deleteCopies(tools, ORDER.find(({ name }) => name === table)!, run);
    }
  }
}

async function deleteCopies(tools: RowTools, table: (typeof ORDER)[number], run: RunKey): Promise<void> {
  const key = keyOf(table);
  const twice = `SELECT sipHash128(${key}) ${own(table, run)} GROUP BY 1 HAVING count() > 1`;
  const copies = `SELECT _part, _part_offset ${own(table, run)} AND sipHash128(${key}) IN (${twice})
    QUALIFY row_number() OVER (PARTITION BY ${key} ORDER BY _part, _part_offset) > 1`;
  try {
    await deleteRows(tools, table.name, run.bucket, `(_part, _part_offset) IN (${copies})`);
  } catch (error) {
    if (!(error instanceof StatementError)) throw error;
    // An older server cannot address rows by their position. Its merges remove the copies later.
    tools.log.warn(`copies in ${table.name} cannot be deleted: ${error.message}`);
  }
}

/** The sorting key as SQL. Two rows of one generation with the same key are the same row. */
export function keyOf(table: Pick<Table, 'orderBy'>): string {
  return table.orderBy.map(identifier).join(', ');
}

function own(table: Table, run: RunKey): string {
  return `FROM ${identifier(table.name)} WHERE bucket_date = ${quote(run.bucket)} AND run_generation = ${run.generation}`;
}

async function deleteRows(
  { clickhouse, signal }: RowTools,
  table: ObservationTable,
  bucket: string,
  condition: string,
): Promise<void> {
  // Without the partition, a delete reads every part of the table, which are years of data.
  await clickhouse.mutate(
    `${identifier(table)} IN PARTITION ${quote(partitionOf(bucket))}`,
    condition,
    // Replicated tables treat subqueries as nondeterministic. A replica that is behind finds fewer of the run's rows and deletes fewer.
    { settings: { allow_nondeterministic_mutations: 1 }, signal },
  );
}
