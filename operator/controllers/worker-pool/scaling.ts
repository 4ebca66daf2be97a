import type { ScalingDecision } from '../../../crds/worker-pool.ts';
import type { Tasks } from '../../temporal/load.ts';
import { seconds } from '../conditions.ts';

/** Autoscaling of a pool in plain numbers: durations in seconds, utilisation as a share. */
export interface Scaling {
  readonly minReplicas: number;
  readonly maxReplicas: number;
  readonly utilization: number;
  readonly drainWithin: number;
  readonly cooldown: number;
  readonly scaleUp: { readonly stabilization: number; readonly podsPerMinute: number };
  readonly scaleDown: { readonly stabilization: number; readonly podsPerMinute: number };
}

/** One queue as seen from one pool. */
export interface QueueSignal {
  readonly tasks: Tasks;
  /** Tasks waiting. */
  readonly backlog: number;
  /** Tasks per second. */
  readonly addRate: number;
  readonly dispatchRate: number;
  /** Slots in use on the pods of this pool, and on all workers of the queue. */
  readonly ownSlots: number;
  readonly allSlots: number;
  /** Slots that one pod of the pool has for these tasks. */
  readonly slotsPerPod: number;
}

/** What was wished and done lately. It lives in the leader's memory; a new leader begins as if all had been busy until now. */
export interface Memory {
  readonly recommendations: readonly { readonly at: number; readonly replicas: number }[];
  readonly changes: readonly { readonly at: number; readonly delta: number }[];
  /** When there was work last, milliseconds since 1970. */
  readonly activeAt: number;
}

export const freshMemory = (current: number, now: number): Memory => ({
  recommendations: [{ at: now, replicas: current }],
  changes: [],
  activeAt: now,
});

/** Temporal averages its rates over about this many seconds; with fewer dispatches in it they say nothing about throughput. */
const RATE_WINDOW = 30;
const LEAST_DISPATCHED = 10;
/** As in the HorizontalPodAutoscaler: a wish within a tenth of what is there changes nothing. */
const TOLERANCE = 0.1;
const MINUTE = 60_000;

/**
 * Pods that a queue asks for, as a fraction. Where enough tasks pass to know what a pod gets done, from the rates: new tasks as they
 * come, and the backlog within `drainWithin`. Otherwise from the slots that would be in use if all that waits ran at once.
 */
export function neededPods(queue: QueueSignal, scaling: Pick<Scaling, 'utilization' | 'drainWithin'>): number {
  const { backlog, addRate, dispatchRate, ownSlots, allSlots, slotsPerPod } = queue;
  if (dispatchRate * RATE_WINDOW >= LEAST_DISPATCHED && ownSlots > 0) {
    // Little's law: slots in use = rate * duration. This pool gets the share of the rate that its slots are of all.
    const share = ownSlots / Math.max(allSlots, ownSlots);
    const ratePerPod = ((dispatchRate * share) / ownSlots) * slotsPerPod * scaling.utilization;
    return (addRate * share) / ratePerPod + backlog / (ratePerPod * scaling.drainWithin);
  }
  return (backlog + ownSlots) / (slotsPerPod * scaling.utilization);
}

/** Pods that the slots in use fill: with fewer, work would be interrupted. */
export function occupiedPods(queue: QueueSignal): number {
  return Math.ceil(queue.ownSlots / queue.slotsPerPod);
}

/** `current` where the wish is within a tenth of it, else the wish, rounded up. */
export function tolerated(current: number, needed: number): number {
  if (current > 0 && Math.abs(1 - needed / current) <= TOLERANCE) return current;
  return Math.ceil(needed);
}

/** The mildest wish of the window: upwards the least, downwards the greatest. The last of `memory` is the present wish. */
export function stabilized(memory: Memory, scaling: Scaling, current: number, now: number): number {
  const present = memory.recommendations.at(-1)?.replicas ?? current;
  const within = (window: number) => [
    present,
    ...memory.recommendations.filter(({ at }) => at > now - window * 1000).map(({ replicas }) => replicas),
  ];
  const up = Math.min(...within(scaling.scaleUp.stabilization));
  const down = Math.max(...within(scaling.scaleDown.stabilization));
  if (up > current) return up;
  return Math.min(down, current);
}

/** At most `podsPerMinute` in the last minute, what was changed already included. */
export function limited(memory: Memory, scaling: Scaling, current: number, wish: number, now: number): number {
  const lately = memory.changes.filter(({ at }) => at > now - MINUTE);
  const added = lately.reduce((sum, { delta }) => sum + Math.max(0, delta), 0);
  const removed = lately.reduce((sum, { delta }) => sum + Math.max(0, -delta), 0);
  const most = current + Math.max(0, scaling.scaleUp.podsPerMinute - added);
  const least = current - Math.max(0, scaling.scaleDown.podsPerMinute - removed);
  return Math.min(most, Math.max(least, wish));
}

/**
 * How many replicas a pool shall have: the need of its hungriest queue, at least what is occupied, then tolerance, stabilisation, rate
 * limits, bounds, in this order. Every step is in the decision; `reason` names the last one that changed the number.
 */
export function decide(
  queues: readonly QueueSignal[],
  scaling: Scaling,
  current: number,
  before: Memory,
  now: number,
): { decision: ScalingDecision; memory: Memory } {
  const idle = queues.every(({ backlog, addRate, ownSlots }) => backlog === 0 && addRate === 0 && ownSlots === 0);
  const activeAt = idle ? before.activeAt : now;
  const raw = Math.max(0, ...queues.map(queue => neededPods(queue, scaling)));
  const occupied = Math.max(0, ...queues.map(occupiedPods));
  let reason = 'Needed';
  const step = (name: string, value: number, next: number) => {
    if (next !== value) reason = name;
    return next;
  };
  const needed = Math.ceil(raw);
  const held = step('Tolerance', needed, tolerated(current, raw));
  const wish = step('Occupied', held, Math.max(held, occupied));
  const longest = Math.max(scaling.scaleUp.stabilization, scaling.scaleDown.stabilization) * 1000;
  const memory: Memory = {
    recommendations: [...before.recommendations.filter(({ at }) => at > now - longest), { at: now, replicas: wish }],
    changes: before.changes.filter(({ at }) => at > now - MINUTE),
    activeAt,
  };
  const calm = step('Stabilization', wish, stabilized(memory, scaling, current, now));
  const slow = step('RateLimit', calm, limited(memory, scaling, current, calm, now));
  const cooled = now - activeAt >= scaling.cooldown * 1000;
  const warm = step('Cooldown', slow, slow === 0 && current > 0 && !cooled ? 1 : slow);
  const floor = step('MinReplicas', warm, Math.max(warm, scaling.minReplicas));
  const desired = step('MaxReplicas', floor, Math.min(floor, scaling.maxReplicas));
  const delta = desired - current;
  const figures = queues
    .map(
      ({ tasks, backlog, ownSlots, addRate }) =>
        `${tasks}: ${backlog} waiting, ${ownSlots} slots busy, ${addRate.toFixed(2)} new/s`,
    )
    .join('; ');
  return {
    decision: {
      at: seconds(now),
      reason,
      message: `${SENTENCE[reason]} (${figures}).`,
      current,
      needed,
      occupied,
      tolerated: wish,
      stabilized: calm,
      limited: slow,
      desired,
    },
    memory: delta === 0 ? memory : { ...memory, changes: [...memory.changes, { at: now, delta }] },
  };
}

const SENTENCE: Record<string, string> = {
  Needed: 'As the load asks for',
  Tolerance: 'The load asks for about what is there',
  Occupied: 'Not fewer than the busy slots fill',
  Stabilization: 'The wish has to last before it is followed',
  RateLimit: 'No more pods are changed per minute',
  Cooldown: 'The last pod stays until there was no work for the cooldown',
  MinReplicas: 'Not fewer than minReplicas',
  MaxReplicas: 'Not more than maxReplicas',
};
