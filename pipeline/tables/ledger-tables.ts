import type { Table } from './schema.ts';

/**
 * The ledger records the runs, the objects that they read and their failures. Rows are never changed in place: a later row with the same
 * sorting key replaces the earlier one, so a statement of the ledger may run twice.
 */
const MONTH = 'concat(substring(bucket, 1, 4), substring(bucket, 6, 2))';

const COUNTS = [
  ['read', 'UInt64'],
  ['transformed', 'UInt64'],
  ['skipped', 'UInt64'],
  ['failed', 'UInt64'],
  ['unsupported', 'UInt64'],
] as const;

/**
 * One stage of one run. `revision` is the index of the state in RUN_STATES, so that a state never returns to an earlier one. `generation` is
 * the start of the run in milliseconds. `opened_at` and `recorded_at` are the server's times of its first and its latest record.
 */
export const PIPELINE_RUNS = {
  name: 'pipeline_runs',
  columns: [
    ['bucket', 'String'],
    ['filter', 'String'],
    ['probe_cc', 'Array(String)'],
    ['test_names', 'Array(String)'],
    ['stage', 'LowCardinality(String)'],
    ['generation', 'UInt64'],
    ['state', 'LowCardinality(String)'],
    ['revision', 'UInt8'],
    ['files', 'UInt64'],
    ['bytes', 'UInt64'],
    ...COUNTS,
    ['rows', 'Map(String, UInt64)'],
    ['rows_stored', 'Map(String, UInt64)'],
    ['reason', 'LowCardinality(String)'],
    ['message', 'String'],
    ['workflow_id', 'String'],
    ['run_id', 'String'],
    ['backfill', 'String'],
    ['code_version', 'LowCardinality(String)'],
    ['reference_versions', 'Map(String, String)'],
    ['opened_at', "DateTime64(3, 'UTC')"],
    ['recorded_at', "DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')"],
  ],
  engine: 'ReplacingMergeTree(revision)',
  orderBy: ['bucket', 'stage', 'filter', 'generation'],
} as const satisfies Table;

/** One object of the archive that one run has read. */
export const PIPELINE_FILES = {
  name: 'pipeline_files',
  columns: [
    ['bucket', 'String'],
    ['key', 'String'],
    ['generation', 'UInt64'],
    ['filter', 'LowCardinality(String)'],
    ['size', 'UInt64'],
    ['etag', 'String'],
    ['state', 'LowCardinality(String)'],
    ['message', 'String'],
    ['decompressed', 'UInt64'],
    ...COUNTS,
    ['rows', 'Map(String, UInt64)'],
    ['strays', 'Array(String)'],
    ['recorded_at', "DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')"],
  ],
  engine: 'ReplacingMergeTree(recorded_at)',
  partitionBy: MONTH,
  orderBy: ['bucket', 'key', 'generation', 'filter'],
} as const satisfies Table;

/** One measurement, or one of its rows, that is not in the tables, and the reason. */
export const PIPELINE_FAILURES = {
  name: 'pipeline_failures',
  columns: [
    ['bucket', 'String'],
    ['key', 'String'],
    ['line', 'UInt32'],
    ['generation', 'UInt64'],
    ['stage', 'LowCardinality(String)'],
    ['table', 'LowCardinality(String)'],
    ['row', 'UInt32'],
    ['measurement_uid', 'String'],
    ['test_name', 'LowCardinality(String)'],
    ['class', 'LowCardinality(String)'],
    ['message', 'String'],
    ['recorded_at', "DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')"],
  ],
  engine: 'ReplacingMergeTree(recorded_at)',
  partitionBy: MONTH,
  orderBy: ['bucket', 'key', 'line', 'generation', 'stage', 'table', 'row'],
} as const satisfies Table;

export const LEDGER_TABLES = [PIPELINE_RUNS, PIPELINE_FILES, PIPELINE_FAILURES] as const;
