import type { ScalingMemory } from '../../../crds/worker-pool.ts';
import type { Moment } from '../../kube/clock.ts';
import { seconds } from '../conditions.ts';
import type { Memory } from './scaling.ts';

/** Number of recommendations in the status. */
const KEPT = 16;

/** Returns the memory of autoscaling in the form of the status, so that the next leader continues its windows. */
export function storedMemory(memory: Memory, now: Moment): ScalingMemory {
  const instant = (time: number) => seconds(now.wall - (now.monotonic - time));
  return {
    recommendations: extremes(memory.recommendations).map(({ since, replicas }) => ({
      since: instant(since),
      replicas,
    })),
    changes: memory.changes.slice(-KEPT).map(({ at, delta }) => ({ at: instant(at), delta })),
    ...(memory.idleSince !== undefined && { idleSince: instant(memory.idleSince) }),
  };
}

/** Returns the memory in a status; undefined without one. An instant in the future counts as now: the clocks of two nodes may differ. */
export function restoredMemory(stored: ScalingMemory | undefined, now: Moment): Memory | undefined {
  if (!stored || stored.recommendations.length === 0) return undefined;
  const time = (instant: string) => Math.min(now.monotonic, now.monotonic - (now.wall - Date.parse(instant)));
  return {
    recommendations: stored.recommendations.map(({ since, replicas }) => ({ since: time(since), replicas })),
    changes: stored.changes.map(({ at, delta }) => ({ at: time(at), delta })),
    ...(stored.idleSince && { idleSince: time(stored.idleSince) }),
  };
}

/** Cuts the list to KEPT items. Of the older ones it keeps the smallest and the greatest, by which windows decide. */
function extremes(list: Memory['recommendations']): Memory['recommendations'] {
  if (list.length <= KEPT) return list;
  const recent = list.slice(2 - KEPT);
  const older = list.slice(0, 2 - KEPT).toSorted((a, b) => a.replicas - b.replicas);
  const ends = [older[0], older.at(-1)].filter(one => one !== undefined);
  return [...ends.toSorted((a, b) => a.since - b.since), ...recent];
}
