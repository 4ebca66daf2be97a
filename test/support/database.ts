import { randomBytes } from 'node:crypto';
import { RUN_STATES } from '../../pipeline/ledger/ledger.ts';
import { ensureDatabase, migrate } from '../../pipeline/migrations/migrate.ts';
import { type ClickHouse, identifier, openClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { PIPELINE_RUNS } from '../../pipeline/tables/ledger-tables.ts';
import { createLogger } from '../../pipeline/telemetry/log.ts';

export const silent = createLogger('test', {
  log_level: process.env.TEST_LOG === 'debug' ? 'debug' : 'fatal',
  log_format: 'json',
});

/** Databases that `makeDatabase` created, with the server's URL. */
const made: { url: string; database: string }[] = [];

/** Creates a new database on the test server. Returns its clickhouse_url and a client for it. `migrated: false` leaves it without tables. */
export async function makeDatabase(
  clickhouseUrl: string,
  prefix: string,
  options: { migrated?: boolean } = {},
): Promise<{ url: string; clickhouse: ClickHouse }> {
  const database = `${prefix}_${randomBytes(4).toString('hex')}`;
  const url = `${clickhouseUrl}/${database}`;
  made.push({ url: clickhouseUrl, database });
  await ensureDatabase({ clickhouse_url: url });
  const clickhouse = openClickHouse({ clickhouse_url: url });
  if (options.migrated !== false) await migrate(clickhouse, silent);
  return { url, clickhouse };
}

/** Records a complete run over a bucket, as the ledger has it before an analysis. A filter by country, if any, is in `probe_cc`. */
export async function recordCompleteRun(
  clickhouse: ClickHouse,
  run: { readonly bucket: string; readonly generation: number; readonly probe_cc?: readonly string[] },
): Promise<void> {
  const state = { stage: 'Observations', state: 'completed', revision: RUN_STATES.indexOf('completed') + 1 };
  await clickhouse.insert(PIPELINE_RUNS.name, [{ ...run, ...state }]);
}

/** Drops the databases of `makeDatabase`. ClickHouse maintains every table, used or not, and a thousand of them keep it busy. */
export async function dropDatabases(): Promise<void> {
  for (const { url, database } of made.splice(0)) {
    const server = openClickHouse({ clickhouse_url: url }, { database: 'default' });
    await server.command(`DROP DATABASE IF EXISTS ${identifier(database)}`);
    await server.close();
  }
}
