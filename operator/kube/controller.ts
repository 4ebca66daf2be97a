import type { Logger } from 'pino';
import type { Cache, Change } from './cache.ts';
import { linked } from './clock.ts';
import {
  ConflictError,
  KubeError,
  RateLimitedError,
  TerminalError,
  TooManyRequestsError,
  TransientError,
} from './errors.ts';
import type { Instruments } from './instruments.ts';
import { WorkQueue } from './queue.ts';
import { type Key, type KubeObject, keyOf, type Stored } from './resource.ts';

export interface ReconcileContext<T extends KubeObject> {
  /** The object as the cache shows it (frozen); undefined when it is gone. */
  readonly object: Stored<T> | undefined;
  /** Wall time at the start, milliseconds since 1970. */
  readonly now: number;
  /** Aborts when the time of this reconciliation is over, the lease is lost, or the process has to stop now. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** Nothing: done until something changes. `requeueAfter`: again in that many milliseconds at the latest. */
export interface ReconcileResult {
  readonly requeueAfter?: number;
}

/**
 * Brings the world nearer to what one object asks for. Called for one key by one caller at a time, never before the caches show our own
 * last writes. May throw TerminalError, RateLimitedError; anything else is tried again with back-off.
 */
export type Reconcile<T extends KubeObject> = (
  key: Key,
  context: ReconcileContext<T>,
) => Promise<ReconcileResult | undefined>;

/** Another kind whose changes concern objects of a controller. */
export interface Watch<S extends KubeObject = KubeObject> {
  readonly cache: Cache<S>;
  /** Keys of the controller's objects that an object concerns; `ownerKeys(resource)` is the usual one. */
  keys(object: Stored<S>): Key[];
  /** Which changes matter; default all. */
  readonly when?: (change: Change<S>) => boolean;
}

export interface ControllerOptions<T extends KubeObject> {
  /** Label of metrics and logs, as "backfill". */
  readonly name: string;
  readonly cache: Cache<T>;
  readonly reconcile: Reconcile<T>;
  readonly instruments: Instruments;
  /** Which changes of the object itself matter; default all. */
  readonly when?: (change: Change<T>) => boolean;
  // biome-ignore lint/suspicious/noExplicitAny: each watch has a kind of its own, and its functions take that kind
  readonly watches?: readonly Watch<any>[];
  /** Objects reconciled at a time; default 4. */
  readonly concurrency?: number;
  /** Milliseconds a reconciliation may take before its signal aborts; default 60,000. */
  readonly timeout?: number;
  /** Milliseconds that reconciliations have to end by themselves when told to stop; default 10,000. */
  readonly grace?: number;
  readonly backoff?: { readonly base: number; readonly max: number };
}

/** A watch that works brings a write back within seconds, or passes it with a bookmark within a minute or two. */
const UNSEEN_LIMIT = 600_000;

/** Wires caches, queue and a reconcile function together. */
export class Controller<T extends KubeObject> {
  readonly name: string;
  readonly #options: ControllerOptions<T>;
  readonly #queue: WorkQueue;
  readonly #timeout: number;

  constructor(options: ControllerOptions<T>) {
    const { name, instruments, concurrency = 4 } = options;
    this.name = name;
    this.#options = options;
    this.#timeout = options.timeout ?? 60_000;
    this.#queue = new WorkQueue({ name, instruments, concurrency, backoff: options.backoff });
    instruments.metrics.reconcilesMax.set({ controller: name }, concurrency);
  }

  /** Reconcile an object soon: for what no watch tells, as a change in Temporal. */
  enqueue(key: Key, delay = 0): void {
    this.#queue.add(key, delay);
  }

  /**
   * What is wrong, for the liveness check, undefined while reconciling goes on: a reconciliation that does not end although its signal has
   * aborted, or a write of ours that no watch brings back, for which its object waits.
   */
  stalled(): string | undefined {
    const seconds = (ms: number) => `${Math.round(ms / 1000)} s`;
    if (this.#queue.longest > 3 * this.#timeout) {
      return `a reconciliation has not ended for ${seconds(this.#queue.longest)}`;
    }
    const { cache, watches = [] } = this.#options;
    const unseen = Math.max(cache.unseenFor, ...watches.map(watch => watch.cache.unseenFor));
    return unseen > UNSEEN_LIMIT ? `a write of ours has not come back for ${seconds(unseen)}` : undefined;
  }

  /**
   * Waits for the caches, reconciles every object once, then whatever changes, until the signal aborts; resolves when the last
   * reconciliation has returned. Runs once. With the reason LeaseLostError reconciliations are aborted at once, else after `grace`.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { cache, watches = [], instruments, grace = 10_000 } = this.#options;
    const stops: (() => void)[] = [];
    const hard = new AbortController();
    const onStop = () => {
      if (signal.reason instanceof Error && signal.reason.name === 'LeaseLostError') hard.abort(signal.reason);
      else stops.push(instruments.clock.after(grace, () => hard.abort(signal.reason)));
    };
    if (signal.aborted) return;
    signal.addEventListener('abort', onStop, { once: true });
    try {
      // Heard before the wait: what changes between it and the first pass must not be lost.
      stops.push(cache.onChange(change => this.#changed(change)));
      for (const watch of watches) stops.push(watch.cache.onChange(change => this.#changedElsewhere(watch, change)));
      await Promise.all([cache, ...watches.map(watch => watch.cache)].map(item => item.whenSynced(signal)));
      for (const object of cache.list()) this.#queue.add(keyOf(object));
      await this.#queue.run(key => this.#reconcile(key, hard.signal), signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      signal.removeEventListener('abort', onStop);
      for (const stop of stops) stop();
    }
  }

  #changed(change: Change<T>): void {
    if (this.#options.when?.(change) ?? true) this.#queue.add(keyOf(change.object));
  }

  #changedElsewhere<S extends KubeObject>(watch: Watch<S>, change: Change<S>): void {
    if (!(watch.when?.(change) ?? true)) return;
    const keys = new Set(watch.keys(change.object));
    // An object that changed hands concerns its former owner too.
    if (change.type === 'modified') for (const key of watch.keys(change.previous)) keys.add(key);
    for (const key of keys) this.#queue.add(key);
  }

  async #reconcile(key: Key, hard: AbortSignal): Promise<void> {
    const { instruments, cache, reconcile } = this.#options;
    const { clock, metrics } = instruments;
    const controller = this.name;
    const unseen = this.#unseen(key);
    if (unseen) {
      metrics.reconcilesHeld.inc({ controller });
      void unseen.then(() => this.#queue.add(key));
      return;
    }
    const log = instruments.log.child({ controller, key });
    const { controller: abort, unlink } = linked(hard);
    const cancel = clock.after(this.#timeout, () =>
      abort.abort(new Error(`reconciliation did not end within ${this.#timeout / 1000} s`)),
    );
    const started = clock.monotonic();
    metrics.reconcilesActive.inc({ controller });
    try {
      const result = await reconcile(key, { object: cache.get(key), now: clock.now(), signal: abort.signal, log });
      this.#queue.forget(key);
      if (result?.requeueAfter !== undefined) this.#queue.add(key, Math.max(1, result.requeueAfter));
      this.#count(result?.requeueAfter === undefined ? 'success' : 'requeue_after');
    } catch (error) {
      if (hard.aborted) log.info('reconciliation stopped');
      else this.#failed(key, error, log);
    } finally {
      cancel();
      unlink();
      metrics.reconcilesActive.dec({ controller });
      metrics.reconcileTime.observe({ controller }, (clock.monotonic() - started) / 1000);
    }
  }

  #failed(key: Key, error: unknown, log: Logger): void {
    const { metrics } = this.#options.instruments;
    if (error instanceof RateLimitedError || error instanceof TooManyRequestsError) {
      log.info({ reason: error.message, after: error.after }, 'reconciliation put off');
      this.#queue.add(key, Math.max(1, error.after));
      this.#count('requeue_after');
    } else if (error instanceof ConflictError) {
      // Somebody wrote in between: the change will arrive, and then the decision is made anew.
      log.debug({ reason: error.message }, 'reconciliation met a conflict');
      this.#queue.retry(key);
      this.#count('requeue');
    } else if (error instanceof TerminalError) {
      log.warn({ reason: error.message }, 'reconciliation failed for good, until the object changes');
      this.#queue.forget(key);
      metrics.terminalErrors.inc({ controller: this.name });
      metrics.reconcileErrors.inc({ controller: this.name });
      this.#count('error');
    } else {
      // What the world or a spec is to blame for is said in a line; a stack is for what we are to blame for.
      const expected = error instanceof TransientError || error instanceof KubeError;
      if (expected) log.warn({ reason: error.message }, 'reconciliation failed, will be tried again');
      else log.error({ err: error }, 'reconciliation failed, will be tried again');
      this.#queue.retry(key);
      metrics.reconcileErrors.inc({ controller: this.name });
      this.#count('error');
    }
  }

  #count(result: 'success' | 'error' | 'requeue' | 'requeue_after'): void {
    this.#options.instruments.metrics.reconciles.inc({ controller: this.name, result });
  }

  /** Our own writes to the object, and to other objects that concern it, that the caches do not show yet. */
  #unseen(key: Key): Promise<unknown> | undefined {
    const { cache, watches = [] } = this.#options;
    const waits = [cache.unseen(object => keyOf(object) === key)];
    for (const watch of watches) {
      waits.push(watch.cache.unseen((object: KubeObject) => watch.keys(object as Stored<KubeObject>).includes(key)));
    }
    const pending = waits.filter(wait => wait !== undefined);
    return pending.length > 0 ? Promise.all(pending) : undefined;
  }
}
