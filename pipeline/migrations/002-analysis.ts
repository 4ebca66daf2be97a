import { identifier } from '../tables/clickhouse.ts';
import { onCluster } from '../tables/ddl.ts';
import { columnsOf, ensureTable } from '../tables/ensure.ts';
import { ANALYSIS_WEB_MEASUREMENT, MEASUREMENT_EXPERIMENT_RESULT } from '../tables/schema.ts';
import type { Migration } from './migration.ts';

/**
 * Creates the tables of the analysis stage. In 2024 the scores of `analysis_web_measurement` were named `dns_blocked_max` and so on
 * (tables.md section 5); the migration renames them to the names that people query today.
 */
export default {
  number: 2,
  name: 'analysis',
  async apply(clickhouse, log, signal) {
    const { name } = ANALYSIS_WEB_MEASUREMENT;
    const present = await columnsOf(clickhouse, name, signal);
    const renames = present
      .filter(column => /^(dns|tcp|tls)_(blocked|down|ok)_max$/.test(column) && !present.includes(column.slice(0, -4)))
      .map(column => `RENAME COLUMN IF EXISTS ${identifier(column)} TO ${identifier(column.slice(0, -4))}`);
    if (renames.length > 0) {
      log.info(`${name} has the columns of 2024; renaming ${renames.length} of them`);
      await clickhouse.command(`ALTER TABLE ${identifier(name)}${onCluster(clickhouse)} ${renames.join(', ')}`, {
        signal,
      });
    }
    await ensureTable(clickhouse, ANALYSIS_WEB_MEASUREMENT, log, signal);
    await ensureTable(clickhouse, MEASUREMENT_EXPERIMENT_RESULT, log, signal);
  },
} satisfies Migration;
