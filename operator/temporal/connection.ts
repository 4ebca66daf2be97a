import { Client, Connection, type ConnectionOptions } from '@temporalio/client';
import type { Logger } from '../../pipeline/log.ts';
import { SettingsError } from '../../pipeline/settings.ts';
import {
  registerSearchAttributes,
  type ServerOptions,
  serverOptions,
  type TemporalSettings,
} from '../../temporal/connection.ts';
import { classify, TemporalDenied, TemporalNamespaceMissing, TemporalRejected } from './errors.ts';

/** Milliseconds: long enough for a busy server, short enough that a reconcile reports "unknown" instead of blocking. */
const DEADLINE = 10_000;

/** Returns the options of the operator's connection and reads the TLS files now. Throws TemporalDenied for a file that cannot be read. */
export function connectionOptions(settings: TemporalSettings): ConnectionOptions {
  return {
    ...reachable(settings),
    connectTimeout: DEADLINE,
    // The SDK retries for long within one call by default. Here the queue retries, and the status reports the failure meanwhile.
    interceptors: [],
    // grpc-js limits received messages to 4 MB unless this key raises it; the SDK's own default lacks the prefix.
    channelArgs: { 'grpc.max_receive_message_length': 32 * 1024 * 1024 },
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
 * The operator's only connection to Temporal. It opens at the first request and reconnects by itself after an outage. After an answer
 * that rejects the credentials it is opened again, so that rotated certificates are read.
 */
export class Temporal {
  readonly namespace: string;
  readonly #settings: TemporalSettings;
  readonly #attributes: readonly string[];
  readonly #log: Logger;
  readonly #guard: () => void;
  #client: Client | undefined;
  #registered: Promise<void> | undefined;

  /**
   * `attributes`: names of search attributes (Keyword) that the namespace must have; they are registered before any other request.
   * `guard`: called before every write; throws when this process may not write now.
   */
  constructor(settings: TemporalSettings, attributes: readonly string[], log: Logger, guard: () => void = () => {}) {
    this.#settings = settings;
    this.#attributes = attributes;
    this.#log = log;
    this.#guard = guard;
    this.namespace = settings.temporal_namespace;
  }

  /**
   * Runs requests with a deadline. Throws TemporalUnavailable (and its subclasses) when Temporal cannot be reached or denies access, and
   * TemporalRejected when it rejects the request. Other errors pass unchanged. `doing` begins the message.
   */
  async call<T>(doing: string, requests: (client: Client) => Promise<T>, deadline = DEADLINE): Promise<T> {
    try {
      const client = this.#connect();
      await this.#register(client);
      return await client.connection.withDeadline(Date.now() + deadline, () => requests(client));
    } catch (error) {
      const known = classify(error, doing);
      if (known instanceof TemporalDenied) await this.close();
      // A restarted development server has forgotten the search attributes.
      if (known instanceof TemporalRejected && /search attribute/i.test(known.message)) this.#registered = undefined;
      throw known;
    }
  }

  /** Runs requests that change something, as `call` does. It calls the guard at the last moment. */
  write<T>(doing: string, requests: (client: Client) => Promise<T>, deadline = DEADLINE): Promise<T> {
    return this.call(
      doing,
      client => {
        this.#guard();
        return requests(client);
      },
      deadline,
    );
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    this.#registered = undefined;
    await client?.connection.close();
  }

  #connect(): Client {
    this.#client ??= new Client({
      connection: Connection.lazy(connectionOptions(this.#settings)),
      namespace: this.namespace,
      identity: 'ooni-operator',
    });
    return this.#client;
  }

  /** Registers the search attributes once per connection; concurrent callers share the request and its failure. The next call retries a failure. */
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
      const refused = known instanceof TemporalDenied || known instanceof TemporalRejected;
      if (!refused || known instanceof TemporalNamespaceMissing) throw known;
      this.#log.warn(
        { reason: known.message, attributes: this.#attributes },
        'search attributes cannot be registered; if runs are refused for them, have an administrator add them as Keyword',
      );
    }
  }
}
