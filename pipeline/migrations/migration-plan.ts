import { ClickHouse } from '../tables/clickhouse.ts';
import { parseClickHouseUrl } from '../tables/clickhouse-url.ts';
import { TableSchemaError } from '../tables/errors.ts';
import type { Logger } from '../telemetry/log.ts';
import { missingMigrations } from './lost-tables.ts';
import type { Migration, PlannedChange } from './migration.ts';
import { type DatabaseOrigin, type FoundTable, findTables, originOf, recordedAmong } from './migration-origin.ts';
import { MIGRATIONS } from './migrations.ts';

/** A migration that is not applied, and the changes that it would make to the current database. */
export interface PendingMigration extends PlannedChange {
  readonly number: number;
  readonly name: string;
}

export interface MigrationPlan {
  readonly origin: DatabaseOrigin;
  readonly pending: readonly PendingMigration[];
}

/**
 * Plans the migrations of a database without changing it. Statements of a migration that depend on tables of an earlier pending migration are
 * planned for the current database. Throws TableErrors.
 */
export async function planMigrations(
  settings: { readonly clickhouse_url: string; readonly clickhouse_cluster?: string },
  log: Logger,
  options: { readonly signal?: AbortSignal; readonly migrations?: readonly Migration[] } = {},
): Promise<MigrationPlan> {
  const { signal, migrations = MIGRATIONS } = options;
  const recorder = new Recorder(settings);
  try {
    const tables = await findTables(recorder, { signal });
    const recorded = await recordedAmong(recorder, tables, signal);
    const pending: PendingMigration[] = [];
    const context = { recorder, tables, log, ...(signal && { signal }) };
    for (const migration of await missingMigrations(recorder, migrations, recorded, signal)) {
      const { number, name } = migration;
      pending.push({ number, name, ...(await planOne(migration, context)) });
    }
    return { origin: originOf(tables), pending };
  } finally {
    await recorder.close();
  }
}

/** The database for which migrations are planned. */
interface PlanContext {
  readonly recorder: Recorder;
  readonly tables: readonly FoundTable[];
  readonly log: Logger;
  readonly signal?: AbortSignal;
}

async function planOne(migration: Migration, { recorder, tables, log, signal }: PlanContext): Promise<PlannedChange> {
  if (migration.plan) return migration.plan(recorder, signal);
  await migration.apply(recorder, log, signal);
  const statements = recorder.take();
  return { statements, changes: statements.flatMap(statement => changeOf(statement, tables)) };
}

/** A connection that reads, and that records statements instead of changing anything. */
class Recorder extends ClickHouse {
  #statements: string[] = [];

  constructor(settings: { readonly clickhouse_url: string; readonly clickhouse_cluster?: string }) {
    super(parseClickHouseUrl(settings.clickhouse_url), settings.clickhouse_cluster ?? '');
  }

  /** Returns the statements since the last call. */
  take(): string[] {
    return this.#statements.splice(0);
  }

  override async command(sql: string): Promise<void> {
    this.#statements.push(sql);
  }

  override async commandOnce(sql: string): Promise<undefined> {
    this.#statements.push(sql);
    return undefined;
  }

  override async insert(table: string): Promise<void> {
    throw new TableSchemaError(`a migration inserts into ${table} and has no plan`);
  }

  override async insertBytes(sql: string): Promise<void> {
    this.#statements.push(sql);
  }
}

/** Describes the change of a statement in a sentence; empty if the change is already made. */
function changeOf(statement: string, tables: readonly FoundTable[]): string[] {
  const present = (name: string) => tables.find(table => table.name === name);
  const created = /^CREATE TABLE IF NOT EXISTS `?(\w+)`?/.exec(statement)?.[1];
  if (created) return present(created) ? [] : [`create the table ${created}`];
  const view = /^CREATE OR REPLACE VIEW `?(\w+)`?/.exec(statement)?.[1];
  if (view) return [`${present(view) ? 'replace' : 'create'} the view ${view}`];
  const altered = /^ALTER TABLE `?(\w+)`?/.exec(statement)?.[1];
  if (!altered) return [statement.split('\n')[0]!];
  const names = (action: string) =>
    [...statement.matchAll(new RegExp(`${action} \`?(\\w+)\`?`, 'g'))].map(match => match[1]!);
  const added = names('ADD COLUMN IF NOT EXISTS');
  const renamed = names('RENAME COLUMN IF EXISTS');
  const indexes = names('ADD INDEX IF NOT EXISTS');
  const sentences = [
    ...(added.length > 0 ? [`add ${added.join(', ')} to ${altered}`] : []),
    ...(renamed.length > 0 ? [`rename ${renamed.join(', ')} of ${altered}`] : []),
    ...(indexes.length > 0 ? [`add the index ${indexes.join(', ')} to ${altered}`] : []),
  ];
  return sentences.length > 0 ? sentences : [statement.split('\n')[0]!];
}
