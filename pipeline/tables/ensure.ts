import type { Logger } from '../telemetry/log.ts';
import { type ClickHouse, identifier } from './clickhouse.ts';
import { addColumns, createTable, onCluster } from './ddl.ts';
import { TableSchemaError } from './errors.ts';
import type { Table } from './schema.ts';

/**
 * Creates a table, or adds the missing columns at the end of an existing one. A table that the Python pipeline made keeps what
 * ClickHouse cannot change in place:
 * - its engine, `ReplacingMergeTree` without a version: of two rows with one key the last inserted row survives. It is the row of the newer
 *   run, except where two runs over the same measurements overlap in time, until the older run deletes its replaced rows;
 * - `Int32` ASN columns: RowBinary has the same four bytes for both types, so an ASN above 2,147,483,647 reads as a negative number, and
 *   `toUInt32(probe_asn)` gives the correct value.
 *
 * Throws TableSchemaError and changes nothing when the name belongs to a table without a MergeTree engine.
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
  // A plan of migrations (migration-plan.ts) does not create the table, so there is nothing to compare.
  if (!found) return;
  if (/MergeTree/.test(table.engine) && !/MergeTree/.test(found.engine)) {
    throw new TableSchemaError(
      `${clickhouse.name} has a ${table.name} of engine ${found.engine}, where a MergeTree table belongs; rename it, and it will be made`,
    );
  }
  // ClickHouse quotes names that are SQL keywords.
  if (found.sorting_key.replaceAll('`', '') !== table.orderBy.join(', ')) {
    log.warn(
      `${table.name} is sorted by (${found.sorting_key}) instead of (${table.orderBy.join(', ')}): repeated runs may show a row twice until they end`,
    );
  }
  const added = addColumns(table, await columnsOf(clickhouse, table.name, signal), clickhouse);
  if (added) {
    log.info(`${table.name} existed before; adding ${added.split(' ADD COLUMN ').length - 1} columns`);
    await clickhouse.command(added, { signal });
  }
}

/** Returns the names of a table's columns in order; empty if the table does not exist. */
export async function columnsOf(clickhouse: ClickHouse, table: string, signal?: AbortSignal): Promise<string[]> {
  const rows = await clickhouse.select<{ name: string }>(
    'SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} ORDER BY position',
    { params: { table }, signal },
  );
  return rows.map(row => row.name);
}

/** Creates views, or replaces those of the same name, in this order: a view may read one before it. */
export async function ensureViews(
  clickhouse: ClickHouse,
  views: readonly { readonly name: string; readonly select: string }[],
  signal?: AbortSignal,
): Promise<void> {
  for (const { name, select } of views) {
    await clickhouse.command(`CREATE OR REPLACE VIEW ${identifier(name)}${onCluster(clickhouse)} AS ${select}`, {
      signal,
    });
  }
}
