import type { Tasks } from '../../temporal/load.ts';

/** Slots of one pool: those of a pod, and the number of pods that it may have. */
export interface PoolCapacity {
  readonly tasks: readonly Tasks[];
  readonly slots: number;
  readonly mostPods: number;
}

/** Workflow tasks that the SDK runs at a time in one worker. Each takes milliseconds. */
const WORKFLOW_SLOTS = 40;

/** Returns the slots that one pod of a pool has for tasks of a kind. */
export function slotsPerPod({ slots }: Pick<PoolCapacity, 'slots'>, tasks: Tasks): number {
  return tasks === 'Activities' ? slots : WORKFLOW_SLOTS;
}

/**
 * Returns the part of a queue's backlog that a pool has to process, from 0 to 1. Pools that serve the same queue share its backlog in
 * proportion to the slots that they may have; otherwise each of them would start pods for all of it.
 */
export function shareOf(pool: PoolCapacity, others: readonly PoolCapacity[], tasks: Tasks): number {
  const capacity = (one: PoolCapacity) => (one.tasks.includes(tasks) ? one.mostPods * slotsPerPod(one, tasks) : 0);
  const own = capacity(pool);
  const all = others.reduce((sum, other) => sum + capacity(other), own);
  return all === 0 ? 1 : own / all;
}
