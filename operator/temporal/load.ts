import protobuf from '@temporalio/proto';
import { queuesOf } from '../../worker/contract.ts';
import type { Temporal } from './connection.ts';
import { milliseconds } from './payload.ts';

const { TaskQueueKind, TaskQueueType, WorkerStatus } = protobuf.temporal.api.enums.v1;

export type Tasks = 'Workflows' | 'Activities';

/** Load of a task queue. Temporal counts only waiting tasks: neither running ones nor those between two attempts. */
export interface QueueLoad {
  readonly queue: string;
  readonly tasks: Tasks;
  readonly backlog: number;
  /** Milliseconds for which the oldest waiting task has waited. */
  readonly backlogAge: number;
  /** Tasks per second, averaged by the server over about 30 s. */
  readonly addRate: number;
  readonly dispatchRate: number;
}

/** Report of one worker in its last heartbeat to Temporal. */
export interface WorkerLoad {
  /** Identity that the worker chose; in our pods it is the name of the pod. */
  readonly identity: string;
  readonly queue: string;
  readonly tasks: Tasks;
  readonly usedSlots: number;
  /** Time of the report, in milliseconds since 1970. */
  readonly at: number;
}

/** Load of all queues and workers at one instant (milliseconds since 1970). */
export interface Load {
  readonly at: number;
  readonly queues: readonly QueueLoad[];
  readonly workers: readonly WorkerLoad[];
}

function kindsOf(installation: string) {
  const { workflows, activities } = queuesOf(installation);
  return [
    { tasks: 'Workflows', queue: workflows, type: TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW },
    { tasks: 'Activities', queue: activities, type: TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY },
  ] as const;
}

/** Reads the load of an installation from Temporal with one request per queue and one for the workers, whatever the number of pools. */
export function fetchLoad(temporal: Temporal, installation: string, now: () => number): Promise<Load> {
  const kinds = kindsOf(installation);
  return temporal.call('asking for the load of the task queues', async client => {
    const at = now();
    const [workers, ...queues] = await Promise.all([
      client.workflowService.listWorkers({
        namespace: temporal.namespace,
        pageSize: 1000,
        query: kinds.map(kind => `TaskQueue = '${kind.queue}'`).join(' OR '),
      }),
      ...kinds.map(async kind => {
        const { stats } = await client.workflowService.describeTaskQueue({
          namespace: temporal.namespace,
          taskQueue: { name: kind.queue, kind: TaskQueueKind.TASK_QUEUE_KIND_NORMAL },
          taskQueueType: kind.type,
          reportStats: true,
        });
        return {
          queue: kind.queue,
          tasks: kind.tasks,
          backlog: stats?.approximateBacklogCount?.toNumber() ?? 0,
          backlogAge: milliseconds(stats?.approximateBacklogAge) ?? 0,
          addRate: stats?.tasksAddRate ?? 0,
          dispatchRate: stats?.tasksDispatchRate ?? 0,
        };
      }),
    ]);
    const reports: WorkerLoad[] = [];
    for (const { workerHeartbeat: beat } of workers.workersInfo ?? []) {
      const kind = kinds.find(one => one.queue === beat?.taskQueue);
      if (!beat || !kind || beat.status === WorkerStatus.WORKER_STATUS_SHUTDOWN) continue;
      const slots = kind.tasks === 'Activities' ? beat.activityTaskSlotsInfo : beat.workflowTaskSlotsInfo;
      reports.push({
        identity: beat.workerIdentity ?? '',
        queue: kind.queue,
        tasks: kind.tasks,
        usedSlots: slots?.currentUsedSlots ?? 0,
        at: milliseconds(beat.heartbeatTime) ?? 0,
      });
    }
    return { at, queues, workers: reports };
  });
}
