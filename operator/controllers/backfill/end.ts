import type { BackfillSpec } from '../../../crds/backfill.ts';
import { durationSeconds } from '../../../crds/fields.ts';
import type { DesiredCondition, ReadySummary } from '../conditions.ts';
import { type BackfillPlan, HOUR, type Idle } from './plan-types.ts';

/**
 * Returns the plan for a backfill that has ended. It is ready when it ended as the spec says: complete, or cancelled by its spec.
 * Otherwise a person has to decide, as after a failed Job, and it is stalled with the reason of Failed.
 */
export function ended(
  spec: BackfillSpec,
  end: DesiredCondition | undefined,
  finishedAt: number,
  now: number,
): BackfillPlan {
  const failed = end?.type === 'Failed' && !(end.reason === 'Cancelled' && spec.cancel !== 'None');
  const summary: ReadySummary = failed
    ? { kind: 'stalled', reason: end.reason, message: end.message }
    : { kind: 'ready', reason: 'Ended', message: `The backfill has ended. ${end?.message ?? ''}`.trim() };
  const own = end ? [end] : [];
  if (!spec.ttlAfterFinished) return { actions: [], summary, own };
  const left = finishedAt + (durationSeconds(spec.ttlAfterFinished) ?? 0) * 1000 - now;
  if (left <= 0) return { actions: [{ do: 'delete' }], summary, own };
  return { actions: [], summary, own, after: Math.min(left, HOUR) };
}

/** Returns the end of a Backfill that was cancelled before any bucket was run; undefined without a cancellation. */
export function wasCancelledBeforeStart({ spec, now }: Idle): BackfillPlan | undefined {
  if (spec.cancel === 'None') return undefined;
  const message = 'Cancelled before it began: no bucket was run.';
  return ended(spec, { type: 'Failed', status: 'True', reason: 'Cancelled', message }, now, now);
}
