import type { Archive } from '../../pipeline/archive/archive.ts';
import { findBuckets } from '../../pipeline/archive/find-buckets.ts';
import { bucketsBetween, type Granularity } from '../../pipeline/bucket.ts';
import type { Filter } from '../../pipeline/filter.ts';
import type { RunStage } from '../../pipeline/ledger/ledger.ts';
import { type BucketDecision, decideAll } from '../../pipeline/runs/backfill-plan.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';

/** The buckets that a run covers. */
export interface RunRequest {
  readonly filter: Filter;
  readonly filterID: string;
  readonly granularity: Granularity;
  readonly stages: readonly RunStage[];
  readonly reprocess: 'None' | 'Failed' | 'All';
  /** First bucket and end, exclusive. If absent: every bucket with data. */
  readonly range?: { readonly startAt: string; readonly endAt: string };
}

export type SkipReason = Exclude<BucketDecision, 'run' | 'NotFailed'>;

export interface RunPlan {
  /** Oldest first. */
  readonly buckets: readonly string[];
  /** Number of skipped buckets, by reason. */
  readonly skipped: Readonly<Partial<Record<SkipReason, number>>>;
}

/**
 * Returns the buckets with objects in the archive, for a run of observations without a range; undefined for another run, whose buckets do not
 * depend on the archive. Throws ArchiveErrors.
 */
export async function findWithoutRange(
  archive: Archive,
  { range, filter, granularity, stages }: RunRequest,
  signal?: AbortSignal,
): Promise<string[] | undefined> {
  if (range || !stages.includes('Observations')) return undefined;
  return findBuckets(archive, filter, granularity, signal);
}

/**
 * Selects the buckets to run by ledger and archive, as a Backfill does. Without a range, these are the buckets with objects in the archive
 * or, for the analysis alone, the measurement days with observations. `found` are those of `findWithoutRange`, `now` is in milliseconds since
 * 1970. Throws ArchiveErrors and TableErrors.
 */
export async function planRun(
  { archive, clickhouse }: { readonly archive: Archive; readonly clickhouse: ClickHouse },
  request: RunRequest,
  {
    found,
    now,
    signal,
  }: { readonly found: readonly string[] | undefined; readonly now: number; readonly signal?: AbortSignal },
): Promise<RunPlan> {
  const { range, filter, filterID, granularity, stages, reprocess } = request;
  const all = range
    ? [...bucketsBetween(range.startAt, range.endAt, granularity)]
    : (found ?? (await measurementDays(clickhouse, signal)));
  const buckets: string[] = [];
  const skipped: Partial<Record<SkipReason, number>> = {};
  const task = { range: { filter, filterID, stages, reprocess, attempt: 1 }, buckets: all, now };
  for await (const { bucket, decision } of decideAll({ archive, clickhouse }, task, signal)) {
    if (decision === 'run') buckets.push(bucket);
    else skipped[decision as SkipReason] = (skipped[decision as SkipReason] ?? 0) + 1;
  }
  return { buckets, skipped };
}

async function measurementDays(clickhouse: ClickHouse, signal?: AbortSignal): Promise<string[]> {
  const rows = await clickhouse.select<{ day: string }>(
    "SELECT DISTINCT toString(toDate32(measurement_start_time, 'UTC')) AS day FROM obs_web ORDER BY day",
    { signal },
  );
  return rows.map(({ day }) => day);
}
