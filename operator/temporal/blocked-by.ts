import type { Client } from '@temporalio/client';
import type { temporal as proto } from '@temporalio/proto';
import { hashOf } from '../hash.ts';
import type { Temporal } from './connection.ts';
import { describeWorkflow } from './describe-workflow.ts';
import { fromPayload, milliseconds } from './payload.ts';

/** Cause that blocks a run at the moment. */
export interface BlockedBy {
  /** An error type such as `ArchiveMissing`; NO_WORKER when no worker has taken the work. */
  readonly reason: string;
  readonly message: string;
}

/** Cause that blocks a run, with the workflow that it was found in. */
export interface BlockedRun extends BlockedBy {
  /** Bucket of the run; absent for the workflow of a Backfill itself. */
  readonly bucket?: string;
  readonly workflowID: string;
}

export const NO_WORKER = 'NoWorker';

/** Milliseconds after which a task that no worker has taken blocks the run. An idle worker takes a task at once. */
const WORKER_TIMEOUT = 15_000;

/** temporal.api.enums.v1.PendingActivityState */
const SCHEDULED = 1;
/** temporal.api.enums.v1.PendingWorkflowTaskState */
const TASK_SCHEDULED = 1;

/** temporal.api.enums.v1.TimeoutType */
const HEARTBEAT = 4;

/** Reason of a workflow whose code fails: its tasks are tried again, and it does not progress until other code runs. */
export const WORKFLOW_CODE = 'WorkflowTaskFailed';

/** A workflow that no worker answers for. */
export const NO_ANSWER: BlockedBy = { reason: NO_WORKER, message: 'no worker answers for the workflow' };

/** Attempts of a workflow task after which its failure is reported. A worker that ends during a task causes one more attempt. */
const FAILING = 3;
/** Number of events, from the newest, among which the failure of a workflow task is looked for. */
const NEWEST = 10;

export type PendingActivity = proto.api.workflow.v1.IPendingActivityInfo;
type Description = proto.api.workflowservice.v1.IDescribeWorkflowExecutionResponse;
type HistoryEvent = proto.api.history.v1.IHistoryEvent;

/** Pending work of a run. */
export interface PendingWork {
  readonly activities: readonly PendingActivity[];
  /** Failure of its workflow code, which keeps the run from progressing. */
  readonly failing?: BlockedBy;
  /** Time since which a workflow task waits for a worker, in milliseconds since 1970. */
  readonly taskSince?: number;
}

/** Returns the pending work of a run; undefined when it has ended. Throws the errors of `Temporal.call`. */
export function pendingWork(temporal: Temporal, workflowID: string): Promise<PendingWork | undefined> {
  return temporal.call(`looking up workflow ${workflowID}`, async client => {
    const found = await describeWorkflow(client, workflowID);
    if (found?.status.name !== 'RUNNING') return undefined;
    const { raw } = found;
    const failing = await failingTask(client, raw);
    const { state, scheduledTime } = raw.pendingWorkflowTask ?? {};
    const taskSince = state === TASK_SCHEDULED ? milliseconds(scheduledTime) : undefined;
    return {
      activities: raw.pendingActivities ?? [],
      ...(failing && { failing }),
      ...(taskSince !== undefined && { taskSince }),
    };
  });
}

/** Returns the failure of the current workflow task; undefined when it does not fail again and again. */
export async function failingTask(client: Client, description: Description): Promise<BlockedBy | undefined> {
  const attempt = description.pendingWorkflowTask?.attempt ?? 0;
  const execution = description.workflowExecutionInfo?.execution;
  if (attempt < FAILING || !execution) return undefined;
  const { history } = await client.workflowService.getWorkflowExecutionHistoryReverse({
    namespace: client.options.namespace,
    execution,
    maximumPageSize: NEWEST,
  });
  return failureOf(history?.events ?? [], attempt);
}

/** Returns the failure of the newest workflow task, if it failed. `events`: newest first. Pure. */
export function failureOf(events: readonly HistoryEvent[], attempt: number): BlockedBy | undefined {
  const ended = events.find(
    event => event.workflowTaskFailedEventAttributes || event.workflowTaskCompletedEventAttributes,
  );
  const failed = ended?.workflowTaskFailedEventAttributes;
  if (!failed) return undefined;
  return {
    reason: WORKFLOW_CODE,
    message: `attempt ${attempt} of a workflow task: ${failed.failure?.message || 'no reason was given'}`,
  };
}

/**
 * Returns the cause that blocks a run: its code, an activity, or that no worker answers for its workflow. Undefined when nothing blocks it.
 * Pure.
 *
 * @param now milliseconds since 1970
 */
export function blockerOf({ failing, activities, taskSince }: PendingWork, now: number): BlockedBy | undefined {
  const untaken = taskSince !== undefined && taskSince < now - WORKER_TIMEOUT ? NO_ANSWER : undefined;
  return failing ?? blockedByOf(activities, now) ?? untaken;
}

/**
 * Returns the cause that blocks a run: an activity that waits for another system, that failed and is retried, or that no worker takes; of
 * several failing activities the one with the most attempts. Undefined when nothing blocks it. Pure.
 *
 * @param now milliseconds since 1970
 */
export function blockedByOf(activities: readonly PendingActivity[], now: number): BlockedBy | undefined {
  // An activity that waits within an attempt has neither failed nor ended: only its heartbeat shows the cause. The heartbeat of an attempt
  // that has ended says nothing about now.
  const waiting = activities
    .filter(({ state }) => state !== SCHEDULED)
    .map(waitOf)
    .find(wait => wait !== undefined);
  if (waiting) return waiting;
  // This includes an activity that ran before: its worker ended and gave it back, and the next attempt waits for another worker.
  const isNotTaken = ({ state, scheduledTime }: PendingActivity) =>
    state === SCHEDULED && (milliseconds(scheduledTime) ?? now) < now - WORKER_TIMEOUT;
  if (activities.length > 0 && activities.every(isNotTaken)) {
    return { reason: NO_WORKER, message: 'no worker has taken it' };
  }
  const attempts = ({ attempt }: PendingActivity) => attempt ?? 1;
  const [worst] = activities.filter(({ lastFailure }) => lastFailure).sort((a, b) => attempts(b) - attempts(a));
  if (!worst) return undefined;
  const { message, applicationFailureInfo, timeoutFailureInfo } = worst.lastFailure ?? {};
  if (timeoutFailureInfo?.timeoutType === HEARTBEAT) {
    return {
      reason: 'TimedOut',
      message:
        'its worker has stopped reporting: it was killed, for example for its memory, or does not reach Temporal; kubectl describe pods shows the former',
    };
  }
  return {
    reason: applicationFailureInfo?.type || (timeoutFailureInfo ? 'TimedOut' : 'Error'),
    message: message || 'no reason was given',
  };
}

/** Returns what an activity waits for, as its worker reports it in the heartbeat. */
function waitOf({ heartbeatDetails }: PendingActivity): BlockedBy | undefined {
  const heartbeat = fromPayload(heartbeatDetails?.payloads?.[0]);
  if (typeof heartbeat !== 'object' || heartbeat === null || !('waitsFor' in heartbeat)) return undefined;
  const { reason, message } = (heartbeat.waitsFor ?? {}) as Partial<Record<keyof BlockedBy, unknown>>;
  return typeof reason === 'string' && typeof message === 'string' ? { reason, message } : undefined;
}

/** Returns a text that changes when an activity of a run progresses. A further attempt from the same checkpoint is not progress. Pure. */
export function progressKeyOf(workflowID: string, activities: readonly PendingActivity[]): string {
  const heartbeats = activities.map(({ activityId, heartbeatDetails }) => {
    const heartbeat = fromPayload(heartbeatDetails?.payloads?.[0]);
    return [
      activityId,
      typeof heartbeat === 'object' && heartbeat !== null && 'reached' in heartbeat ? heartbeat.reached : heartbeat,
    ];
  });
  return hashOf([workflowID, heartbeats]);
}

/** Returns the cause behind work that no worker takes: the blocker of the runs that hold the slots, if there is one. */
export async function causeOf(found: BlockedBy, elsewhere: () => Promise<BlockedBy | undefined>): Promise<BlockedBy> {
  const cause = found.reason === NO_WORKER ? await elsewhere() : undefined;
  return cause
    ? { reason: cause.reason, message: `${found.message}, because other runs wait: ${cause.message}` }
    : found;
}
