import type { ClassifiedError } from '../runs/failure.ts';

/** A thread ended during its work: out of memory, or a defect. Another thread may repeat the work. */
export class ThreadError extends Error {
  override name = 'ThreadError';
}

/** The work on a thread failed. The thread has classified the error. */
export class ThreadWorkError extends Error {
  override name = 'ThreadWorkError';
  readonly failure: ClassifiedError;

  constructor(failure: ClassifiedError) {
    super(failure.message);
    this.failure = failure;
  }
}
