import { PIPELINE_SCHEDULE, type PipelineSchedule } from '../../../crds/pipeline-schedule.ts';
import { scheduleId } from '../../../worker/contract.ts';
import type { Temporal } from '../../temporal/connection.ts';
import { describeSchedule, type Launch } from '../../temporal/schedules.ts';
import { ask, specOf } from '../reconcile.ts';
import type { ObservedSchedule } from './plan.ts';

/** Number of newest launches that are read for each schedule. The status has the older ones already. */
const NEWEST = 10;

/**
 * Reads a PipelineSchedule and its schedule in Temporal. `launches` returns the launches of all schedules, shared between them. `skipped`
 * returns whether a launch that succeeded did nothing.
 */
export async function observe(
  temporal: Temporal,
  launches: () => Promise<readonly Launch[]>,
  skipped: (launch: Launch) => Promise<boolean>,
  object: PipelineSchedule,
  installation: string,
): Promise<ObservedSchedule> {
  const id = scheduleId(installation, object.metadata.namespace ?? '', object.metadata.name);
  const own = async () => {
    const newest = (await launches()).filter(launch => launch.scheduleID === id).slice(0, NEWEST);
    return Promise.all(
      newest.map(async launch =>
        launch.state === 'Succeeded' && (await skipped(launch)) ? { ...launch, state: 'Skipped' as const } : launch,
      ),
    );
  };
  const [schedule, found] = await Promise.all([ask(describeSchedule(temporal, id)), ask(own())]);
  return { object, spec: specOf(PIPELINE_SCHEDULE, object), schedule, launches: found };
}
