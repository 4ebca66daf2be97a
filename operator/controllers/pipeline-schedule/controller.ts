import type { Temporal } from '../../temporal/connection.ts';
import { type Launch, listLaunches, wasSkipped } from '../../temporal/schedules.ts';
import { shared } from '../../temporal/shared-request.ts';
import type { TemporalUI } from '../links.ts';
import { type Context, reconciler } from '../reconcile.ts';
import { PIPELINE_SCHEDULES } from '../resources.ts';
import { apply } from './apply.ts';
import { observe } from './observe.ts';
import { planSchedule } from './plan.ts';
import { scheduleStatus } from './status.ts';

/** Milliseconds for which a list of launches is reused. Visibility lags by seconds, and Temporal allows few such requests. */
const LAUNCHES_TTL = 10_000;
/** Number of launches for which the result is remembered. */
const REMEMBERED = 10_000;

/** Reconciles PipelineSchedules. */
export function scheduleReconciler(context: Context, temporal: Temporal, installation: string, ui: TemporalUI) {
  const launches = shared(context.clock, LAUNCHES_TTL, () => listLaunches(temporal, installation));
  /** Results of launches. They do not change, so each is read once. */
  const known = new Map<string, boolean>();
  const skipped = async (launch: Launch) => {
    const before = known.get(launch.runID);
    if (before !== undefined) return before;
    const found = await wasSkipped(temporal, launch);
    if (known.size >= REMEMBERED) known.delete(known.keys().next().value as string);
    known.set(launch.runID, found);
    return found;
  };
  return reconciler(context, {
    resource: PIPELINE_SCHEDULES,
    observe: object => observe(temporal, launches, skipped, object, installation),
    plan: (observed, now) => planSchedule(observed, installation, now),
    apply: (object, action, signal) => apply(context.client, temporal, object, action, signal),
    status: (observed, plan) => scheduleStatus(observed, plan, installation, ui),
  });
}
