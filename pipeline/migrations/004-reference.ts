import { createTable, onCluster } from '../tables/ddl.ts';
import { ensureTable } from '../tables/ensure.ts';
import { REFERENCE_TABLES, REFERENCE_VERSIONS } from '../tables/reference-tables.ts';
import { ANALYSIS_WEB_MEASUREMENT, MEASUREMENT_EXPERIMENT_RESULT } from '../tables/schema.ts';
import type { Migration } from './migration.ts';

/**
 * Creates the tables of reference data. Existing tables of the Python pipeline are used as they are until the next load replaces them. It also
 * adds an index by measurement time to the tables that the analysis fills. They are sorted by uid but replaced and read by day; uids mostly
 * grow with time, so a day is in few granules. Merges write the index for existing rows.
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
