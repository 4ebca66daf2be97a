import type { Archive } from '../archive/archive.ts';
import { listBucket } from '../archive/listing.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { PIPELINE_FILES, PIPELINE_RUNS } from '../tables/ledger-tables.ts';
import type { BucketKey } from './observations.ts';

/** Completed observations of an earlier run of a bucket whose verdicts are missing. */
export interface KeptObservations {
  readonly generation: number;
  /** Time of the first record of that run, by ClickHouse's clock; milliseconds since 1970. */
  readonly openedAt: number;
}

interface LatestRun extends KeptObservations {
  readonly stage: string;
  readonly state: string;
  /** Milliseconds since 1970. */
  readonly recordedAt: number;
}

interface Listed {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
}

/**
 * Returns the observations of a bucket that can be kept. They are kept if the latest run under this filter has completed them, no analysis has
 * completed since, and the archive lists exactly the objects that the run has read. This serves a run of both stages after only the analysis
 * failed: reading a day takes much longer than judging it. Undefined if the bucket has to be read. Throws ArchiveErrors and TableErrors.
 */
export async function observationsToKeep(
  { archive, clickhouse }: { readonly archive: Archive; readonly clickhouse: ClickHouse },
  { bucket, filter, filterID }: BucketKey,
  signal?: AbortSignal,
): Promise<KeptObservations | undefined> {
  const latest = await clickhouse.select<LatestRun>(
    `SELECT stage, state, generation, toUnixTimestamp64Milli(opened_at) AS openedAt,
            toUnixTimestamp64Milli(recorded_at) AS recordedAt
     FROM ${PIPELINE_RUNS.name} FINAL
     WHERE bucket = {bucket:String} AND filter = {filterID:String} AND stage IN ('Observations', 'Analysis')
     ORDER BY generation DESC LIMIT 1 BY stage`,
    { params: { bucket, filterID }, signal },
  );
  const observed = latest.find(({ stage }) => stage === 'Observations');
  const judged = latest.find(({ stage }) => stage === 'Analysis');
  if (observed?.state !== 'completed') return undefined;
  if (judged?.state === 'completed' && judged.openedAt >= observed.recordedAt) return undefined;
  const { generation, openedAt } = observed;
  const read = await clickhouse.select<Listed>(
    `SELECT key, size, etag FROM ${PIPELINE_FILES.name} FINAL
     WHERE bucket = {bucket:String} AND filter = {filterID:String} AND generation = {generation:UInt64}`,
    { params: { bucket, filterID, generation }, signal },
  );
  const same = new Set(read.map(nameOf));
  let listed = 0;
  for await (const file of listBucket(archive, bucket, filter, { signal })) {
    if (!same.has(nameOf(file))) return undefined;
    listed++;
  }
  // A bucket without objects is quick to read again.
  return listed > 0 && listed === same.size ? { generation, openedAt } : undefined;
}

function nameOf({ key, size, etag }: Listed): string {
  return JSON.stringify([key, size, etag]);
}
