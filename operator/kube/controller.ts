import { setImmediate } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Waits } from '../../pipeline/back-off.ts';
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
  /** The object in the cache (frozen); undefined when it is gone. */
  readonly object: Stored<T> | undefined;
  /** Wall time at the start, in milliseconds since 1970. */
  readonly now: number;
  /** Aborts when the reconciliation has reached its timeout, the lease is lost, or the process has to stop now. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** Result of a reconciliation. Without `requeueAfter` the next change starts the next one; with it, at most that many milliseconds pass. */
export interface ReconcileResult {
  readonly requeueAfter?: number;
  /** The next reconciliation only checks whether something has changed elsewhere. Reconciliations after a change go first. */
  readonly repeated?: boolean;
}

/**
 * Brings the actual state closer to the spec of one object. The controller runs one call per key at a time, and never before the caches
 * contain our own last writes. May throw TerminalError or RateLimitedError; any other error is retried with back-off.
 */
export type Reconcile<T extends KubeObject> = (
  key: Key,
  context: ReconcileContext<T>,
) => Promise<ReconcileResult | undefined>;

/** Milliseconds to wait for an optional watch. */
const OPTIONAL = 5_000;

/** Another kind. Its changes affect objects of a controller. */
export interface Watch<S extends KubeObject = KubeObject> {
  readonly cache: Cache<S>;
  /** Returns the keys of the controller's objects that an object affects; usually `ownerKeys(resource)`. */
  keys(object: Stored<S>): Key[];
  /** Returns whether a change matters; default all. */
  readonly when?: (change: Change<S>) => boolean;
  /** The controller begins without it after a few seconds, because our account may not be allowed to read it. */
  readonly optional?: boolean;
}

export interface ControllerOptions<T extends KubeObject> {
  /** Label of metrics and logs, for example "backfill". */
  readonly name: string;
  readonly cache: Cache<T>;
  readonly reconcile: Reconcile<T>;
  readonly instruments: Instruments;
  /** Returns whether a change of the object itself matters; default all. */
  readonly when?: (change: Change<T>) => boolean;
  // biome-ignore lint/suspicious/noExplicitAny: each watch has a kind of its own, and its functions take that kind
  readonly watches?: readonly Watch<any>[];
  /** Objects reconciled at a time; default 4. */
  readonly concurrency?: number;
  /** Milliseconds a reconciliation may take before its signal aborts; default 60,000. */
  readonly timeout?: number;
  /** Milliseconds that running reconciliations have to end by themselves when the controller stops; default 10,000. */
  readonly grace?: number;
  /** Waits before a failed reconciliation is repeated. */
  readonly waits?: Waits;
}

/**
 * Milliseconds after which an unseen write shows a broken watch. A working watch returns a write within seconds, or passes it with a
 * bookmark within a minute or two.
 */
const UNSEEN_LIMIT = 600_000;

/** Objects that are added to the queue at the start before other work of the process runs. */
const CHUNK = 1_000;

/** Connects caches, queue and a reconcile function. */
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
    this.#queue = new WorkQueue({ name, instruments, concurrency, waits: options.waits });
    instruments.metrics.reconcilesMax.set({ controller: name }, concurrency);
  }

  /**
   * Returns the problem for the liveness check; undefined while reconciling makes progress. A problem is a reconciliation that does not
   * end although its signal has aborted, or a write of ours that no watch returns and for which its object waits.
   */
  stalled(): string | undefined {
    const seconds = (ms: number) => `${Math.round(ms / 1000)} s`;
    if (this.#queue.longest > 3 * this.#timeout) {
      return `a reconciliation has not ended for ${seconds(this.#queue.longest)}`;
    }
    const { cache, watches = [] } = this.#options;
    const unseen = Math.max(cache.unseenFor, ...watches.map(watch => watch.cache.unseenFor));
    return unseen > UNSEEN_LIMIT
      ? `the caches have not received a write of the operator for ${seconds(unseen)}`
      : undefined;
  }

  /**
   * Waits for the caches, then reconciles every object once, and after that each changed one, until the signal aborts. Resolves when the
   * last reconciliation has returned. Runs only once. LeaseLostError as the reason aborts reconciliations at once, others after `grace`.
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
      // Subscribes before it waits, so that changes between the wait and the first pass are not lost.
      stops.push(cache.onChange(change => this.#changed(change)));
      for (const watch of watches) stops.push(watch.cache.onChange(change => this.#changedElsewhere(watch, change)));
      const needed = [cache, ...watches.filter(watch => !watch.optional).map(watch => watch.cache)];
      await Promise.all(needed.map(item => item.whenSynced(signal)));
      const optional = watches.filter(watch => watch.optional).map(watch => watch.cache.whenSynced(signal));
      const patience = new Promise<void>(resolve => stops.push(instruments.clock.after(OPTIONAL, resolve)));
      if (optional.length > 0) await Promise.race([Promise.all(optional), patience]);
      let added = 0;
      for (const object of cache.list()) {
        this.#queue.add(keyOf(object));
        if (++added % CHUNK === 0) await setImmediate();
      }
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
    // An object that changed its owner affects the former owner too.
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
      if (result?.requeueAfter !== undefined) this.#queue.add(key, Math.max(1, result.requeueAfter), result.repeated);
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
      log.info({ reason: error.message, after: error.after }, 'reconciliation postponed');
      this.#queue.add(key, Math.max(1, error.after));
      this.#count('requeue_after');
    } else if (error instanceof ConflictError) {
      // Another writer was first. Its change will arrive, and the decision is made again.
      log.debug({ reason: error.message }, 'reconciliation met a conflict');
      this.#queue.retry(key);
      this.#count('requeue');
    } else if (error instanceof TerminalError) {
      log.warn({ reason: error.message }, 'reconciliation failed; it is not retried until the object changes');
      this.#queue.forget(key);
      metrics.terminalErrors.inc({ controller: this.name });
      metrics.reconcileErrors.inc({ controller: this.name });
      this.#count('error');
    } else {
      // An error of the environment or a spec is logged in one line. The stack is logged only for an error of our own code.
      const expected = error instanceof TransientError || error instanceof KubeError;
      if (expected) log.warn({ reason: error.message }, 'reconciliation failed, will be retried');
      else log.error({ err: error }, 'reconciliation failed, will be retried');
      this.#queue.retry(key);
      metrics.reconcileErrors.inc({ controller: this.name });
      this.#count('error');
    }
  }

  #count(result: 'success' | 'error' | 'requeue' | 'requeue_after'): void {
    this.#options.instruments.metrics.reconciles.inc({ controller: this.name, result });
  }

  /** Returns a promise for our own writes to the object, and to other objects that affect it, that the caches do not contain yet. */
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
