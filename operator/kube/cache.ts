import type { Client, WriteListener } from './client.ts';
import type { Instruments } from './instruments.ts';
import { type ListReason, type ListWatchEvent, type ListWatchOptions, listWatch } from './list-watch.ts';
import { compareVersions, type Key, type KubeObject, keyOf, nameOf, type Resource, type Stored } from './resource.ts';

/** One object came, changed or went. An object deleted and made again under its name is `deleted`, then `added`. */
export type Change<T extends KubeObject = KubeObject> =
  | { readonly type: 'added'; readonly object: Stored<T> }
  | { readonly type: 'modified'; readonly object: Stored<T>; readonly previous: Stored<T> }
  | { readonly type: 'deleted'; readonly object: Stored<T> };

export interface CacheOptions
  extends Pick<ListWatchOptions, 'labelSelector' | 'fieldSelector' | 'limit' | 'idle' | 'audit'> {
  readonly instruments: Instruments;
  /** One watch for each; empty or absent: one watch over all namespaces. */
  readonly namespaces?: readonly string[];
}

/** A write of ours that the watch has not brought back yet. */
interface Unseen {
  readonly object: KubeObject;
  /** Seen when the watch has reached this version; undefined: seen when the object `uid` is gone. */
  readonly version: string | undefined;
  readonly uid: string | undefined;
  /** Monotonic time of its confirmation. */
  readonly at: number;
  /** Resolves when seen. */
  readonly seen: PromiseWithResolvers<void>;
}

/** State of the list-watch of one namespace. */
interface Scope {
  /** Version up to which this cache shows everything; empty before the first list. */
  version: string;
  /** While a list is under way: its reason, the keys it has brought, and the writes that were unseen when it began. */
  list: { reason: ListReason; keys: Set<Key>; unseen: Set<Unseen> } | undefined;
  synced: boolean;
}

/**
 * The objects of a kind, kept current by list-watch. Reading is free and synchronous. Objects are frozen: they are shared with
 * everyone, so a change to one is an error at once, not a riddle later.
 */
export class Cache<T extends KubeObject> {
  readonly resource: Resource<T>;
  readonly #client: Client;
  readonly #options: CacheOptions;
  readonly #objects = new Map<Key, Stored<T>>();
  readonly #listeners = new Set<(change: Change<T>) => void>();
  readonly #unseen = new Map<Key, Unseen>();
  readonly #scopes: Map<string, Scope>;
  readonly #synced = Promise.withResolvers<void>();

  /** Watches nothing before `run`, but notes our own writes from here on. */
  constructor(client: Client, resource: Resource<T>, options: CacheOptions) {
    this.resource = resource;
    this.#client = client;
    this.#options = options;
    const namespaces = options.namespaces?.length ? options.namespaces : [''];
    this.#scopes = new Map(namespaces.map(namespace => [namespace, { version: '', list: undefined, synced: false }]));
    client.onWrite(this.#noteWrite);
  }

  get(key: Key): Stored<T> | undefined {
    return this.#objects.get(key);
  }

  /** All objects, in no order. */
  list(): IterableIterator<Stored<T>> {
    return this.#objects.values();
  }

  get size(): number {
    return this.#objects.size;
  }

  /** True once every namespace has been listed. Before that, absent means unknown. */
  get synced(): boolean {
    return [...this.#scopes.values()].every(scope => scope.synced);
  }

  /** Resolves once `synced`; rejects with the signal's reason. */
  whenSynced(signal: AbortSignal): Promise<void> {
    return abortable(this.#synced.promise, signal);
  }

  /** Hear of each change; returns the way to stop. What a listener throws is logged and harms nobody else. */
  onChange(listener: (change: Change<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Undefined when this cache shows all our own writes to the objects that concern the caller; else a promise of that moment. A decision
   * on a cache that does not show our last write would repeat it: a second pod scaled, a second run started.
   */
  unseen(concerns: (object: KubeObject) => boolean): Promise<unknown> | undefined {
    const waiting = [...this.#unseen.values()].filter(write => concerns(write.object)).map(write => write.seen.promise);
    return waiting.length > 0 ? Promise.all(waiting) : undefined;
  }

  /** Milliseconds for which the oldest of our own writes has not come back; 0 when there is none. */
  get unseenFor(): number {
    const { clock } = this.#options.instruments;
    return Math.max(0, ...[...this.#unseen.values()].map(write => clock.monotonic() - write.at));
  }

  /** Watches until the signal aborts; then resolves. Nothing else ends it. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#scopes.keys()].map(namespace => this.#follow(namespace, signal)));
  }

  async #follow(namespace: string, signal: AbortSignal): Promise<void> {
    const { namespaces: _, ...options } = this.#options;
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
          if (this.#put(object)) this.#noteDivergence(scope, object, 'not as in the cache');
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
    }
    this.#options.instruments.metrics.cached.set({ resource: nameOf(this.resource) }, this.#objects.size);
  }

  /** What the list did not bring is gone; what was written before it began has been seen. */
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
      // An audit shows an old version on purpose; any other list shows the newest state at its beginning.
      if (list.reason !== 'audit' && list.unseen.has(write)) this.#see(key, write);
      else this.#settle(scope, key, write);
    }
    scope.synced = true;
    if (this.synced) this.#synced.resolve();
  }

  /** True when it changed something. */
  #put(object: Stored<T>): boolean {
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    if (previous?.metadata.uid === object.metadata.uid) {
      if (previous.metadata.resourceVersion === object.metadata.resourceVersion) return false;
      this.#objects.set(key, freeze(object));
      this.#tell({ type: 'modified', object, previous });
      return true;
    }
    if (previous) this.#remove(previous);
    this.#objects.set(key, freeze(object));
    this.#tell({ type: 'added', object });
    return true;
  }

  #remove(object: Stored<T>): void {
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    if (!previous) return;
    this.#objects.delete(key);
    // The last state of what was deleted, unless it is a predecessor of what we knew.
    const last = previous.metadata.uid === object.metadata.uid ? freeze(object) : previous;
    this.#tell({ type: 'deleted', object: last });
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
    // Who waited for the earlier write waits for this one too.
    if (earlier) write.seen.promise.then(earlier.seen.resolve);
    this.#settle(scope, key, write);
  };

  /** The watch tells in the order of versions, so what it has passed it has shown, or our selection does not cover it. */
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

  #tell(change: Change<T>): void {
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

function freeze<V>(value: V): V {
  if (value !== null && typeof value === 'object' && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const item of Object.values(value)) freeze(item);
  }
  return value;
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
