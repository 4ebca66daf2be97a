import type { ObservedPool, PoolAction } from './plan-types.ts';
import { busySlots, reportsOf } from './signals.ts';

/** Returns the deletion costs to set before pods are removed: the lowest for idle pods, and for the others their slots in use. */
export function costs({ load, pods }: ObservedPool): PoolAction[] {
  if (!load.known) return [];
  const workers = reportsOf(load.value);
  return pods.flatMap(pod => {
    const reports = workers.filter(one => one.identity === pod.name && one.usedSlots !== undefined);
    if (reports.length === 0) return [];
    const used = busySlots(reports);
    const cost = String(used === 0 ? -1 : used);
    return cost === pod.cost ? [] : [{ do: 'cost', pod: pod.name, cost } as const];
  });
}
