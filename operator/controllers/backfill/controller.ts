import { keyOf } from '../../kube/resource.ts';
import type { Temporal } from '../../temporal/connection.ts';
import type { TemporalUI } from '../links.ts';
import { type Context, reconciler } from '../reconcile.ts';
import { BACKFILLS } from '../resources.ts';
import { apply } from './apply.ts';
import { observe } from './observe.ts';
import { planBackfill } from './plan.ts';
import { keep, type Sample, sampleOf } from './rate.ts';
import { backfillStatus } from './status.ts';

/** Reconciles Backfills. */
export function backfillReconciler(context: Context, temporal: Temporal, installation: string, ui: TemporalUI) {
  /** Progress by time, from which the rate is computed. It starts empty after a restart. */
  const samples = new Map<string, Sample[]>();
  return reconciler(context, {
    resource: BACKFILLS,
    async observe(object, now) {
      const observed = await observe(temporal, object, installation, now);
      const { workflow } = observed;
      if (workflow.known && workflow.value.state === 'running' && workflow.value.progress) {
        const key = keyOf(object);
        samples.set(key, keep(samples.get(key) ?? [], sampleOf(workflow.value.progress, now)));
      }
      return observed;
    },
    plan: (observed, now) => planBackfill(observed, installation, now),
    apply: (object, action, signal) => apply(context.client, temporal, object, action, signal),
    status: (observed, plan) =>
      backfillStatus(observed, plan, samples.get(keyOf(observed.object)) ?? [], installation, ui),
    forget: key => void samples.delete(key),
  });
}
