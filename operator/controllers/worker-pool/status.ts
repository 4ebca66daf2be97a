import { SpecError } from '../../../crds/resource.ts';
import type { QueueStatus, WorkerPoolStatus } from '../../../crds/worker-pool.ts';
import { canonical } from '../../hash.ts';
import { seconds } from '../conditions.ts';
import { queueLink, type TemporalUI } from '../links.ts';
import { podSelector } from './deployment.ts';
import { type ObservedPool, type PoolPlan, signalsOf } from './plan.ts';

type Body = Omit<WorkerPoolStatus, 'conditions' | 'observedGeneration'>;

/** Returns the status of a WorkerPool without conditions. Unknown values are left out, never written as 0. */
export function poolStatus(observed: ObservedPool, plan: PoolPlan, ui: TemporalUI, now: number): Body {
  const { object, spec, deployment } = observed;
  const before = object.status ?? {};
  const queues = queueStatus(observed, now);
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
    backlog: queues?.reduce((sum, { backlog }) => sum + (backlog ?? 0), 0),
    queues: queues?.map(
      queue =>
        unchanged(
          before.queues?.find(one => one.name === queue.name),
          queue,
          'observedAt',
        ) ?? queue,
    ),
    lastDecision: decision && (unchanged(before.lastDecision, decision, 'at') ?? decision),
    ...(Object.keys(links).length > 0 && { links }),
  };
}

/** Returns `before` if `after` differs only in the time of observation. Otherwise each pass would write the status. */
function unchanged<T extends object, K extends keyof T>(before: T | undefined, after: T, time: K): T | undefined {
  return before && canonical({ ...before, [time]: 0 }) === canonical({ ...after, [time]: 0 }) ? before : undefined;
}

function queueStatus({ load, pods, spec }: ObservedPool, now: number): QueueStatus[] | undefined {
  if (!load.known || spec instanceof SpecError) return undefined;
  const signals = signalsOf(load.value, pods, spec, now);
  return load.value.queues
    .filter(queue => spec.tasks.includes(queue.tasks))
    .map(queue => ({
      name: queue.queue,
      tasks: queue.tasks,
      backlog: queue.backlog,
      // The age grows with every pass while nothing moves, so it is written in whole minutes.
      backlogAge: `${Math.floor(queue.backlogAge / 60_000)}m`,
      addRate: Math.round(queue.addRate * 100) / 100,
      dispatchRate: Math.round(queue.dispatchRate * 100) / 100,
      usedSlots: signals.find(signal => signal.tasks === queue.tasks)?.allSlots ?? 0,
      observedAt: seconds(load.value.at),
    }));
}
