import { setTimeout as sleep } from 'node:timers/promises';
import { type ClickHouse, identifier, quote, type StatementOptions } from '../tables/clickhouse.ts';
import { engineFor, onCluster } from '../tables/ddl.ts';
import { TableError, TableSchemaError } from '../tables/errors.ts';
import type { Table } from '../tables/schema.ts';
import type { Logger } from '../telemetry/log.ts';
import { withCommas } from '../with-commas.ts';
import type { PlannedChange } from './migration.ts';

/** A table whose partition key is a prefix of its first sorting column. */
export type PrefixPartitioned = Table & { readonly partitionBy: string };

export interface RepartitionOptions {
  readonly signal?: AbortSignal;
  /** Throws if another process took over the migration. */
  readonly guard?: () => Promise<void>;
  /** For tests: called before each step. It can throw to simulate a crash. */
  readonly onStep?: (step: string) => Promise<void> | void;
}

/** Limits of the partitions that one statement copies together: their number of rows (unless it is one partition) and their number. */
const GROUP = { rows: 100_000, partitions: 100 };
/** Maximum number of rounds that copy rows which changed during the copy. */
const ROUNDS = 20;
/** Interval between the looks at running INSERTs, milliseconds. */
const POLL = 200;

/** Settings that limit the memory of a copy: blocks of this size, one reading and one writing thread. */
const COPY_SETTINGS = {
  max_threads: 1,
  max_insert_threads: '1',
  max_block_size: '8192',
  min_insert_block_size_rows: '100000',
  min_insert_block_size_bytes: String(64 << 20),
  optimize_aggregation_in_order: 1,
  // A partition that is copied again has the same blocks, which a replicated table would drop as duplicates.
  insert_deduplicate: 0,
  join_algorithm: 'grace_hash',
  max_bytes_in_join: '300000000',
  throw_on_max_partitions_per_insert_block: 0,
} as const;
/** By default, the server does not drop large tables and partitions. */
const DROP_SETTINGS = { max_table_size_to_drop: '0', max_partition_size_to_drop: '0' } as const;

/** Returns the name of the table beside the original: the copy before the exchange, the original after it. */
export function besideName(table: string): string {
  return `${table}_repartition`;
}

/** A table that is being given its partition key. */
interface Rebuild {
  readonly clickhouse: ClickHouse;
  readonly table: PrefixPartitioned;
  readonly log: Logger;
  /** Called before each step. Throws if the migration was aborted or taken over. */
  readonly guard: (step: string) => Promise<void>;
  readonly signal: AbortSignal | undefined;
}

interface Shape {
  readonly partitionKey: string;
  readonly rows: number;
  readonly bytes: number;
  readonly columns: string;
}

/** Summary of the rows of one partition with FINAL: their number and a sum of hashes of key and generation. */
interface Digest {
  /** Value of the partition key, in hexadecimal. */
  readonly prefix: string;
  readonly rows: number;
  readonly sum: string;
}

/**
 * Adds the partition key to an existing table, which ClickHouse cannot do in place:
 *
 * 1. create a table with the partition key beside it, with the same columns and indexes;
 * 2. copy the rows, one partition at a time, and copy a partition again until both tables have the same rows;
 * 3. exchange the two tables in one step;
 * 4. move the rows that were written to the old table after the last comparison;
 * 5. drop the old table.
 *
 * The table exists and has all rows at any time. After a crash, the next call continues: the two tables show which step is next. The size of a
 * block limits the memory. The free disk space must be as large as the table. Rows may be written and deleted during the migration. A
 * table with another partition key is not changed. Throws TableErrors.
 */
export async function repartition(
  clickhouse: ClickHouse,
  table: PrefixPartitioned,
  log: Logger,
  options: RepartitionOptions = {},
): Promise<void> {
  const { signal, onStep } = options;
  const guard = async (step: string) => {
    await onStep?.(step);
    signal?.throwIfAborted();
    await options.guard?.();
  };
  const rebuild: Rebuild = { clickhouse, table, log, guard, signal };
  const beside = besideName(table.name);
  for (;;) {
    const [now, other] = await Promise.all([
      shapeOf(clickhouse, table.name, signal),
      shapeOf(clickhouse, beside, signal),
    ]);
    if (!now) throw new TableSchemaError(`${clickhouse.name} has no ${table.name}, so it cannot be partitioned`);
    const state = stateOf(now, other, table);
    if (state === 'done') return;
    if (state === 'foreign') {
      log.warn(`${table.name} has the partition key ${now.partitionKey} and is not changed`);
      return;
    }
    if (state === 'exchanged') {
      await moveLateRows(rebuild);
      await guard('drop');
      await clickhouse.command(dropBeside(clickhouse, table.name), { settings: DROP_SETTINGS, signal });
      continue;
    }
    if (other && other.columns !== now.columns) {
      await guard('drop a copy with other columns');
      await clickhouse.command(dropBeside(clickhouse, table.name), { settings: DROP_SETTINGS, signal });
    }
    await assertExchangeable(clickhouse, table.name, signal);
    log.info(`${table.name}: copying ${now.rows} rows (${now.bytes} bytes) into partitions`);
    await guard('create');
    await clickhouse.command(createBeside(clickhouse, table), { signal });
    await copy(rebuild);
    await guard('exchange');
    await exchange(clickhouse, table.name, signal);
  }
}

/** Returns the changes that `repartition` would make now. */
export async function planRepartition(
  clickhouse: ClickHouse,
  table: PrefixPartitioned,
  signal?: AbortSignal,
): Promise<PlannedChange> {
  const beside = besideName(table.name);
  const now = await shapeOf(clickhouse, table.name, signal);
  const state = now && stateOf(now, await shapeOf(clickhouse, beside, signal), table);
  const drop = dropBeside(clickhouse, table.name);
  if (!state || state === 'done' || state === 'foreign') return { changes: [], statements: [] };
  if (state === 'exchanged') {
    return { changes: [`finish partitioning ${table.name} and drop ${beside}`], statements: [drop] };
  }
  const [found, present] = await Promise.all([
    clickhouse.select<Pick<Digest, 'prefix' | 'rows'>>(
      `SELECT hex(${table.partitionBy}) AS prefix, count() AS rows FROM ${identifier(table.name)} GROUP BY prefix ORDER BY prefix`,
      { signal },
    ),
    copiedColumns(clickhouse, table.name, signal),
  ]);
  // A pending earlier migration adds the missing columns.
  const columns = [...new Set([...present, ...table.columns.map(([name]) => name)])];
  return {
    changes: [
      `partition ${table.name} by ${table.partitionBy}: copy ${now.rows} rows in ${found.length} partitions to ${beside}, exchange the two tables, and drop the old one (needs ${megabytes(now.bytes)} of free disk meanwhile)`,
    ],
    statements: [
      createBeside(clickhouse, table),
      ...grouped(found).map(prefixes => copyStatement(table, columns, prefixes)),
      exchangeStatement(clickhouse, table.name),
      drop,
    ],
  };
}

function stateOf(now: Shape, other: Shape | undefined, table: PrefixPartitioned) {
  if (now.partitionKey === table.partitionBy) return other ? 'exchanged' : 'done';
  return now.partitionKey === '' ? 'unpartitioned' : 'foreign';
}

async function shapeOf(clickhouse: ClickHouse, table: string, signal?: AbortSignal): Promise<Shape | undefined> {
  const [found] = await clickhouse.select<Shape>(
    `SELECT partition_key AS partitionKey, ifNull(total_rows, 0) AS rows, ifNull(total_bytes, 0) AS bytes,
       (SELECT toString(groupArray((name, type, default_kind, default_expression)))
        FROM (SELECT * FROM system.columns WHERE database = currentDatabase() AND table = {table:String} ORDER BY position)) AS columns
     FROM system.tables WHERE database = currentDatabase() AND name = {table:String}`,
    { params: { table }, signal },
  );
  return found;
}

/**
 * Returns the statement that creates the table beside, with all columns of the original, including added ones. ClickHouse copies the
 * indexes.
 */
function createBeside(clickhouse: ClickHouse, table: PrefixPartitioned): string {
  const list = (names: readonly string[]) => `(${names.map(identifier).join(', ')})`;
  return [
    `CREATE TABLE IF NOT EXISTS ${identifier(besideName(table.name))}${onCluster(clickhouse)} AS ${identifier(table.name)}`,
    `ENGINE = ${engineFor(table.engine, clickhouse)}`,
    `PARTITION BY ${table.partitionBy}`,
    ...(table.primaryKey ? [`PRIMARY KEY ${list(table.primaryKey)}`] : []),
    `ORDER BY ${list(table.orderBy)}`,
  ].join('\n');
}

function dropBeside(clickhouse: ClickHouse, table: string): string {
  return `DROP TABLE IF EXISTS ${identifier(besideName(table))}${onCluster(clickhouse)} SYNC`;
}

function exchangeStatement(clickhouse: ClickHouse, table: string): string {
  return `EXCHANGE TABLES ${identifier(table)} AND ${identifier(besideName(table))}${onCluster(clickhouse)}`;
}

/** Condition on the rows of some partitions, given in order. The first conditions use the primary key; the last one is the partition key. */
function inPartitions(table: PrefixPartitioned, prefixes: readonly string[]): string {
  const column = identifier(table.orderBy[0]!);
  const values = prefixes.map(prefix => `unhex(${quote(prefix)})`);
  const range =
    prefixes.length === 1
      ? `startsWith(${column}, ${values[0]})`
      : `${column} >= ${values[0]} AND (${column} < ${values.at(-1)} OR startsWith(${column}, ${values.at(-1)}))`;
  return `${range} AND ${table.partitionBy} IN (${values.join(', ')})`;
}

/** Groups the partitions in order, so that partitions with few rows are copied together. */
function grouped(partitions: readonly Pick<Digest, 'prefix' | 'rows'>[]): string[][] {
  const groups: string[][] = [];
  let rows = Number.POSITIVE_INFINITY;
  for (const each of partitions) {
    if (rows + each.rows > GROUP.rows || groups.at(-1)!.length >= GROUP.partitions) {
      groups.push([]);
      rows = 0;
    }
    groups.at(-1)!.push(each.prefix);
    rows += each.rows;
  }
  return groups;
}

function copyStatement(table: PrefixPartitioned, columns: readonly string[], prefixes: readonly string[]): string {
  const list = columns.map(identifier).join(', ');
  return `INSERT INTO ${identifier(besideName(table.name))} (${list})\nSELECT ${list} FROM ${identifier(table.name)} FINAL WHERE ${inPartitions(table, prefixes)}`;
}

async function copiedColumns(clickhouse: ClickHouse, table: string, signal?: AbortSignal): Promise<string[]> {
  const rows = await clickhouse.select<{ name: string }>(
    `SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}
     AND default_kind IN ('', 'DEFAULT') ORDER BY position`,
    { params: { table }, signal },
  );
  return rows.map(({ name }) => name);
}

/** @param from a table, with FINAL if it may contain rows twice */
async function digests({ clickhouse, table, signal }: Rebuild, from: string): Promise<Digest[]> {
  const key = [...table.orderBy, 'run_generation'].map(identifier).join(', ');
  return clickhouse.select<Digest>(
    `SELECT hex(${table.partitionBy}) AS prefix, count() AS rows, toString(sum(sipHash64(${key}))) AS sum
     FROM ${from} GROUP BY prefix ORDER BY prefix`,
    { settings: { max_threads: 2, max_block_size: '8192' }, signal },
  );
}

/**
 * Returns the partitions of `original` that differ in `copy`, and those that only `copy` has, in order. It counts all rows of `copy` without
 * FINAL, so a row that an interrupted copy wrote twice is a difference.
 */
async function differing(rebuild: Rebuild, original: string, copy: string): Promise<Pick<Digest, 'prefix' | 'rows'>[]> {
  const [expected, found] = await Promise.all([
    digests(rebuild, `${identifier(original)} FINAL`),
    digests(rebuild, identifier(copy)),
  ]);
  const has = new Map(found.map(each => [each.prefix, each]));
  const prefixes = new Set(expected.map(({ prefix }) => prefix));
  const differs = ({ prefix, rows, sum }: Digest) => has.get(prefix)?.rows !== rows || has.get(prefix)?.sum !== sum;
  return [
    ...expected.filter(differs),
    ...found.filter(({ prefix }) => !prefixes.has(prefix)).map(({ prefix }) => ({ prefix, rows: 0 })),
  ].sort((a, b) => (a.prefix < b.prefix ? -1 : 1));
}

async function copy(rebuild: Rebuild): Promise<void> {
  const { clickhouse, table, log, guard, signal } = rebuild;
  const beside = besideName(table.name);
  const columns = await copiedColumns(clickhouse, table.name, signal);
  for (let round = 1; ; round++) {
    const groups = grouped(await differing(rebuild, table.name, beside));
    if (groups.length === 0) return;
    if (round > ROUNDS) {
      throw new TableSchemaError(
        `${table.name} changes faster than it can be copied into partitions: stop the workers that write to it, then start again`,
      );
    }
    for (const [index, prefixes] of groups.entries()) {
      await guard(`copy ${prefixes[0]}`);
      await dropPartitions(rebuild, beside, prefixes);
      // The id is unique to the database, so that the copy stops an earlier one that a killed process left running.
      const id = `${clickhouse.database}-${beside}-${prefixes[0]}`;
      await copyOnce(clickhouse, copyStatement(table, columns, prefixes), id, { signal });
      log.info(`${table.name}: ${index + 1} of ${groups.length} parts copied${round > 1 ? ' again' : ''}`);
    }
  }
}

/** Copies once. After a lost answer, the rows may be copied in part; the next round compares the partition and copies it again. */
async function copyOnce(
  clickhouse: ClickHouse,
  sql: string,
  queryId: string,
  options: StatementOptions,
): Promise<void> {
  try {
    await clickhouse.commandOnce(sql, { ...options, settings: COPY_SETTINGS, queryId });
  } catch (error) {
    if (!(error instanceof TableError && error.transient)) throw error;
    await sleep(1000, undefined, { signal: options.signal });
  }
}

async function dropPartitions(
  { clickhouse, table, signal }: Rebuild,
  name: string,
  prefixes: readonly string[],
): Promise<void> {
  const found = await clickhouse.select<{ id: string }>(
    `SELECT DISTINCT _partition_id AS id FROM ${identifier(name)} WHERE ${inPartitions(table, prefixes)}`,
    { signal },
  );
  for (const { id } of found) {
    await clickhouse.command(`ALTER TABLE ${identifier(name)} DROP PARTITION ID ${quote(id)}`, {
      settings: DROP_SETTINGS,
      signal,
    });
  }
}

/** Exchanges the tables. EXCHANGE must not run twice, because it would bring back the old table, so after an error it checks the table first. */
async function exchange(clickhouse: ClickHouse, table: string, signal?: AbortSignal): Promise<void> {
  try {
    await clickhouse.commandOnce(exchangeStatement(clickhouse, table), { signal });
  } catch (error) {
    const found = await shapeOf(clickhouse, table, signal);
    if (!found?.partitionKey) throw error;
  }
}

async function assertExchangeable(clickhouse: ClickHouse, table: string, signal?: AbortSignal): Promise<void> {
  const [found] = await clickhouse.select<{ engine: string }>(
    'SELECT engine FROM system.databases WHERE name = currentDatabase()',
    { signal },
  );
  if (found?.engine !== 'Ordinary') return;
  throw new TableSchemaError(
    `${clickhouse.name} has the database engine Ordinary, in which ${table} cannot be exchanged with a partitioned copy; convert the database to Atomic (ClickHouse documents convert_ordinary_to_atomic), then start again`,
  );
}

/**
 * Moves the rows that were inserted into the old table after the last comparison. Waits for INSERTs that resolved the name of the old table
 * before the exchange. Does not move a row if the new table has its key with the same or a later generation.
 */
async function moveLateRows(rebuild: Rebuild): Promise<void> {
  const { clickhouse, table, log, guard, signal } = rebuild;
  await insertsEnded(clickhouse, table.name, signal);
  const beside = besideName(table.name);
  const columns = await copiedColumns(clickhouse, beside, signal);
  for (let round = 1; ; round++) {
    let late = 0;
    for (const { prefix } of await differing(rebuild, beside, table.name)) {
      const missing = missingRows(table, prefix);
      const [count] = await clickhouse.select<{ rows: number }>(`SELECT count() AS rows ${missing}`, {
        settings: COPY_SETTINGS,
        signal,
      });
      if (!count?.rows) continue;
      late += count.rows;
      await guard(`move ${prefix}`);
      const list = columns.map(identifier).join(', ');
      const select = columns.map(name => `o.${identifier(name)}`).join(', ');
      await copyOnce(
        clickhouse,
        `INSERT INTO ${identifier(table.name)} (${list})\nSELECT ${select} ${missing}`,
        `${clickhouse.database}-${beside}-late-${prefix}`,
        { signal },
      );
      await mergeCopies(rebuild, prefix);
    }
    if (late === 0) return;
    log.info(`${table.name}: moved ${late} rows that were written during the migration`);
    if (round > ROUNDS) throw new TableSchemaError(`${beside} still receives rows; stop what writes to it`);
  }
}

function missingRows(table: PrefixPartitioned, prefix: string): string {
  const key = table.orderBy.map(identifier).join(', ');
  const on = table.orderBy.map(name => `o.${identifier(name)} = n.${identifier(name)}`).join(' AND ');
  const where = inPartitions(table, [prefix]);
  return `FROM (SELECT * FROM ${identifier(besideName(table.name))} FINAL WHERE ${where}) AS o
LEFT JOIN (SELECT ${key}, run_generation AS newest, 1 AS present FROM ${identifier(table.name)} FINAL WHERE ${where}) AS n ON ${on}
WHERE n.present = 0 OR n.newest < o.run_generation`;
}

/** Merges a partition in which moved rows replace rows of an earlier generation, so that reads without FINAL see one of them. */
async function mergeCopies({ clickhouse, table, signal }: Rebuild, prefix: string): Promise<void> {
  const where = inPartitions(table, [prefix]);
  const [found] = await clickhouse.select<{ id: string; twice: number }>(
    `SELECT any(_partition_id) AS id, count() > (SELECT count() FROM ${identifier(table.name)} FINAL WHERE ${where}) AS twice
     FROM ${identifier(table.name)} WHERE ${where}`,
    { signal },
  );
  if (!found?.twice) return;
  await clickhouse.command(`OPTIMIZE TABLE ${identifier(table.name)} PARTITION ID ${quote(found.id)} FINAL`, {
    signal,
  });
}

/** Resolves when the INSERTs into a table that are running now have ended. */
async function insertsEnded(clickhouse: ClickHouse, table: string, signal?: AbortSignal): Promise<void> {
  const processes =
    clickhouse.cluster === ''
      ? 'system.processes'
      : `clusterAllReplicas(${quote(clickhouse.cluster)}, system.processes)`;
  const atWork = async () =>
    (
      await clickhouse.select<{ id: string }>(
        `SELECT query_id AS id FROM ${processes} WHERE query_kind = 'Insert' AND current_database = {database:String} AND position(query, {table:String}) > 0`,
        { params: { database: clickhouse.database, table }, signal },
      )
    ).map(({ id }) => id);
  const first = new Set(await atWork());
  while (first.size > 0 && (await atWork()).some(id => first.has(id))) await sleep(POLL, undefined, { signal });
}

function megabytes(bytes: number): string {
  return `${withCommas(Math.ceil(bytes / 1e6))} MB`;
}
