import { VERDICT_VIEWS } from '../analysis/views.ts';
import { identifier } from '../tables/clickhouse.ts';
import { onCluster } from '../tables/ddl.ts';
import { ensureTable, ensureViews } from '../tables/ensure.ts';
import { ANALYSIS_WEB_MEASUREMENT, MEASUREMENT_EXPERIMENT_RESULT } from '../tables/schema.ts';
import type { Migration } from './migration.ts';

/**
 * Adds the outcome of each verdict and of each of its hosts as a word, and creates the views again to use it. `loni_ok_value` becomes nullable:
 * it is null if nothing was judged.
 */
export default {
  number: 8,
  name: 'outcomes',
  async apply(clickhouse, log, signal) {
    await ensureTable(clickhouse, ANALYSIS_WEB_MEASUREMENT, log, signal);
    await clickhouse.command(
      `ALTER TABLE ${identifier(MEASUREMENT_EXPERIMENT_RESULT.name)}${onCluster(clickhouse)} MODIFY COLUMN loni_ok_value Nullable(Float64)`,
      { signal },
    );
    await ensureViews(clickhouse, VERDICT_VIEWS, signal);
  },
} satisfies Migration;
