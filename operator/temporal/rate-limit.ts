import type { Clock } from '../kube/clock.ts';

/**
 * Lets a limited number of requests through each second, in the order in which they came. After a pause, a burst of one second's requests
 * passes at once.
 */
export class RateLimit {
  readonly #perSecond: number;
  readonly #clock: Pick<Clock, 'monotonic' | 'after'>;
  /** Monotonic time at which the next request may pass. */
  #next = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number, clock: Pick<Clock, 'monotonic' | 'after'>) {
    this.#perSecond = perSecond;
    this.#clock = clock;
  }

  /** Resolves when the caller may send a request. */
  async turn(): Promise<void> {
    const now = this.#clock.monotonic();
    const at = Math.max(this.#next, now - 1000);
    this.#next = at + 1000 / this.#perSecond;
    if (at > now) await new Promise<void>(resolve => this.#clock.after(at - now, resolve));
  }
}
