import type { Backfill } from '../../../crds/backfill.ts';
import { ANNOTATIONS } from '../../../crds/resource.ts';
import { boundsOf, bucketAt, lastCompleteBucket } from '../../../pipeline/bucket.ts';
import { FINAL_PHASES } from '../../../worker/contract.ts';
import { seconds } from '../conditions.ts';
import { type Check, firstOf, invalid, REFRESH } from '../plan-types.ts';
import { ended, wasCancelledBeforeStart } from './end.ts';
import { type BackfillPlan, HOUR, type Idle } from './plan-types.ts';
import { afterDryRun, start } from './start.ts';

/** Milliseconds for which Temporal keeps an ended workflow at least. */
const MIN_RETENTION = 3_600_000;

/** A valid Backfill whose workflow existed and is gone: Temporal removed it after its retention, or lost its data. */
interface Gone extends Idle {
  readonly status: NonNullable<Backfill['status']>;
  /** Start of the workflow, in milliseconds since 1970. */
  readonly startedAt: number;
  /** Phase with which the workflow ended; undefined when its end was not seen. */
  readonly phase: (typeof FINAL_PHASES)[number] | undefined;
}

/** Decides about a valid Backfill whose workflow Temporal does not know. */
export function planAbsent(idle: Idle): BackfillPlan {
  const { status } = idle.object;
  if (!status?.workflowID || !status.startedAt) {
    return firstOf(BEFORE_START, idle) ?? start(idle, 'First', completedSince(idle.object));
  }
  const phase = FINAL_PHASES.find(final => final === status.phase);
  const gone = { ...idle, status, startedAt: Date.parse(status.startedAt), phase };
  return firstOf(GONE, gone) ?? expired(gone);
}

/** Checks of a workflow that is gone, in order. The spec alone does not ask for a second run. */
const GONE: readonly Check<Gone, BackfillPlan>[] = [hasNewAttempt, wasDryRun, endWasSeen, wasLost];

function hasNewAttempt(gone: Gone): BackfillPlan | undefined {
  const { spec, status, phase, startedAt } = gone;
  if (spec.cancel !== 'None' || spec.attempt <= (status.attempt ?? 1)) return undefined;
  const failed = status.conditions?.find(({ type }) => type === 'Failed')?.reason;
  const reachedItsEnd = phase === 'Complete' || failed === 'BucketsFailed';
  return start(gone, reachedItsEnd ? 'FailedOnes' : 'Missing', startedAt);
}

function wasDryRun(gone: Gone): BackfillPlan | undefined {
  return gone.phase === 'Planned' && !gone.spec.dryRun ? afterDryRun(gone) : undefined;
}

function endWasSeen({ spec, status, phase, now }: Gone): BackfillPlan | undefined {
  if (!phase) return undefined;
  const end = status.conditions?.find(({ type }) => type === 'Complete' || type === 'Failed');
  // Without finishedAt nobody saw the end, and the time until the deletion begins now.
  return ended(spec, end, status.finishedAt ? Date.parse(status.finishedAt) : now, now);
}

function wasLost({ status, now }: Gone): BackfillPlan | undefined {
  const reported = status.conditions?.some(({ type, reason }) => type === 'Ready' && reason === 'WorkflowLost');
  if (!reported && !(now - Date.parse(status.seenAt ?? '') < MIN_RETENTION)) return undefined;
  const message = `Temporal does not know workflow ${status.workflowID}, which ran at ${status.seenAt}. It cannot have expired since: Temporal has lost its data, or temporal_namespace has changed. To run the buckets that are not done, increase spec.attempt.`;
  return {
    actions: [],
    summary: { kind: 'unknown', reason: 'WorkflowLost', message },
    own: [],
    after: REFRESH.idle,
  };
}

function expired({ spec, status, now }: Gone): BackfillPlan {
  const message = `Temporal does not know workflow ${status.workflowID} any more: it removed the workflow after its retention, or lost its data. How it ended is not known. To run the buckets that are not done, increase spec.attempt, or create another Backfill with reprocess None.`;
  return ended(spec, { type: 'Failed', status: 'True', reason: 'ResultExpired', message }, now, now);
}

/** Checks of a Backfill that has not started, in order. */
const BEFORE_START: readonly Check<Idle, BackfillPlan>[] = [
  wasCancelledBeforeStart,
  hasInvalidSince,
  hasNoCompleteBucket,
];

function hasNoCompleteBucket({ spec, now }: Idle): BackfillPlan | undefined {
  const first = bucketAt(boundsOf(spec.startAt).start, spec.granularity);
  const last = lastCompleteBucket(now, spec.granularity);
  if (first <= last) return undefined;
  const { end } = boundsOf(first);
  return {
    actions: [],
    summary: {
      kind: 'ready',
      reason: 'RangeIncomplete',
      message: `spec.startAt "${spec.startAt}": no bucket of the range is complete yet, the last complete one is ${last}. The backfill starts by itself at ${seconds(end)}; for new buckets as they come, use a PipelineSchedule.`,
    },
    own: [],
    after: Math.min(HOUR, end - now),
  };
}

/** Returns the instant of the annotation on a restored Backfill, in milliseconds since 1970; undefined without it, NaN when it is invalid. */
function completedSince({ metadata }: Backfill): number | undefined {
  const text = metadata.annotations?.[ANNOTATIONS.completedSince];
  return text === undefined ? undefined : Date.parse(text);
}

function hasInvalidSince({ object }: Idle): BackfillPlan | undefined {
  if (!Number.isNaN(completedSince(object))) return undefined;
  const text = object.metadata.annotations?.[ANNOTATIONS.completedSince];
  return invalid([
    `annotation ${ANNOTATIONS.completedSince} = "${text}" is not an instant; write it as 2024-05-01T00:00:00Z`,
  ]);
}
