import type { Logger } from '../log.ts';
import { type ClickHouse, identifier, quote } from '../tables/clickhouse.ts';
import { syncReplicas } from '../tables/cluster.ts';
import { literals } from '../tables/ddl.ts';
import { StatementError } from '../tables/errors.ts';
import { LEDGER_TABLES, PIPELINE_FAILURES } from '../tables/ledger-tables.ts';
import { OBS_HTTP_MIDDLEBOX, OBS_WEB, OBS_WEB_CTRL, type ObservationTable, type Table } from '../tables/schema.ts';
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

/** Control rows go first: for a filter by country they are found through their measurements' rows in obs_web. */
const ORDER = [OBS_WEB_CTRL, OBS_HTTP_MIDDLEBOX, OBS_WEB] as const;

/** Merges may move rows while duplicates are being deleted; what moved is found in the next round. */
const DEDUPLICATION_ROUNDS = 5;

export interface FinalizedRows {
  /** Rows in the tables with the run's generation, by table; tables without any are left out. */
  readonly rowsStored: Record<string, number>;
  /** Groups of older rows that were taken away, for the log. */
  readonly retired: number;
  /** Whether a table that held rows of the run was dropped and made again meanwhile. */
  readonly tableLost?: boolean;
  /** Whether another run over the bucket began in the same millisecond: then nobody can tell whose the rows are. */
  readonly shared: boolean;
}

/**
 * Makes plain reads right after a run. Call it when no row of the run is written any more and its state in the
 * ledger says so (`inserted` or later). May be repeated. In this order:
 *
 * 1. Rows that the run replaces are deleted, as retire.ts plans it, and with them the verdicts of measurements that have no rows left.
 * 2. The run's own rows are deleted where a newer run has brought the measurement again: that run has retired before
 *    these rows were in, or it would have done so. Each run records `inserted` first and looks at the others then, so
 *    of two runs that end at the same time at least one sees the other.
 * 3. On the two days that lie in two layouts of the archive, what came out of both is left once (second-copies.ts).
 * 4. Rows that are there twice are deleted once: an INSERT whose answer was lost, or whose worker was killed before it could say so, is
 *    repeated. Both copies have key and generation in common, so FINAL has shown one all along.
 *
 * @param complete false for a run that failed or was cancelled: it takes away only what it has brought again
 */
export async function finalizeRows(
  clickhouse: ClickHouse,
  run: OpenedRun,
  complete: boolean,
  log: Logger,
  signal?: AbortSignal,
): Promise<FinalizedRows> {
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
  const plans = new Map(
    [...found].map(([table, groups]) => [table, planRetirement(run, groups, past, run.openedAt, complete)]),
  );
  const strays = await knownStrays(clickhouse, run, [...plans.values()].flat(), signal);
  const leaving = plans.get(OBS_WEB.name) ?? [];
  if (complete && leaving.length > 0) {
    await deleteVerdictsOf(clickhouse, run, retireCondition(OBS_WEB.name, run, leaving, complete, strays), signal);
  }
  for (const { name } of ORDER) {
    const plan = plans.get(name) ?? [];
    if (plan.length > 0) {
      await deleteRows(clickhouse, name, run.bucket, retireCondition(name, run, plan, complete, strays), signal);
    }
    for (const other of newer) {
      await deleteRows(clickhouse, name, run.bucket, supersededCondition(name, run, other), signal);
    }
    const copies = duplicateUploadCondition(name, run.bucket);
    if (copies) await deleteRows(clickhouse, name, run.bucket, copies, signal);
  }
  await retireFailures(clickhouse, plans.get(PIPELINE_FAILURES.name) ?? [], signal);
  const wrote = ORDER.some(({ name }) => found.get(name)?.some(each => isOwn(run, each)));
  const lost = past.some(each => isOwn(run, each) && each.filterID === run.filterID && each.reason === TABLE_LOST);
  return {
    rowsStored: wrote ? await deduplicate(clickhouse, run, log, signal) : {},
    retired: [...plans.values()].reduce((sum, plan) => sum + plan.length, 0),
    ...(lost && { tableLost: true }),
    shared: past.some(each => isOwn(run, each) && each.filterID !== run.filterID),
  };
}

/** Whether a run that reads nothing would delete all rows that some older run, or a program without a ledger, has left. */
export async function wouldClear(
  clickhouse: ClickHouse,
  run: OpenedRun,
  others: readonly PastRun[],
  signal?: AbortSignal,
): Promise<boolean> {
  const found = await findGroups(clickhouse, run, signal);
  return ORDER.some(({ name }) =>
    planRetirement(run, found.get(name) ?? [], others, run.openedAt, true).some(({ reach }) => reach === 'everything'),
  );
}

/** A DELETE names as many uids at most; it travels through the replicas' queue, whose entries are limited to a megabyte. */
const NAMED_STRAYS = 10_000;

/**
 * The measurements that a retirement by their own word must leave alone, as values: a replica that is behind would delete those that its
 * ledger does not know yet. Undefined when there are none to ask for, or too many.
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

/** Groups of rows, the run's own and older ones, over the buckets that overlap its own, by table. */
async function findGroups(
  clickhouse: ClickHouse,
  run: OpenedRun,
  signal?: AbortSignal,
): Promise<Map<string, FoundRows[]>> {
  const buckets = literals(overlappingBuckets(run.bucket));
  const queries = [
    ...ORDER.map(({ name }) => [name, 'bucket_date', 'run_generation'] as const),
    [PIPELINE_FAILURES.name, 'bucket', 'generation'] as const,
  ].map(
    ([table, bucket, generation]) =>
      `SELECT DISTINCT ${quote(table)} AS table, ${bucket} AS bucket, ${generation} AS generation
       FROM ${identifier(table)} WHERE ${bucket} IN ${buckets} AND ${generation} <= ${run.generation}`,
  );
  const rows = await clickhouse.select<FoundRows & { table: string }>(queries.join(' UNION ALL '), { signal });
  const found = new Map<string, FoundRows[]>();
  for (const { table, ...row } of rows) found.set(table, [...(found.get(table) ?? []), row]);
  return found;
}

/** Failures that older runs recorded go with their rows, where all that those runs read was read again. */
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

interface Counted {
  readonly table: ObservationTable;
  /** Rows, and different sorting keys among them. */
  readonly all: number;
  readonly distinct: number;
}

/** Leaves each row of the run once, and returns how many there are by table. */
async function deduplicate(
  clickhouse: ClickHouse,
  run: RunKey,
  log: Logger,
  signal?: AbortSignal,
): Promise<Record<string, number>> {
  for (let round = 1; ; round++) {
    const counted = await clickhouse.select<Counted>(
      ORDER.map(
        table =>
          `SELECT ${quote(table.name)} AS table, count() AS all, uniqExact(sipHash128(${keyOf(table)})) AS distinct ${own(table, run)}`,
      ).join(' UNION ALL '),
      { signal },
    );
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
      await deleteCopies(clickhouse, ORDER.find(({ name }) => name === table)!, run, log, signal);
    }
  }
}

async function deleteCopies(
  clickhouse: ClickHouse,
  table: (typeof ORDER)[number],
  run: RunKey,
  log: Logger,
  signal?: AbortSignal,
): Promise<void> {
  const key = keyOf(table);
  const twice = `SELECT sipHash128(${key}) ${own(table, run)} GROUP BY 1 HAVING count() > 1`;
  const copies = `SELECT _part, _part_offset ${own(table, run)} AND sipHash128(${key}) IN (${twice})
    QUALIFY row_number() OVER (PARTITION BY ${key} ORDER BY _part, _part_offset) > 1`;
  try {
    await deleteRows(clickhouse, table.name, run.bucket, `(_part, _part_offset) IN (${copies})`, signal);
  } catch (error) {
    if (!(error instanceof StatementError)) throw error;
    // An older server that cannot address rows by their place: merging removes the copies, in its own time.
    log.warn(`copies in ${table.name} cannot be deleted: ${error.message}`);
  }
}

/** The sorting key as SQL: two rows of one generation with the same key are one row. */
export function keyOf(table: Pick<Table, 'orderBy'>): string {
  return table.orderBy.map(identifier).join(', ');
}

function own(table: Table, run: RunKey): string {
  return `FROM ${identifier(table.name)} WHERE bucket_date = ${quote(run.bucket)} AND run_generation = ${run.generation}`;
}

async function deleteRows(
  clickhouse: ClickHouse,
  table: ObservationTable,
  bucket: string,
  condition: string,
  signal?: AbortSignal,
): Promise<void> {
  // Without the partition a delete looks at every part of the table, years of them.
  await clickhouse.mutate(
    `${identifier(table)} IN PARTITION ${quote(partitionOf(bucket))}`,
    condition,
    // Subqueries count as nondeterministic on replicated tables: of a run's own rows a replica that is behind finds fewer, and deletes fewer.
    { settings: { allow_nondeterministic_mutations: 1 }, signal },
  );
}
