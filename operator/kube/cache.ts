import type { Client, WriteListener } from './client.ts';
import { freeze, TextPool } from './freeze.ts';
import type { Instruments } from './instruments.ts';
import { type ListReason, type ListWatchEvent, type ListWatchOptions, listWatch } from './list-watch.ts';
import { compareVersions, type Key, type KubeObject, keyOf, nameOf, type Resource, type Stored } from './resource.ts';

/** A change of one object. An object that was deleted and created again under its name is `deleted`, then `added`. */
export type Change<T extends KubeObject = KubeObject> =
  | { readonly type: 'added'; readonly object: Stored<T> }
  | { readonly type: 'modified'; readonly object: Stored<T>; readonly previous: Stored<T> }
  | { readonly type: 'deleted'; readonly object: Stored<T> };

export interface CacheOptions
  extends Pick<ListWatchOptions, 'labelSelector' | 'fieldSelector' | 'limit' | 'idle' | 'audit'> {
  readonly instruments: Instruments;
  /** Selects the objects to keep. Any other object counts as absent. Default: all. */
  readonly select?: (object: KubeObject) => boolean;
  /** One watch per namespace. Empty or absent: one watch over all namespaces. */
  readonly namespaces?: readonly string[];
}

/** A write of ours that the watch has not returned yet. */
interface Unseen {
  readonly object: KubeObject;
  /** The write is seen when the watch has reached this version; undefined: when the object `uid` is gone. */
  readonly version: string | undefined;
  readonly uid: string | undefined;
  /** Monotonic time at which the server confirmed the write. */
  readonly at: number;
  /** Resolves when the write is seen. */
  readonly seen: PromiseWithResolvers<void>;
}

/** State of the list-watch of one namespace. */
interface Scope {
  /** Version up to which this cache is complete; empty before the first list. */
  version: string;
  /** Set during a list: its reason, the keys received so far, and the writes that were unseen when it began. */
  list: { reason: ListReason; keys: Set<Key>; unseen: Set<Unseen> } | undefined;
  synced: boolean;
  /** Set while the server rejects the first list (403): our account lacks a permission in this namespace. */
  forbidden?: string;
}

/**
 * The objects of a kind, kept current by list-watch. Reads are synchronous and need no request. The objects are frozen, because all
 * readers share them: an attempt to change one throws at once.
 */
export class Cache<T extends KubeObject> {
  readonly resource: Resource<T>;
  readonly #client: Client;
  readonly #options: CacheOptions;
  readonly #objects = new Map<Key, Stored<T>>();
  readonly #texts = new TextPool();
  readonly #listeners = new Set<(change: Change<T>) => void>();
  readonly #unseen = new Map<Key, Unseen>();
  readonly #scopes: Map<string, Scope>;
  readonly #synced = Promise.withResolvers<void>();

  /** Starts no watch before `run`, but records our own writes from now on. */
  constructor(client: Client, resource: Resource<T>, options: CacheOptions) {
    this.resource = resource;
    this.#client = client;
    this.#options = options;
    const namespaces = options.namespaces?.length ? options.namespaces : [''];
    this.#scopes = new Map(namespaces.map(namespace => [namespace, { version: '', list: undefined, synced: false }]));
    client.onWrite(this.#noteWrite);
    // Prometheus does not count the first value of a series as an increase, so an alert would miss the first difference.
    options.instruments.metrics.divergence.inc({ resource: nameOf(resource) }, 0);
  }

  get(key: Key): Stored<T> | undefined {
    return this.#objects.get(key);
  }

  /** Returns all objects, in no order. */
  list(): IterableIterator<Stored<T>> {
    return this.#objects.values();
  }

  get size(): number {
    return this.#objects.size;
  }

  /**
   * True once every namespace has been listed. Before that, an absent object is unknown. A namespace that our account may not read does not
   * block the others, as long as one can be read; its objects are unknown.
   */
  get synced(): boolean {
    const scopes = [...this.#scopes.values()];
    return scopes.some(scope => scope.synced) && scopes.every(scope => scope.synced || scope.forbidden !== undefined);
  }

  /** Namespaces that our account may not read, with the message of the API server. */
  get forbidden(): ReadonlyMap<string, string> {
    return new Map(
      [...this.#scopes].flatMap(([name, { forbidden }]) => (forbidden ? [[name, forbidden] as const] : [])),
    );
  }

  /** Resolves once `synced`; rejects with the signal's reason. */
  whenSynced(signal: AbortSignal): Promise<void> {
    return abortable(this.#synced.promise, signal);
  }

  /**
   * Calls the listener for each change; returns a function that unsubscribes. An error of a listener is logged and does not affect the
   * others.
   */
  onChange(listener: (change: Change<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Returns undefined if the cache contains all our own writes to the objects that `concerns` selects, otherwise a promise that resolves
   * when it does. A decision on a cache without our last write would repeat that write: a second pod, a second run.
   */
  unseen(concerns: (object: KubeObject) => boolean): Promise<unknown> | undefined {
    const waiting = [...this.#unseen.values()].filter(write => concerns(write.object)).map(write => write.seen.promise);
    return waiting.length > 0 ? Promise.all(waiting) : undefined;
  }

  /** Milliseconds for which the oldest of our own writes has not been seen; 0 when all are. */
  get unseenFor(): number {
    const { clock } = this.#options.instruments;
    return Math.max(0, ...[...this.#unseen.values()].map(write => clock.monotonic() - write.at));
  }

  /** Watches until the signal aborts; then resolves. No failure ends it. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#scopes.keys()].map(namespace => this.#follow(namespace, signal)));
  }

  async #follow(namespace: string, signal: AbortSignal): Promise<void> {
    const { namespaces: _, select: __, ...options } = this.#options;
    const events = listWatch(this.#client, this.resource, { ...options, namespace: namespace || undefined, signal });
    const scope = this.#scopes.get(namespace) as Scope;
    for await (const event of events) this.#take(namespace, scope, event);
  }

  #take(namespace: string, scope: Scope, event: ListWatchEvent<T>): void {
    switch (event.type) {
      case 'listing':
        scope.list = { reason: event.reason, keys: new Set(), unseen: new Set(this.#unseen.values()) };
        break;
      case 'page':
        for (const object of event.items) {
          scope.list?.keys.add(keyOf(object));
          if (this.#put(object)) this.#noteDivergence(scope, object, 'differs from the cache');
        }
        break;
      case 'listed':
        this.#endList(namespace, scope, event.resourceVersion);
        break;
      case 'put':
        this.#put(event.object);
        this.#reached(scope, event.object.metadata.resourceVersion);
        break;
      case 'deleted':
        this.#remove(event.object);
        this.#reached(scope, event.object.metadata.resourceVersion);
        break;
      case 'bookmark':
        this.#reached(scope, event.resourceVersion);
        break;
      case 'forbidden':
        scope.forbidden = event.message;
        if (this.synced) this.#synced.resolve();
        break;
    }
    this.#options.instruments.metrics.cached.set({ resource: nameOf(this.resource) }, this.#objects.size);
  }

  /** Ends a list: an object that is not in it is deleted, and a write that was confirmed before it began is seen. */
  #endList(namespace: string, scope: Scope, version: string): void {
    const list = scope.list;
    scope.version = version;
    if (!list) return;
    for (const [key, object] of this.#objects) {
      if (list.keys.has(key) || (namespace && object.metadata.namespace !== namespace)) continue;
      this.#noteDivergence(scope, object, 'gone');
      this.#remove(object);
    }
    scope.list = undefined;
    for (const [key, write] of this.#unseen) {
      if (this.#scopeOf(key) !== scope) continue;
      // An audit deliberately lists an old version. Any other list contains the newest state at its beginning.
      if (list.reason !== 'audit' && list.unseen.has(write)) this.#see(key, write);
      else this.#settle(scope, key, write);
    }
    scope.synced = true;
    scope.forbidden = undefined;
    if (this.synced) this.#synced.resolve();
  }

  /** Returns true when the cache changed. */
  #put(object: Stored<T>): boolean {
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    if (this.#options.select?.(object) === false) {
      this.#remove(object);
      return previous !== undefined;
    }
    if (previous?.metadata.uid === object.metadata.uid) {
      if (previous.metadata.resourceVersion === object.metadata.resourceVersion) return false;
      this.#objects.set(key, freeze(object, this.#texts));
      this.#notify({ type: 'modified', object, previous });
      return true;
    }
    if (previous) this.#remove(previous);
    this.#objects.set(key, freeze(object, this.#texts));
    this.#notify({ type: 'added', object });
    return true;
  }

  #remove(object: Stored<T>): void {
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    if (!previous) return;
    this.#objects.delete(key);
    // Listeners get the final state of the deleted object. If the event is about another object of that name, they get the cached state.
    const last = previous.metadata.uid === object.metadata.uid ? freeze(object, this.#texts) : previous;
    this.#notify({ type: 'deleted', object: last });
  }

  #noteDivergence(scope: Scope, object: Stored<T>, what: string): void {
    if (scope.list?.reason !== 'audit') return;
    const { log, metrics } = this.#options.instruments;
    const resource = nameOf(this.resource);
    metrics.divergence.inc({ resource });
    log.error({ resource, key: keyOf(object), what }, 'audit: the watch lost an event; the cache is right again');
  }

  readonly #noteWrite: WriteListener = (resource, written) => {
    if (resource.plural !== this.resource.plural || resource.group !== this.resource.group) return;
    const key = keyOf('object' in written ? written.object : written.deleted);
    const scope = this.#scopeOf(key);
    if (!scope) return;
    const known = this.#objects.get(key);
    const at = this.#options.instruments.clock.monotonic();
    let write: Unseen;
    if ('object' in written) {
      const { uid, resourceVersion: version } = written.object.metadata;
      write = { object: written.object, version, uid, at, seen: Promise.withResolvers() };
    } else {
      if (!known || (written.uid && written.uid !== known.metadata.uid)) return;
      write = { object: known, version: undefined, uid: known.metadata.uid, at, seen: Promise.withResolvers() };
    }
    const earlier = this.#unseen.get(key);
    this.#unseen.set(key, write);
    // A caller that waits for the earlier write waits for this one too.
    if (earlier) write.seen.promise.then(earlier.seen.resolve);
    this.#settle(scope, key, write);
  };

  /**
   * Marks the writes up to `version` as seen. The watch sends changes in the order of versions, so it has either sent such a write, or
   * the selection does not cover it.
   */
  #reached(scope: Scope, version: string): void {
    scope.version = version;
    for (const [key, write] of this.#unseen) if (this.#scopeOf(key) === scope) this.#settle(scope, key, write);
  }

  #settle(scope: Scope, key: Key, write: Unseen): void {
    const known = this.#objects.get(key);
    const seen =
      write.version === undefined
        ? known?.metadata.uid !== write.uid
        : scope.version !== '' && compareVersions(scope.version, write.version) >= 0;
    if (seen) this.#see(key, write);
  }

  #see(key: Key, write: Unseen): void {
    this.#unseen.delete(key);
    write.seen.resolve();
  }

  #scopeOf(key: Key): Scope | undefined {
    const slash = key.indexOf('/');
    return this.#scopes.get('') ?? (slash < 0 ? undefined : this.#scopes.get(key.slice(0, slash)));
  }

  #notify(change: Change<T>): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        const key = keyOf(change.object);
        this.#options.instruments.log.error({ err: error, resource: nameOf(this.resource), key }, 'listener failed');
      }
    }
  }
}

async function abortable<V>(promise: Promise<V>, signal: AbortSignal): Promise<V> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
