import { ANNOTATIONS, FINALIZER } from '../../../crds/resource.ts';
import { sentence } from '../../../pipeline/sentence.ts';
import { scheduleIDOf } from '../../../worker/contract.ts';
import { annotated, unavailable } from '../plan-types.ts';
import { isOurs } from './existing-schedule.ts';
import type { ObservedSchedule, ScheduleAction, SchedulePlan } from './plan-types.ts';

/** Deletes the schedule in Temporal, if it is ours. The resource may go once Temporal has deleted it. */
export function planDeletion({ object, schedule }: ObservedSchedule, installation: string): SchedulePlan {
  const { namespace = '', name } = object.metadata;
  const id = scheduleIDOf(installation, namespace, name);
  const deleting = (message: string, actions: ScheduleAction[]): SchedulePlan => ({
    actions,
    summary: { kind: 'working', reason: 'Deleting', message },
    own: [],
  });
  if (!object.metadata.finalizers?.includes(FINALIZER)) return deleting('Nothing is left to clean up.', []);
  if (annotated(object, ANNOTATIONS.abandon)) {
    return deleting('Abandoned: the schedule is left as it is.', [{ do: 'removeFinalizer' }]);
  }
  if (!schedule.known) {
    return unavailable(
      `${sentence(schedule.message)} The schedule ${id} cannot be deleted; to delete the PipelineSchedule anyway and leave it in force, annotate it with ${ANNOTATIONS.abandon}: "true"`,
    );
  }
  if (!schedule.value) return deleting('The schedule is gone.', [{ do: 'removeFinalizer' }]);
  if (!isOurs(object, schedule.value, id)) {
    return deleting('The schedule of that name is not ours and is left alone.', [{ do: 'removeFinalizer' }]);
  }
  return deleting('The schedule is being deleted.', [
    { do: 'deleteSchedule', id, ownerUID: schedule.value.ownerUID },
    { do: 'removeFinalizer' },
  ]);
}
