import { SpecError } from '../../../crds/resource.ts';
import type { QueueStatus, ScalingMemory, WorkerPoolStatus } from '../../../crds/worker-pool.ts';
import { canonical } from '../../hash.ts';
import type { Load, Tasks } from '../../temporal/load.ts';
import { seconds } from '../conditions.ts';
import { queueLink, type TemporalUI } from '../links.ts';
import { BUILD_ID, podSelector } from './deployment.ts';
import { storedMemory } from './memory.ts';
import type { ObservedPool, PoolPlan } from './plan-types.ts';
import { STALE } from './signals.ts';

/** Milliseconds. */
const DRIFT = 5_000;

type Body = Omit<WorkerPoolStatus, 'conditions' | 'observedGeneration'>;

/** Returns the status of a WorkerPool without conditions. Unknown values are left out, never written as 0. */
export function poolStatus(observed: ObservedPool, plan: PoolPlan, ui: TemporalUI, now: number): Body {
  const { object, spec, deployment } = observed;
  const before = object.status ?? {};
  const queues = queueStatus(observed);
  const decision = plan.decision ?? (spec instanceof SpecError || !spec.autoscaling ? undefined : before.lastDecision);
  const links = Object.fromEntries(
    (queues ?? []).flatMap(({ name, tasks }) => {
      const link = queueLink(ui, name);
      return link ? [[tasks === 'Workflows' ? 'workflowsQueue' : 'activitiesQueue', link]] : [];
    }),
  );
  return {
    // The scale subresource needs a number even before the Deployment exists.
    replicas: deployment?.status?.replicas ?? 0,
    readyReplicas: deployment?.status?.readyReplicas ?? 0,
    selector: podSelector(object.metadata.name),
    tasks: spec instanceof SpecError ? before.tasks : spec.tasks.join(', '),
    desiredReplicas: plan.desired ?? before.desiredReplicas,
    ...(deployment?.metadata.annotations?.[BUILD_ID] && { version: deployment.metadata.annotations[BUILD_ID] }),
    ...(plan.drainingVersions?.length && { drainingVersions: plan.drainingVersions.slice(-8) }),
    backlog: totalBacklog(queues),
    queues: queues?.map(
      queue =>
        unchanged(
          before.queues?.find(one => one.name === queue.name),
          queue,
          'observedAt',
        ) ?? queue,
    ),
    lastDecision: decision && (unchanged(before.lastDecision, decision, 'at') ?? decision),
    ...(plan.memory && {
      scalingMemory: steady(
        before.scalingMemory,
        storedMemory(plan.memory, { wall: now, monotonic: observed.monotonic }),
      ),
    }),
    ...(Object.keys(links).length > 0 && { links }),
  };
}

/** Returns `before` if its instants differ from those of `after` only by the drift between two clocks, which must not cause a write. */
function steady(before: ScalingMemory | undefined, after: ScalingMemory): ScalingMemory {
  const rounded = (value: ScalingMemory) => canonical(value).replaceAll(/"\d{4}-[^"]+Z"/g, '""');
  if (!before || rounded(before) !== rounded(after)) return after;
  const instants = ({ recommendations, changes, idleSince }: ScalingMemory) =>
    [
      ...recommendations.map(({ since }) => since),
      ...changes.map(({ at }) => at),
      ...(idleSince ? [idleSince] : []),
    ].map(Date.parse);
  const [old, now] = [instants(before), instants(after)];
  return old.every((time, index) => Math.abs(time - (now[index] ?? 0)) <= DRIFT) ? before : after;
}

/** Returns `before` if `after` differs only in the time of observation. Otherwise each pass would write the status. */
function unchanged<T extends object, K extends keyof T>(before: T | undefined, after: T, time: K): T | undefined {
  return before && canonical({ ...before, [time]: 0 }) === canonical({ ...after, [time]: 0 }) ? before : undefined;
}

function queueStatus({ load, spec }: ObservedPool): QueueStatus[] | undefined {
  if (!load.known || spec instanceof SpecError) return undefined;
  const { at, queues, workers } = load.value;
  return queues
    .filter(queue => spec.tasks.includes(queue.tasks))
    .map(({ queue, tasks, stats }) => {
      const usedSlots = usedSlotsOf(workers, tasks);
      return {
        name: queue,
        tasks,
        ...(stats && {
          backlog: stats.backlog,
          // The age grows with every pass while nothing moves, so it is written in whole minutes.
          backlogAge: `${Math.floor(stats.backlogAge / 60_000)}m`,
          addRate: Math.round(stats.addRate * 100) / 100,
          dispatchRate: Math.round(stats.dispatchRate * 100) / 100,
        }),
        ...(usedSlots !== undefined && { usedSlots }),
        observedAt: seconds(at),
      };
    });
}

/** Returns the slots in use on all workers of a queue; undefined when a worker did not report them. */
function usedSlotsOf(workers: Load['workers'], tasks: Tasks): number | undefined {
  if (!workers.known) return undefined;
  return workers.value
    .filter(one => one.tasks === tasks && one.age < STALE)
    .reduce<number | undefined>(
      (sum, { usedSlots }) => (sum === undefined || usedSlots === undefined ? undefined : sum + usedSlots),
      0,
    );
}

/** Returns the sum of the backlogs; undefined when one is not known. */
function totalBacklog(queues: readonly QueueStatus[] | undefined): number | undefined {
  return queues?.reduce<number | undefined>(
    (sum, { backlog }) => (sum === undefined || backlog === undefined ? undefined : sum + backlog),
    0,
  );
}
