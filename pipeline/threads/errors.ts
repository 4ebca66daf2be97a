import type { Judged } from '../runs/judged.ts';

/** A thread ended in the middle of its work: out of memory, or a defect. The work may be given to another. */
export class ThreadError extends Error {
  override name = 'ThreadError';
}

/** The work on a thread failed; how, was judged there. */
export class ThreadWorkError extends Error {
  override name = 'ThreadWorkError';
  readonly judged: Judged;

  constructor(judged: Judged) {
    super(judged.message);
    this.judged = judged;
  }
}
