import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  isCancellation,
  TerminatedFailure,
  TimeoutFailure,
} from '@temporalio/workflow';
import type { RunCounts } from '../contract.ts';

/** Reason of a failed run, in the terms of its failure records. */
export interface Reason {
  readonly cancelled: boolean;
  /** An error type such as `TooManyFailures`. */
  readonly reason: string;
  readonly message: string;
  /** Data that the run had read and stored, if the failure has these counts. */
  readonly counts?: RunCounts;
  /** Whether the run may have recorded its end itself; false when it was ended from outside. */
  readonly recorded: boolean;
}

export const CANCELLED: Reason = {
  cancelled: true,
  reason: 'Cancelled',
  message: 'the run was cancelled',
  recorded: true,
};

/** Returns the root cause of an error of an activity or a child workflow. */
export function reasonOf(error: unknown): Reason {
  let cause: unknown = error;
  while ((cause instanceof ActivityFailure || cause instanceof ChildWorkflowFailure) && cause.cause)
    cause = cause.cause;
  if (isCancellation(error)) return withCounts(CANCELLED, cause);
  if (cause instanceof ApplicationFailure) {
    return withCounts(
      { cancelled: false, reason: cause.type ?? 'Error', message: cause.message, recorded: true },
      cause,
    );
  }
  if (cause instanceof TimeoutFailure) {
    return { cancelled: false, reason: 'TimedOut', message: cause.message, recorded: error instanceof ActivityFailure };
  }
  if (cause instanceof TerminatedFailure) {
    return { cancelled: false, reason: 'Terminated', message: 'the run was terminated by hand', recorded: false };
  }
  if (cause instanceof CancelledFailure) return CANCELLED;
  const message = cause instanceof Error ? cause.message : String(cause);
  return { cancelled: false, reason: 'Error', message, recorded: false };
}

/** Adds the counts that activities and runs put into the details of their errors. */
function withCounts(reason: Reason, cause: unknown): Reason {
  const { details } = cause as { details?: readonly unknown[] | null };
  const [counts] = (details ?? []) as [RunCounts?];
  return counts ? { ...reason, counts } : reason;
}
