import { RUN_STATES, TABLE_LOST } from '../ledger/ledger.ts';
import { type ClickHouse, identifier } from '../tables/clickhouse.ts';
import { literals } from '../tables/ddl.ts';
import { LEDGER_TABLES, PIPELINE_RUNS } from '../tables/ledger-tables.ts';
import { REFERENCE_TABLES, REFERENCE_VERSIONS } from '../tables/reference-tables.ts';
import {
  ANALYSIS_WEB_MEASUREMENT,
  MEASUREMENT_EXPERIMENT_RESULT,
  OBS_HTTP_MIDDLEBOX,
  OBS_PERFORMANCE,
  OBS_TUNNEL,
  OBS_WEB,
  OBS_WEB_CTRL,
} from '../tables/schema.ts';
import type { Logger } from '../telemetry/log.ts';
import observations from './001-observations.ts';
import analysis from './002-analysis.ts';
import ledger from './003-ledger.ts';
import reference from './004-reference.ts';
import tunnels from './012-tunnels.ts';
import type { Migration } from './migration.ts';

const names = (tables: readonly { readonly name: string }[]) => tables.map(({ name }) => name);

/** The tables that each migration creates. */
const MADE_BY = new Map<Migration, readonly string[]>([
  [observations, names([OBS_WEB, OBS_WEB_CTRL, OBS_HTTP_MIDDLEBOX])],
  [analysis, names([ANALYSIS_WEB_MEASUREMENT, MEASUREMENT_EXPERIMENT_RESULT])],
  [ledger, names(LEDGER_TABLES)],
  [reference, names([...REFERENCE_TABLES, REFERENCE_VERSIONS])],
  [tunnels, names([OBS_TUNNEL, OBS_PERFORMANCE])],
]);

/** The stage that fills the tables of a migration. */
const STAGE_OF = new Map<Migration, 'Observations' | 'Analysis'>([
  [observations, 'Observations'],
  [analysis, 'Analysis'],
  [tunnels, 'Observations'],
]);

/** Returns the migrations that are not recorded, or whose tables were dropped. */
export async function missingMigrations(
  clickhouse: ClickHouse,
  migrations: readonly Migration[],
  recorded: ReadonlySet<number>,
  signal?: AbortSignal,
): Promise<readonly Migration[]> {
  const lost = await migrationsWithoutTables(clickhouse, migrations, signal);
  return migrations.filter(migration => !recorded.has(migration.number) || lost.has(migration));
}

/**
 * Returns the migrations whose tables do not exist. If such a migration is recorded, somebody has dropped its tables. Returns none on a
 * cluster, where one replica may lack a table for a while. Throws TableErrors, also for a table that the user has no rights to see.
 */
async function migrationsWithoutTables(
  clickhouse: ClickHouse,
  migrations: readonly Migration[],
  signal?: AbortSignal,
): Promise<ReadonlySet<Migration>> {
  const found = new Set<Migration>();
  for (const migration of migrations) {
    if ((await absentTables(clickhouse, migration, signal)).length > 0) found.add(migration);
  }
  return found;
}

async function absentTables(clickhouse: ClickHouse, migration: Migration, signal?: AbortSignal): Promise<string[]> {
  const made = MADE_BY.get(migration) ?? [];
  if (made.length === 0 || clickhouse.cluster !== '') return [];
  const rows = await clickhouse.select<{ name: string }>(
    `SELECT name FROM system.tables WHERE database = currentDatabase() AND name IN ${literals(made)}`,
    { signal },
  );
  const absent: string[] = [];
  for (const name of made.filter(each => !rows.some(row => row.name === each))) {
    // The list above omits tables that the user has no rights on. This statement fails for them.
    const [answer] = await clickhouse.select<{ result: number }>(`EXISTS TABLE ${identifier(name)}`, { signal });
    if (answer?.result === 0) absent.push(name);
  }
  return absent;
}

/**
 * Records that the rows of some runs are lost, because tables of an applied migration do not exist. The latest state of each run becomes
 * `cancelled`, so the next plan runs their buckets again. Call it before the tables are created again, because afterwards the loss cannot
 * be detected. An active run detects the record when it ends. May be repeated.
 */
export async function recordLostTables(
  clickhouse: ClickHouse,
  migration: Migration,
  log: Logger,
  signal?: AbortSignal,
): Promise<void> {
  const absent = await absentTables(clickhouse, migration, signal);
  const isLedger = absent.includes(PIPELINE_RUNS.name);
  const stage = STAGE_OF.get(migration);
  if (absent.length === 0 || isLedger || stage === undefined) return;
  // An empty ledger has no run to record. A new database has such a ledger when the later migrations create their tables.
  const [runs] = await clickhouse.select<{ found: number }>(
    'SELECT count() AS found FROM system.tables WHERE database = currentDatabase() AND name = {name:String} AND ifNull(total_rows, 1) > 0',
    { params: { name: PIPELINE_RUNS.name }, signal },
  );
  if (!runs?.found) return;
  const message = `the table ${absent.join(' and the table ')} was dropped, and created again without rows`;
  log.warn(`${message}; the buckets whose rows it held are to be run again`);
  await clickhouse.command(
    `INSERT INTO ${PIPELINE_RUNS.name}
     SELECT * REPLACE ('cancelled' AS state, {revision:UInt8} AS revision, {reason:String} AS reason, {message:String} AS message, now64(3, 'UTC') AS recorded_at)
     FROM ${PIPELINE_RUNS.name} AS runs FINAL
     WHERE stage = {stage:String} AND (runs.state IN ('started', 'inserted') OR arrayExists(name -> rows_stored[name] > 0, {absent:Array(String)}))`,
    { params: { stage, absent, revision: RUN_STATES.length + 1, reason: TABLE_LOST, message }, signal },
  );
}
