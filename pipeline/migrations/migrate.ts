import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';
import type { Settings } from '../settings.ts';
import { type ClickHouse, identifier, openClickHouse } from '../tables/clickhouse.ts';
import { assertOneShard } from '../tables/cluster.ts';
import { createTable, engineFor, onCluster } from '../tables/ddl.ts';
import { TableSchemaError } from '../tables/errors.ts';
import type { Table } from '../tables/schema.ts';
import { migrationsWithoutTables, recordLostTables } from './lost-tables.ts';
import type { Migration } from './migration.ts';
import {
  type DatabaseOrigin,
  findTables,
  isRecorded,
  originOf,
  RECORDS_TABLE,
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
const LOCK_RENEWAL = 10_000;
const LOCK_PATTERN = /^pipeline_migrating_(\d+)$/;

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
      const recorded = isRecorded(tables) ? await recordedMigrations(clickhouse, { signal }) : new Set<number>();
      const missing = await missingAmong(clickhouse, migrations, recorded, signal);
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
    if ((await missingAmong(clickhouse, migrations, recorded, signal)).length === 0) return [];
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
  for (const migration of await missingAmong(clickhouse, migrations, recorded, signal)) {
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

/** Returns the migrations that are not recorded, or whose tables were dropped. */
async function missingAmong(
  clickhouse: ClickHouse,
  migrations: readonly Migration[],
  recorded: ReadonlySet<number>,
  signal?: AbortSignal,
): Promise<readonly Migration[]> {
  const lost = await migrationsWithoutTables(clickhouse, migrations, signal);
  return migrations.filter(migration => !recorded.has(migration.number) || lost.has(migration));
}

/**
 * A lock that relies on an atomic operation of ClickHouse: of two `CREATE TABLE` with one name, one fails. The tables are numbered
 * (`pipeline_migrating_1`, `_2`, ...) and the highest is the lock. Its holder writes a row every ten seconds. If the holder has not written
 * for a minute, by the server's clock, the process that creates the next number becomes the new holder. So no process has to drop a lock that
 * may already have a new holder.
 */
class MigrationLock {
  readonly #clickhouse: ClickHouse;
  readonly #number: number;
  readonly #renewal: NodeJS.Timeout;
  readonly #token = randomUUID();

  private constructor(clickhouse: ClickHouse, number: number) {
    this.#clickhouse = clickhouse;
    this.#number = number;
    // The next renewal makes up for a failed one. If all fail, check() reports that the lock is lost.
    this.#renewal = setInterval(() => void this.#renew().catch(() => {}), LOCK_RENEWAL).unref();
  }

  /** Takes the lock; undefined while another process holds it. */
  static async acquire(
    clickhouse: ClickHouse,
    expiry: number,
    signal?: AbortSignal,
  ): Promise<MigrationLock | undefined> {
    const highest = await MigrationLock.#highest(clickhouse, signal);
    if (highest && (await MigrationLock.#silence(clickhouse, highest, signal)) < expiry) return undefined;
    const number = (highest ?? 0) + 1;
    try {
      // Without IF NOT EXISTS, so that it fails if the lock is taken. A lost answer looks like another holder's lock and expires in the same way.
      await clickhouse.command(
        `CREATE TABLE ${lockTable(number)}${onCluster(clickhouse)} (token String, at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')) ENGINE = ${engineFor('MergeTree', clickhouse)} ORDER BY at`,
        { signal },
      );
    } catch (error) {
      if (error instanceof TableSchemaError && error.code === 57) return undefined;
      throw error;
    }
    const lock = new MigrationLock(clickhouse, number);
    await lock.#renew();
    return lock;
  }

  /** Throws if another process took over the lock. */
  async check(): Promise<void> {
    if ((await MigrationLock.#highest(this.#clickhouse)) !== this.#number) {
      throw new TableSchemaError('another process took over the migration; start again');
    }
  }

  async release(): Promise<void> {
    clearInterval(this.#renewal);
    // Lowest first: the lock is held as long as the highest exists.
    for (const number of (await MigrationLock.#numbers(this.#clickhouse)).filter(each => each <= this.#number)) {
      await this.#clickhouse.command(`DROP TABLE IF EXISTS ${lockTable(number)}${onCluster(this.#clickhouse)} SYNC`);
    }
  }

  async #renew(): Promise<void> {
    await this.#clickhouse.insert(`pipeline_migrating_${this.#number}`, [{ token: this.#token }]);
  }

  static async #numbers(clickhouse: ClickHouse, signal?: AbortSignal): Promise<number[]> {
    const rows = await clickhouse.select<{ name: string }>(
      "SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'pipeline_migrating_')",
      { signal },
    );
    return rows
      .flatMap(row => LOCK_PATTERN.exec(row.name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  }

  static async #highest(clickhouse: ClickHouse, signal?: AbortSignal): Promise<number | undefined> {
    return (await MigrationLock.#numbers(clickhouse, signal)).at(-1);
  }

  /** Seconds since the last renewal. A lock that vanishes during the query counts as just renewed, so the caller tries again. */
  static async #silence(clickhouse: ClickHouse, number: number, signal?: AbortSignal): Promise<number> {
    const name = `pipeline_migrating_${number}`;
    try {
      const [row] = await clickhouse.select<{ silence: number }>(
        `SELECT date_diff('millisecond', greatest(
             (SELECT max(at) FROM ${lockTable(number)}),
             (SELECT toDateTime64(max(metadata_modification_time), 3, 'UTC') FROM system.tables WHERE database = currentDatabase() AND name = {name:String})
           ), now64(3, 'UTC')) / 1000 AS silence`,
        { params: { name }, signal },
      );
      return row?.silence ?? 0;
    } catch (error) {
      if (error instanceof TableSchemaError) return 0;
      throw error;
    }
  }
}

function lockTable(number: number): string {
  return identifier(`pipeline_migrating_${number}`);
}
