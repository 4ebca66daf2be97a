import { LEDGER_TABLES } from './ledger-tables.ts';
import { REFERENCE_TABLES, REFERENCE_VERSIONS } from './reference-tables.ts';
import { ANALYSIS_WEB_MEASUREMENT, MEASUREMENT_EXPERIMENT_RESULT, OBSERVATION_TABLES, type Table } from './schema.ts';
import { PIPELINE_UIDS } from './uids.ts';

/** The tables with rows of measurements, and the ledger that counts them. */
export const TABLES_OF_RUNS: readonly Table[] = [
  ...OBSERVATION_TABLES,
  ANALYSIS_WEB_MEASUREMENT,
  MEASUREMENT_EXPERIMENT_RESULT,
  ...LEDGER_TABLES,
  PIPELINE_UIDS,
];

/** The tables that the migrations make. */
export const ALL_TABLES: readonly Table[] = [...TABLES_OF_RUNS, ...REFERENCE_TABLES, REFERENCE_VERSIONS];
