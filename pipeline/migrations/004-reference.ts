import { createTable, onCluster } from '../tables/ddl.ts';
import { ensureTable } from '../tables/ensure.ts';
import { REFERENCE_TABLES, REFERENCE_VERSIONS } from '../tables/reference-tables.ts';
import { ANALYSIS_WEB_MEASUREMENT, MEASUREMENT_EXPERIMENT_RESULT } from '../tables/schema.ts';
import type { Migration } from './migration.ts';

/**
 * Reference data; tables the Python pipeline left are used as they are until the next load replaces them. And an index by measurement time
 * on what the analysis fills, which is sorted by uid but replaced and read by day: uids mostly grow with time, so that a day
 * lies in few granules. Rows from before are indexed as they merge.
 */
export default {
  number: 4,
  name: 'reference',
  async apply(clickhouse, log, signal) {
    for (const table of REFERENCE_TABLES) await clickhouse.command(createTable(table, clickhouse), { signal });
    await ensureTable(clickhouse, REFERENCE_VERSIONS, log, signal);
    for (const { name } of [ANALYSIS_WEB_MEASUREMENT, MEASUREMENT_EXPERIMENT_RESULT]) {
      await clickhouse.command(
        `ALTER TABLE ${name}${onCluster(clickhouse)} ADD INDEX IF NOT EXISTS measurement_start_time_minmax measurement_start_time TYPE minmax GRANULARITY 1`,
        { signal },
      );
    }
  },
} satisfies Migration;
