import { VIEWS } from '../pipeline/analysis/views.ts';
import { counted } from '../pipeline/counts.ts';
import { migrateAutomatically } from '../pipeline/migrations/migrate.ts';
import { findTables, originOf, RECORDS_TABLE } from '../pipeline/migrations/migration-origin.ts';
import { TABLES_OF_RUNS } from '../pipeline/tables/all-tables.ts';
import type { ClickHouse } from '../pipeline/tables/clickhouse.ts';
import { identifier } from '../pipeline/tables/clickhouse.ts';
import { onCluster } from '../pipeline/tables/ddl.ts';
import { TableSchemaError } from '../pipeline/tables/errors.ts';
import type { Logger } from '../pipeline/telemetry/log.ts';
import type { OpenedClickHouse } from './clickhouse.ts';
import { migrateCommandLine } from './commands/migrate.ts';
import { confirmed } from './confirmation.ts';

/** Reference data stay: a run needs them. */
const DROPPED = TABLES_OF_RUNS.map(({ name }) => name);

/** A table that would be dropped, or was. */
export interface DroppedTable {
  readonly table: string;
  readonly rows: number;
}

/**
 * Returns the tables that `--drop-tables` drops, with their rows. Throws TableSchemaError for a database that this pipeline did not make,
 * because other programs may use it.
 */
async function tablesToDrop(clickhouse: ClickHouse): Promise<DroppedTable[]> {
  const found = await findTables(clickhouse);
  const origin = originOf(found);
  if (origin === 'python' || origin === 'other') {
    throw new TableSchemaError(
      `${clickhouse.name} has tables that this pipeline did not make, so none is dropped; give this pipeline its own database`,
    );
  }
  return clickhouse.select<DroppedTable>(
    'SELECT name AS table, ifNull(total_rows, 0) AS rows FROM system.tables WHERE database = currentDatabase() AND name IN {names:Array(String)} ORDER BY name',
    { params: { names: DROPPED } },
  );
}

/** Drops the tables with rows of measurements, the ledger and the views on them. The migrations make them again. */
export async function dropTables(clickhouse: ClickHouse): Promise<void> {
  for (const { name } of VIEWS) {
    await clickhouse.command(`DROP VIEW IF EXISTS ${identifier(name)}${onCluster(clickhouse)} SYNC`);
  }
  // Every migration is then pending, also after a crash in between. The table of the records stays: it marks the database as this pipeline's.
  await clickhouse.command(`TRUNCATE TABLE IF EXISTS ${identifier(RECORDS_TABLE)}${onCluster(clickhouse)}`);
  for (const table of DROPPED) {
    await clickhouse.command(`DROP TABLE IF EXISTS ${identifier(table)}${onCluster(clickhouse)} SYNC`);
  }
}

export interface TableOptions {
  readonly createTables?: boolean;
  readonly dropTables?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

/**
 * Drops and creates tables as the options say, after a confirmation. Returns false if the user did not confirm; then nothing was changed.
 *
 * @param command name of the command with its program, for messages
 */
export async function prepareTables(
  command: string,
  opened: OpenedClickHouse,
  options: TableOptions & { readonly clickhouse?: string },
  log: Logger,
): Promise<boolean> {
  const { clickhouse, settings, name, alone } = opened;
  if (options.dropTables) {
    const tables = await tablesToDrop(clickhouse);
    for (const { table, rows } of tables) {
      console.error(`${options.dryRun ? 'would drop' : 'drops'} ${table}, ${counted(Number(rows), 'row')}`);
    }
    if (options.dryRun) return true;
    if (tables.length > 0) {
      const question = `Drop ${tables.length} tables of ${name} with all their rows?`;
      if (!(await confirmed(command, question, options))) return false;
      await dropTables(clickhouse);
    }
  }
  if (options.createTables && !options.dryRun) {
    const remedy = migrateCommandLine(options.clickhouse);
    const lock = alone ? { lockExpiry: 0 } : {};
    await migrateAutomatically(clickhouse, log, { automatic: settings.automatic_migration, remedy, ...lock });
    console.error(`the tables of ${name} exist`);
  }
  return true;
}
