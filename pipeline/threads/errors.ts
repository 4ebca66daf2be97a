import type { ClassifiedError } from '../runs/failure.ts';

/** A thread ended in the middle of its work: out of memory, or a defect. The work may be given to another. */
export class ThreadError extends Error {
  override name = 'ThreadError';
}

/** The work on a thread failed; how, was judged there. */
export class ThreadWorkError extends Error {
  override name = 'ThreadWorkError';
  readonly judged: ClassifiedError;

  constructor(judged: ClassifiedError) {
    super(judged.message);
    this.judged = judged;
  }
}
