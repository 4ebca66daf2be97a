import { setImmediate } from 'node:timers';
import { backOff, type Waits } from '../../pipeline/back-off.ts';
import type { Instruments } from './instruments.ts';
import type { Key } from './resource.ts';

export interface QueueOptions {
  /** Label of the metrics. */
  readonly name: string;
  readonly instruments: Instruments;
  /** Number of keys processed at a time. */
  readonly concurrency: number;
  /** Waits of `retry`; default 1 s to 2 min. */
  readonly waits?: Waits;
}

const WAITS: Waits = { initial: 1000, longest: 120_000 };

/**
 * Milliseconds for which the queue starts keys before it lets other work of the process run. A key that waits for no other system is processed
 * without a turn of the event loop, and after a start there may be 10,000 of them.
 */
const SLICE = 10;
/**
 * Of every SHARE keys that start, one is a key added as `repeated`, if such a key waits. Otherwise many changes would delay these keys for
 * ever.
 */
const SHARE = 5;

/**
 * Queue of keys. It holds a key at most once, and one worker at a time processes it. A key that is added while it is processed is
 * processed again afterwards. Of two delays the shorter one applies.
 */
export class WorkQueue {
  readonly #options: QueueOptions;
  readonly #labels: { name: string; controller: string };
  /** Ready keys, oldest first, with the monotonic time at which they became ready. */
  readonly #ready = new Map<Key, number>();
  /** Ready keys that were added as `repeated`. A key is in one of the two maps at most. */
  readonly #repeated = new Map<Key, number>();
  /** Keys being processed, with the monotonic time of their start. */
  readonly #active = new Map<Key, number>();
  /** Keys added while being processed. */
  readonly #again = new Set<Key>();
  readonly #delayed = new Map<Key, { due: number; cancel: () => void }>();
  /** Number of keys that have started. */
  #started = 0;
  readonly #failures = new Map<Key, number>();
  #work: ((key: Key) => Promise<void>) | undefined;
  #idle: PromiseWithResolvers<void> | undefined;
  #closed = false;
  /** Monotonic time of the first start of a key in this turn of the event loop; undefined before it. */
  #turn: number | undefined;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#labels = { name: options.name, controller: options.name };
    const { clock, metrics } = options.instruments;
    const running = () => [...this.#active.values()].map(since => (clock.monotonic() - since) / 1000);
    metrics.queues.add({ labels: this.#labels, running, depth: () => this.depth });
  }

  /**
   * Makes a key ready after `delay` milliseconds (0: now). Ignored after the queue has closed. `repeated`: nothing has changed, and keys whose
   * objects have changed go first.
   */
  add(key: Key, delay = 0, repeated = false): void {
    if (this.#closed) return;
    const { clock, metrics } = this.#options.instruments;
    const delayed = this.#delayed.get(key);
    if (delay > 0) {
      const due = clock.monotonic() + delay;
      if (this.#ready.has(key) || this.#repeated.has(key) || this.#again.has(key)) return;
      if (delayed && delayed.due <= due) return;
      delayed?.cancel();
      this.#delayed.set(key, { due, cancel: clock.after(delay, () => this.#due(key, repeated)) });
      return;
    }
    delayed?.cancel();
    this.#delayed.delete(key);
    if (this.#active.has(key)) {
      this.#again.add(key);
    } else if (!this.#ready.has(key) && !(repeated && this.#repeated.has(key))) {
      const since = this.#repeated.get(key);
      this.#repeated.delete(key);
      (repeated ? this.#repeated : this.#ready).set(key, since ?? clock.monotonic());
      if (since === undefined) metrics.queueAdds.inc(this.#labels);
      this.#pump();
    }
  }

  /** Adds a key after its back-off, which doubles with each retry until `forget`. */
  retry(key: Key): void {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    const { clock, metrics } = this.#options.instruments;
    metrics.queueRetries.inc(this.#labels);
    this.add(key, backOff(failures, this.#options.waits ?? WAITS, clock.random()));
  }

  /** Resets the back-off of a key after a success. */
  forget(key: Key): void {
    this.#failures.delete(key);
  }

  /** Number of ready keys. */
  get depth(): number {
    return this.#ready.size + this.#repeated.size;
  }

  /** Milliseconds since the start of the key that has been processed longest; 0 when there is none. */
  get longest(): number {
    const first = this.#active.values().next();
    return first.done ? 0 : this.#options.instruments.clock.monotonic() - first.value;
  }

  /**
   * Processes keys until the signal aborts, then starts no more, and resolves when the last worker has returned. `work` must handle its
   * own failures; if it rejects, the error is logged and the key retried.
   */
  async run(work: (key: Key) => Promise<void>, signal: AbortSignal): Promise<void> {
    this.#work = work;
    this.#idle = Promise.withResolvers();
    const close = () => {
      this.#closed = true;
      for (const { cancel } of this.#delayed.values()) cancel();
      this.#delayed.clear();
      this.#ready.clear();
      this.#repeated.clear();
      this.#again.clear();
      if (this.#active.size === 0) this.#idle?.resolve();
    };
    if (signal.aborted) close();
    else signal.addEventListener('abort', close, { once: true });
    this.#pump();
    await this.#idle.promise;
  }

  #due(key: Key, repeated: boolean): void {
    this.#delayed.delete(key);
    this.add(key, 0, repeated);
  }

  /** Removes the key that starts next, and returns it with the time at which it became ready. */
  #take(): [Key, number] | undefined {
    const turn = this.#started % SHARE === SHARE - 1;
    for (const keys of turn ? [this.#repeated, this.#ready] : [this.#ready, this.#repeated]) {
      const next = keys.entries().next();
      if (next.done) continue;
      keys.delete(next.value[0]);
      this.#started++;
      return next.value;
    }
    return undefined;
  }

  #pump(): void {
    while (this.#work && !this.#closed && this.#active.size < this.#options.concurrency) {
      const next = this.depth > 0 && this.#hasTime() ? this.#take() : undefined;
      if (!next) return;
      const [key, since] = next;
      const { clock, metrics } = this.#options.instruments;
      const now = clock.monotonic();
      metrics.queueDuration.observe(this.#labels, (now - since) / 1000);
      this.#active.set(key, now);
      void this.#start(this.#work, key);
    }
  }

  async #start(work: (key: Key) => Promise<void>, key: Key): Promise<void> {
    try {
      await work(key);
    } catch (error) {
      this.#options.instruments.log.error({ err: error, queue: this.#options.name, key }, 'worker failed');
      this.retry(key);
    }
    const { clock, metrics } = this.#options.instruments;
    metrics.queueWork.observe(this.#labels, (clock.monotonic() - (this.#active.get(key) ?? 0)) / 1000);
    this.#active.delete(key);
    if (this.#again.delete(key)) this.add(key);
    this.#pump();
    if (this.#closed && this.#active.size === 0) this.#idle?.resolve();
  }

  /** Returns whether another key may start in this turn of the event loop. If not, the next turn starts it. */
  #hasTime(): boolean {
    const now = this.#options.instruments.clock.monotonic();
    if (this.#turn === undefined) {
      this.#turn = now;
      setImmediate(() => {
        this.#turn = undefined;
        this.#pump();
      });
    }
    return now - this.#turn < SLICE;
  }
}
