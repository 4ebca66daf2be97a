import { WorkflowNotFoundError } from '@temporalio/client';
import type { temporal as proto } from '@temporalio/proto';
import type { Temporal } from './connection.ts';
import { milliseconds } from './payload.ts';

/** Cause that blocks a run at the moment. */
export interface BlockedBy {
  /** An error type such as `ArchiveMissing`; NO_WORKER when no worker has taken the work. */
  readonly reason: string;
  readonly message: string;
}

export const NO_WORKER = 'NoWorker';

/** Attempt from which a failing activity blocks the run. The first failure may be temporary, and most second attempts succeed. */
const ATTEMPT = 3;
/** Milliseconds after which an untaken task blocks the run. An idle worker takes a task at once. */
const PATIENCE = 15_000;

/**
 * Returns the cause that blocks a run: an activity that fails and is retried, or that no worker takes. Undefined when nothing blocks it,
 * or it has ended. Throws the errors of `Temporal.call`.
 *
 * @param now milliseconds since 1970
 */
export function observeBlockedBy(temporal: Temporal, workflowID: string, now: number): Promise<BlockedBy | undefined> {
  return temporal.call(`looking up workflow ${workflowID}`, async client => {
    try {
      const { raw } = await client.workflow.getHandle(workflowID).describe();
      return blockedByOf(raw.pendingActivities ?? [], now);
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return undefined;
      throw error;
    }
  });
}

/** temporal.api.enums.v1.PendingActivityState */
const SCHEDULED = 1;

type PendingActivity = proto.api.workflow.v1.IPendingActivityInfo;

/** Returns the cause that blocks a run; of several failing activities the one with the most attempts. Pure. */
export function blockedByOf(activities: readonly PendingActivity[], now: number): BlockedBy | undefined {
  // This includes an activity that ran before: its worker ended and gave it back, and the next attempt waits for another worker.
  const waits = ({ state, scheduledTime }: PendingActivity) =>
    state === SCHEDULED && (milliseconds(scheduledTime) ?? now) < now - PATIENCE;
  if (activities.length > 0 && activities.every(waits)) {
    return { reason: NO_WORKER, message: 'no worker has taken it up' };
  }

  const attempts = ({ attempt }: PendingActivity) => attempt ?? 1;
  const [worst] = activities
    .filter(activity => activity.lastFailure && attempts(activity) >= ATTEMPT)
    .sort((a, b) => attempts(b) - attempts(a));
  if (worst) {
    const { message, applicationFailureInfo, timeoutFailureInfo } = worst.lastFailure ?? {};
    return {
      reason: applicationFailureInfo?.type || (timeoutFailureInfo ? 'TimedOut' : 'Error'),
      message: message || 'no reason was given',
    };
  }
  return undefined;
}
