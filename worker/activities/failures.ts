import { ApplicationFailure } from '@temporalio/common';
import type { ClassifiedError } from '../../pipeline/runs/failure.ts';
import type { RunCounts } from '../contract.ts';

/** Attempts after which an unforeseen error ends the run. */
const FEW = 5;

/** What Temporal is told. `counts`: what had been stored by then, for the run that failed to count. */
export function toFailure(
  { type, message, stack, retry }: ClassifiedError,
  attempt: number,
  counts?: RunCounts,
): ApplicationFailure {
  const nonRetryable = retry === 'never' || (retry === 'few' && attempt >= FEW);
  const failure = ApplicationFailure.create({ type, message, nonRetryable, ...(counts && { details: [counts] }) });
  if (stack) failure.stack = stack;
  return failure;
}
