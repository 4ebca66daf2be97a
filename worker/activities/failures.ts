import { ApplicationFailure } from '@temporalio/common';
import type { ClassifiedError } from '../../pipeline/runs/failure.ts';
import type { RunCounts } from '../contract.ts';

/** Number of attempts after which an unexpected error ends the run. */
const MAX_UNEXPECTED = 5;

/** Returns the failure for Temporal. `counts`: the data stored so far, which count for the failed run. */
export function toFailure(
  { type, message, stack, retry }: ClassifiedError,
  attempt: number,
  counts?: RunCounts,
): ApplicationFailure {
  const nonRetryable = retry === 'never' || (retry === 'few' && attempt >= MAX_UNEXPECTED);
  const failure = ApplicationFailure.create({ type, message, nonRetryable, ...(counts && { details: [counts] }) });
  if (stack) failure.stack = stack;
  return failure;
}
