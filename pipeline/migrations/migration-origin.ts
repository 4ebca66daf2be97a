import { type ClickHouse, identifier, type StatementOptions } from '../tables/clickhouse.ts';
import { ANALYSIS_WEB_MEASUREMENT, GENERATION_COLUMN, OBSERVATION_TABLES } from '../tables/schema.ts';

/** Table that records the applied migrations. */
export const RECORDS_TABLE = 'pipeline_migrations';

/**
 * Who made a database:
 * - `empty`: it does not exist or has no table;
 * - `own`: this pipeline;
 * - `python`: the Python pipeline, which may still write to it, also when it was migrated since;
 * - `other`: it has tables, but none of a pipeline's run tables and no record of a migration.
 */
export type DatabaseOrigin = 'empty' | 'own' | 'python' | 'other';

/** A table as a migration finds it. */
export interface FoundTable {
  readonly name: string;
  readonly engine: string;
  /** Engine with its arguments, keys and settings. */
  readonly engineFull: string;
  readonly rows: number;
  readonly bytes: number;
}

const RUN_TABLES: readonly string[] = [...OBSERVATION_TABLES, ANALYSIS_WEB_MEASUREMENT].map(({ name }) => name);
/** Tables of the migration itself. An interrupted start leaves them alone in the database. */
const BOOKKEEPING = /^pipeline_migrat(ions|ing_\d+)$/;

/** All tables and views of the database. */
export async function findTables(clickhouse: ClickHouse, options: StatementOptions = {}): Promise<FoundTable[]> {
  return clickhouse.select<FoundTable>(
    `SELECT name, engine, engine_full AS engineFull, ifNull(total_rows, 0) AS rows, ifNull(total_bytes, 0) AS bytes
     FROM system.tables WHERE database = currentDatabase() AND NOT is_temporary ORDER BY name`,
    options,
  );
}

/**
 * Tells who made a database from its tables. The Python pipeline's run tables are known by their engine: it has no version column, and
 * ClickHouse cannot change that in place, so a migrated table is still recognised.
 */
export function originOf(tables: readonly FoundTable[]): DatabaseOrigin {
  const found = tables.filter(({ name }) => !BOOKKEEPING.test(name));
  if (found.length === 0) return 'empty';
  const versioned = ({ engineFull }: FoundTable) => engineFull.includes(GENERATION_COLUMN[0]);
  if (found.some(table => RUN_TABLES.includes(table.name) && !versioned(table))) return 'python';
  return tables.some(({ name }) => name === RECORDS_TABLE) ? 'own' : 'other';
}

/** Whether the database has the table of applied migrations. */
export function isRecorded(tables: readonly FoundTable[]): boolean {
  return tables.some(({ name }) => name === RECORDS_TABLE);
}

/** Numbers of the applied migrations. */
export async function recordedMigrations(
  clickhouse: ClickHouse,
  options: StatementOptions = {},
): Promise<ReadonlySet<number>> {
  const rows = await clickhouse.select<{ number: number }>(
    `SELECT DISTINCT number FROM ${identifier(RECORDS_TABLE)}`,
    options,
  );
  return new Set(rows.map(row => row.number));
}
