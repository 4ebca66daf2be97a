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

/** How a run failed, in the words of its failure records. */
export interface Reason {
  readonly cancelled: boolean;
  /** An error type such as `TooManyFailures`. */
  readonly reason: string;
  readonly message: string;
  /** What it had read, where the failure carries that. */
  readonly counts?: RunCounts;
  /** Whether the run itself can have recorded its end: not when it was ended from outside. */
  readonly recorded: boolean;
}

export const CANCELLED: Reason = {
  cancelled: true,
  reason: 'Cancelled',
  message: 'the run was cancelled',
  recorded: true,
};

/** The reason at the bottom of what an activity or a child workflow threw. */
export function reasonOf(error: unknown): Reason {
  if (isCancellation(error)) return CANCELLED;
  let cause: unknown = error;
  while ((cause instanceof ActivityFailure || cause instanceof ChildWorkflowFailure) && cause.cause)
    cause = cause.cause;
  if (cause instanceof ApplicationFailure) {
    const [counts] = (cause.details ?? []) as [RunCounts?];
    const told = { cancelled: false, reason: cause.type ?? 'Error', message: cause.message, recorded: true };
    return counts ? { ...told, counts } : told;
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
