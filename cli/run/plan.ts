import type { Archive } from '../../pipeline/archive/archive.ts';
import { findBuckets } from '../../pipeline/archive/buckets.ts';
import { bucketsBetween, type Granularity, nextBucket } from '../../pipeline/bucket.ts';
import type { Filter } from '../../pipeline/filter.ts';
import { decide, PAGE_SPAN, type Verdict } from '../../pipeline/runs/backfill.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { readHistory } from '../../pipeline/tables/history.ts';
import type { RunStage } from '../../pipeline/tables/ledger.ts';

/** Which buckets a run is about. */
export interface Wanted {
  readonly filter: Filter;
  readonly filterID: string;
  readonly granularity: Granularity;
  readonly stages: readonly RunStage[];
  readonly reprocess: 'None' | 'Failed' | 'All';
  /** First bucket and end, exclusive; absent: every bucket there is something for. */
  readonly range?: { readonly startAt: string; readonly endAt: string };
}

export type SkipReason = Exclude<Verdict, 'run' | 'NotFailed'>;

export interface RunPlan {
  /** Oldest first. */
  readonly buckets: readonly string[];
  /** How many are left out, by reason. */
  readonly skipped: Readonly<Partial<Record<SkipReason, number>>>;
}

/**
 * Decides by the ledger which buckets are to be run, as a Backfill does. Without a range they are those of which the archive has
 * objects, or, for the analysis alone, the measurement days of which there are observations. `now` in milliseconds since 1970.
 */
export async function planRun(
  archive: Archive,
  clickhouse: ClickHouse,
  wanted: Wanted,
  now: number,
  signal?: AbortSignal,
): Promise<RunPlan> {
  const { range, filter, filterID, granularity, stages, reprocess } = wanted;
  const all = range
    ? [...bucketsBetween(range.startAt, range.endAt, granularity)]
    : stages.includes('Observations')
      ? await findBuckets(archive, filter, granularity, signal)
      : await measurementDays(clickhouse, signal);
  const buckets: string[] = [];
  const skipped: Partial<Record<SkipReason, number>> = {};
  for (let first = 0; first < all.length; first += PAGE_SPAN) {
    const page = all.slice(first, first + PAGE_SPAN);
    const [from, before] = [page[0]!, nextBucket(page.at(-1)!)];
    const history = await readHistory(clickhouse, { filter, filterID, stages, from, before }, signal);
    for (const bucket of page) {
      const verdict = decide({ reprocess, attempt: 1 }, bucket, history.of(bucket), now);
      if (verdict === 'run') buckets.push(bucket);
      else skipped[verdict as SkipReason] = (skipped[verdict as SkipReason] ?? 0) + 1;
    }
  }
  return { buckets, skipped };
}

async function measurementDays(clickhouse: ClickHouse, signal?: AbortSignal): Promise<string[]> {
  const rows = await clickhouse.select<{ day: string }>(
    "SELECT DISTINCT toString(toDate(measurement_start_time, 'UTC')) AS day FROM obs_web ORDER BY day",
    { signal },
  );
  return rows.map(({ day }) => day);
}
