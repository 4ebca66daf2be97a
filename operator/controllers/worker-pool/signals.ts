import type { WorkerPoolSpec } from '../../../crds/worker-pool.ts';
import { DATASET_NAMES } from '../../../pipeline/reference/datasets.ts';
import type { Load, WorkerLoad } from '../../temporal/load.ts';
import type { ObservedPool } from './plan-types.ts';
import { type PoolCapacity, shareOf, slotsPerPod } from './queue-share.ts';
import type { QueueSignal, Signals } from './scaling.ts';

/** Milliseconds after which a report does not count. A worker reports every few seconds, at most every minute. */
export const STALE = 150_000;
/** Milliseconds after the start of a pod during which a missing report is normal. */
const NEW = 90_000;

/** Names a pod whose slots are not known; undefined when all are. A missing report does not mean an idle pod. */
function silentPod({ load, pods }: ObservedPool, spec: WorkerPoolSpec, now: number): string | undefined {
  if (!load.known) return load.message;
  const { workers } = load.value;
  for (const pod of pods) {
    const age = now - pod.since;
    if (!pod.ready || (age >= 0 && age < NEW)) continue;
    if (!workers.known) return `the slots of pod ${pod.name} are not known: ${workers.message}`;
    const reported = (tasks: string) =>
      workers.value.some(
        one => one.identity === pod.name && one.tasks === tasks && one.age < STALE && one.usedSlots !== undefined,
      );
    const missing = spec.tasks.find(tasks => !reported(tasks));
    if (missing) return `pod ${pod.name} has not reported its ${missing} slots to Temporal for ${STALE / 1000} s`;
  }
  return undefined;
}

/** Returns the current reports of workers; empty when they are not known. */
export function reportsOf({ workers }: Load): readonly WorkerLoad[] {
  return workers.known ? workers.value.filter(({ age }) => age < STALE) : [];
}

/** Returns the number of slots in use. */
export const busySlots = (reports: readonly WorkerLoad[]) =>
  reports.reduce((sum, { usedSlots = 0 }) => sum + usedSlots, 0);

/** Returns the load as seen from the pool, or a sentence that says which queue has no statistics. */
export function signalsOf(observed: ObservedPool, load: Load, spec: WorkerPoolSpec, now: number): Signals | string {
  const names = new Set(observed.pods.map(pod => pod.name));
  const reports = reportsOf(load);
  const own = reports.filter(({ identity, tasks }) => names.has(identity) && spec.tasks.includes(tasks));
  const queues: QueueSignal[] = [];
  for (const { queue, tasks, stats } of load.queues) {
    if (!spec.tasks.includes(tasks)) continue;
    if (!stats) return `Temporal reports no statistics of task queue ${queue}`;
    // A refresh of reference data waits for the next worker; it alone does not start one.
    const onlyRefreshes =
      observed.deployment?.spec?.replicas === 0 && stats.backlog <= DATASET_NAMES.length && load.otherWorkflows === 0;
    queues.push({
      tasks,
      backlog: onlyRefreshes ? 0 : stats.backlog,
      share: shareOf(capacityOf(spec, observed.deployment?.spec?.replicas), observed.others, tasks),
      addRate: onlyRefreshes ? 0 : stats.addRate,
      dispatchRate: stats.dispatchRate,
      ownSlots: busySlots(own.filter(one => one.tasks === tasks)),
      allSlots: busySlots(reports.filter(one => one.tasks === tasks)),
      slotsPerPod: slotsPerPod(spec, tasks),
    });
  }
  const busyPods = new Set(own.filter(({ usedSlots = 0 }) => usedSlots > 0).map(({ identity }) => identity)).size;
  const incomplete = silentPod(observed, spec, now);
  return { queues, busyPods, ...(incomplete && { incomplete }) };
}

/** Returns the slots that a pool may have. `replicas`: its number of pods, for a pool that another client scales. */
export function capacityOf(spec: WorkerPoolSpec, replicas = 1): PoolCapacity {
  const { tasks, slots } = spec;
  return { tasks, slots, mostPods: spec.autoscaling?.maxReplicas ?? spec.replicas ?? replicas };
}
