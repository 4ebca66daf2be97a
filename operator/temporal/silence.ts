import type { Clock } from '../kube/clock.ts';

/** Unanswered queries in a row after which no worker is expected to answer. */
const UNANSWERED = 3;
/** Milliseconds between two queries that look whether a worker is back. */
const PROBE = 5_000;

/**
 * Remembers that no worker answers queries. All backfills of an installation share one task queue, and each query waits for seconds, so while
 * the workers are away only one query at a time looks for them.
 */
export class WorkerSilence {
  readonly #clock: Pick<Clock, 'monotonic'>;
  #unanswered = 0;
  #probeAt = 0;

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** Returns whether to take a missing answer as given, without a query. */
  expected(): boolean {
    if (this.#unanswered < UNANSWERED) return false;
    const now = this.#clock.monotonic();
    if (now < this.#probeAt) return true;
    this.#probeAt = now + PROBE;
    return false;
  }

  note(answered: boolean): void {
    this.#unanswered = answered ? 0 : this.#unanswered + 1;
    if (this.#unanswered === UNANSWERED) this.#probeAt = this.#clock.monotonic() + PROBE;
  }
}
