import type { Counts } from '../counts.ts';
import { type ClickHouse, identifier, quote } from '../tables/clickhouse.ts';
import { literals } from '../tables/ddl.ts';
import { PIPELINE_FAILURES, PIPELINE_FILES, PIPELINE_RUNS } from '../tables/ledger-tables.ts';
import { OBSERVATION_TABLES, type ObservationTable } from '../tables/schema.ts';
import { keyOf } from './finalize-rows.ts';
import type { RunState } from './ledger.ts';
import { overlappingBuckets } from './replaced-rows.ts';

/** One Observations run as the ledger records it. */
export interface RunAudit {
  readonly bucket: string;
  readonly generation: number;
  readonly state: RunState;
  readonly reason: string;
  readonly message: string;
  readonly counts: Counts;
  readonly codeVersion: string;
}

/** One object that a run has read. `counts.bytes` is the size of the object. */
export interface FileAudit {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
  readonly counts: Counts;
}

/** Failures that pipeline_failures records for one key. */
export interface FailureAudit {
  /** Number of failed measurements. */
  readonly failed: number;
  /** Number of records about the object itself: it is truncated, or its key cannot be parsed. */
  readonly object: number;
}

/** Rows of one generation in one bucket of a table. */
export interface RowsAudit {
  readonly table: ObservationTable;
  readonly bucket: string;
  readonly generation: number;
  readonly rows: number;
  /** Number of different sorting keys among the rows. */
  readonly distinct: number;
}

const COUNTS = 'read, transformed, skipped, failed, unsupported, rows';

interface CountColumns {
  readonly read: number;
  readonly transformed: number;
  readonly skipped: number;
  readonly failed: number;
  readonly unsupported: number;
  readonly rows: Record<string, number>;
}

function countsOf(row: CountColumns, files: number, bytes: number): Counts {
  const { read, transformed, skipped, failed, unsupported, rows } = row;
  return { files, bytes, read, transformed, skipped, failed, unsupported, rows };
}

/** Returns the runs of the given buckets under one filter, newest first. */
export async function auditRuns(
  clickhouse: ClickHouse,
  buckets: readonly string[],
  filterID: string,
  signal?: AbortSignal,
): Promise<RunAudit[]> {
  type Row = CountColumns & Omit<RunAudit, 'counts' | 'codeVersion'> & { files: number; bytes: number; code: string };
  const rows = await clickhouse.select<Row>(
    `SELECT bucket, generation, state, reason, message, files, bytes, ${COUNTS}, code_version AS code
     FROM ${PIPELINE_RUNS.name} FINAL
     WHERE stage = 'Observations' AND bucket IN {buckets:Array(String)} AND filter = {filterID:String}
     ORDER BY generation DESC`,
    { params: { buckets, filterID }, signal },
  );
  return rows.map(row => ({
    bucket: row.bucket,
    generation: row.generation,
    state: row.state,
    reason: row.reason,
    message: row.message,
    counts: countsOf(row, row.files, row.bytes),
    codeVersion: row.code,
  }));
}

/** Returns the buckets that have runs under a filter in the ledger, oldest first. */
export async function auditedBuckets(
  clickhouse: ClickHouse,
  filterID: string,
  signal?: AbortSignal,
): Promise<string[]> {
  const rows = await clickhouse.select<{ bucket: string }>(
    `SELECT DISTINCT bucket FROM ${PIPELINE_RUNS.name} WHERE stage = 'Observations' AND filter = {filterID:String} ORDER BY bucket`,
    { params: { filterID }, signal },
  );
  return rows.map(({ bucket }) => bucket);
}

/** Returns the objects that a run has read, by key. */
export async function auditFiles(
  clickhouse: ClickHouse,
  run: Pick<RunAudit, 'bucket' | 'generation'>,
  filterID: string,
  signal?: AbortSignal,
): Promise<Map<string, FileAudit>> {
  const rows = await clickhouse.select<CountColumns & Pick<FileAudit, 'key' | 'size' | 'etag'>>(
    `SELECT key, size, etag, ${COUNTS} FROM ${PIPELINE_FILES.name} FINAL
     WHERE bucket = {bucket:String} AND generation = {generation:UInt64} AND filter = {filterID:String}`,
    { params: { ...run, filterID }, signal },
  );
  return new Map(
    rows.map(row => [row.key, { key: row.key, size: row.size, etag: row.etag, counts: countsOf(row, 1, row.size) }]),
  );
}

/** Returns the failures that a run recorded, by key. */
export async function auditFailures(
  clickhouse: ClickHouse,
  run: Pick<RunAudit, 'bucket' | 'generation'>,
  signal?: AbortSignal,
): Promise<Map<string, FailureAudit>> {
  const rows = await clickhouse.select<FailureAudit & { key: string }>(
    `SELECT key, uniqExactIf(line, line > 0) AS failed, countIf(line = 0) AS object FROM ${PIPELINE_FAILURES.name} FINAL
     WHERE bucket = {bucket:String} AND generation = {generation:UInt64} GROUP BY key`,
    { params: { ...run }, signal },
  );
  return new Map(rows.map(({ key, failed, object }) => [key, { failed, object }]));
}

/** Counts the rows of a bucket and of the buckets that overlap it, by table, bucket and generation. */
export async function auditRows(clickhouse: ClickHouse, bucket: string, signal?: AbortSignal): Promise<RowsAudit[]> {
  const buckets = literals(overlappingBuckets(bucket));
  const queries = OBSERVATION_TABLES.map(
    table =>
      `SELECT ${quote(table.name)} AS table, bucket_date AS bucket, run_generation AS generation, count() AS rows,
              uniqExact(sipHash128(${keyOf(table)})) AS distinct
       FROM ${identifier(table.name)} WHERE bucket_date IN ${buckets} GROUP BY bucket, generation`,
  );
  return clickhouse.select<RowsAudit>(queries.join(' UNION ALL '), { signal });
}

/** Counts the measurements that have rows of a run and also rows of another generation, by table. Tables without any are left out. */
export async function auditRepetitions(
  clickhouse: ClickHouse,
  run: Pick<RunAudit, 'bucket' | 'generation'>,
  signal?: AbortSignal,
): Promise<{ table: ObservationTable; measurements: number; example: string }[]> {
  const buckets = literals(overlappingBuckets(run.bucket));
  const queries = OBSERVATION_TABLES.map(
    ({ name }) =>
      `SELECT ${quote(name)} AS table, count() AS measurements, any(measurement_uid) AS example FROM (
         SELECT measurement_uid FROM ${identifier(name)} WHERE bucket_date IN ${buckets}
         GROUP BY measurement_uid
         HAVING max(bucket_date = ${quote(run.bucket)} AND run_generation = ${run.generation}) AND uniqExact(run_generation) > 1
       )`,
  );
  const rows = await clickhouse.select<{ table: ObservationTable; measurements: number; example: string }>(
    queries.join(' UNION ALL '),
    { signal },
  );
  return rows.filter(({ measurements }) => measurements > 0);
}

/** Counts the rows of each measurement that have the run's generation or a newer one, in the run's bucket and those that overlap it. */
export async function auditMeasurements(
  clickhouse: ClickHouse,
  table: (typeof OBSERVATION_TABLES)[number],
  run: Pick<RunAudit, 'bucket' | 'generation'> & { readonly uids: readonly string[] },
  signal?: AbortSignal,
): Promise<Map<string, number>> {
  const rows = await clickhouse.select<{ uid: string; n: number }>(
    `SELECT measurement_uid AS uid, uniqExact(sipHash128(${keyOf(table)})) AS n FROM ${identifier(table.name)}
     WHERE bucket_date IN ${literals(overlappingBuckets(run.bucket))} AND run_generation >= ${run.generation}
       AND measurement_uid IN ${literals(run.uids)}
     GROUP BY uid`,
    { signal },
  );
  return new Map(rows.map(({ uid, n }) => [uid, n]));
}

/** Counts the rows that ClickHouse refused, by `key line table`. */
export async function auditRefused(
  clickhouse: ClickHouse,
  run: Pick<RunAudit, 'bucket' | 'generation'>,
  signal?: AbortSignal,
): Promise<Map<string, number>> {
  const rows = await clickhouse.select<{ place: string; n: number }>(
    `SELECT concat(key, ' ', toString(line), ' ', table) AS place, count() AS n FROM ${PIPELINE_FAILURES.name} FINAL
     WHERE bucket = {bucket:String} AND generation = {generation:UInt64} AND stage = 'insert' GROUP BY place`,
    { params: { ...run }, signal },
  );
  return new Map(rows.map(({ place, n }) => [place, n]));
}
