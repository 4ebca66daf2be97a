import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { isLastHour } from '../analysis/days.ts';
import type { Archive } from '../archive/archive.ts';
import { type DayFolders, findDayFolders } from '../archive/listing.ts';
import { inParallel } from '../archive/parallel.ts';
import { boundsOf, bucketAt, bucketsBetween, countBuckets, type Granularity, nextBucket } from '../bucket.ts';
import type { Filter } from '../filter.ts';
import { type BucketHistory, type HistoryQuery, readHistory } from '../ledger/history.ts';
import { ledgerTime, type RunStage } from '../ledger/ledger.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { ArchiveLook } from './archive-look.ts';

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

/** `Empty`: the archive has no object of the bucket, and no run of it left anything. */
export type BucketDecision = 'run' | 'Completed' | 'FailedBefore' | 'Incomplete' | 'NotFailed' | 'Empty';

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
  readonly skipped: Readonly<Partial<Record<'Completed' | 'FailedBefore' | 'Incomplete' | 'Empty', number>>>;
  /** Which buckets of the range are to be run: a bit for each, deflated, in base64. Plans of older programs have none. */
  readonly selection?: string;
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

/** Buckets that are looked at in the archive at a time. */
const LOOKS_AHEAD = 8;

/** What to do with a bucket, by its history. `now` in milliseconds since 1970. */
export function decide(
  range: Pick<BackfillRange, 'reprocess' | 'attempt'>,
  bucket: string,
  history: BucketHistory,
  now: number,
): BucketDecision {
  if (boundsOf(bucket).end > now) return 'Incomplete';
  if (range.attempt > 1) return history.unfinished ? 'run' : 'NotFailed';
  if (range.reprocess === 'All') return 'run';
  if (history.completed) return 'Completed';
  return history.failed && range.reprocess === 'None' ? 'FailedBefore' : 'run';
}

/** What a plan is made from. */
export interface PlanTools {
  readonly archive: Archive;
  readonly clickhouse: ClickHouse;
}

/**
 * Decides on buckets, given oldest first: by the ledger, and, where the observations are asked for, by the archive. A bucket of which the
 * archive has nothing, and of which the ledger knows no rows, needs no run; a bucket that is done is run again when the archive has objects
 * that its run did not read. The archive is listed once: of a bucket that was never run up to its first object, of one that is done as a
 * whole. Throws ArchiveErrors and TableErrors.
 */
export async function* decideAll(
  { archive, clickhouse }: PlanTools,
  range: Omit<BackfillRange, 'startAt' | 'endAt' | 'granularity' | 'order'>,
  buckets: readonly string[],
  when: Pick<HistoryQuery, 'asOf'>,
  now: number,
  signal?: AbortSignal,
): AsyncGenerator<{ readonly bucket: string; readonly verdict: BucketDecision }> {
  const [first, last] = [buckets[0], buckets.at(-1)];
  if (first === undefined || last === undefined) return;
  const { filter, filterID, stages } = range;
  const looks = stages.includes('Observations') && range.attempt === 1;
  const days = [first.slice(0, 10), nextBucket(last.slice(0, 10))] as const;
  const folders = looks ? await findDayFolders(archive, filter, ...days, signal) : undefined;
  for (let begin = 0; begin < buckets.length; begin += PAGE_SPAN) {
    const page = buckets.slice(begin, begin + PAGE_SPAN);
    const query = { filter, filterID, stages, from: page[0]!, before: nextBucket(page.at(-1)!), ...when };
    const history = await readHistory(clickhouse, query, signal);
    const byLedger = page.map(bucket => {
      const known = history.of(bucket);
      return { bucket, known, verdict: decide(range, bucket, known, now) };
    });
    if (!folders) {
      yield* byLedger;
      continue;
    }
    const done = byLedger.flatMap(({ known, verdict }) => (verdict === 'Completed' && known.done ? [known.done] : []));
    const look = await ArchiveLook.open({ archive, clickhouse }, { filter, filterID }, folders, done, signal);
    yield* inParallel(byLedger, LOOKS_AHEAD, async ({ bucket, known, verdict }) => {
      const needed = known.touched || (stages.includes('Analysis') && settlesDay(bucket, folders));
      if (verdict === 'run' && !needed && (await look.isEmpty(bucket))) return { bucket, verdict: 'Empty' };
      if (verdict === 'Completed' && known.done && (await look.hasMore(bucket, known.done))) {
        return { bucket, verdict: 'run' };
      }
      return { bucket, verdict };
    });
  }
}

/** Whether a bucket without objects is run all the same: the last hour of a day judges what the earlier hours only judged in part. */
function settlesDay(bucket: string, folders: DayFolders): boolean {
  return isLastHour(bucket) && folders.mayHold(bucket.slice(0, 10));
}

/** Plans a backfill: looks for what there is to run. Nothing is written. Throws ArchiveMissingError when the archive is not there. */
export async function planBackfill(
  tools: PlanTools,
  range: BackfillRange,
  now: number,
  signal?: AbortSignal,
): Promise<BackfillPlan> {
  if (range.stages.includes('Observations')) await tools.archive.check({ signal });
  const asOf = await ledgerTime(tools.clickhouse, signal);
  const buckets = [...bucketsBetween(range.startAt, range.endAt, range.granularity)];
  const skipped: Record<string, number> = {};
  const selected: boolean[] = [];
  for await (const { verdict } of decideAll(tools, range, buckets, { asOf }, now, signal)) {
    selected.push(verdict === 'run');
    if (verdict === 'run') continue;
    const reason = verdict === 'NotFailed' ? 'Completed' : verdict;
    skipped[reason] = (skipped[reason] ?? 0) + 1;
  }
  const toRun = buckets.filter((_, index) => selected[index]);
  const ends = [toRun[0], toRun.at(-1)];
  const [first, last] = range.order === 'OldestFirst' ? ends : ends.reverse();
  return {
    ...{ asOf, now, buckets: buckets.length, toRun: toRun.length, skipped },
    ...(first !== undefined && last !== undefined && { first, last }),
    selection: packBits(selected),
  };
}

/** Bits as text: a bit for each, deflated, in base64. Ten years of hours are 11 kB before they are deflated. */
function packBits(bits: readonly boolean[]): string {
  const bytes = Buffer.alloc(Math.ceil(bits.length / 8));
  bits.forEach((bit, index) => {
    if (bit) bytes[index >> 3]! |= 1 << (index & 7);
  });
  return deflateRawSync(bytes).toString('base64');
}

/** Reads what packBits has written: whether the bit at an index is set. */
function unpackBits(text: string): (index: number) => boolean {
  const bytes = inflateRawSync(Buffer.from(text, 'base64'));
  return index => (((bytes[index >> 3] ?? 0) >> (index & 7)) & 1) === 1;
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
  plan: Pick<BackfillPlan, 'asOf' | 'now' | 'selection'>,
  cursor: string | undefined,
  retry: Retry | undefined,
  signal?: AbortSignal,
): Promise<BackfillPage> {
  const { from, before, next } = spanOf(range, cursor);
  if (from >= before) return { buckets: [] };
  const span = [...bucketsBetween(from, before, range.granularity)];
  const buckets =
    plan.selection !== undefined && !retry
      ? selectedOf(range, plan.selection, span)
      : await byLedger(clickhouse, range, span, plan, retry, signal);
  if (range.order === 'NewestFirst') buckets.reverse();
  return { buckets, ...(next !== undefined && { next }) };
}

/** Those of some consecutive buckets of a range that its plan has selected. */
function selectedOf(range: BackfillRange, selection: string, span: readonly string[]): string[] {
  const isSelected = unpackBits(selection);
  const before = countBuckets(range.startAt, span[0] ?? range.startAt, range.granularity);
  return span.filter((_, index) => isSelected(before + index));
}

/** Those that a further attempt takes; or, of a plan by an older program, those that the ledger named when the plan was made. */
async function byLedger(
  clickhouse: ClickHouse,
  range: BackfillRange,
  span: readonly string[],
  plan: Pick<BackfillPlan, 'asOf' | 'now'>,
  retry: Retry | undefined,
  signal?: AbortSignal,
): Promise<string[]> {
  const [first, last] = [span[0], span.at(-1)];
  if (first === undefined || last === undefined) return [];
  const { filter, filterID, stages } = range;
  const query = { filter, filterID, stages, from: first, before: nextBucket(last), ...(retry ?? { asOf: plan.asOf }) };
  const history = await readHistory(clickhouse, query, signal);
  const judged = retry ? { ...range, attempt: Math.max(2, range.attempt) } : range;
  return span.filter(bucket => decide(judged, bucket, history.of(bucket), plan.now) === 'run');
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
