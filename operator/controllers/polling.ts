/** Passes per second, over all resources of a kind, that read Temporal again. One pass takes up to three requests. */
const PASSES_PER_SECOND = 10;

/**
 * Spaces the repeated reads of Temporal, which has no watch. The time between two reads of a resource grows with the number of resources that
 * are read repeatedly, so that the requests per second have a bound and a new resource does not wait behind thousands of old ones.
 */
export class Polling {
  readonly #polled = new Set<string>();

  /** Notes whether a resource is read repeatedly. */
  note(key: string, polled: boolean): void {
    if (polled) this.#polled.add(key);
    else this.#polled.delete(key);
  }

  /** Returns the milliseconds until the next read of a resource: `after`, or more when many resources are read. */
  interval(after: number): number {
    return Math.max(after, (this.#polled.size * 1000) / PASSES_PER_SECOND);
  }
}
