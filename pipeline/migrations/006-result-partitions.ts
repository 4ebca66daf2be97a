import { ANALYSIS_WEB_MEASUREMENT, MEASUREMENT_EXPERIMENT_RESULT } from '../tables/schema.ts';
import { materialiseIndex, planIndex } from './indexes.ts';
import type { Migration } from './migration.ts';
import { planRepartition, repartition } from './repartition.ts';

const INDEXES = [ANALYSIS_WEB_MEASUREMENT, MEASUREMENT_EXPERIMENT_RESULT].map(({ name }) => ({
  table: name,
  index: 'measurement_start_time_minmax',
}));

/**
 * Gives `measurement_experiment_result` the partitions of `analysis_web_measurement`, so that a delete of one month does not wait for merges of
 * all months. It also writes the index of migration 4 for the rows that existed before it.
 */
export default {
  number: 6,
  name: 'result-partitions',
  async apply(clickhouse, log, signal, guard) {
    await repartition(clickhouse, MEASUREMENT_EXPERIMENT_RESULT, log, { signal, guard });
    for (const index of INDEXES) await materialiseIndex(clickhouse, index, log, signal);
  },
  async plan(clickhouse, signal) {
    const plans = [await planRepartition(clickhouse, MEASUREMENT_EXPERIMENT_RESULT, signal)];
    for (const index of INDEXES) plans.push(await planIndex(clickhouse, index, signal));
    return {
      changes: plans.flatMap(({ changes }) => changes),
      statements: plans.flatMap(({ statements }) => statements),
    };
  },
} satisfies Migration;
