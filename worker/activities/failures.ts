import { ApplicationFailure } from '@temporalio/common';
import type { Judged } from '../../pipeline/runs/judged.ts';

/** Attempts after which an unforeseen error ends the run. */
const FEW = 5;

/** What Temporal is told. */
export function toFailure({ type, message, stack, retry }: Judged, attempt: number): ApplicationFailure {
  const nonRetryable = retry === 'never' || (retry === 'few' && attempt >= FEW);
  const failure = ApplicationFailure.create({ type, message, nonRetryable });
  if (stack) failure.stack = stack;
  return failure;
}
