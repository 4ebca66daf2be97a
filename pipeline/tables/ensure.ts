import type { Logger } from '../log.ts';
import type { ClickHouse } from './clickhouse.ts';
import { addColumns, createTable } from './ddl.ts';
import { TableSchemaError } from './errors.ts';
import type { Table } from './schema.ts';

/**
 * Creates a table, or makes the one that is there usable: columns it lacks are added at its end. A table that the Python
 * pipeline made keeps what ClickHouse cannot change in place:
 * - its engine, `ReplacingMergeTree` without version: of two rows with one key the one inserted last survives, which is
 *   the newer run except where two runs over the same measurements overlap in time, until the older one retires its rows;
 * - `Int32` ASN columns: RowBinary is the same four bytes, so an ASN above 2,147,483,647 reads as a negative number there
 *   and is right again as `toUInt32(probe_asn)`.
 *
 * Throws TableSchemaError when what bears the name is no MergeTree table: nothing is done to it.
 */
export async function ensureTable(
  clickhouse: ClickHouse,
  table: Table,
  log: Logger,
  signal?: AbortSignal,
): Promise<void> {
  await clickhouse.command(createTable(table, clickhouse), { signal });
  const [found] = await clickhouse.select<{ engine: string; sorting_key: string }>(
    'SELECT engine, sorting_key FROM system.tables WHERE database = currentDatabase() AND name = {name:String}',
    { params: { name: table.name }, signal },
  );
  // A plan of migrations (migration-plan.ts) creates nothing, so there is nothing to compare.
  if (!found) return;
  if (/MergeTree/.test(table.engine) && !/MergeTree/.test(found.engine)) {
    throw new TableSchemaError(
      `${clickhouse.name} has a ${table.name} of engine ${found.engine}, where a MergeTree table belongs; rename it, and it will be made`,
    );
  }
  // ClickHouse quotes names that are also words of SQL.
  if (found.sorting_key.replaceAll('`', '') !== table.orderBy.join(', ')) {
    log.warn(
      `${table.name} is sorted by (${found.sorting_key}) instead of (${table.orderBy.join(', ')}): repeated runs may show a row twice until they end`,
    );
  }
  const added = addColumns(table, await columnsOf(clickhouse, table.name, signal), clickhouse);
  if (added) {
    log.info(`${table.name} was there before; ${added.split(' ADD COLUMN ').length - 1} columns are added to it`);
    await clickhouse.command(added, { signal });
  }
}

/** Names of a table's columns in order; none when there is no such table. */
export async function columnsOf(clickhouse: ClickHouse, table: string, signal?: AbortSignal): Promise<string[]> {
  const rows = await clickhouse.select<{ name: string }>(
    'SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} ORDER BY position',
    { params: { table }, signal },
  );
  return rows.map(row => row.name);
}
