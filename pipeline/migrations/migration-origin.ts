import { type ClickHouse, identifier, type StatementOptions } from '../tables/clickhouse.ts';
import { ANALYSIS_WEB_MEASUREMENT, GENERATION_COLUMN, OBSERVATION_TABLES } from '../tables/schema.ts';

/** Table that records the applied migrations. */
export const RECORDS_TABLE = 'pipeline_migrations';

/**
 * The program that made a database:
 * - `empty`: the database does not exist or has no table;
 * - `own`: this pipeline;
 * - `python`: the Python pipeline, which may still write to the database, even if it was migrated since;
 * - `other`: the database has tables, but no run table of either pipeline and no record of a migration.
 */
export type DatabaseOrigin = 'empty' | 'own' | 'python' | 'other';

/** A table in the database before a migration. */
export interface FoundTable {
  readonly name: string;
  readonly engine: string;
  /** Engine with its arguments, keys and settings. */
  readonly engineFull: string;
  readonly rows: number;
  readonly bytes: number;
}

const RUN_TABLES: readonly string[] = [...OBSERVATION_TABLES, ANALYSIS_WEB_MEASUREMENT].map(({ name }) => name);
/** Names of the tables that the migrations use themselves. After an interrupted start, they can be the only tables. */
const BOOKKEEPING = /^pipeline_migrat(ions|ing_\d+)$/;

/** Returns all tables and views of the database. */
export async function findTables(clickhouse: ClickHouse, options: StatementOptions = {}): Promise<FoundTable[]> {
  return clickhouse.select<FoundTable>(
    `SELECT name, engine, engine_full AS engineFull, ifNull(total_rows, 0) AS rows, ifNull(total_bytes, 0) AS bytes
     FROM system.tables WHERE database = currentDatabase() AND NOT is_temporary ORDER BY name`,
    options,
  );
}

/**
 * Determines from its tables which program made a database. It recognises the Python pipeline's run tables by their engine, which has no version
 * column. ClickHouse cannot change the engine in place, so it also recognises a migrated database.
 */
export function originOf(tables: readonly FoundTable[]): DatabaseOrigin {
  const found = tables.filter(({ name }) => !BOOKKEEPING.test(name));
  if (found.length === 0) return 'empty';
  const versioned = ({ engineFull }: FoundTable) => engineFull.includes(GENERATION_COLUMN[0]);
  if (found.some(table => RUN_TABLES.includes(table.name) && !versioned(table))) return 'python';
  return isRecorded(tables) ? 'own' : 'other';
}

/** Returns the numbers of the applied migrations of a database with these tables; none if it does not record them. */
export async function recordedAmong(
  clickhouse: ClickHouse,
  tables: readonly FoundTable[],
  signal?: AbortSignal,
): Promise<ReadonlySet<number>> {
  return isRecorded(tables) ? recordedMigrations(clickhouse, { signal }) : new Set();
}

function isRecorded(tables: readonly FoundTable[]): boolean {
  return tables.some(({ name }) => name === RECORDS_TABLE);
}

/** Returns the numbers of the applied migrations. */
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
