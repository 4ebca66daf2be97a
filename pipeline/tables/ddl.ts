import { identifier, quote } from './clickhouse.ts';
import type { Table } from './schema.ts';

/** The form of DDL for a server: one server, or a cluster of replicas. */
export interface Dialect {
  /** Name of the cluster, or empty. */
  readonly cluster: string;
}

/** Returns ` ON CLUSTER x`, or an empty text without a cluster. */
export function onCluster({ cluster }: Dialect): string {
  return cluster === '' ? '' : ` ON CLUSTER ${identifier(cluster)}`;
}

/** Returns the engine for a dialect: replicated on a cluster, with the server's default path and replica name. */
export function engineFor(engine: string, { cluster }: Dialect): string {
  return cluster === '' || !/^\w*MergeTree\b/.test(engine) ? engine : `Replicated${engine}`;
}

/** Returns the `CREATE TABLE IF NOT EXISTS` statement of a table. */
export function createTable(table: Table, dialect: Dialect): string {
  const list = (names: readonly string[]) => `(${names.map(identifier).join(', ')})`;
  return [
    `CREATE TABLE IF NOT EXISTS ${identifier(table.name)}${onCluster(dialect)} (`,
    table.columns.map(([name, type]) => `  ${identifier(name)} ${type}`).join(',\n'),
    `) ENGINE = ${engineFor(table.engine, dialect)}`,
    ...(table.partitionBy ? [`PARTITION BY ${table.partitionBy}`] : []),
    ...(table.primaryKey ? [`PRIMARY KEY ${list(table.primaryKey)}`] : []),
    `ORDER BY ${list(table.orderBy)}`,
  ].join('\n');
}

/** Returns the `ALTER TABLE` statement that adds the missing columns of a table at its end; undefined if none is missing. */
export function addColumns(table: Table, present: readonly string[], dialect: Dialect): string | undefined {
  const missing = table.columns.filter(([name]) => !present.includes(name));
  if (missing.length === 0) return undefined;
  const actions = missing.map(([name, type]) => `ADD COLUMN IF NOT EXISTS ${identifier(name)} ${type}`);
  return `ALTER TABLE ${identifier(table.name)}${onCluster(dialect)} ${actions.join(', ')}`;
}

/** Returns a list of texts as a tuple of literals, for `IN`. */
export function literals(texts: readonly string[]): string {
  return `(${texts.map(quote).join(', ')})`;
}
