import { readFileSync } from 'node:fs';
import { Client, Connection, type ConnectionOptions } from '@temporalio/client';
import type { Settings } from '../../pipeline/settings.ts';
import { classify, isAlreadyExists, TemporalDenied } from './errors.ts';

type TemporalSettings = Pick<
  Settings,
  | 'temporal_address'
  | 'temporal_namespace'
  | 'temporal_tls_client_cert_path'
  | 'temporal_tls_client_key_path'
  | 'temporal_tls_server_ca_path'
  | 'temporal_api_key'
>;

/** Long enough for a busy server, short enough that a reconcile says "unknown" instead of hanging. */
const DEADLINE = 10_000;

/** What the SDK is told of the server: address, TLS files (read now), API key. Throws TemporalDenied for a file that cannot be read. */
export function connectionOptions(settings: TemporalSettings): ConnectionOptions {
  const read = (key: keyof TemporalSettings): Buffer | undefined => {
    const path = settings[key];
    if (!path) return undefined;
    try {
      return readFileSync(path);
    } catch (error) {
      throw new TemporalDenied(`${key} = ${path} cannot be read: ${(error as NodeJS.ErrnoException).code}`, {
        cause: error,
      });
    }
  };
  const cert = read('temporal_tls_client_cert_path');
  const key = read('temporal_tls_client_key_path');
  const ca = read('temporal_tls_server_ca_path');
  const tls = cert || ca || settings.temporal_api_key ? true : undefined;
  return {
    address: settings.temporal_address,
    tls: tls && { serverRootCACertificate: ca, ...(cert && key && { clientCertPair: { crt: cert, key } }) },
    ...(settings.temporal_api_key && { apiKey: settings.temporal_api_key }),
    connectTimeout: DEADLINE,
    // The SDK's default would retry for long within one call; here the queue retries, and meanwhile the status says so.
    interceptors: [],
    // grpc-js bounds what it receives to 4 MB unless told by this key; the SDK's own default misses the prefix.
    channelArgs: { 'grpc.max_receive_message_length': 32 * 1024 * 1024 },
  };
}

/**
 * The operator's one connection to Temporal. It is made at the first request and comes back by itself after an outage; after an
 * answer that the credentials are wrong it is made anew, so that rotated certificates are read again.
 */
export class Temporal {
  readonly namespace: string;
  readonly #settings: TemporalSettings;
  #client: Client | undefined;

  constructor(settings: TemporalSettings) {
    this.#settings = settings;
    this.namespace = settings.temporal_namespace;
  }

  /**
   * Runs requests with a deadline. Throws TemporalUnavailable (and its kin) when Temporal cannot be reached or refuses us,
   * TemporalRejected when it refuses the request; errors of other kinds pass. `doing` begins the message.
   */
  async call<T>(doing: string, requests: (client: Client) => Promise<T>, deadline = DEADLINE): Promise<T> {
    try {
      this.#client ??= new Client({
        connection: Connection.lazy(connectionOptions(this.#settings)),
        namespace: this.namespace,
        identity: 'ooni-operator',
      });
      const client = this.#client;
      return await client.connection.withDeadline(Date.now() + deadline, () => requests(client));
    } catch (error) {
      const known = classify(error, doing);
      if (known instanceof TemporalDenied) await this.close();
      throw known;
    }
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.connection.close();
  }

  /**
   * Registers search attributes that the namespace lacks (name -> type, as `Keyword`). Doing it twice does no harm, and a server
   * where an administrator registered them needs no permission for it.
   */
  async registerSearchAttributes(attributes: Readonly<Record<string, 'Keyword'>>): Promise<void> {
    await this.call('registering search attributes', async client => {
      const operator = (client.connection as Connection).operatorService;
      const known = await operator.listSearchAttributes({ namespace: this.namespace });
      const missing = Object.keys(attributes).filter(name => !(name in (known.customAttributes ?? {})));
      if (missing.length === 0) return;
      const KEYWORD = 2;
      try {
        await operator.addSearchAttributes({
          namespace: this.namespace,
          searchAttributes: Object.fromEntries(missing.map(name => [name, KEYWORD])),
        });
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
      }
    });
  }
}
