import type { Clock } from '../../operator/kube/clock.ts';

interface Timer {
  readonly at: number;
  readonly action: () => void;
}

/** A clock that a test moves. Random numbers are `random`, 0.5 unless set. */
export class ManualClock implements Clock {
  /** Wall time at monotonic 0. A test may change it to make the wall clock jump. */
  wall = Date.parse('2024-01-01T00:00:00Z');
  chance = 0.5;
  #time = 0;
  readonly #timers = new Set<Timer>();

  now = () => this.wall + this.#time;
  monotonic = () => this.#time;
  random = () => this.chance;

  after(ms: number, action: () => void): () => void {
    const timer = { at: this.#time + Math.max(0, ms), action };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Number of pending timers. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Milliseconds until the next timer fires; Infinity without one. */
  get untilNext(): number {
    return Math.max(0, Math.min(...[...this.#timers].map(timer => timer.at)) - this.#time);
  }

  /** Moves the clock, fires timers in order, and lets their effects run before the next one. */
  async advance(ms: number): Promise<void> {
    const end = this.#time + ms;
    await settled();
    for (;;) {
      const next = [...this.#timers].filter(timer => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers.delete(next);
      // A timer that a pause delayed fires late, because a clock does not go back.
      this.#time = Math.max(this.#time, next.at);
      next.action();
      await settled();
    }
    this.#time = end;
  }

  /** Simulates a paused process: time has passed and no timer could fire yet. */
  pause(ms: number): void {
    this.#time += ms;
  }
}

/** Resolves when all promises that do not wait for an external event have run. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise<void>(resolve => setImmediate(resolve));
}
