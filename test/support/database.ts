import { randomBytes } from 'node:crypto';
import { createLogger } from '../../pipeline/log.ts';
import { type ClickHouse, openClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { ensureDatabase, migrate } from '../../pipeline/tables/migrate.ts';

export const silent = createLogger('test', {
  log_level: process.env.TEST_LOG === 'debug' ? 'debug' : 'fatal',
  log_format: 'json',
});

/** A database of its own on the test server: its clickhouse_url, and a client for it. `migrated: false` leaves it without tables. */
export async function makeDatabase(
  clickhouseUrl: string,
  prefix: string,
  options: { migrated?: boolean } = {},
): Promise<{ url: string; clickhouse: ClickHouse }> {
  const url = `${clickhouseUrl}/${prefix}_${randomBytes(4).toString('hex')}`;
  await ensureDatabase({ clickhouse_url: url });
  const clickhouse = openClickHouse({ clickhouse_url: url });
  if (options.migrated !== false) await migrate(clickhouse, silent);
  return { url, clickhouse };
}
