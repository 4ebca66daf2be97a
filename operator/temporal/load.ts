import protobuf, { type temporal as proto } from '@temporalio/proto';
import { DATASET_NAMES } from '../../pipeline/reference/datasets.ts';
import { queuesOf, WORKFLOWS } from '../../worker/contract.ts';
import type { Clock } from '../kube/clock.ts';
import type { Observation } from '../observation.ts';
import type { Temporal } from './connection.ts';
import { TemporalRejected } from './errors.ts';
import { milliseconds } from './payload.ts';

const { TaskQueueKind, TaskQueueType, WorkerStatus } = protobuf.temporal.api.enums.v1;

export type Tasks = 'Workflows' | 'Activities';

/** Statistics of a task queue. Temporal counts only waiting tasks: neither running ones nor those between two attempts. */
export interface QueueStats {
  readonly backlog: number;
  /** Milliseconds for which the oldest waiting task has waited. */
  readonly backlogAge: number;
  /** Tasks per second, averaged by the server over about 30 s. */
  readonly addRate: number;
  readonly dispatchRate: number;
}

/** Load of a task queue. */
export interface QueueLoad {
  readonly queue: string;
  readonly tasks: Tasks;
  /** Undefined when the server reported none, which does not mean an empty queue. */
  readonly stats: QueueStats | undefined;
}

/** Report of one worker in its last heartbeat to Temporal. */
export interface WorkerLoad {
  /** Identity that the worker chose; in our pods it is the name of the pod. */
  readonly identity: string;
  readonly queue: string;
  readonly tasks: Tasks;
  /** Undefined when the worker did not report its slots. */
  readonly usedSlots: number | undefined;
  /** Milliseconds since this process first saw the report, by its own clock: the clocks of the workers may differ. */
  readonly age: number;
}

/** Load of all queues and workers at one instant (milliseconds since 1970). */
export interface Load {
  readonly at: number;
  readonly queues: readonly QueueLoad[];
  /** Unknown with a server that cannot list workers. */
  readonly workers: Observation<readonly WorkerLoad[]>;
  /**
   * Running workflows other than refreshes of reference data. When there are none, waiting tasks belong to refreshes. Undefined when they
   * were not counted, because some backlog is too great for refreshes, or there is none.
   */
  readonly otherWorkflows?: number;
}

type Heartbeat = proto.api.worker.v1.IWorkerHeartbeat;
type TaskQueueStats = proto.api.taskqueue.v1.ITaskQueueStats;

/**
 * Returns a function that reads the load of an installation with one request per queue, one for the workers, and one for the running
 * workflows if a backlog may consist of refreshes of reference data, whatever the number of pools. It throws TemporalUnavailable when
 * Temporal does not answer. A request that Temporal rejects leaves its part unknown.
 */
export function loadReader(
  temporal: Temporal,
  installation: string,
  clock: Pick<Clock, 'now' | 'monotonic'>,
): () => Promise<Load> {
  const { workflows, activities } = queuesOf(installation);
  const kinds = [
    { tasks: 'Workflows', queue: workflows, type: TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW },
    { tasks: 'Activities', queue: activities, type: TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY },
  ] as const;
  const ages = new ReportAges();

  const queueOf = async ({ tasks, queue, type }: (typeof kinds)[number]): Promise<QueueLoad> => {
    const stats = await known(
      temporal.call(`asking for the load of task queue ${queue}`, async client => {
        const answer = await client.workflowService.describeTaskQueue({
          namespace: temporal.namespace,
          taskQueue: { name: queue, kind: TaskQueueKind.TASK_QUEUE_KIND_NORMAL },
          taskQueueType: type,
          reportStats: true,
        });
        return statsOf(answer.stats);
      }),
    );
    return { queue, tasks, stats: stats.known ? stats.value : undefined };
  };

  const workersOf = (): Promise<Heartbeat[]> =>
    temporal.call('listing the workers', async client => {
      const { workersInfo } = await client.workflowService.listWorkers({
        namespace: temporal.namespace,
        pageSize: 1000,
        query: kinds.map(kind => `TaskQueue = '${kind.queue}'`).join(' OR '),
      });
      return (workersInfo ?? []).flatMap(({ workerHeartbeat: heartbeat }) =>
        heartbeat && heartbeat.status !== WorkerStatus.WORKER_STATUS_SHUTDOWN ? [heartbeat] : [],
      );
    });

  // Refreshes are not counted themselves: one that runs need not have a waiting task, for example between two attempts.
  const otherWorkflowsOf = (): Promise<number> =>
    temporal.call('counting running workflows', async client => {
      const { count } = await client.workflow.count(
        `TaskQueue = '${workflows}' AND WorkflowType != '${WORKFLOWS.referenceRefresh}' AND ExecutionStatus = 'Running'`,
      );
      return count;
    });

  return async () => {
    const at = clock.now();
    const [heartbeats, ...queues] = await Promise.all([known(workersOf()), ...kinds.map(queueOf)]);
    // Each data set has at most one refresh at a time, so a greater backlog has other tasks as well.
    const few = queues.some(({ stats }) => stats && stats.backlog > 0 && stats.backlog <= DATASET_NAMES.length);
    const counted = few ? await known(otherWorkflowsOf()) : undefined;
    const others = counted?.known ? { otherWorkflows: counted.value } : {};
    if (!heartbeats.known) return { at, queues, workers: heartbeats, ...others };
    const reports = heartbeats.value.flatMap(heartbeat => {
      const kind = kinds.find(one => one.queue === heartbeat.taskQueue);
      return kind ? [reportOf(heartbeat, kind.queue, kind.tasks)] : [];
    });
    return { at, queues, ...others, workers: { known: true, value: ages.add(reports, clock.monotonic()) } };
  };
}

/** Returns an unknown Observation for a rejected request, for example of an older server. Throws other errors. */
async function known<T>(request: Promise<T>): Promise<Observation<T>> {
  try {
    return { known: true, value: await request };
  } catch (error) {
    if (error instanceof TemporalRejected) return { known: false, message: error.message };
    throw error;
  }
}

/** Returns the statistics in an answer; undefined when it has none. */
export function statsOf(stats: TaskQueueStats | null | undefined): QueueStats | undefined {
  if (!stats) return undefined;
  return {
    backlog: stats.approximateBacklogCount?.toNumber() ?? 0,
    backlogAge: milliseconds(stats.approximateBacklogAge) ?? 0,
    addRate: stats.tasksAddRate ?? 0,
    dispatchRate: stats.tasksDispatchRate ?? 0,
  };
}

type Report = Omit<WorkerLoad, 'age'> & { readonly at: number };

/** Returns the report in a heartbeat, with its time by the clock of the worker. */
export function reportOf(heartbeat: Heartbeat, queue: string, tasks: Tasks): Report {
  const slots = tasks === 'Activities' ? heartbeat.activityTaskSlotsInfo : heartbeat.workflowTaskSlotsInfo;
  return {
    identity: heartbeat.workerIdentity ?? '',
    queue,
    tasks,
    usedSlots: slots ? (slots.currentUsedSlots ?? 0) : undefined,
    at: milliseconds(heartbeat.heartbeatTime) ?? 0,
  };
}

/** Ages of reports by the clock of this process: how long each report has been the newest of its worker. */
export class ReportAges {
  #seen = new Map<string, { at: number; since: number }>();

  /** Returns the reports with their ages. `now`: milliseconds of a monotonic clock. */
  add(reports: readonly Report[], now: number): WorkerLoad[] {
    const next = new Map<string, { at: number; since: number }>();
    const result = reports.map(({ at, ...report }) => {
      const key = JSON.stringify([report.identity, report.queue]);
      const before = this.#seen.get(key);
      const since = before?.at === at ? before.since : now;
      next.set(key, { at, since });
      return { ...report, age: now - since };
    });
    this.#seen = next;
    return result;
  }
}
