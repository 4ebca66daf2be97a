import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { isLastHour } from '../analysis/days.ts';
import type { Archive } from '../archive/archive.ts';
import { extentOf } from '../archive/find-buckets.ts';
import { type DayFolders, findDayFolders, listBucket } from '../archive/listing.ts';
import { inParallel } from '../archive/parallel.ts';
import { boundsOf, bucketAt, bucketsBetween, countBuckets, type Granularity, nextBucket } from '../bucket.ts';
import type { Filter } from '../filter.ts';
import { type BucketHistory, type HistoryQuery, readHistory } from '../ledger/history.ts';
import { ledgerTime, type RunStage } from '../ledger/ledger.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { ArchiveLookup } from './archive-lookup.ts';

/** The buckets of a backfill, and the rules by which they are selected. */
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
  /** 1: buckets are selected as `reprocess` says. Higher: only buckets whose latest run has not completed are selected. */
  readonly attempt: number;
  /**
   * With `reprocess: All`: buckets that a run since this time has completed are done, so that a backfill that was stopped continues. In
   * milliseconds since 1970.
   */
  readonly since?: number;
}

/** `Empty`: the archive has no object of the bucket, and no run has left rows of it. */
export type BucketDecision = 'run' | 'Completed' | 'FailedBefore' | 'Incomplete' | 'NotFailed' | 'Empty';

/** The plan of a backfill: counters and ends. Its size does not grow with the range, except for `selection`. */
export interface BackfillPlan {
  /** Time at which the ledger was read, by ClickHouse's clock: milliseconds since 1970. Reading it as of this time gives the same buckets. */
  readonly asOf: number;
  /** Wall-clock time of the plan. A bucket that was not complete at this time is not run. */
  readonly now: number;
  readonly buckets: number;
  readonly toRun: number;
  /** First bucket to run, in the order of running. `last` is the last one. */
  readonly first?: string;
  readonly last?: string;
  /** Number of skipped buckets by reason. In a further attempt, buckets that did not fail count as Completed. Only a dry run has InFlight. */
  readonly skipped: Readonly<
    Partial<Record<'Completed' | 'FailedBefore' | 'Incomplete' | 'Empty' | 'InFlight', number>>
  >;
  /**
   * Compressed bytes in the archive of the buckets to run. Only a dry run has it, unless it has more than `MOST_LISTED` buckets to run or
   * does not read the archive.
   */
  readonly bytes?: number;
  /** The buckets of the range to run: one bit per bucket, deflated, in base64. Plans of older versions do not have it. */
  readonly selection?: string;
}

/** A part of the buckets to run, in order. */
export interface BackfillPage {
  readonly buckets: readonly string[];
  /** Cursor of the next page; absent on the last page. */
  readonly next?: string;
}

/** Selects the runs that a further attempt considers: those of a backfill since it began. */
export interface Retry {
  /** Milliseconds since 1970. */
  readonly since: number;
  /** Workflow id of the backfill. */
  readonly backfill: string;
}

/** Maximum number of buckets of the range in one page, whether they are run or not. It bounds the query of the ledger. */
const PAGE_SPAN = 2000;

/** Buckets to run whose bytes a dry run counts. It lists each of their objects: a day of all countries has up to 150 pages of keys. */
const MOST_LISTED = 1000;

/** Number of buckets that are compared with the archive at a time. */
const LOOKUPS_AHEAD = 8;

/** Decides what to do with a bucket, from its history. `now` is in milliseconds since 1970. */
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

/** The archive and the ledger from which a plan is made. */
export interface PlanTools {
  readonly archive: Archive;
  readonly clickhouse: ClickHouse;
}

/** The buckets to decide on, and the circumstances that count. */
export interface DecisionTask extends Pick<HistoryQuery, 'asOf'> {
  readonly range: Omit<BackfillRange, 'startAt' | 'endAt' | 'granularity' | 'order'>;
  /** Oldest first. */
  readonly buckets: readonly string[];
  /** Milliseconds since 1970. A bucket that ends later is incomplete. */
  readonly now: number;
}

/** A decision that the ledger alone allows, and the history behind it. */
interface LedgerDecision {
  readonly bucket: string;
  readonly known: BucketHistory;
  readonly decision: BucketDecision;
}

/**
 * Decides on buckets from the ledger. If the observations are requested, the archive counts too: a bucket without objects in the archive
 * and without rows needs no run, and a completed bucket is run again when the archive has objects that its run did not read. The archive is
 * listed once: up to the first object of a bucket that was never run, and to the end of a completed one. Throws ArchiveErrors and TableErrors.
 */
export async function* decideAll(
  { archive, clickhouse }: PlanTools,
  task: DecisionTask,
  signal?: AbortSignal,
): AsyncGenerator<{ readonly bucket: string; readonly decision: BucketDecision }> {
  const { range, buckets } = task;
  const [first, last] = [buckets[0], buckets.at(-1)];
  if (first === undefined || last === undefined) return;
  const { filter, filterID, stages } = range;
  const usesArchive = stages.includes('Observations') && range.attempt === 1;
  const days = { from: first.slice(0, 10), before: nextBucket(last.slice(0, 10)) };
  const folders = usesArchive ? await findDayFolders(archive, filter, days, signal) : undefined;
  for (let begin = 0; begin < buckets.length; begin += PAGE_SPAN) {
    const page = await decideByLedger(
      clickhouse,
      { ...task, buckets: buckets.slice(begin, begin + PAGE_SPAN) },
      signal,
    );
    if (!folders) {
      yield* page;
      continue;
    }
    const done = page.flatMap(({ known, decision }) => (decision === 'Completed' && known.done ? [known.done] : []));
    const lookup = await ArchiveLookup.open({ archive, clickhouse, filter, filterID, folders, signal }, done);
    yield* inParallel(page, LOOKUPS_AHEAD, async ({ bucket, known, decision }) => {
      const needed = known.touched || (stages.includes('Analysis') && maySettleDay(bucket, folders));
      if (decision === 'run' && !needed && (await lookup.isEmpty(bucket))) return { bucket, decision: 'Empty' };
      if (decision === 'Completed' && known.done && (await lookup.hasMore(bucket, known.done))) {
        return { bucket, decision: 'run' };
      }
      return { bucket, decision };
    });
  }
}

async function decideByLedger(
  clickhouse: ClickHouse,
  { range, buckets, asOf, now }: DecisionTask,
  signal?: AbortSignal,
): Promise<LedgerDecision[]> {
  const { filter, filterID, stages, since } = range;
  const span = { from: buckets[0]!, before: nextBucket(buckets.at(-1)!) };
  const query = { filter, filterID, stages, ...span, ...(asOf !== undefined && { asOf }) };
  const history = await readHistory(clickhouse, query, signal);
  const redone =
    range.reprocess === 'All' && since !== undefined
      ? await readHistory(clickhouse, { ...query, since }, signal)
      : undefined;
  return buckets.map(bucket => {
    const known = history.of(bucket);
    if (redone?.of(bucket).completed) return { bucket, known, decision: 'Completed' };
    return { bucket, known, decision: decide(range, bucket, known, now) };
  });
}

/**
 * Returns whether a bucket is run even without objects: the last hour of a day judges the measurements that the earlier hours judged in
 * part.
 */
function maySettleDay(bucket: string, folders: DayFolders): boolean {
  return isLastHour(bucket) && folders.mayHold(bucket.slice(0, 10));
}

export interface PlanOptions {
  readonly signal?: AbortSignal;
  /** For a dry run, which nobody waits for: the plan has the bytes, too, and does not count the buckets that another run processes now. */
  readonly dryRun?: {
    /** Returns the buckets of the filter that are processed now. Absent: unknown, and such buckets count as buckets to run. */
    readonly inFlight?: () => Promise<ReadonlySet<string>>;
  };
}

/**
 * Plans a backfill: selects the buckets to run. Writes nothing. Throws ArchiveErrors (ArchiveMissingError when the archive does not exist) and
 * TableErrors.
 */
export async function planBackfill(
  tools: PlanTools,
  range: BackfillRange,
  now: number,
  { signal, dryRun }: PlanOptions = {},
): Promise<BackfillPlan> {
  if (range.stages.includes('Observations')) await tools.archive.check({ signal });
  const asOf = await ledgerTime(tools.clickhouse, signal);
  const buckets = [...bucketsBetween(range.startAt, range.endAt, range.granularity)];
  const skipped: Record<string, number> = {};
  const selected: boolean[] = [];
  const inFlight = await dryRun?.inFlight?.();
  for await (const { bucket, decision } of decideAll(tools, { range, buckets, asOf, now }, signal)) {
    const busy = decision === 'run' && inFlight?.has(bucket) === true;
    selected.push(decision === 'run' && !busy);
    if (decision === 'run' && !busy) continue;
    const reason = busy ? 'InFlight' : decision === 'NotFailed' ? 'Completed' : decision;
    skipped[reason] = (skipped[reason] ?? 0) + 1;
  }
  const toRun = buckets.filter((_, index) => selected[index]);
  const ends = [toRun[0], toRun.at(-1)];
  const [first, last] = range.order === 'OldestFirst' ? ends : ends.reverse();
  const listed = dryRun && range.stages.includes('Observations') && toRun.length <= MOST_LISTED;
  return {
    ...{ asOf, now, buckets: buckets.length, toRun: toRun.length, skipped },
    ...(listed && { bytes: await bytesOf(tools.archive, range.filter, toRun, signal) }),
    ...(first !== undefined && last !== undefined && { first, last }),
    selection: packBits(selected),
  };
}

/** Returns the compressed bytes of buckets, which are in order of time. */
async function bytesOf(
  archive: Archive,
  filter: Filter,
  buckets: readonly string[],
  signal: AbortSignal | undefined,
): Promise<number> {
  const [first, last] = [buckets[0], buckets.at(-1)];
  if (first === undefined || last === undefined) return 0;
  const folders = await findDayFolders(
    archive,
    filter,
    { from: first.slice(0, 10), before: nextBucket(last.slice(0, 10)) },
    signal,
  );
  const options = { folders, ...(signal && { signal }) };
  let bytes = 0;
  const sizes = inParallel(
    buckets,
    LOOKUPS_AHEAD,
    async bucket => (await extentOf(listBucket(archive, bucket, filter, options))).bytes,
  );
  for await (const size of sizes) bytes += size;
  return bytes;
}

/** Encodes bits as text: one bit each, deflated, in base64. Ten years of hours are 11 kB before deflating. */
function packBits(bits: readonly boolean[]): string {
  const bytes = Buffer.alloc(Math.ceil(bits.length / 8));
  bits.forEach((bit, index) => {
    if (bit) bytes[index >> 3]! |= 1 << (index & 7);
  });
  return deflateRawSync(bytes).toString('base64');
}

/** Decodes text from packBits. Returns a function that reports whether the bit at an index is set. */
function unpackBits(text: string): (index: number) => boolean {
  const bytes = inflateRawSync(Buffer.from(text, 'base64'));
  return index => (((bytes[index >> 3] ?? 0) >> (index & 7)) & 1) === 1;
}

/** Access to the ledger. */
interface LedgerTools {
  readonly clickhouse: ClickHouse;
  readonly signal?: AbortSignal | undefined;
}

/** The page to return. */
export interface PageRequest {
  /** Where the page begins; absent for the first page. */
  readonly cursor?: string | undefined;
  /** Selects the buckets whose latest run for this backfill has not completed, instead of the buckets of the plan. */
  readonly retry?: Retry | undefined;
}

/**
 * Returns the buckets to run from a cursor on, in the order of the range. Throws TableErrors.
 */
export async function pageOfBackfill(
  tools: LedgerTools,
  range: BackfillRange,
  plan: Pick<BackfillPlan, 'asOf' | 'now' | 'selection'>,
  { cursor, retry }: PageRequest = {},
): Promise<BackfillPage> {
  const { from, before, next } = spanOf(range, cursor);
  if (from >= before) return { buckets: [] };
  const span = [...bucketsBetween(from, before, range.granularity)];
  const buckets =
    plan.selection !== undefined && !retry
      ? selectedOf(range, plan.selection, span)
      : await byLedger(tools, range, { span, plan, retry });
  if (range.order === 'NewestFirst') buckets.reverse();
  return { buckets, ...(next !== undefined && { next }) };
}

/** Returns the buckets of `span`, which are consecutive in the range, that the plan has selected. */
function selectedOf(range: BackfillRange, selection: string, span: readonly string[]): string[] {
  const isSelected = unpackBits(selection);
  const before = countBuckets(range.startAt, span[0] ?? range.startAt, range.granularity);
  return span.filter((_, index) => isSelected(before + index));
}

/** Buckets of a page, in order of time, and the selection among them. */
interface LedgerPage {
  readonly span: readonly string[];
  readonly plan: Pick<BackfillPlan, 'asOf' | 'now'>;
  readonly retry: Retry | undefined;
}

/** Returns the buckets for a further attempt. For a plan of an older version: the buckets that the ledger gave when it was planned. */
async function byLedger(
  { clickhouse, signal }: LedgerTools,
  range: BackfillRange,
  { span, plan, retry }: LedgerPage,
): Promise<string[]> {
  const [first, last] = [span[0], span.at(-1)];
  if (first === undefined || last === undefined) return [];
  const { filter, filterID, stages } = range;
  const query = { filter, filterID, stages, from: first, before: nextBucket(last), ...(retry ?? { asOf: plan.asOf }) };
  const history = await readHistory(clickhouse, query, signal);
  const attempted = retry ? { ...range, attempt: Math.max(2, range.attempt) } : range;
  return span.filter(bucket => decide(attempted, bucket, history.of(bucket), plan.now) === 'run');
}

/**
 * Returns the part of the range that a page covers. For OldestFirst, the cursor is the first bucket of the page. For NewestFirst, it is the
 * bucket that follows the page in time.
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
