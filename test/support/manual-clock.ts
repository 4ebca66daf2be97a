import type { Clock } from '../../operator/kube/clock.ts';

interface Timer {
  readonly at: number;
  readonly action: () => void;
}

/** A clock that a test moves. Random numbers are `random`, 0.5 unless set. */
export class ManualClock implements Clock {
  /** Wall time at monotonic 0. A test may change it: the wall clock jumps. */
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

  /** How many timers are pending. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves on, firing timers in order, and lets what they cause run before the next. */
  async advance(ms: number): Promise<void> {
    const end = this.#time + ms;
    await settled();
    for (;;) {
      const next = [...this.#timers].filter(timer => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers.delete(next);
      // A timer that a pause made late fires late: no clock goes back.
      this.#time = Math.max(this.#time, next.at);
      next.action();
      await settled();
    }
    this.#time = end;
  }

  /** The process was paused: time has passed and no timer could fire yet. */
  pause(ms: number): void {
    this.#time += ms;
  }
}

/** Resolves when promises that wait for nothing outside have run. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise<void>(resolve => setImmediate(resolve));
}
