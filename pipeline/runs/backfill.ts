import { boundsOf, bucketAt, bucketsBetween, countBuckets, type Granularity, nextBucket } from '../bucket.ts';
import type { Filter } from '../filter.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { type BucketHistory, type History, type HistoryQuery, readHistory } from '../tables/history.ts';
import { ledgerTime, type RunStage } from '../tables/ledger.ts';

/** The buckets a backfill is about, and which of them it takes. */
export interface BackfillRange {
  /** First bucket, inclusive. */
  readonly startAt: string;
  /** Exclusive. */
  readonly endAt: string;
  readonly granularity: Granularity;
  readonly filter: Filter;
  readonly filterID: string;
  readonly stages: readonly RunStage[];
  readonly order: 'OldestFirst' | 'NewestFirst';
  readonly reprocess: 'None' | 'Failed' | 'All';
  /** 1: as `reprocess` says. Higher: only those whose latest run has not completed. */
  readonly attempt: number;
}

export type Verdict = 'run' | 'Completed' | 'FailedBefore' | 'Incomplete' | 'NotFailed';

/** The plan of a backfill: counters and ends, whatever the length of the range. */
export interface BackfillPlan {
  /** The ledger was read as of then, by ClickHouse's clock; reading it so again gives the same buckets. Milliseconds since 1970. */
  readonly asOf: number;
  /** The world's clock then: a bucket that was not complete is not run. */
  readonly now: number;
  readonly buckets: number;
  readonly toRun: number;
  /** First and last bucket to run, in the order in which they are run. */
  readonly first?: string;
  readonly last?: string;
  /** How many are left out, by reason. Those that never failed, in a further attempt, count as Completed: there is nothing to mend. */
  readonly skipped: Readonly<Partial<Record<'Completed' | 'FailedBefore' | 'Incomplete', number>>>;
}

/** Some of the buckets to run, in order. */
export interface BackfillPage {
  readonly buckets: readonly string[];
  /** Where the next page begins; absent behind the last. */
  readonly next?: string;
}

/** Which runs are to be looked at for a further attempt: those of a backfill since it began. */
export interface Retry {
  /** Milliseconds since 1970. */
  readonly since: number;
  /** Workflow id. */
  readonly backfill: string;
}

/** A page covers so many buckets of the range at most, to be run or not, so that one query of the ledger has a bound. */
export const PAGE_SPAN = 2000;

/** What to do with a bucket, by its history. `now` in milliseconds since 1970. */
export function decide(
  range: Pick<BackfillRange, 'reprocess' | 'attempt'>,
  bucket: string,
  history: BucketHistory,
  now: number,
): Verdict {
  if (boundsOf(bucket).end > now) return 'Incomplete';
  if (range.attempt > 1) return history.unfinished ? 'run' : 'NotFailed';
  if (range.reprocess === 'All') return 'run';
  if (range.reprocess === 'Failed' && history.failed) return 'run';
  if (history.completed) return 'Completed';
  return history.failed ? 'FailedBefore' : 'run';
}

/** Plans a backfill: counts what there is to run. Nothing is written. */
export async function planBackfill(
  clickhouse: ClickHouse,
  range: BackfillRange,
  now: number,
  signal?: AbortSignal,
): Promise<BackfillPlan> {
  const asOf = await ledgerTime(clickhouse, signal);
  const history = await readHistory(clickhouse, queryOf(range, range.startAt, range.endAt, { asOf }), signal);
  return { asOf, now, ...summarise(range, history, now) };
}

function summarise(range: BackfillRange, history: History, now: number): Omit<BackfillPlan, 'asOf' | 'now'> {
  const skipped: Record<string, number> = {};
  let toRun = 0;
  let oldest: string | undefined;
  let newest: string | undefined;
  for (const bucket of bucketsBetween(range.startAt, range.endAt, range.granularity)) {
    const verdict = decide(range, bucket, history.of(bucket), now);
    if (verdict === 'run') {
      toRun++;
      oldest ??= bucket;
      newest = bucket;
    } else {
      const reason = verdict === 'NotFailed' ? 'Completed' : verdict;
      skipped[reason] = (skipped[reason] ?? 0) + 1;
    }
  }
  const buckets = countBuckets(range.startAt, range.endAt, range.granularity);
  const [first, last] = range.order === 'OldestFirst' ? [oldest, newest] : [newest, oldest];
  return { buckets, toRun, ...(first !== undefined && last !== undefined && { first, last }), skipped };
}

/**
 * The buckets to run from a place in the range on, in its order.
 *
 * @param cursor where to begin; absent: at the beginning
 * @param retry instead of the plan's buckets, those whose latest run for this backfill has not completed
 */
export async function pageOfBackfill(
  clickhouse: ClickHouse,
  range: BackfillRange,
  plan: Pick<BackfillPlan, 'asOf' | 'now'>,
  cursor: string | undefined,
  retry: Retry | undefined,
  signal?: AbortSignal,
): Promise<BackfillPage> {
  const { from, before, next } = spanOf(range, cursor);
  if (from >= before) return { buckets: [] };
  const history = await readHistory(clickhouse, queryOf(range, from, before, retry ?? { asOf: plan.asOf }), signal);
  const judged = retry ? { ...range, attempt: Math.max(2, range.attempt) } : range;
  const buckets = [...bucketsBetween(from, before, range.granularity)].filter(
    bucket => decide(judged, bucket, history.of(bucket), plan.now) === 'run',
  );
  if (range.order === 'NewestFirst') buckets.reverse();
  return { buckets, ...(next !== undefined && { next }) };
}

/**
 * The part of the range that a page covers. A cursor is the first bucket of the page for OldestFirst, and the first bucket behind it, in
 * time, for NewestFirst.
 */
function spanOf(range: BackfillRange, cursor: string | undefined): { from: string; before: string; next?: string } {
  const { granularity } = range;
  const start = bucketAt(boundsOf(range.startAt).start, granularity);
  const last = bucketAt(boundsOf(range.endAt).start - 1, granularity);
  const end = nextBucket(last);
  const step = (bucket: string, buckets: number) => {
    const { start, end } = boundsOf(bucket);
    return bucketAt(start + buckets * (end - start), granularity);
  };
  if (range.order === 'OldestFirst') {
    const from = cursor ?? start;
    const before = step(from, PAGE_SPAN);
    return before < end ? { from, before, next: before } : { from, before: end };
  }
  const before = cursor ?? end;
  const from = step(before, -PAGE_SPAN);
  return from > start ? { from, before, next: from } : { from: start, before };
}

function queryOf(
  range: BackfillRange,
  from: string,
  before: string,
  when: Pick<HistoryQuery, 'asOf' | 'since' | 'backfill'>,
): HistoryQuery {
  const { filter, filterID, stages } = range;
  return { filter, filterID, stages, from, before, ...when };
}
