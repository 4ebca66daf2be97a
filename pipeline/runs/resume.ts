import { listBucket } from '../archive/listing.ts';
import { type LedgerRead, type RunStage, readLedger } from '../ledger/ledger.ts';
import { overlappingBuckets } from '../ledger/replaced-rows.ts';
import { PIPELINE_FILES } from '../tables/ledger-tables.ts';
import { type BucketKey, type BucketPlan, type PlanContext, planBucket } from './observations.ts';

/** Completed observations of an earlier run of a bucket whose verdicts are missing. */
export interface KeptObservations {
  readonly generation: number;
  /** Time of the first record of that run, by ClickHouse's clock; milliseconds since 1970. */
  readonly openedAt: number;
}

interface Listed {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
}

/**
 * Returns the observations of a bucket that can be kept, or plans the bucket (planBucket). One read of the ledger serves both. Throws
 * ArchiveShrankError, ArchiveErrors and TableErrors.
 *
 * @param mayKeep whether the run may keep observations
 * @param startedAt milliseconds since 1970
 */
export async function keepOrPlan(
  context: PlanContext,
  bucket: BucketKey,
  startedAt: number,
  mayKeep: boolean,
): Promise<{ readonly kept: KeptObservations } | { readonly plan: BucketPlan }> {
  const { clickhouse, signal } = context;
  const stages = ['Observations', 'Analysis'] as const;
  const ledger = await readLedger(clickhouse, stages, overlappingBuckets(bucket.bucket), signal);
  if (!mayKeep || !unjudged(ledger, bucket)) return { plan: await planBucket(context, bucket, startedAt, ledger) };
  const kept = await observationsToKeep(context, bucket, ledger, signal);
  // Listing the archive takes time, so the plan reads the ledger again.
  return kept ? { kept } : { plan: await planBucket(context, bucket, startedAt) };
}

/**
 * Returns the observations of a bucket that can be kept. They are kept if the latest run under this filter has completed them, no analysis has
 * completed since, and the archive lists exactly the objects that the run has read. This serves a run of both stages after only the analysis
 * failed: reading a day takes much longer than judging it. Undefined if the bucket has to be read. Throws ArchiveErrors and TableErrors.
 *
 * @param ledger both stages of the bucket
 */
export async function observationsToKeep(
  tools: Pick<PlanContext, 'archive' | 'clickhouse'>,
  bucket: BucketKey,
  ledger: LedgerRead,
  signal?: AbortSignal,
): Promise<KeptObservations | undefined> {
  const last = unjudged(ledger, bucket);
  return last && (await listsSame(tools, bucket, last.generation, signal)) ? last : undefined;
}

/** Returns the latest observations of a bucket under its filter, if they are complete and no analysis has completed since. */
function unjudged({ runs }: LedgerRead, { bucket, filterID }: BucketKey): KeptObservations | undefined {
  const latest = (stage: RunStage) =>
    runs.findLast(each => each.bucket === bucket && each.filterID === filterID && each.stage === stage);
  const observed = latest('Observations');
  const judged = latest('Analysis');
  if (observed?.state !== 'completed') return undefined;
  if (judged?.state === 'completed' && judged.openedAt >= observed.recordedAt) return undefined;
  return { generation: observed.generation, openedAt: observed.openedAt };
}

/** Returns whether the archive lists exactly the objects that a run of a bucket has read, and at least one. */
async function listsSame(
  { archive, clickhouse }: Pick<PlanContext, 'archive' | 'clickhouse'>,
  { bucket, filter, filterID }: BucketKey,
  generation: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const read = await clickhouse.select<Listed>(
    `SELECT key, size, etag FROM ${PIPELINE_FILES.name} FINAL
     WHERE bucket = {bucket:String} AND filter = {filterID:String} AND generation = {generation:UInt64}`,
    { params: { bucket, filterID, generation }, signal },
  );
  const same = new Set(read.map(nameOf));
  let listed = 0;
  for await (const file of listBucket(archive, bucket, filter, { signal })) {
    if (!same.has(nameOf(file))) return false;
    listed++;
  }
  // A bucket without objects is quick to read again.
  return listed > 0 && listed === same.size;
}

function nameOf({ key, size, etag }: Listed): string {
  return JSON.stringify([key, size, etag]);
}
