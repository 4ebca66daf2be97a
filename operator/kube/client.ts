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
 * Called before every write, at the last moment before its bytes are sent. Throws when this process may not write now; returns the
 * milliseconds within which the write must end. A Lease provides one.
 */
export type WriteGuard = () => number;

/** Called after each write that the API server confirmed, with the new object, or with the ref of an object that was deleted at once. */
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
  /** The server validates the request and changes nothing. */
  readonly dryRun?: boolean;
}
export interface ListOptions extends CallOptions {
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Objects per page; default 500. */
  readonly limit?: number;
  /** Lists the state at exactly this version instead of the newest; GoneError when it is compacted. */
  readonly exactly?: string;
}
export interface Page<T extends KubeObject> {
  readonly items: Stored<T>[];
  /** Version of the state, the same for all pages of one list. */
  readonly resourceVersion: string;
  readonly last: boolean;
}
export interface DeleteOptions extends WriteOptions {
  /** Deletes only the object with this uid (ConflictError otherwise). Give it whenever it is known. */
  readonly uid?: string;
  readonly resourceVersion?: string;
}
export interface ApplyOptions extends WriteOptions {
  /** Takes over fields that another manager owns, instead of ConflictError. */
  readonly force?: boolean;
  readonly subresource?: 'status';
}
/** An object for server-side apply: the fields that we own, without the rest. */
export type Applied<T extends KubeObject> = DeepPartial<Omit<T, 'metadata'>> & { metadata: T['metadata'] };
type DeepPartial<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { [Field in keyof T]?: DeepPartial<T[Field]> }
    : T;

const PAGE = 500;

/**
 * Typed calls to the API server. Objects come back as the server sends them, with unknown fields but without managedFields. Calls throw
 * the classes of errors.ts. Each write passes the guard, and the write listeners are called after it.
 */
export class Client {
  readonly http: Http;
  readonly fieldManager: string;
  readonly #guard: WriteGuard | undefined;
  /** Listeners of confirmed writes; shared with guarded clients. */
  readonly listeners: Set<WriteListener>;

  /** `fieldManager` is the stable name under which our fields are owned. Never change it: fields under the old name would stay forever. */
  constructor(http: Http, options: { fieldManager: string; guard?: WriteGuard; listeners?: Set<WriteListener> }) {
    this.http = http;
    this.fieldManager = options.fieldManager;
    this.#guard = options.guard;
    this.listeners = options.listeners ?? new Set();
  }

  /** Returns the same client with a guard for its writes. It shares connections and listeners. */
  guardedBy(guard: WriteGuard): Client {
    return new Client(this.http, { fieldManager: this.fieldManager, guard, listeners: this.listeners });
  }

  /** Calls the listener for confirmed writes of this client and of those that share its listeners; returns a function that unsubscribes. */
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

  /** Returns the object as `get` does, or undefined when it does not exist. Throws every other failure, because unknown is not absent. */
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

  /**
   * Returns all objects in pages of one consistent state. Throws GoneError when reading takes longer than the server keeps that state (5
   * min).
   */
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
        // The items of a list come without these two fields.
        item.apiVersion = apiVersionOf(resource);
        item.kind = resource.kind;
        strip(item);
      }
      yield { items: list.items ?? [], resourceVersion: list.metadata.resourceVersion, last: next === undefined };
    } while (next);
  }

  /** Returns all objects. Use a Cache for frequent reads. */
  async list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<Stored<T>[]> {
    const items: Stored<T>[] = [];
    for await (const page of this.pages(resource, options)) items.push(...page.items);
    return items;
  }

  /** Creates the object. Throws AlreadyExistsError when the name is taken, also by an earlier attempt of ours whose answer was lost. */
  create<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    const path = pathOf(resource, object.metadata.namespace);
    return this.#write(resource, { method: 'POST', path, body: withType(resource, object) }, options);
  }

  /** Replaces the complete object; ConflictError when it has changed since `metadata.resourceVersion`. */
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
   * Server-side apply: sets these fields, and removes fields that we applied before and omit now. Creates the object when it is absent;
   * with `metadata.uid` it throws ConflictError instead. Repeating it changes nothing. To apply the status, use `subresource: 'status'`
   * and only the status.
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

  /** Applies a JSON merge patch. With `metadata.resourceVersion` in the patch, throws ConflictError when the object has changed since. */
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

  /** Deletes the object. Returns false when it did not exist. Throws ConflictError when the preconditions do not hold. */
  async delete(resource: Resource, ref: ObjectRef, options: DeleteOptions = {}): Promise<boolean> {
    const { uid, resourceVersion, ...write } = options;
    const preconditions = uid || resourceVersion ? { uid, resourceVersion } : undefined;
    try {
      const answer = await this.#send<Stored | { kind: 'Status'; details?: { uid?: string } }>(
        {
          method: 'DELETE',
          path: pathOf(resource, ref.namespace, ref.name),
          body: {
            apiVersion: 'v1',
            kind: 'DeleteOptions',
            // The garbage collector deletes the objects that this one owns.
            propagationPolicy: 'Background',
            preconditions,
            // If the request has a body, the server ignores the query, including dryRun, and would delete.
            dryRun: write.dryRun ? ['All'] : undefined,
          },
        },
        write,
      );
      if (!write.dryRun) {
        // With a finalizer or a grace period the object still exists, and the server returns it.
        if (answer.kind === 'Status')
          this.#notify(resource, { deleted: ref, uid: uid ?? (answer as { details?: { uid?: string } }).details?.uid });
        else this.#notify(resource, { object: strip(answer as Stored) });
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
    if (resource && !options.dryRun) this.#notify(resource, { object });
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

  #notify(resource: Resource, written: Parameters<WriteListener>[1]): void {
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
