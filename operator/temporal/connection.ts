import { Client, Connection, type ConnectionOptions } from '@temporalio/client';
import { sentence } from '../../pipeline/sentence.ts';
import { type Settings, SettingsError } from '../../pipeline/settings.ts';
import type { Logger } from '../../pipeline/telemetry/log.ts';
import { currentTraceParent } from '../../pipeline/telemetry/spans.ts';
import {
  registerSearchAttributes,
  type ServerOptions,
  serverOptions,
  type TemporalSettings,
} from '../../temporal/connection.ts';
import { tlsFailure } from '../../temporal/tls-failure.ts';
import { traceHeaders } from '../../temporal/trace-header.ts';
import { hashOf } from '../hash.ts';
import { type Clock, systemClock } from '../kube/clock.ts';
import {
  classify,
  isUnreachable,
  TemporalDenied,
  TemporalNamespaceMissing,
  TemporalRejected,
  TemporalUnavailable,
} from './errors.ts';
import { RateLimit } from './rate-limit.ts';

/** Milliseconds: long enough for a busy server, short enough that a reconcile reports "unknown" instead of blocking. */
const DEADLINE = 10_000;

/** Milliseconds between two reads of the TLS files. */
const REREAD = 30_000;
/** Messages of Temporal about a search attribute that it does not know, with its name. */
const UNDEFINED_ATTRIBUTE = /no mapping defined for search attribute (\w+)|search attribute (\w+) is not defined/;
/** Requests in a row that did not reach the server, after which the connection is opened again. */
const UNANSWERED = 3;

/** Milliseconds between two attempts to connect, at most. */
const MOST_RECONNECT_WAIT = 10_000;

function fingerprint({ tls }: ConnectionOptions): string {
  return hashOf(JSON.stringify(tls ?? null));
}

/** Returns the options of the operator's connection and reads the TLS files now. Throws TemporalDenied for a file that cannot be read. */
export function connectionOptions(settings: TemporalSettings): ConnectionOptions {
  return {
    ...reachable(settings),
    connectTimeout: DEADLINE,
    // The SDK retries for long within one call by default. Here the queue retries, and the status reports the failure meanwhile.
    interceptors: [],
    // grpc-js limits received messages to 4 MB unless this key raises it; the SDK's own default lacks the prefix.
    channelArgs: {
      'grpc.max_receive_message_length': 32 * 1024 * 1024,
      // The library would wait up to two minutes between attempts to connect, and reject calls meanwhile although the server is back.
      'grpc.max_reconnect_backoff_ms': MOST_RECONNECT_WAIT,
    },
  };
}

function reachable(settings: TemporalSettings): ServerOptions {
  try {
    return serverOptions(settings);
  } catch (error) {
    if (error instanceof SettingsError) throw new TemporalDenied(error.message, { cause: error });
    throw error;
  }
}

/**
 * Makes the classes of Temporal's messages, which takes a fifth of a second in which the process does nothing else. Called before the process
 * leads, it does not delay the renewal of the lease.
 */
export async function loadMessages(): Promise<void> {
  await Connection.lazy({ address: 'localhost' }).close();
}

export interface TemporalOptions {
  /** Names of search attributes (Keyword) that the namespace must have; they are registered before any other request. */
  readonly attributes: readonly string[];
  readonly log: Logger;
  /** Called before every write; throws when this process may not write now, and returns the milliseconds in which it may. Default: no limit. */
  readonly guard?: () => number;
  readonly clock?: Pick<Clock, 'monotonic' | 'after'>;
}

/**
 * The operator's only connection to Temporal. It opens at the first request and reconnects by itself after an outage. It is opened again
 * when a TLS file has changed, after an answer that rejects the credentials, and after repeated failures: a server whose client has an
 * expired certificate appears as unavailable.
 */
export class Temporal {
  readonly namespace: string;
  readonly #settings: TemporalSettings;
  readonly #attributes: readonly string[];
  readonly #log: Logger;
  readonly #guard: () => number;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #limit: RateLimit;
  #client: Client | undefined;
  /** Hash of the options of the open connection, and the monotonic time at which the files were read last. */
  #options: { hash: string; at: number } | undefined;
  #answeredAt: number | undefined;
  /** Number of calls that were answered and of those that failed, for a metric. */
  readonly calls = { answered: 0, failed: 0 };
  /** Failures in a row without an answer. */
  #unanswered = 0;
  #registered: Promise<void> | undefined;
  /** Cause of a failure in TLS, and the monotonic time at which it was looked for. */
  #tlsFailure: { cause: Promise<string | undefined>; at: number } | undefined;

  /**
   * `operator_temporal_calls_per_second` protects Temporal after a change of the leader, when every resource is read. A call makes one to three
   * requests.
   */
  constructor(
    settings: TemporalSettings & Pick<Settings, 'operator_temporal_calls_per_second'>,
    { attributes, log, guard = () => Number.POSITIVE_INFINITY, clock = systemClock }: TemporalOptions,
  ) {
    this.#clock = clock;
    this.#limit = new RateLimit(settings.operator_temporal_calls_per_second, clock);
    this.#settings = settings;
    this.#attributes = attributes;
    this.#log = log;
    this.#guard = guard;
    this.namespace = settings.temporal_namespace;
  }

  /** Time of the last request that succeeded, in milliseconds since 1970; undefined before the first one. */
  get answeredAt(): number | undefined {
    return this.#answeredAt;
  }

  /**
   * Runs requests with a deadline. Throws TemporalUnavailable (and its subclasses) when Temporal cannot be reached or denies access, and
   * TemporalRejected when it rejects the request. Other errors pass unchanged. `doing` begins the message.
   */
  async call<T>(doing: string, requests: (client: Client) => Promise<T>, deadline = DEADLINE): Promise<T> {
    await this.#limit.turn();
    try {
      await this.#reload();
      const client = this.#connect();
      await this.#register(client);
      const answer = await client.connection.withDeadline(Date.now() + deadline, () => requests(client));
      this.#unanswered = 0;
      this.#answeredAt = Date.now();
      this.calls.answered++;
      return answer;
    } catch (error) {
      this.calls.failed++;
      const known = classify(error, doing);
      const unreachable = isUnreachable(error);
      this.#unanswered = unreachable ? this.#unanswered + 1 : 0;
      const tls = unreachable ? await this.#findTlsFailure() : undefined;
      if (known instanceof TemporalDenied || this.#unanswered >= UNANSWERED) await this.close();
      if (known instanceof TemporalRejected && /search attribute/i.test(known.message)) {
        // A restarted development server has forgotten the search attributes.
        this.#registered = undefined;
        if (await this.#isNotYetUsable(known.message)) {
          throw new TemporalUnavailable(
            `${sentence(known.message)} Temporal uses a new search attribute after about a minute`,
            {
              cause: error,
            },
          );
        }
      }
      if (tls !== undefined) throw new TemporalUnavailable(`${doing}: ${tls}`, { cause: error });
      throw known;
    }
  }

  /** Returns the cause of a failure in TLS, which the SDK does not say. One attempt serves all calls until the files are read again. */
  #findTlsFailure(): Promise<string | undefined> {
    const now = this.#clock.monotonic();
    if (!this.#tlsFailure || now - this.#tlsFailure.at >= REREAD) {
      this.#tlsFailure = { cause: tlsFailure(reachable(this.#settings)), at: now };
    }
    return this.#tlsFailure.cause;
  }

  /**
   * Returns whether a message rejects a search attribute that the namespace has. The services of Temporal read a new one with a delay when
   * visibility is in Elasticsearch or OpenSearch.
   */
  async #isNotYetUsable(message: string): Promise<boolean> {
    const name = UNDEFINED_ATTRIBUTE.exec(message)?.slice(1).find(Boolean);
    if (!name || !this.#attributes.includes(name)) return false;
    const connection = this.#client?.connection as Connection | undefined;
    try {
      const found = await connection?.withDeadline(Date.now() + DEADLINE, () =>
        connection.operatorService.listSearchAttributes({ namespace: this.namespace }),
      );
      return name in (found?.customAttributes ?? {});
    } catch {
      // The message of the rejection says more than that of this request.
      return false;
    }
  }

  /** Runs requests that change something, as `call` does. It calls the guard at the last moment, and ends with the time that it allows. */
  write<T>(doing: string, requests: (client: Client) => Promise<T>, deadline = DEADLINE): Promise<T> {
    return this.call(
      doing,
      client => {
        // Another process may lead afterwards, and the answer to a write that takes longer must not count.
        const left = Math.min(this.#guard(), deadline);
        return client.connection.withDeadline(Date.now() + left, () => requests(client));
      },
      deadline,
    );
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    this.#registered = undefined;
    this.#unanswered = 0;
    await client?.connection.close();
  }

  #connect(): Client {
    if (!this.#client) {
      const options = connectionOptions(this.#settings);
      this.#options = { hash: fingerprint(options), at: this.#clock.monotonic() };
      const connection = Connection.lazy(options);
      this.#client = new Client({
        connection,
        namespace: this.namespace,
        identity: 'ooni-operator',
        interceptors: {
          workflow: [
            {
              start: (input, next) =>
                next({ ...input, headers: { ...input.headers, ...traceHeaders(currentTraceParent()) } }),
            },
          ],
        },
      });
    }
    return this.#client;
  }

  /** Closes the connection if a TLS file has changed since it was opened. */
  async #reload(): Promise<void> {
    if (!this.#client || !this.#options || this.#clock.monotonic() - this.#options.at < REREAD) return;
    this.#options.at = this.#clock.monotonic();
    if (fingerprint(connectionOptions(this.#settings)) === this.#options.hash) return;
    this.#log.info('a TLS file has changed; connecting to Temporal again');
    this.#tlsFailure = undefined;
    await this.close();
  }

  /**
   * Registers the search attributes once per connection; concurrent callers share the request and its failure. The next call retries a
   * failure.
   */
  #register(client: Client): Promise<void> {
    if (!this.#registered) {
      const registering = client.connection.withDeadline(Date.now() + DEADLINE, () => this.#registerMissing(client));
      this.#registered = registering;
      registering.catch(() => {
        if (this.#registered === registering) this.#registered = undefined;
      });
    }
    return this.#registered;
  }

  async #registerMissing(client: Client): Promise<void> {
    const { operatorService } = client.connection as Connection;
    try {
      const attributes = await registerSearchAttributes(operatorService, this.namespace, this.#attributes);
      if (attributes.length > 0) this.#log.info({ attributes }, 'registered search attributes');
    } catch (error) {
      const known = classify(error, 'registering search attributes');
      // In Temporal Cloud an administrator creates them, and Temporal rejects this request.
      const rejected = known instanceof TemporalDenied || known instanceof TemporalRejected;
      if (!rejected || known instanceof TemporalNamespaceMissing) throw known;
      this.#log.warn(
        { reason: known.message, attributes: this.#attributes },
        'search attributes cannot be registered; if runs are rejected for them, have an administrator add them as Keyword',
      );
    }
  }
}
