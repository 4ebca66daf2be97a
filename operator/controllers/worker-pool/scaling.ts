import type { ScalingDecision } from '../../../crds/worker-pool.ts';
import type { Tasks } from '../../temporal/load.ts';
import { seconds } from '../conditions.ts';

/** Autoscaling of a pool in plain numbers: durations in seconds, utilization as a fraction of 1. */
export interface Scaling {
  readonly minReplicas: number;
  readonly maxReplicas: number;
  readonly utilization: number;
  readonly drainWithin: number;
  readonly cooldown: number;
  readonly scaleUp: { readonly stabilization: number; readonly podsPerMinute: number };
  readonly scaleDown: { readonly stabilization: number; readonly podsPerMinute: number };
}

/** Load of one queue as seen from one pool. */
export interface QueueSignal {
  readonly tasks: Tasks;
  /** Tasks that wait. */
  readonly backlog: number;
  /** Part of the backlog that this pool has to process, from 0 to 1; other pools process the rest. */
  readonly share: number;
  /** Tasks per second. */
  readonly addRate: number;
  readonly dispatchRate: number;
  /** Slots in use on the pods of this pool, and on all workers of the queue. */
  readonly ownSlots: number;
  readonly allSlots: number;
  /** Slots that one pod of the pool has for these tasks. */
  readonly slotsPerPod: number;
}

/** Load as seen from one pool. */
export interface Signals {
  readonly queues: readonly QueueSignal[];
  /** Pods of the pool with a busy slot. */
  readonly busyPods: number;
  /** A pod whose slots are not known, as a sentence. Its slots are missing in `queues`, so the pool must not shrink. */
  readonly incomplete?: string;
}

/**
 * Recent recommendations and changes, in milliseconds of a monotonic clock: a step of the wall clock must not lengthen a window. The status
 * holds a copy for the next leader (memory.ts).
 */
export interface Memory {
  /** Recommendations, oldest first. Each holds from its time until that of the next one, the last until now. */
  readonly recommendations: readonly { readonly since: number; readonly replicas: number }[];
  readonly changes: readonly { readonly at: number; readonly delta: number }[];
  /** Time since which there has been no work; undefined while there is work, or while that is not known. */
  readonly idleSince?: number;
  /** Time since which the load has not been known; undefined while it is known. */
  readonly unknownSince?: number;
  /** Observed work of each kind of tasks. Another leader begins anew. */
  readonly work?: Partial<Readonly<Record<Tasks, Work>>>;
}

export const freshMemory = (current: number, now: number): Memory => ({
  recommendations: [{ since: now, replicas: current }],
  changes: [],
});

/** Seconds over which Temporal averages its rates, approximately. */
const RATE_WINDOW = 30;
/**
 * Shortest duration of a task in seconds, about that of the requests to Temporal for it. Tasks that begin and end between two readings of the
 * slots are never seen in a slot, and a duration of zero would mean that waiting tasks need no pod.
 */
const SHORTEST_TASK = 0.05;
/** Tasks that must have ended before their mean duration counts. */
const LEAST_ENDED = 10;
/** Tasks after which older ones count half, so that the mean follows the load. */
const HALVED_AFTER = 400;
/** Longest time in milliseconds between two readings in which the slots in use are taken as constant. */
const LONGEST_GAP = 60_000;
/** Seconds in which a pool processes its work at the soonest: a pod that starts for less than that costs more than it does. */
const SOONEST = 120;
/** Milliseconds without a known load after which it counts as an outage: a single request that fails must not start pods. */
const SHORT_OUTAGE = 30_000;
/** As in the HorizontalPodAutoscaler: a recommendation within a tenth of the current number changes nothing. */
const TOLERANCE = 0.1;
const MINUTE = 60_000;

/** Work of a queue that was observed: by Little's law, the mean duration of a task is the time in slots divided by the tasks that ended. */
export interface Work {
  /** Time of the last reading, and slots in use then. */
  readonly at: number;
  readonly slots: number;
  /** Seconds of all slots in use. */
  readonly slotSeconds: number;
  /** Tasks that ended. */
  readonly ended: number;
}

/** Adds a reading of a queue to the observed work. */
export function observedWork(before: Work | undefined, { allSlots, dispatchRate }: QueueSignal, now: number): Work {
  if (!before || now - before.at > LONGEST_GAP) {
    return { at: now, slots: allSlots, slotSeconds: before?.slotSeconds ?? 0, ended: before?.ended ?? 0 };
  }
  const elapsed = (now - before.at) / 1000;
  // Tasks that began, and are not in a slot any more, have ended.
  const ended = before.ended + dispatchRate * elapsed - (allSlots - before.slots);
  const old = before.ended > HALVED_AFTER ? 2 : 1;
  return {
    at: now,
    slots: allSlots,
    slotSeconds: (before.slotSeconds + before.slots * elapsed) / old,
    ended: ended / old,
  };
}

/** Returns the mean duration of a task in seconds; undefined while too few have ended. */
export function taskSeconds(work: Work | undefined): number | undefined {
  return work && work.ended >= LEAST_ENDED ? Math.max(SHORTEST_TASK, work.slotSeconds / work.ended) : undefined;
}

/**
 * Returns the pods that a queue needs, as a fraction: slots for all waiting and running tasks at once, while their duration is not known.
 * When it is known, fewer pods do the same work with less idle time: a slot takes two tasks one after the other, or as many as it finishes in
 * two minutes, within `drainWithin`. Tasks that are shorter than the time over which Temporal averages its rates arrive steadily, and
 * get slots for their rate, of which `utilization` is busy.
 *
 * @param duration mean seconds of a task; undefined while it is not known
 */
export function neededPods(
  { backlog, share, addRate, ownSlots, slotsPerPod }: QueueSignal,
  { utilization, drainWithin }: Pick<Scaling, 'utilization' | 'drainWithin'>,
  duration?: number,
): number {
  const tasks = backlog * share + ownSlots;
  if (duration === undefined) return tasks / slotsPerPod;
  const within = Math.min(Math.max(2 * duration, SOONEST), drainWithin);
  const atOnce = (tasks * duration) / within;
  if (duration > RATE_WINDOW) return Math.min(tasks, atOnce) / slotsPerPod;
  const arriving = (addRate * share * duration) / utilization;
  return Math.min(tasks / utilization, atOnce + arriving) / slotsPerPod;
}

/** Returns `current` if the need is within a tenth of it, otherwise the need, rounded up. */
export function tolerated(current: number, needed: number): number {
  if (current > 0 && Math.abs(1 - needed / current) <= TOLERANCE) return current;
  return Math.ceil(needed);
}

/** Returns the recommendations that held at some time of the last `window` seconds. */
function within(recommendations: Memory['recommendations'], window: number, now: number): Memory['recommendations'] {
  return recommendations.filter((_, index) => (recommendations[index + 1]?.since ?? now) > now - window * 1000);
}

/**
 * Returns the recommendation of the window that changes least: the smallest when scaling up, the greatest when scaling down. The last of
 * `memory` is the present one.
 */
export function stabilized(memory: Memory, scaling: Scaling, current: number, now: number): number {
  const { recommendations } = memory;
  const present = recommendations.at(-1)?.replicas ?? current;
  const those = (window: number) => [present, ...within(recommendations, window, now).map(({ replicas }) => replicas)];
  const up = Math.min(...those(scaling.scaleUp.stabilization));
  const down = Math.max(...those(scaling.scaleDown.stabilization));
  if (up > current) return up;
  return Math.min(down, current);
}

/** Adds a recommendation, and drops those that no window reaches any more. */
function recommend(memory: Memory, scaling: Scaling, replicas: number, now: number): Memory['recommendations'] {
  const { recommendations } = memory;
  const longest = Math.max(scaling.scaleUp.stabilization, scaling.scaleDown.stabilization, scaling.cooldown);
  const kept = within(recommendations, longest, now);
  return kept.at(-1)?.replicas === replicas ? kept : [...kept, { since: now, replicas }];
}

/** Limits the change to `podsPerMinute` in the last minute, including changes already made. */
export function limited(memory: Memory, scaling: Scaling, current: number, recommended: number, now: number): number {
  const lately = memory.changes.filter(({ at }) => at > now - MINUTE);
  const added = lately.reduce((sum, { delta }) => sum + Math.max(0, delta), 0);
  const removed = lately.reduce((sum, { delta }) => sum + Math.max(0, -delta), 0);
  const most = current + Math.max(0, scaling.scaleUp.podsPerMinute - added);
  const least = current - Math.max(0, scaling.scaleDown.podsPerMinute - removed);
  return Math.min(most, Math.max(least, recommended));
}

/** Inputs of a decision about the number of replicas. */
export interface ScalingInput {
  readonly signals: Signals;
  readonly scaling: Scaling;
  /** Replicas of the Deployment. */
  readonly current: number;
  /** Memory after the decision before this one. */
  readonly before: Memory;
  /** Milliseconds of the monotonic clock of `before`. */
  readonly now: number;
  /** Milliseconds since 1970, for display. */
  readonly at: number;
}

/**
 * Decides the number of replicas of a pool. It starts from the queue that needs most, and then applies tolerance, the busy pods as a
 * minimum, stabilization, rate limits, missing signals, cooldown and bounds, in this order. The decision shows every step; `reason` names
 * the last step that changed the number.
 */
export function decide(input: ScalingInput): { decision: ScalingDecision; memory: Memory } {
  const { signals, scaling, current, now, at } = input;
  const work = workOf(input);
  const exact = Math.max(0, ...signals.queues.map(queue => neededPods(queue, scaling, taskSeconds(work[queue.tasks]))));
  const needed = Math.ceil(exact);
  let pods = needed;
  let reason = 'Needed';
  const step = (name: string, next: number) => {
    if (next !== pods) reason = name;
    pods = next;
    return next;
  };
  step('Tolerance', tolerated(current, exact));
  const recommended = step('Occupied', Math.max(pods, signals.busyPods));
  const memory = { ...remember(input, recommended), work };
  const stable = step('Stabilization', stabilized(memory, scaling, current, now));
  const rateLimited = step('RateLimit', limited(memory, scaling, current, stable, now));
  step('SignalMissing', signals.incomplete ? Math.max(pods, current) : pods);
  step('Cooldown', pods === 0 && current > 0 && !hasCooledDown(memory, scaling, now) ? 1 : pods);
  step('MinReplicas', Math.max(pods, scaling.minReplicas));
  const desired = step('MaxReplicas', Math.min(pods, scaling.maxReplicas));
  return {
    decision: {
      at: seconds(at),
      reason,
      message: `${SENTENCE[reason]} (${figuresOf(signals)}).`,
      current,
      needed,
      occupied: signals.busyPods,
      tolerated: recommended,
      stabilized: stable,
      limited: rateLimited,
      desired,
    },
    memory: changed(memory, desired - current, now),
  };
}

/** Inputs of a decision while the load is not known. */
export interface HoldInput extends Pick<ScalingInput, 'scaling' | 'current' | 'now'> {
  /** Memory after the decision before this one; undefined: nothing was ever known. */
  readonly before: Memory | undefined;
  /** Whether a run of the installation was active when that was last known. */
  readonly activeRuns: boolean;
}

/**
 * Decides the number of replicas while the load is not known: they stay, within the bounds. If that lasts and a run is active, the pool gets as many as
 * the load required at most in the last `cooldown` before. Tasks come in waves, and a pool between two of them has few pods or none, so
 * the run would stand still.
 */
export function hold({ scaling, current, now, before, activeRuns }: HoldInput): { desired: number; memory?: Memory } {
  const { minReplicas, maxReplicas, cooldown } = scaling;
  const bounded = (pods: number) => Math.min(maxReplicas, Math.max(minReplicas, pods));
  if (!before) return { desired: bounded(current) };
  const unknownSince = before.unknownSince ?? now;
  const waves = within(before.recommendations, cooldown, unknownSince).map(({ replicas }) => replicas);
  const lasts = activeRuns && now - unknownSince >= SHORT_OUTAGE;
  const desired = bounded(limited(before, scaling, current, lasts ? Math.max(current, ...waves) : current, now));
  const { idleSince: _, ...memory } = { ...before, unknownSince };
  return { desired, memory: changed(memory, desired - current, now) };
}

/** Adds a change of the number of replicas to the memory. */
function changed(memory: Memory, delta: number, now: number): Memory {
  return delta === 0 ? memory : { ...memory, changes: [...memory.changes, { at: now, delta }] };
}

/** Returns the observed work with the present reading. The slots of a silent pod would count as tasks that ended. */
function workOf({ signals, before, now }: ScalingInput): NonNullable<Memory['work']> {
  if (signals.incomplete) return before.work ?? {};
  return Object.fromEntries(
    signals.queues.map(queue => [queue.tasks, observedWork(before.work?.[queue.tasks], queue, now)]),
  );
}

/** Returns the memory with a new recommendation, without the changes that no limit counts any more. */
function remember({ signals, scaling, before, now }: ScalingInput, recommended: number): Memory {
  const idle =
    !signals.incomplete &&
    signals.queues.every(({ backlog, addRate, ownSlots }) => backlog === 0 && addRate === 0 && ownSlots === 0);
  return {
    recommendations: recommend(before, scaling, recommended, now),
    changes: before.changes.filter(change => change.at > now - MINUTE),
    ...(idle && { idleSince: before.idleSince ?? now }),
  };
}

/** Returns whether there has been no work for the cooldown. */
function hasCooledDown({ idleSince }: Memory, scaling: Scaling, now: number): boolean {
  return idleSince !== undefined && now - idleSince >= scaling.cooldown * 1000;
}

function figuresOf({ queues }: Signals): string {
  return queues
    .map(
      ({ tasks, backlog, ownSlots, addRate }) =>
        `${tasks}: ${backlog} waiting, ${ownSlots} slots busy, ${addRate.toFixed(2)} new/s`,
    )
    .join('; ');
}

const SENTENCE: Record<string, string> = {
  Needed: 'The load needs this number of pods',
  Tolerance: 'The load is within the tolerance of the current number',
  Occupied: 'This number of pods has busy slots',
  Stabilization: 'Waiting for the stabilization window',
  RateLimit: 'Limited by podsPerMinute',
  SignalMissing: 'Not scaled down, because a pod does not report its slots',
  Cooldown: 'Waiting for the cooldown before scaling to zero',
  MinReplicas: 'Limited by minReplicas',
  MaxReplicas: 'Limited by maxReplicas',
};
