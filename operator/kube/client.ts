import { NotFoundError } from './errors.ts';
import type { Http, HttpRequest } from './http.ts';
import {
  apiVersionOf,
  type KubeObject,
  type ObjectRef,
  pathOf,
  type Resource,
  type Stored,
  strip,
} from './resource.ts';

/**
 * Asked before every write, at the last moment before its bytes go out. Throws when we may not write now; returns for how many
 * milliseconds a write may still be under way. A Lease is one.
 */
export type WriteGuard = () => number;

/** Hears of each write that the API server confirmed: the object as it is now, or the ref of one deleted at once. */
export type WriteListener = (
  resource: Resource,
  written: { object: Stored } | { deleted: ObjectRef; uid?: string },
) => void;

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds; default 30,000. */
  readonly timeout?: number;
}
export interface WriteOptions extends CallOptions {
  /** The server checks everything and changes nothing. */
  readonly dryRun?: boolean;
}
export interface ListOptions extends CallOptions {
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Objects per page; default 500. */
  readonly limit?: number;
  /** The state at exactly this version, instead of the newest; GoneError when it is compacted. */
  readonly exactly?: string;
}
export interface Page<T extends KubeObject> {
  readonly items: Stored<T>[];
  /** Version of the state that all pages of one list show. */
  readonly resourceVersion: string;
  readonly last: boolean;
}
export interface DeleteOptions extends WriteOptions {
  /** Delete only this incarnation (ConflictError otherwise). Give it whenever it is known. */
  readonly uid?: string;
  readonly resourceVersion?: string;
  /** Background by default: the garbage collector deletes what the object owns. */
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan';
}
export interface ApplyOptions extends WriteOptions {
  /** Take over fields that another manager owns, instead of ConflictError. */
  readonly force?: boolean;
  readonly subresource?: 'status';
}
/** An object as server-side apply takes it: the fields we own, the rest absent. */
export type Applied<T extends KubeObject> = DeepPartial<Omit<T, 'metadata'>> & { metadata: T['metadata'] };
type DeepPartial<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { [Field in keyof T]?: DeepPartial<T[Field]> }
    : T;

const PAGE = 500;

/**
 * Typed calls to the API server. Objects come back as they are on the wire (nothing unknown is dropped), without managedFields. Calls
 * throw the classes of errors.ts. Writes pass the guard and are told to the write listeners.
 */
export class Client {
  readonly http: Http;
  readonly fieldManager: string;
  readonly #guard: WriteGuard | undefined;
  /** Who hears of confirmed writes; shared with guarded clients. */
  readonly listeners: Set<WriteListener>;

  /** `fieldManager`: the stable name under which our fields are owned. Never change it: fields of the old name would stay forever. */
  constructor(http: Http, options: { fieldManager: string; guard?: WriteGuard; listeners?: Set<WriteListener> }) {
    this.http = http;
    this.fieldManager = options.fieldManager;
    this.#guard = options.guard;
    this.listeners = options.listeners ?? new Set();
  }

  /** The same client, whose writes also pass a guard. It shares connections and listeners. */
  guardedBy(guard: WriteGuard): Client {
    return new Client(this.http, { fieldManager: this.fieldManager, guard, listeners: this.listeners });
  }

  /** Hear of confirmed writes, of this client and of those it shares listeners with; returns the way to stop. */
  onWrite(listener: WriteListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async get<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    options: CallOptions = {},
  ): Promise<Stored<T>> {
    const path = pathOf(resource, ref.namespace, ref.name);
    return strip(await this.http.request<Stored<T>>({ method: 'GET', path, ...options }));
  }

  /** `get`, with undefined for an object that is not there. Every other failure is thrown: unknown is not absent. */
  async find<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    options: CallOptions = {},
  ): Promise<Stored<T> | undefined> {
    try {
      return await this.get(resource, ref, options);
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    }
  }

  /** All objects in pages, of one consistent state. GoneError when reading takes longer than the server keeps that state (5 min). */
  async *pages<T extends KubeObject>(
    resource: Resource<T>,
    options: ListOptions = {},
  ): AsyncGenerator<Page<T>, void, void> {
    const { namespace, labelSelector, fieldSelector, limit = PAGE, exactly, ...call } = options;
    let next: string | undefined;
    do {
      const list = await this.http.request<List<T>>({
        method: 'GET',
        path: pathOf(resource, namespace),
        query: {
          labelSelector,
          fieldSelector,
          limit: limit || undefined,
          continue: next,
          ...(exactly && !next ? { resourceVersion: exactly, resourceVersionMatch: 'Exact' } : {}),
        },
        ...call,
      });
      next = list.metadata.continue || undefined;
      for (const item of list.items ?? []) {
        // The items of a list come without these two.
        item.apiVersion = apiVersionOf(resource);
        item.kind = resource.kind;
        strip(item);
      }
      yield { items: list.items ?? [], resourceVersion: list.metadata.resourceVersion, last: next === undefined };
    } while (next);
  }

  /** All objects. Prefer a Cache for what is read often. */
  async list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<Stored<T>[]> {
    const items: Stored<T>[] = [];
    for await (const page of this.pages(resource, options)) items.push(...page.items);
    return items;
  }

  /** AlreadyExistsError when the name is taken, also when an earlier attempt of ours was answered to nobody. */
  create<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    const path = pathOf(resource, object.metadata.namespace);
    return this.#write(resource, { method: 'POST', path, body: withType(resource, object) }, options);
  }

  /** The whole object; ConflictError when it has changed since `metadata.resourceVersion`. */
  replace<T extends KubeObject>(
    resource: Resource<T>,
    object: Stored<T>,
    options: WriteOptions & { readonly subresource?: 'status' } = {},
  ): Promise<Stored<T>> {
    const { subresource, ...write } = options;
    const path = pathOf(resource, object.metadata.namespace, object.metadata.name, subresource);
    return this.#write(resource, { method: 'PUT', path, body: withType(resource, object) }, write);
  }

  /**
   * Server-side apply: the object shall have these fields, and the fields we applied before and leave out now shall go. Creates
   * the object when it is absent; with `metadata.uid` it is ConflictError instead. Repeating it changes nothing. `status` is applied
   * with `subresource: 'status'` and only the status.
   */
  apply<T extends KubeObject>(
    resource: Resource<T>,
    object: Applied<T>,
    options: ApplyOptions = {},
  ): Promise<Stored<T>> {
    const { force, subresource, ...write } = options;
    const { namespace, name } = object.metadata;
    return this.#write(
      resource,
      {
        method: 'PATCH',
        path: pathOf(resource, namespace, name, subresource),
        query: { force },
        contentType: 'application/apply-patch+yaml',
        body: withType(resource, object),
      },
      write,
    );
  }

  /** Server-side apply of the scale subresource: the number of replicas, whatever the kind calls it. */
  async applyScale(
    resource: Resource,
    ref: ObjectRef,
    replicas: number,
    options: Omit<ApplyOptions, 'subresource'> = {},
  ): Promise<void> {
    const { force, ...write } = options;
    await this.#write(
      undefined,
      {
        method: 'PATCH',
        path: pathOf(resource, ref.namespace, ref.name, 'scale'),
        query: { force },
        contentType: 'application/apply-patch+yaml',
        body: {
          apiVersion: 'autoscaling/v1',
          kind: 'Scale',
          metadata: { name: ref.name, namespace: ref.namespace },
          spec: { replicas },
        },
      },
      write,
    );
  }

  /** JSON merge patch. With `metadata.resourceVersion` in the patch, ConflictError when the object has changed since. */
  patch<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    patch: object,
    options: WriteOptions & { readonly subresource?: 'status' } = {},
  ): Promise<Stored<T>> {
    const { subresource, ...write } = options;
    const path = pathOf(resource, ref.namespace, ref.name, subresource);
    return this.#write(
      resource,
      { method: 'PATCH', path, contentType: 'application/merge-patch+json', body: patch },
      write,
    );
  }

  /**
   * Deletes. False when it was not there: deleting is done either way. ConflictError when the preconditions do not hold.
   */
  async delete(resource: Resource, ref: ObjectRef, options: DeleteOptions = {}): Promise<boolean> {
    const { uid, resourceVersion, propagation = 'Background', ...write } = options;
    const preconditions = uid || resourceVersion ? { uid, resourceVersion } : undefined;
    try {
      const answer = await this.#send<Stored | { kind: 'Status'; details?: { uid?: string } }>(
        {
          method: 'DELETE',
          path: pathOf(resource, ref.namespace, ref.name),
          body: {
            apiVersion: 'v1',
            kind: 'DeleteOptions',
            propagationPolicy: propagation,
            preconditions,
            // With a body the server ignores the query, dryRun included: it would delete.
            dryRun: write.dryRun ? ['All'] : undefined,
          },
        },
        write,
      );
      if (!write.dryRun) {
        // With a finalizer left, or a grace period, the object is still there and is the answer.
        if (answer.kind === 'Status')
          this.#tell(resource, { deleted: ref, uid: uid ?? (answer as { details?: { uid?: string } }).details?.uid });
        else this.#tell(resource, { object: strip(answer as Stored) });
      }
      return true;
    } catch (error) {
      if (error instanceof NotFoundError) return false;
      throw error;
    }
  }

  async #write<T extends KubeObject>(
    resource: Resource<T> | undefined,
    request: HttpRequest,
    options: WriteOptions,
  ): Promise<Stored<T>> {
    const query = { ...request.query, fieldManager: this.fieldManager };
    const object = strip(await this.#send<Stored<T>>({ ...request, query }, options));
    if (resource && !options.dryRun) this.#tell(resource, { object });
    return object;
  }

  async #send<T>(request: HttpRequest, options: WriteOptions): Promise<T> {
    const { dryRun, ...call } = options;
    const guard = dryRun ? undefined : this.#guard;
    return await this.http.request<T>({
      ...request,
      ...call,
      query: { ...request.query, dryRun: dryRun ? 'All' : undefined },
      ...(guard && { beforeSend: guard, timeout: Math.min(call.timeout ?? 30_000, guard()) }),
    });
  }

  #tell(resource: Resource, written: Parameters<WriteListener>[1]): void {
    for (const listener of this.listeners) listener(resource, written);
  }
}

interface List<T extends KubeObject> {
  metadata: { resourceVersion: string; continue?: string };
  items: Stored<T>[] | null;
}

function withType(resource: Resource, object: object): object {
  return { ...object, apiVersion: apiVersionOf(resource), kind: resource.kind };
}
