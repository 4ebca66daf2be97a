import { setTimeout as sleep } from 'node:timers/promises';
import type { Settings } from '../settings.ts';
import { type ClickHouse, identifier, openClickHouse } from '../tables/clickhouse.ts';
import { assertOneShard } from '../tables/cluster.ts';
import { createTable, onCluster } from '../tables/ddl.ts';
import { TableSchemaError } from '../tables/errors.ts';
import type { Table } from '../tables/schema.ts';
import type { Logger } from '../telemetry/log.ts';
import { missingMigrations, recordLostTables } from './lost-tables.ts';
import type { Migration } from './migration.ts';
import { MigrationLock } from './migration-lock.ts';
import {
  type DatabaseOrigin,
  findTables,
  originOf,
  RECORDS_TABLE,
  recordedAmong,
  recordedMigrations,
} from './migration-origin.ts';
import { MIGRATIONS } from './migrations.ts';

const RECORDS = {
  name: RECORDS_TABLE,
  columns: [
    ['number', 'UInt32'],
    ['name', 'String'],
    ['applied_at', "DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')"],
  ],
  engine: 'ReplacingMergeTree(applied_at)',
  orderBy: ['number'],
} as const satisfies Table;

/** Time without a renewal after which the holder of the lock counts as dead, seconds. */
const LOCK_EXPIRY = 60;

export interface MigrateOptions {
  readonly signal?: AbortSignal;
  /** Time without a renewal after which the holder of the lock counts as dead, seconds; 0 if there can be no other process. */
  readonly lockExpiry?: number;
  /** For tests: migrations that replace the program's. `poll` is the interval between attempts to take the lock, milliseconds. */
  readonly migrations?: readonly Migration[];
  readonly poll?: number;
}

/**
 * Creates the database of `clickhouse_url` if it is missing. It is separate from the migrations, because it needs a connection to another
 * database, and because an administrator can create the database for a user without that right.
 */
export async function ensureDatabase(
  settings: { readonly clickhouse_url: string; readonly clickhouse_cluster?: string },
  signal?: AbortSignal,
): Promise<void> {
  const clickhouse = openClickHouse(settings);
  const server = openClickHouse(settings, { database: 'default' });
  try {
    if (clickhouse.database === server.database) return;
    const found = await server.select('SELECT 1 FROM system.databases WHERE name = {name:String}', {
      params: { name: clickhouse.database },
      signal,
    });
    if (found.length > 0) return;
    await server.command(`CREATE DATABASE IF NOT EXISTS ${identifier(clickhouse.database)}${onCluster(clickhouse)}`, {
      signal,
    });
  } finally {
    await Promise.all([clickhouse.close(), server.close()]);
  }
}

/** Databases that are migrated automatically: those that this pipeline made or that are empty, all, or none. */
export type AutomaticMigration = Settings['automatic_migration'];

interface AutomaticOptions extends MigrateOptions {
  /** The setting. */
  readonly automatic: AutomaticMigration;
  /** Command that migrates this database by hand, as the user types it. */
  readonly remedy: string;
}

/** The database lacks migrations and must not be migrated automatically. The message names the command that migrates it. */
class MigrationRefusedError extends TableSchemaError {
  override name = 'MigrationRefusedError';
}

/**
 * Migrates a database if the setting `automatic_migration` allows it. Does nothing if no migration is missing. Otherwise throws
 * MigrationRefusedError and changes nothing, because a migration can break other programs: the Python pipeline cannot write to a migrated
 * database.
 */
export async function migrateAutomatically(
  clickhouse: ClickHouse,
  log: Logger,
  options: AutomaticOptions,
): Promise<number[]> {
  const { automatic, remedy, signal, migrations = MIGRATIONS } = options;
  await assertOneShard(clickhouse, signal);
  if (automatic !== 'always') {
    const tables = await findTables(clickhouse, { signal });
    const origin = originOf(tables);
    const allowed = automatic === 'own' && (origin === 'empty' || origin === 'own');
    if (!allowed) {
      const recorded = await recordedAmong(clickhouse, tables, signal);
      const missing = await missingMigrations(clickhouse, migrations, recorded, signal);
      if (missing.length === 0) return [];
      throw new MigrationRefusedError(
        `${clickhouse.name} lacks the ${missing.length === 1 ? 'migration' : 'migrations'} ${missing.map(({ number }) => number).join(', ')}, and ${REASON[origin]}. To migrate it, type: ${remedy} (--dry-run shows what it does; docs/moving-from-python.md)`,
      );
    }
  }
  return migrate(clickhouse, log, options);
}

/**
 * Creates the database if it is missing, and migrates it as `migrateAutomatically` does. Returns the numbers of the applied migrations. Throws
 * TableErrors.
 */
export async function prepareDatabase(
  clickhouse: ClickHouse,
  settings: Pick<Settings, 'clickhouse_url' | 'clickhouse_cluster' | 'automatic_migration'>,
  log: Logger,
  options: Omit<AutomaticOptions, 'automatic'>,
): Promise<number[]> {
  try {
    await clickhouse.probe(options.signal);
  } catch (error) {
    if (!(error instanceof TableSchemaError)) throw error;
    await ensureDatabase(settings, options.signal);
  }
  return migrateAutomatically(clickhouse, log, { ...options, automatic: settings.automatic_migration });
}

const REASON: Readonly<Record<DatabaseOrigin, string>> = {
  empty: 'automatic_migration is never',
  own: 'automatic_migration is never',
  python: 'the Python pipeline made it, and cannot write to it once it is migrated',
  other: 'it has tables that this pipeline did not make',
};

/**
 * Migrates the database to the version of this program. Applies the migrations that are not recorded, or whose tables were dropped, in order.
 * One process at a time migrates; the others wait. Records the rows that were lost with a dropped table, so that their buckets run again
 * (lost-tables.ts). Does not ask for permission (see migrateAutomatically). Does not change a database that is newer than the program,
 * because migrations only add. Returns the numbers of the applied migrations. Throws TableErrors.
 */
export async function migrate(clickhouse: ClickHouse, log: Logger, options: MigrateOptions = {}): Promise<number[]> {
  const { signal, migrations = MIGRATIONS, poll = 500 } = options;
  for (const [index, { number }] of migrations.entries()) {
    if (number !== index + 1) throw new TableSchemaError(`migration ${number} is at place ${index + 1} of the list`);
  }
  await assertOneShard(clickhouse, signal);
  await clickhouse.command(createTable(RECORDS, clickhouse), { signal });
  for (;;) {
    const recorded = await recordedMigrations(clickhouse, { signal });
    if ((await missingMigrations(clickhouse, migrations, recorded, signal)).length === 0) return [];
    const lock = await MigrationLock.acquire(clickhouse, options.lockExpiry ?? LOCK_EXPIRY, signal);
    if (!lock) {
      log.debug('another process migrates the database; waiting');
      await sleep(poll, undefined, { signal });
      continue;
    }
    try {
      return await applyAll({ clickhouse, lock, log, signal }, migrations);
    } finally {
      await lock.release();
    }
  }
}

interface MigrationTools {
  readonly clickhouse: ClickHouse;
  readonly lock: MigrationLock;
  readonly log: Logger;
  readonly signal: AbortSignal | undefined;
}

/** Applies the migrations that are missing, in order, while this process holds the lock. Returns their numbers. */
async function applyAll(
  { clickhouse, lock, log, signal }: MigrationTools,
  migrations: readonly Migration[],
): Promise<number[]> {
  const applied: number[] = [];
  const recorded = await recordedMigrations(clickhouse, { signal });
  for (const migration of await missingMigrations(clickhouse, migrations, recorded, signal)) {
    await lock.check();
    log.info(`migrating ${clickhouse.name}: ${migration.number} ${migration.name}`);
    // A migration that is not recorded creates its tables for the first time, unless the records were dropped as well.
    if (recorded.size === 0 || recorded.has(migration.number)) {
      await recordLostTables(clickhouse, migration, log, signal);
    }
    await migration.apply(clickhouse, log, signal, () => lock.check());
    await clickhouse.insert(RECORDS.name, [{ number: migration.number, name: migration.name }], { signal });
    applied.push(migration.number);
  }
  return applied;
}
