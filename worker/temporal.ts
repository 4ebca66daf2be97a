import { readFileSync } from 'node:fs';
import { NativeConnection, type NativeConnectionOptions, Runtime, type RuntimeOptions } from '@temporalio/worker';
import type { Logger } from '../pipeline/log.ts';
import { type Settings, SettingsError } from '../pipeline/settings.ts';
import { SEARCH_ATTRIBUTES } from './contract.ts';

/** How often a worker tells Temporal of its slots: the operator scales by it. */
const WORKER_HEARTBEAT = '5 seconds';
/** temporal.api.enums.v1.IndexedValueType */
const KEYWORD = 2;

/** What the SDK is told of the server. Throws SettingsError for a file that cannot be read. */
export function connectionOptions(settings: Settings): NativeConnectionOptions {
  const read = (
    key: 'temporal_tls_client_cert_path' | 'temporal_tls_client_key_path' | 'temporal_tls_server_ca_path',
  ): Buffer | undefined => {
    const path = settings[key];
    if (!path) return undefined;
    try {
      return readFileSync(path);
    } catch (error) {
      throw new SettingsError(`${key} = ${path} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
    }
  };
  const crt = read('temporal_tls_client_cert_path');
  const key = read('temporal_tls_client_key_path');
  const ca = read('temporal_tls_server_ca_path');
  const secure = crt || ca || settings.temporal_api_key;
  return {
    address: settings.temporal_address,
    ...(secure && {
      tls: { ...(ca && { serverRootCACertificate: ca }), ...(crt && key && { clientCertPair: { crt, key } }) },
    }),
    ...(settings.temporal_api_key && { apiKey: settings.temporal_api_key }),
  };
}

/** Sets the SDK's runtime up: its logs go into ours, its metrics where the settings say. Once per process, before anything else of it. */
export function installRuntime(settings: Settings, log: Logger): void {
  const { prometheus_bind_address: prometheus, telemetry_endpoint: otel } = settings;
  if (prometheus && otel) {
    throw new SettingsError(
      'telemetry_endpoint and prometheus_bind_address exclude each other: Temporal offers its metrics in one way',
    );
  }
  const metrics: NonNullable<RuntimeOptions['telemetryOptions']>['metrics'] = prometheus
    ? { prometheus: { bindAddress: prometheus, useSecondsForDurations: true } }
    : otel
      ? { otel: { url: otel } }
      : undefined;
  // A worker says much of itself at INFO, and warns of the queue that the other worker of this process serves.
  const quiet = (level: string, message: string) => level === 'info' || /^No .* not polling for/.test(message);
  const write = (level: 'trace' | 'debug' | 'info' | 'warn' | 'error') => (message: string, meta?: object) =>
    log[quiet(level, message) ? 'debug' : level](meta ?? {}, message);
  Runtime.install({
    logger: {
      log: (level, message, meta) => write(level.toLowerCase() as 'info')(message, meta),
      trace: write('trace'),
      debug: write('debug'),
      info: write('info'),
      warn: write('warn'),
      error: write('error'),
    },
    telemetryOptions: {
      ...(metrics && { metrics }),
      logging: { forward: {}, filter: { core: 'WARN', other: 'WARN' } },
    },
    workerHeartbeatInterval: WORKER_HEARTBEAT,
    // main.ts has a word in how it stops.
    shutdownSignals: [],
  });
}

/** Registers the search attributes that runs carry. Where that is not allowed (Temporal Cloud), it says who has to. */
export async function registerSearchAttributes(
  connection: NativeConnection,
  namespace: string,
  log: Logger,
): Promise<void> {
  const { operatorService } = connection;
  const { customAttributes } = await operatorService.listSearchAttributes({ namespace });
  const missing = Object.keys(SEARCH_ATTRIBUTES).filter(name => !(name in (customAttributes ?? {})));
  if (missing.length === 0) return;
  try {
    await operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map(name => [name, KEYWORD])),
    });
    log.info({ attributes: missing }, 'registered search attributes');
  } catch (error) {
    // Several workers start at once; one of them was first.
    if (/already exists/i.test((error as Error).message)) return;
    if (!/permission|unimplemented|not allowed/i.test((error as Error).message)) throw error;
    log.warn(
      { attributes: missing },
      `search attributes cannot be registered (${(error as Error).message}); have an administrator add them as Keyword`,
    );
  }
}

/** Connects. Throws what the SDK throws; `isDenied` tells what waiting does not mend. */
export function connect(settings: Settings): Promise<NativeConnection> {
  return NativeConnection.connect(connectionOptions(settings));
}
