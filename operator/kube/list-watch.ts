import { backOff } from '../../pipeline/back-off.ts';
import type { Client } from './client.ts';
import { jittered, sleep } from './clock.ts';
import {
  errorFor,
  ForbiddenError,
  GoneError,
  KubeError,
  ServerError,
  SilentError,
  type StatusBody,
  TooManyRequestsError,
} from './errors.ts';
import type { Instruments } from './instruments.ts';
import { type KubeObject, nameOf, pathOf, type Resource, type Stored, strip } from './resource.ts';

/** Selects objects. */
export interface Selection {
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface ListWatchOptions extends Selection {
  readonly signal: AbortSignal;
  readonly instruments: Instruments;
  /** Objects per page of a list; default 100, so that reading a page takes some milliseconds. */
  readonly limit?: number;
  /**
   * Milliseconds of silence after which a watch counts as dead; default 120,000. The API server sends a bookmark every minute once it has
   * seen a change of the kind.
   */
  readonly idle?: number;
  /** Milliseconds between audits, with a jitter of a fifth; default 15 minutes. */
  readonly audit?: number;
}

export type ListReason = 'start' | 'gone' | 'failures' | 'audit';

/**
 * Events of a list-watch. A list is `listing`, then any number of `page`, then `listed`; a list that fails in the middle starts again
 * with `listing`. Between lists, `put`, `deleted` and `bookmark` arrive in the order of the server.
 */
export type ListWatchEvent<T extends KubeObject> =
  | { readonly type: 'listing'; readonly reason: ListReason }
  | { readonly type: 'page'; readonly items: Stored<T>[] }
  | { readonly type: 'listed'; readonly resourceVersion: string }
  | { readonly type: 'put' | 'deleted'; readonly object: Stored<T> }
  | { readonly type: 'bookmark'; readonly resourceVersion: string }
  /** The first list was rejected (403). It is tried again. */
  | { readonly type: 'forbidden'; readonly message: string };

/** Waits after failures. */
const WAITS = { initial: 500, longest: 30_000 };
/**
 * Number of failures in a row to watch from one version after which a list follows. The server may never have had that version (a restored
 * etcd).
 */
const FAILURES_BEFORE_LIST = 5;
/**
 * Milliseconds. A watch without events that ends sooner counts as a failure; otherwise a broken proxy would cause reconnections in a tight
 * loop.
 */
const TOO_SHORT = 5_000;

/**
 * Lists a kind, then watches it from that version until the signal aborts. A failure is counted, logged and retried with jittered
 * back-off that honors Retry-After. After a cut or silent connection the watch continues from the last version seen. When that version is
 * gone (410), it lists again. From time to time it lists the state at exactly the version that the watch has reached (`audit`): any
 * difference is a change that the watch lost.
 */
export async function* listWatch<T extends KubeObject>(
  client: Client,
  resource: Resource<T>,
  options: ListWatchOptions,
): AsyncGenerator<ListWatchEvent<T>, void, void> {
  const { signal, limit = 100, idle = 120_000, audit = 900_000, instruments } = options;
  const { clock, metrics } = instruments;
  const selection: Selection = {
    namespace: options.namespace,
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
  };
  const log = instruments.log.child({ resource: nameOf(resource), namespace: options.namespace });
  const nextAudit = () => clock.monotonic() + jittered(clock, audit, 0.2);
  let version: string | undefined;
  let reason: ListReason = 'start';
  let failures = 0;
  let auditAt = 0;

  while (!signal.aborted) {
    const started = clock.monotonic();
    let received = false;
    let watching: number | undefined;
    try {
      if (version === undefined || started >= auditAt) {
        const exactly: string | undefined = version;
        let listed = '';
        if (exactly !== undefined) reason = 'audit';
        metrics.relists.inc({ resource: nameOf(resource), reason });
        yield { type: 'listing', reason };
        for await (const page of client.pages(resource, { ...selection, limit, exactly, signal })) {
          yield { type: 'page', items: page.items };
          listed = page.resourceVersion;
        }
        // Set only after the last page, because a watch cannot start from an incomplete list.
        version = exactly ?? listed;
        yield { type: 'listed', resourceVersion: version };
        auditAt = nextAudit();
      }
      const untilAudit = Math.ceil((auditAt - clock.monotonic()) / 1000);
      const timeoutSeconds = Math.max(1, Math.min(Math.round(jittered(clock, 450, 1 / 3)), untilAudit));
      watching = clock.monotonic();
      for await (const line of client.http.lines({
        method: 'GET',
        path: pathOf(resource, options.namespace),
        query: {
          labelSelector: options.labelSelector,
          fieldSelector: options.fieldSelector,
          watch: true,
          allowWatchBookmarks: true,
          resourceVersion: version,
          timeoutSeconds,
        },
        idle,
        signal,
      })) {
        const event = parse<T>(line, resource);
        received = true;
        failures = 0;
        yield event;
        if (event.type === 'bookmark') version = event.resourceVersion;
        else version = event.object.metadata.resourceVersion;
      }
      const shortest = Math.min(TOO_SHORT, timeoutSeconds * 500);
      if (!received && clock.monotonic() - watching < shortest) throw new ShortWatchError();
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ForbiddenError && version === undefined) yield { type: 'forbidden', message: error.message };
      if (error instanceof SilentError) {
        // Either the watch is dead, or the kind has had no change since the server started, and then the server sends no bookmarks. A new
        // watch is right in both cases. If the network is down, it fails, and the back-off applies.
        metrics.watchErrors.inc({ resource: nameOf(resource), error: error.name });
        log.info('watch was silent, opening another');
        continue;
      }
      // A quiet watch that lasted longer than the back-off is a success, however it ended.
      if (watching !== undefined && clock.monotonic() - watching > WAITS.longest) failures = 0;
      failures++;
      metrics.watchErrors.inc({ resource: nameOf(resource), error: (error as Error).name });
      if (error instanceof GoneError) {
        version = undefined;
        reason = 'gone';
        log.info({ failures }, 'the watched version is gone, listing again');
        if (failures === 1) continue;
      } else {
        if (!(error instanceof KubeError || error instanceof ShortWatchError)) {
          log.error({ err: error, failures }, 'list-watch failed');
        } else log.warn({ error: error.message, failures }, 'list-watch interrupted');
        if (failures % FAILURES_BEFORE_LIST === 0) {
          version = undefined;
          reason = 'failures';
        }
      }
      const asked = error instanceof TooManyRequestsError || error instanceof ServerError ? (error.after ?? 0) : 0;
      const wait = Math.max(asked, backOff(failures, WAITS, clock.random()));
      await sleep(clock, wait, signal).catch(() => {});
    }
  }
}

class ShortWatchError extends Error {
  override name = 'ShortWatchError';
  constructor() {
    super('the watch ended at once without an event');
  }
}

interface WireEvent<T extends KubeObject> {
  type: string;
  object: Stored<T> & StatusBody;
}

function parse<T extends KubeObject>(
  line: string,
  resource: Resource,
): ListWatchEvent<T> & { type: 'put' | 'deleted' | 'bookmark' } {
  const { type, object } = JSON.parse(line) as WireEvent<T>;
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
      return { type: 'put', object: strip(object) };
    case 'DELETED':
      return { type: 'deleted', object: strip(object) };
    case 'BOOKMARK':
      return { type: 'bookmark', resourceVersion: object.metadata.resourceVersion };
    default:
      throw errorFor(`WATCH ${pathOf(resource)}`, object?.code ?? 500, object ?? {});
  }
}
