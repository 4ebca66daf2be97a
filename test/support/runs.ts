import { DirectoryArchive } from '../../pipeline/archive/directory.ts';
import { type Counts, sumCounts } from '../../pipeline/counts.ts';
import { filterIDOf, normaliseFilter } from '../../pipeline/filter.ts';
import { openIpMetadata } from '../../pipeline/reference/ip-metadata.ts';
import { type BatchTools, observeBatch } from '../../pipeline/runs/batch.ts';
import { type BucketEnd, type BucketTools, finishBucket, planBucket } from '../../pipeline/runs/observations.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { silent } from './database.ts';

/** Returns the tools for observations of a bucket in this process: a directory, no IP databases, small INSERTs. */
export function runTools(clickhouse: ClickHouse, archiveRoot: string, maxFailedShare = 0.5): BatchTools & BucketTools {
  return {
    archive: new DirectoryArchive(archiveRoot),
    clickhouse,
    log: silent,
    maxFailedShare,
    ipMetadata: openIpMetadata(undefined),
    maxMeasurementBytes: 32 * 1024 * 1024,
    writeBatchSize: 1000,
  };
}

let runs = 0;

/** Makes the observations of a bucket, from the listing to the ledger. */
export async function runWhole(
  tools: BatchTools & BucketTools & { readonly allowShrink?: boolean },
  bucket: string,
  filter = {},
): Promise<BucketEnd> {
  const normal = normaliseFilter(filter);
  const key = { bucket, filter: normal, filterID: filterIDOf(normal) };
  const origin = { workflowID: 'test', runID: `${++runs}`, backfill: '', codeVersion: '0', referenceVersions: {} };
  const plan = await planBucket({ ...tools, origin }, key, Date.now());
  const counts: Counts[] = [];
  for (const batch of plan.batches) counts.push(await observeBatch(tools, { run: plan.run, batch }));
  return finishBucket({ ...tools, origin }, plan.run, sumCounts(counts));
}

/** Returns the number of rows of a table by measurement, as a plain read shows them. */
export async function rowsByMeasurement(clickhouse: ClickHouse, table: string): Promise<Map<string, number>> {
  const rows = await clickhouse.select<{ uid: string; n: number }>(
    `SELECT measurement_uid AS uid, count() AS n FROM ${table} GROUP BY uid`,
  );
  return new Map(rows.map(({ uid, n }) => [uid, n]));
}
