/**
 * Spaces the repeated reads of Temporal, which has no watch. The time between two reads of a resource grows with the calls that one read of each
 * resource takes, so that the calls per second have a bound and a new resource does not wait behind thousands of old ones.
 */
export class Polling {
  readonly #calls = new Map<string, number>();
  #sum = 0;
  readonly #callsPerSecond: number;

  /** `callsPerSecond`: limit of the calls for repeated reads. */
  constructor(callsPerSecond: number) {
    this.#callsPerSecond = callsPerSecond;
  }

  /** Notes the calls that a read of a resource takes at most; 0: it is not read repeatedly. */
  note(key: string, calls: number): void {
    this.#sum += calls - (this.#calls.get(key) ?? 0);
    if (calls > 0) this.#calls.set(key, calls);
    else this.#calls.delete(key);
  }

  /** Returns the milliseconds until the next read of a resource: `after`, or more when many resources are read. */
  interval(after: number): number {
    return Math.max(after, (this.#sum * 1000) / this.#callsPerSecond);
  }
}
