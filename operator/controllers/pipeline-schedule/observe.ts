import { PIPELINE_SCHEDULE, type PipelineSchedule } from '../../../crds/pipeline-schedule.ts';
import { scheduleId } from '../../../worker/contract.ts';
import type { Temporal } from '../../temporal/connection.ts';
import { describeSchedule, type Launch } from '../../temporal/schedules.ts';
import { ask, specOf } from '../reconcile.ts';
import type { ObservedSchedule } from './plan.ts';

/** Looks at a PipelineSchedule and its schedule in Temporal. `launches` gives those of all schedules, shared between them. */
export async function observe(
  temporal: Temporal,
  launches: () => Promise<readonly Launch[]>,
  object: PipelineSchedule,
  installation: string,
): Promise<ObservedSchedule> {
  const id = scheduleId(installation, object.metadata.namespace ?? '', object.metadata.name);
  const [schedule, all] = await Promise.all([ask(describeSchedule(temporal, id)), ask(launches())]);
  return {
    object,
    spec: specOf(PIPELINE_SCHEDULE, object),
    schedule,
    launches: all.known ? { known: true, value: all.value.filter(launch => launch.scheduleID === id) } : all,
  };
}
