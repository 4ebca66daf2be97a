import type { PipelineSchedule } from '../../../crds/pipeline-schedule.ts';
import { FINALIZER } from '../../../crds/resource.ts';
import type { Client } from '../../kube/client.ts';
import { addFinalizer, removeFinalizer } from '../../kube/finalizer.ts';
import type { Stored } from '../../kube/resource.ts';
import type { Temporal } from '../../temporal/connection.ts';
import { createSchedule, deleteSchedule, updateSchedule } from '../../temporal/schedules.ts';
import { PIPELINE_SCHEDULES } from '../resources.ts';
import type { ScheduleAction } from './plan.ts';

/** Carries out one action of a plan. Returns true when the resource may be gone afterwards. */
export async function apply(
  client: Client,
  temporal: Temporal,
  object: Stored<PipelineSchedule>,
  action: ScheduleAction,
  signal: AbortSignal,
): Promise<boolean> {
  switch (action.do) {
    case 'addFinalizer':
      await addFinalizer(client, PIPELINE_SCHEDULES, object, FINALIZER, { signal });
      return false;
    case 'removeFinalizer':
      await removeFinalizer(client, PIPELINE_SCHEDULES, object, FINALIZER, { signal });
      return true;
    case 'create':
      // If a schedule of this id exists already, the next pass decides. It may come from a pass of ours that died, or from somebody else.
      await createSchedule(temporal, action.request, action.pause);
      return false;
    case 'update':
      await updateSchedule(temporal, action.request, action.pause, action.seen);
      return false;
    case 'deleteSchedule':
      await deleteSchedule(temporal, action.id);
      return false;
  }
}
