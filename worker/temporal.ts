import { NativeConnection, Runtime, TransportError } from '@temporalio/worker';
import type { Settings } from '../pipeline/settings.ts';
import type { Logger } from '../pipeline/telemetry/log.ts';
import { registerSearchAttributes, serverOptions } from '../temporal/connection.ts';
import { connectionFailure } from '../temporal/connection-failure.ts';
import { tlsFailure } from '../temporal/tls-failure.ts';
import { SEARCH_ATTRIBUTES } from './contract.ts';

/** Interval of a worker's heartbeat to Temporal with its slots, by which the operator scales. */
const WORKER_HEARTBEAT = '5 seconds';

/**
 * Installs the SDK's runtime: its logs go into ours. Call it once per process, before any other use of the SDK.
 *
 * @param metricsPort port of the loopback at which the SDK serves its metrics; undefined: it has none
 */
export function installRuntime(log: Logger, metricsPort?: number): void {
  // A worker logs much at INFO, and warns about the queue that the other worker of this process serves. The activities log their own failures.
  const quiet = (level: string, message: string) =>
    level === 'info' || /^No .* not polling for|^Activity failed$/.test(message);
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
      ...(metricsPort !== undefined && {
        metrics: { prometheus: { bindAddress: `127.0.0.1:${metricsPort}`, useSecondsForDurations: true } },
      }),
      logging: { forward: {}, filter: { core: 'WARN', other: 'WARN' } },
    },
    workerHeartbeatInterval: WORKER_HEARTBEAT,
    // main.ts handles the signals.
    shutdownSignals: [],
  });
}

/** Registers the search attributes of runs. If Temporal rejects this (Temporal Cloud), the log says which ones an administrator must add. */
export async function registerRunAttributes(
  connection: NativeConnection,
  namespace: string,
  log: Logger,
): Promise<void> {
  const names = Object.keys(SEARCH_ATTRIBUTES);
  try {
    const attributes = await registerSearchAttributes(connection.operatorService, namespace, names);
    if (attributes.length > 0) log.info({ attributes }, 'registered search attributes');
  } catch (error) {
    if (!/permission|unimplemented|not allowed/i.test((error as Error).message)) throw error;
    log.warn(
      { attributes: names },
      `search attributes cannot be registered; an administrator has to add them as Keyword: ${(error as Error).message}`,
    );
  }
}

/**
 * Connects a worker. Throws SettingsError for a certificate that cannot be read, TransportError with the cause for a server that cannot be
 * reached or rejects the certificate, and other errors of the SDK.
 */
export async function connect(settings: Settings): Promise<NativeConnection> {
  const options = serverOptions(settings);
  try {
    return await NativeConnection.connect(options);
  } catch (error) {
    const tls = await tlsFailure(options);
    if (tls !== undefined) throw new TransportError(tls);
    if (!(error instanceof TransportError)) throw error;
    throw new TransportError(connectionFailure(error.message));
  }
}
