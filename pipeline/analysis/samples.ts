import { PIPELINE_RUNS } from '../tables/ledger-tables.ts';

/**
 * SQL of the condition that a row was written by a complete run without a filter by country. Only such rows show how many countries tried
 * something: those that a filter selects may be the very countries that block it, so that all of them fail although it is not down.
 */
export const OF_ALL_COUNTRIES = `(bucket_date, run_generation) IN (
    SELECT bucket, generation FROM ${PIPELINE_RUNS.name} WHERE stage = 'Observations' AND state = 'completed' AND empty(${PIPELINE_RUNS.name}.probe_cc))`;
