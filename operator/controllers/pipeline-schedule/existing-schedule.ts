import type { PipelineSchedule, PipelineScheduleSpec } from '../../../crds/pipeline-schedule.ts';
import { ANNOTATIONS } from '../../../crds/resource.ts';
import type { PauseState, ScheduleRequest, ScheduleState } from '../../temporal/schedules.ts';
import type { ReadySummary } from '../conditions.ts';
import { annotated, type Check, firstOf, REFRESH } from '../plan-types.ts';
import type { ScheduleAction, SchedulePlan } from './plan-types.ts';
import { isAsRecorded } from './record.ts';

/** An existing schedule of a valid resource. */
interface Existing {
  readonly object: PipelineSchedule;
  readonly spec: PipelineScheduleSpec;
  readonly request: ScheduleRequest;
  readonly seen: ScheduleState;
  /** Desired pause. */
  readonly pause: PauseState;
}

/** Decides about a schedule that exists in Temporal. */
export function planExisting(existing: Existing): SchedulePlan {
  return firstOf(CHECKS, existing) ?? scheduled();
}

/** Checks of an existing schedule, in order. The first one that applies decides. */
const CHECKS: readonly Check<Existing, SchedulePlan>[] = [
  hasAnotherOwner,
  differsFromSpec,
  isPausedOtherwise,
  wasChangedByHand,
  isSuspended,
  isPausedInTemporal,
];

function hasAnotherOwner({ object, seen, request }: Existing): SchedulePlan | undefined {
  if (isOurs(object, seen, request.id) || annotated(object, ANNOTATIONS.adopt)) return undefined;
  return waiting({
    kind: 'stalled',
    reason: 'AdoptionRefused',
    message: `Temporal has a schedule ${request.id} that was not made for this resource, so it is left alone. Delete it there, or annotate this resource with ${ANNOTATIONS.adopt}: "true" to take it over.`,
  });
}

function differsFromSpec(existing: Existing): SchedulePlan | undefined {
  const { seen, request } = existing;
  if (seen.hash === request.hash && seen.ownerUID === request.ownerUID) return undefined;
  return update(existing, 'The schedule is being updated.');
}

function isPausedOtherwise(existing: Existing): SchedulePlan | undefined {
  const { seen, pause } = existing;
  if (seen.paused === pause.paused && seen.note === pause.note) return undefined;
  return update(existing, 'The schedule is being paused or unpaused.');
}

function wasChangedByHand(existing: Existing): SchedulePlan | undefined {
  const { scheduleHash } = existing.object.status ?? {};
  if (scheduleHash === undefined || isAsRecorded(existing.seen, scheduleHash)) return undefined;
  return update(existing, 'Somebody changed the schedule in Temporal; the operator restores the schedule of the spec.');
}

function isSuspended({ spec }: Existing): SchedulePlan | undefined {
  if (!spec.suspend) return undefined;
  const message = 'Suspended: nothing fires; runs that have started continue.';
  return waiting({ kind: 'ready', reason: 'Suspended', message });
}

function isPausedInTemporal({ seen }: Existing): SchedulePlan | undefined {
  if (!seen.paused) return undefined;
  const note = seen.note ? ` ("${seen.note.slice(0, 200)}")` : '';
  const message = `Somebody paused the schedule in Temporal${note}. Unpause it there, or set spec.suspend to true and back to false.`;
  return waiting({ kind: 'stalled', reason: 'PausedInTemporal', message });
}

function scheduled(): SchedulePlan {
  return waiting({ kind: 'ready', reason: 'Scheduled', message: 'The schedule is in force.' });
}

/** Returns a plan without actions, until the next look at Temporal. */
function waiting(summary: ReadySummary): SchedulePlan {
  return { actions: [], summary, own: [], after: REFRESH.idle };
}

function update({ request, pause, seen }: Existing, message: string): SchedulePlan {
  return working(message, { do: 'update', request, pause, seen });
}

/**
 * Returns whether the schedule belongs to this resource. An edit by hand drops the mark of the owner; a schedule without a mark is ours
 * if our status has its id.
 */
export function isOurs(object: PipelineSchedule, seen: ScheduleState, id: string): boolean {
  if (seen.ownerUID !== undefined) return seen.ownerUID === object.metadata.uid;
  return object.status?.scheduleID === id;
}

/** Returns a plan that changes the schedule, after which it is read again. */
export function working(message: string, ...actions: ScheduleAction[]): SchedulePlan {
  // The server may silently drop an update that lost a race. The operator therefore reads the schedule again at once.
  return { actions, summary: { kind: 'working', reason: 'Starting', message }, own: [], after: REFRESH.soon };
}
