import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';

/** Creates the tables of the Python pipeline in a database. */
export async function makePythonTables(clickhouse: ClickHouse): Promise<void> {
  const sql = readFileSync(join(import.meta.dirname, '../fixtures/python/tables.sql'), 'utf8');
  for (const statement of sql.split(';\n').map(each => each.replace(/^--.*$/gm, '').trim())) {
    if (statement) await clickhouse.command(statement);
  }
}
