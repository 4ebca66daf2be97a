import { type ClickHouse, identifier, quote } from '../tables/clickhouse.ts';
import { literals } from '../tables/ddl.ts';
import { ANALYSIS_WEB_MEASUREMENT, MEASUREMENT_EXPERIMENT_RESULT, OBS_WEB } from '../tables/schema.ts';
import type { RunKey } from './ledger.ts';
import { overlappingBuckets } from './replaced-rows.ts';

/**
 * Deletes the verdicts of measurements whose last rows are about to be deleted, so that no verdict is left without rows. Call it before the
 * rows are deleted: afterwards these verdicts cannot be found. May be repeated.
 *
 * @param leaving condition on the rows of obs_web that are about to be deleted
 */
export async function deleteVerdictsOf(
  clickhouse: ClickHouse,
  run: RunKey,
  leaving: string,
  signal?: AbortSignal,
): Promise<void> {
  const rows = `FROM ${OBS_WEB.name} WHERE bucket_date IN ${literals(overlappingBuckets(run.bucket))}`;
  const last = `${rows} AND (${leaving}) AND measurement_uid NOT IN (SELECT measurement_uid ${rows} AND NOT (${leaving}))`;
  const [found] = await clickhouse.select<{ n: number }>(`SELECT count() AS n ${last}`, { signal });
  if (!found?.n) return;
  // A measurement that was uploaded twice may have rows in another bucket. The start time finds them through the sorting key.
  const elsewhere = `SELECT measurement_uid FROM ${OBS_WEB.name} WHERE measurement_start_time IN (SELECT measurement_start_time ${last}) AND NOT (${leaving})`;
  const condition = `measurement_uid IN (SELECT measurement_uid ${last}) AND measurement_uid NOT IN (${elsewhere})`;
  for (const { name } of [MEASUREMENT_EXPERIMENT_RESULT, ANALYSIS_WEB_MEASUREMENT]) {
    const table = identifier(name);
    // A delete without a partition reads every part of the table.
    const partitions = await clickhouse.select<{ id: string }>(
      `SELECT DISTINCT _partition_id AS id FROM ${table} WHERE ${condition}`,
      { signal },
    );
    for (const { id } of partitions) {
      await clickhouse.mutate(`${table} IN PARTITION ID ${quote(id)}`, condition, {
        // Replicated tables treat subqueries as nondeterministic. The rows that these subqueries read do not change during the delete.
        settings: { allow_nondeterministic_mutations: 1 },
        signal,
      });
    }
  }
}
