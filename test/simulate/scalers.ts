import { shareOf } from '../../operator/controllers/worker-pool/queue-share.ts';
import {
  decide,
  freshMemory,
  hold,
  type Memory,
  type Scaling,
} from '../../operator/controllers/worker-pool/scaling.ts';
import type { Scaler } from './engine.ts';

/** Greatest number of pods of a pool, for both scalers. */
export const MOST = 20;

/** The autoscaling of the operator: the same pure functions, with the same times between two passes. */
export function operatorScaler(scaling: Scaling, slots: number, pools: number): Scaler {
  let memory: Memory | undefined;
  const capacity = { tasks: ['Activities'], slots, mostPods: MOST } as const;
  const share = shareOf(
    capacity,
    Array.from({ length: pools - 1 }, () => capacity),
    'Activities',
  );
  return {
    every: 10,
    idleFirst: true,
    decide({ now, known, activeRuns, current, busyPods, ...load }) {
      const ms = now * 1000;
      if (!known) {
        const held = hold({ scaling, current, now: ms, before: memory, activeRuns });
        memory = held.memory;
        return held.desired;
      }
      const queue = { ...load, tasks: 'Activities', share, slotsPerPod: slots } as const;
      const before = memory ?? freshMemory(current, ms);
      const decided = decide({ signals: { queues: [queue], busyPods }, scaling, current, before, now: ms, at: ms });
      memory = decided.memory;
      return decided.decision.desired;
    },
  };
}

/** Seconds, the defaults of KEDA and of the HorizontalPodAutoscaler that it creates. */
const KEDA = { poll: 30, hpa: 15, cooldown: 300, stabilization: 300 };

/**
 * KEDA with its Temporal scaler: pods = backlog / target, which does not count running tasks. It starts the first pod at its next poll, and
 * removes the last one when there has been no backlog for the cool-down. While the load is not known, the number is held.
 *
 * @param target waiting tasks for each pod
 */
export function kedaScaler(target: number): Scaler {
  let activeAt = Number.NEGATIVE_INFINITY;
  const recommended: { readonly at: number; readonly pods: number }[] = [];
  return {
    every: KEDA.hpa,
    idleFirst: false,
    decide({ now, known, backlog, current }) {
      if (!known) return current;
      if (backlog > 0) activeAt = now;
      if (current === 0) return backlog > 0 && now % KEDA.poll === 0 ? 1 : 0;
      const pods = Math.min(MOST, Math.max(1, Math.ceil(backlog / target)));
      recommended.push({ at: now, pods });
      while (recommended[0] && recommended[0].at <= now - KEDA.stabilization) recommended.shift();
      // Up at once, by four pods or to twice the number in 15 s; down to the greatest recommendation of the window.
      if (pods > current) return Math.min(pods, Math.max(current + 4, current * 2));
      if (now - activeAt >= KEDA.cooldown) return 0;
      return Math.min(current, Math.max(...recommended.map(one => one.pods)));
    },
  };
}
