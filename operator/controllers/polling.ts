/**
 * For each ten calls that the limit allows, the operator reads one Backfill and one PipelineSchedule again. A Backfill takes three calls at most, a
 * PipelineSchedule about one. So repeated reads take less than half of all calls, and the rest is free for changes.
 */
const CALLS_PER_PASS = 10;

/**
 * Spaces the repeated reads of Temporal, which has no watch. The time between two reads of a resource grows with the number of resources that
 * are read repeatedly, so that the requests per second have a bound and a new resource does not wait behind thousands of old ones.
 */
export class Polling {
  readonly #polled = new Set<string>();
  readonly #passesPerSecond: number;

  /** `callsPerSecond`: limit of all calls to Temporal. */
  constructor(callsPerSecond: number) {
    this.#passesPerSecond = callsPerSecond / CALLS_PER_PASS;
  }

  /** Notes whether a resource is read repeatedly. */
  note(key: string, polled: boolean): void {
    if (polled) this.#polled.add(key);
    else this.#polled.delete(key);
  }

  /** Returns the milliseconds until the next read of a resource: `after`, or more when many resources are read. */
  interval(after: number): number {
    return Math.max(after, (this.#polled.size * 1000) / this.#passesPerSecond);
  }
}
