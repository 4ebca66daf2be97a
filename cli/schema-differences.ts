import { VIEWS } from '../pipeline/analysis/views.ts';
import { ALL_TABLES } from '../pipeline/tables/all-tables.ts';
import { type ClickHouse, identifier } from '../pipeline/tables/clickhouse.ts';
import { addColumns, createTable, engineFor, onCluster } from '../pipeline/tables/ddl.ts';
import type { Table } from '../pipeline/tables/schema.ts';

/** A difference between a database and this version. */
export interface SchemaDifference {
  readonly table: string;
  readonly kind: 'missing table' | 'missing view' | 'missing columns' | 'column type' | 'engine' | 'sorting key';
  /** The statement that removes the difference, or a comment `-- ...` if ClickHouse cannot change it in place. */
  readonly statement: string;
}

interface Found {
  readonly name: string;
  readonly engine: string;
  readonly sorting_key: string;
}

/** Compares the tables of a database with those of this version. Empty when nothing differs. Throws TableErrors. */
export async function schemaDifferences(clickhouse: ClickHouse): Promise<SchemaDifference[]> {
  const found = await clickhouse.select<Found>(
    'SELECT name, engine, sorting_key FROM system.tables WHERE database = currentDatabase()',
  );
  const columns = await clickhouse.select<{ table: string; name: string; type: string }>(
    'SELECT table, name, type FROM system.columns WHERE database = currentDatabase() ORDER BY table, position',
  );
  const differences = ALL_TABLES.flatMap(table =>
    ofTable(
      clickhouse,
      table,
      found.find(({ name }) => name === table.name),
      columns.filter(column => column.table === table.name),
    ),
  );
  const views = VIEWS.filter(({ name }) => !found.some(each => each.name === name)).map(
    ({ name }): SchemaDifference => ({
      table: name,
      kind: 'missing view',
      statement: `-- the view ${name} is missing; oonipipeline migrate creates it`,
    }),
  );
  return [...differences, ...views];
}

function ofTable(
  clickhouse: ClickHouse,
  table: Table,
  found: Found | undefined,
  columns: readonly { readonly name: string; readonly type: string }[],
): SchemaDifference[] {
  const { name } = table;
  if (!found) return [{ table: name, kind: 'missing table', statement: `${createTable(table, clickhouse)};` }];
  const differences: SchemaDifference[] = [];
  const added = addColumns(
    table,
    columns.map(column => column.name),
    clickhouse,
  );
  if (added) differences.push({ table: name, kind: 'missing columns', statement: `${added};` });
  const types = new Map(
    table.columns.map(([column, type]) => [column, type.replace(/ (DEFAULT|MATERIALIZED|CODEC)\b.*/s, '')]),
  );
  for (const column of columns) {
    const type = types.get(column.name);
    if (type === undefined || plain(type) === plain(column.type)) continue;
    differences.push({
      table: name,
      kind: 'column type',
      statement: `ALTER TABLE ${identifier(name)}${onCluster(clickhouse)} MODIFY COLUMN ${identifier(column.name)} ${type}; -- it is ${column.type}`,
    });
  }
  const engine = engineFor(table.engine, clickhouse).replace(/\(.*/s, '');
  if (engine !== found.engine) {
    differences.push({
      table: name,
      kind: 'engine',
      statement: `-- ${name} has the engine ${found.engine} instead of ${engine}; it cannot be changed in place`,
    });
  }
  // A key of one column is in parentheses if the statement had them.
  if (plain(found.sorting_key).replace(/^\((.*)\)$/, '$1') !== plain(table.orderBy.join(', '))) {
    differences.push({
      table: name,
      kind: 'sorting key',
      statement: `-- ${name} is sorted by (${found.sorting_key}) instead of (${table.orderBy.join(', ')}); it cannot be changed in place`,
    });
  }
  return differences;
}

/** Removes blanks and quotes, which ClickHouse writes in another way. */
const plain = (text: string) => text.replaceAll(/[\s`]/g, '');
