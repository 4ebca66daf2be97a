import type { PipelineScheduleSpec, PipelineScheduleStatus } from '../../../crds/pipeline-schedule.ts';
import { bucketsBetween, lastCompleteBucket, nextBucket } from '../../../pipeline/bucket.ts';
import { filterIDOf, normaliseFilter } from '../../../pipeline/filter.ts';
import type { BucketHistory } from '../../../pipeline/ledger/history.ts';
import { hashOf } from '../../hash.ts';
import type { Launch } from '../../temporal/launches.ts';
import { nominalTime } from '../../temporal/nominal-time.ts';
import type { ScheduleState } from '../../temporal/schedules.ts';

/** The buckets that a schedule is responsible for, from its first one on. */
export type Coverage = NonNullable<PipelineScheduleStatus['coverage']>;

/** Buckets that became due and are not completed. `first` and `last` are absent when there are none. */
export interface Missing {
  readonly count: number;
  readonly first?: string;
  readonly last?: string;
}

/** Numbers of due buckets by progress. A step that the stages of the schedule do not contain is absent. */
export type BucketCounts = NonNullable<PipelineScheduleStatus['buckets']>;

/** Buckets to look up in the ledger. */
export interface DueRange {
  /** First bucket, inclusive. */
  readonly from: string;
  /** Exclusive. */
  readonly before: string;
  /** Active buckets, and buckets whose firing is not visible yet. */
  readonly pending: readonly string[];
}

/**
 * Returns the first bucket of a schedule. It is recorded in the status, and begins again when the spec selects other data: the ledger has
 * no runs of the new selection from before. Undefined while no firing is known.
 */
export function coverageOf(
  spec: PipelineScheduleSpec,
  before: Coverage | undefined,
  schedule: Pick<ScheduleState, 'nextFirings' | 'recent'>,
  launches: readonly Launch[],
): Coverage | undefined {
  const selection = hashOf([spec.granularity, filterIDOf(normaliseFilter(spec)), spec.stages.toSorted()]);
  if (before?.selection === selection) return before;
  const next = schedule.nextFirings.slice(0, 1);
  const past = [
    ...schedule.recent.map(({ at }) => at),
    ...launches.flatMap(launch => nominalTime(launch.workflowID) ?? []),
  ];
  const [first] = (before ? next : [...past, ...next]).toSorted((a, b) => a - b);
  return first === undefined ? undefined : { from: lastCompleteBucket(first, spec.granularity), selection };
}

/** Returns the buckets that have become due by now; undefined when there are none. */
export function dueRange(
  { granularity }: Pick<PipelineScheduleSpec, 'granularity'>,
  { from }: Coverage,
  schedule: Pick<ScheduleState, 'recent'>,
  launches: readonly Launch[],
): DueRange | undefined {
  const runs = launches.flatMap(({ workflowID, state }) => {
    const at = nominalTime(workflowID);
    return at === undefined ? [] : [{ at, state, bucket: lastCompleteBucket(at, granularity) }];
  });
  const firings = [...schedule.recent, ...runs].map(({ at }) => at);
  if (firings.length === 0) return undefined;
  const last = lastCompleteBucket(Math.max(...firings), granularity);
  if (last < from) return undefined;
  const running = runs.filter(({ state }) => state === 'Running').map(({ bucket }) => bucket);
  // A list of workflows lags by seconds behind a firing.
  const unseen = runs.some(({ bucket }) => bucket === last) ? [] : [last];
  return { from, before: nextBucket(last), pending: [...running, ...unseen] };
}

/** Returns the missing buckets of a range. `completed` says whether the ledger has all stages of a bucket as done. */
export function missingOf(
  { from, before, pending }: DueRange,
  { granularity }: Pick<PipelineScheduleSpec, 'granularity'>,
  completed: (bucket: string) => boolean,
): Missing {
  let found: Missing = { count: 0 };
  for (const bucket of bucketsBetween(from, before, granularity)) {
    if (pending.includes(bucket) || completed(bucket)) continue;
    found = { count: found.count + 1, first: found.first ?? bucket, last: bucket };
  }
  return found;
}

/** Returns how far the due buckets of a range have come, active ones included. `historyOf` returns the state of a bucket in the ledger. */
export function countsOf(
  { from, before }: DueRange,
  { granularity, stages }: Pick<PipelineScheduleSpec, 'granularity' | 'stages'>,
  historyOf: (bucket: string) => Pick<BucketHistory, 'pending' | 'begun'>,
): BucketCounts {
  const counts = { expected: 0, listed: 0, read: 0, judged: 0 };
  for (const bucket of bucketsBetween(from, before, granularity)) {
    const { pending, begun } = historyOf(bucket);
    counts.expected++;
    // A run is recorded right before it lists the archive.
    if (begun.includes('Observations')) counts.listed++;
    if (!pending.includes('Observations')) counts.read++;
    if (!pending.includes('Analysis')) counts.judged++;
  }
  return {
    expected: counts.expected,
    ...(stages.includes('Observations') && { listed: counts.listed, read: counts.read }),
    ...(stages.includes('Analysis') && { judged: counts.judged }),
  };
}
