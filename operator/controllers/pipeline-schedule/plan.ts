import { FINALIZER, SpecError } from '../../../crds/resource.ts';
import { sentence } from '../../../pipeline/sentence.ts';
import { blockedSummary } from '../blocked.ts';
import type { ReadySummary } from '../conditions.ts';
import { invalid, REFRESH, unavailable } from '../plan-types.ts';
import { filterWarnings, warningCondition } from '../warnings.ts';
import { planDeletion } from './deletion.ts';
import { planExisting, working } from './existing-schedule.ts';
import { lastRunFailed, missingWarnings } from './findings.ts';
import { mismatches } from './mismatch.ts';
import type { ObservedSchedule, SchedulePlan } from './plan-types.ts';
import { pauseFor, RUNNING, requestOf } from './request.ts';
import { decideRun } from './requested-run.ts';

/** Decides about one PipelineSchedule and adds warnings about probable mistakes. `now` is in milliseconds since 1970. */
export function planSchedule(observed: ObservedSchedule, installation: string, now: number): SchedulePlan {
  const plan = decide(observed, installation);
  const { object, spec } = observed;
  if (object.metadata.deletionTimestamp || spec instanceof SpecError) return plan;
  const run = decideRun(observed.requested, object.status?.requestedRun);
  const warnings = [...run.warnings, ...missingWarnings(observed), ...filterWarnings(spec), ...mismatches(spec, now)];
  const starts = run.start && isInForce(plan) ? [{ do: 'startRun', request: run.start } as const] : [];
  const wait = starts.length > 0 ? REFRESH.soon : run.running ? REFRESH.active : undefined;
  return {
    ...plan,
    actions: [...plan.actions, ...starts],
    events: run.start && starts.length === 0 ? [] : run.events,
    ...(wait !== undefined && { after: Math.min(wait, plan.after ?? wait) }),
    summary: withUnknown(withBlocked(plan.summary, observed), observed),
    own: [...plan.own, ...lastRunFailed(observed, spec), ...warningCondition(warnings)],
  };
}

/** Returns whether the schedule in Temporal belongs to this resource and equals its spec, paused or not. A requested run starts only then. */
function isInForce({ actions, summary }: SchedulePlan): boolean {
  return actions.length === 0 && ['Scheduled', 'Suspended', 'PausedInTemporal'].includes(summary.reason);
}

/** Says in the summary of a schedule in force what its oldest active run waits for. */
function withBlocked(summary: ReadySummary, { blockedBy }: ObservedSchedule): ReadySummary {
  if (summary.reason !== 'Scheduled' || !blockedBy) return summary;
  return blockedSummary(blockedBy, blockedBy.bucket, summary.message);
}

/** Says in the summary of a ready schedule that missing buckets are not known. */
function withUnknown(summary: ReadySummary, { missing }: ObservedSchedule): ReadySummary {
  if (summary.kind !== 'ready' || !missing || missing.known) return summary;
  return {
    ...summary,
    message: `${summary.message} Whether buckets are missing is not known: ${sentence(missing.message)}`,
  };
}

/** Decides in this order: deletion, finalizer, invalid spec, creation, another owner, update, pause. */
function decide(observed: ObservedSchedule, installation: string): SchedulePlan {
  const { object, spec, schedule } = observed;
  if (object.metadata.deletionTimestamp) return planDeletion(observed, installation);
  if (!object.metadata.finalizers?.includes(FINALIZER)) {
    return {
      actions: [{ do: 'addFinalizer' }],
      summary: { kind: 'working', reason: 'Accepted', message: 'Accepted; the schedule is created next.' },
      own: [],
    };
  }
  if (spec instanceof SpecError) return invalid(spec.problems);
  if (!schedule.known) return unavailable(schedule.message);
  const request = requestOf(object, spec, installation);
  const seen = schedule.value;
  if (!seen) {
    return working('The schedule is being created.', { do: 'create', request, pause: pauseFor(spec, RUNNING) });
  }
  if (seen.unseen) return { ...working('The schedule is being created.'), after: REFRESH.active };
  return planExisting({ object, spec, request, seen, pause: pauseFor(spec, seen) });
}

/** Returns whether the schedule in Temporal is about to be changed. Its state must be new then. */
export function changesSchedule(observed: ObservedSchedule, installation: string): boolean {
  return decide(observed, installation).actions.some(
    action => action.do === 'update' || action.do === 'deleteSchedule',
  );
}
