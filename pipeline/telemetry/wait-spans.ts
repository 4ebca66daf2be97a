import { type Attributes, currentTraceParent, recordWait, underTraceParent } from './spans.ts';
import type { TraceParent } from './trace-parent.ts';

/** A wait as spans show it: an error type such as `ClickHouseUnavailable`, and attributes that say what waits. */
interface ShownWait {
  readonly reason: string;
  readonly attributes?: Attributes;
}

/**
 * Records what some work waits for as spans while it waits. The first comes at once, and then one after each interval, so a trace shows the
 * cause before the work ends, and a search among the newest spans finds it. They are children of the active span, or else of the first of
 * them.
 */
export class WaitSpans {
  /** `since`: end of the last recorded span. */
  #waiting: { readonly wait: ShownWait; readonly since: number } | undefined;
  #first: TraceParent | undefined;
  readonly #interval: number;
  readonly #recordWait: typeof recordWait;

  /** `interval`: milliseconds after which another span shows that a wait continues. */
  constructor(interval: number, record = recordWait) {
    this.#interval = interval;
    this.#recordWait = record;
  }

  /** Receives the present wait of the work; undefined: it does not wait. `now`: milliseconds since 1970. */
  take(wait: ShownWait | undefined, now = Date.now()): void {
    const before = this.#waiting;
    const continues = wait !== undefined && before !== undefined && isSame(wait, before.wait);
    if (continues && now - before.since < this.#interval) return;
    if (before && now > before.since) this.#record(before.wait, before.since, now);
    if (!continues) {
      this.#first = undefined;
      if (wait) this.#record(wait, now, now);
    }
    this.#waiting = wait && { wait, since: now };
  }

  #record({ reason, attributes = {} }: ShownWait, start: number, end: number): void {
    underTraceParent(currentTraceParent() ?? this.#first, () => {
      const position = this.#recordWait(reason, start, end, attributes);
      this.#first ??= position;
    });
  }
}

function isSame(a: ShownWait, b: ShownWait): boolean {
  return a.reason === b.reason && JSON.stringify(a.attributes) === JSON.stringify(b.attributes);
}
