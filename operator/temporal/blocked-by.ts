import { WorkflowNotFoundError } from '@temporalio/client';
import type { temporal as proto } from '@temporalio/proto';
import type { Temporal } from './connection.ts';
import { milliseconds } from './payload.ts';

/** Why a run does not get on at the moment. */
export interface BlockedBy {
  /** An error type such as `ArchiveMissing`; NO_WORKER when nobody has taken the work up. */
  readonly reason: string;
  readonly message: string;
}

export const NO_WORKER = 'NoWorker';

/** The first failure of an activity may be a passing one, and most second attempts succeed. */
const ATTEMPT = 3;
/** A worker that is there and not busy takes a task at once; milliseconds. */
const PATIENCE = 15_000;

/**
 * What keeps a run from getting on: an activity that has failed and is tried again, or that nobody takes. Undefined when nothing does, or
 * the run has ended. Throws the errors of `Temporal.call`.
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

/** Pure. Of several activities that fail, the one that was tried most. */
export function blockedByOf(activities: readonly PendingActivity[], now: number): BlockedBy | undefined {
  // Also one that was begun before: a worker that ended gave it back, and its next attempt waits for another.
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
