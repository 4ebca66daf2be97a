import { keyOf } from '../../kube/resource.ts';
import type { TemporalUI } from '../links.ts';
import { type Context, reconciler } from '../reconcile.ts';
import { WORKER_POOLS } from '../resources.ts';
import { apply } from './apply.ts';
import type { PodSettings } from './deployment.ts';
import { observe, type PoolSources } from './observe.ts';
import { type Applied, planPool } from './plan.ts';
import type { Memory } from './scaling.ts';
import { poolStatus } from './status.ts';

/** Reconciles WorkerPools. */
export function poolReconciler(context: Context, sources: PoolSources, settings: PodSettings, ui: TemporalUI) {
  const memories = new Map<string, Memory>();
  const applied = new Map<string, Applied>();
  return reconciler(context, {
    resource: WORKER_POOLS,
    observe: (object, _, signal) =>
      observe(sources, object, { memory: memories.get(keyOf(object)), applied: applied.get(keyOf(object)) }, signal),
    plan(observed, now) {
      const plan = planPool(observed, settings, now);
      const key = keyOf(observed.object);
      if (plan.memory) memories.set(key, plan.memory);
      else memories.delete(key);
      return plan;
    },
    apply: (object, action, signal) =>
      apply(context.client, object, action, signal, one => applied.set(keyOf(object), one)),
    status: (observed, plan, now) => poolStatus(observed, plan, ui, now),
    forget(key) {
      memories.delete(key);
      applied.delete(key);
    },
  });
}
