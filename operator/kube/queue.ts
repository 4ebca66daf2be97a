import { backoff } from './clock.ts';
import type { Instruments } from './instruments.ts';
import type { Key } from './resource.ts';

export interface QueueOptions {
  /** Label of the metrics. */
  readonly name: string;
  readonly instruments: Instruments;
  /** Keys worked on at a time. */
  readonly concurrency: number;
  /** Milliseconds: first and longest wait of `retry`; default 1 s and 2 min. */
  readonly backoff?: { readonly base: number; readonly max: number };
}

/**
 * Keys to work on. A key waits at most once, is worked on by one worker at a time, and when added while worked on it comes again after
 * that. Of two delays the sooner wins.
 */
export class WorkQueue {
  readonly #options: QueueOptions;
  readonly #labels: { name: string; controller: string };
  /** Ready keys, oldest first, with the monotonic time they became ready. */
  readonly #ready = new Map<Key, number>();
  /** Keys being worked on, with the monotonic time they were taken. */
  readonly #active = new Map<Key, number>();
  /** Keys added while being worked on. */
  readonly #again = new Set<Key>();
  readonly #delayed = new Map<Key, { due: number; cancel: () => void }>();
  readonly #failures = new Map<Key, number>();
  #work: ((key: Key) => Promise<void>) | undefined;
  #idle: PromiseWithResolvers<void> | undefined;
  #closed = false;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#labels = { name: options.name, controller: options.name };
  }

  /** Makes a key ready in `delay` milliseconds (0: now). Ignored after the queue has closed. */
  add(key: Key, delay = 0): void {
    if (this.#closed) return;
    const { clock, metrics } = this.#options.instruments;
    const delayed = this.#delayed.get(key);
    if (delay > 0) {
      const due = clock.monotonic() + delay;
      if (this.#ready.has(key) || this.#again.has(key) || (delayed && delayed.due <= due)) return;
      delayed?.cancel();
      this.#delayed.set(key, { due, cancel: clock.after(delay, () => this.#due(key)) });
      return;
    }
    delayed?.cancel();
    this.#delayed.delete(key);
    if (this.#active.has(key)) {
      this.#again.add(key);
    } else if (!this.#ready.has(key)) {
      this.#ready.set(key, clock.monotonic());
      metrics.queueAdds.inc(this.#labels);
      this.#pump();
    }
    this.#report();
  }

  /** Adds a key after its back-off, which doubles with each retry until `forget`. */
  retry(key: Key): void {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    const { base, max } = this.#options.backoff ?? { base: 1000, max: 120_000 };
    const { clock, metrics } = this.#options.instruments;
    metrics.queueRetries.inc(this.#labels);
    this.add(key, backoff(clock, failures, base, max));
  }

  /** Ends the back-off of a key: it succeeded. */
  forget(key: Key): void {
    this.#failures.delete(key);
  }

  /** How many keys are ready. */
  get depth(): number {
    return this.#ready.size;
  }

  /** Milliseconds for which the key longest worked on has been worked on; 0 when there is none. */
  get longest(): number {
    const first = this.#active.values().next();
    return first.done ? 0 : this.#options.instruments.clock.monotonic() - first.value;
  }

  /**
   * Works until the signal aborts; then takes no key any more and resolves when the last worker has returned. `work` must handle its own
   * failures; one that rejects all the same is logged and its key retried.
   */
  async run(work: (key: Key) => Promise<void>, signal: AbortSignal): Promise<void> {
    this.#work = work;
    this.#idle = Promise.withResolvers();
    const close = () => {
      this.#closed = true;
      for (const { cancel } of this.#delayed.values()) cancel();
      this.#delayed.clear();
      this.#ready.clear();
      this.#again.clear();
      this.#report();
      if (this.#active.size === 0) this.#idle?.resolve();
    };
    if (signal.aborted) close();
    else signal.addEventListener('abort', close, { once: true });
    this.#pump();
    await this.#idle.promise;
  }

  #due(key: Key): void {
    this.#delayed.delete(key);
    this.add(key);
  }

  #pump(): void {
    while (this.#work && !this.#closed && this.#active.size < this.#options.concurrency) {
      const next = this.#ready.entries().next();
      if (next.done) return;
      const [key, since] = next.value;
      this.#ready.delete(key);
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
    this.#active.delete(key);
    if (this.#again.delete(key)) this.add(key);
    this.#pump();
    this.#report();
    if (this.#closed && this.#active.size === 0) this.#idle?.resolve();
  }

  #report(): void {
    this.#options.instruments.metrics.queueDepth.set(this.#labels, this.#ready.size);
  }
}
