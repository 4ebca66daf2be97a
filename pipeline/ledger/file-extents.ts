import type { Extent } from '../archive/find-buckets.ts';
import { type ClickHouse, quote } from '../tables/clickhouse.ts';
import { PIPELINE_FILES } from '../tables/ledger-tables.ts';
import type { RunKey } from './ledger.ts';

/** Columns that identify the records of a run in pipeline_files. */
export type FilesOf = Pick<RunKey, 'bucket' | 'generation' | 'filterID'>;

/** One object that a run has read. */
export interface ReadFile {
  readonly key: string;
  /** Compressed bytes. */
  readonly size: number;
}

/** Returns the objects that the runs have read. If several runs read the same key, the size is that of the newest run. */
export async function filesOfRuns(
  clickhouse: ClickHouse,
  runs: readonly FilesOf[],
  signal?: AbortSignal,
): Promise<ReadFile[]> {
  if (runs.length === 0) return [];
  return clickhouse.select<ReadFile>(
    `SELECT key, argMax(size, generation) AS size FROM ${PIPELINE_FILES.name} FINAL WHERE ${recordsOf(runs)} GROUP BY key`,
    { signal },
  );
}

/** Returns a function that gives the extent (find-buckets.ts) of the objects that a run has read. It is zero for a run that read none. */
export async function extentsOfRuns(
  clickhouse: ClickHouse,
  runs: readonly FilesOf[],
  signal?: AbortSignal,
): Promise<(run: FilesOf) => Extent> {
  type Row = Extent & { bucket: string; generation: number; filter: string };
  const rows =
    runs.length === 0
      ? []
      : await clickhouse.select<Row>(
          `SELECT bucket, generation, filter, count() AS files, sum(size) AS bytes,
                  groupBitXor(reinterpretAsUInt64(substring(MD5(concat(key, ' ', toString(size))), 1, 6))) AS digest
           FROM ${PIPELINE_FILES.name} FINAL WHERE ${recordsOf(runs)} GROUP BY bucket, generation, filter`,
          { signal },
        );
  const found = new Map(rows.map(row => [`${row.bucket} ${row.generation} ${row.filter}`, row]));
  return ({ bucket, generation, filterID }) =>
    found.get(`${bucket} ${generation} ${filterID}`) ?? { files: 0, bytes: 0, digest: 0 };
}

function recordsOf(runs: readonly FilesOf[]): string {
  const tuples = runs.map(
    ({ bucket, generation, filterID }) => `(${quote(bucket)}, ${generation}, ${quote(filterID)})`,
  );
  // ClickHouse can use the primary key for the condition on `bucket`.
  const buckets = [...new Set(runs.map(({ bucket }) => quote(bucket)))];
  return `bucket IN (${buckets.join(', ')}) AND (bucket, generation, filter) IN (${tuples.join(', ')})`;
}
