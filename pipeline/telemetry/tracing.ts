import { hostname } from 'node:os';
import { type Settings, SettingsError } from '../settings.ts';
import type { Logger } from './log.ts';
import type { Tracing } from './otel.ts';

/**
 * Starts tracing if the settings have a `telemetry_endpoint`. OpenTelemetry's packages are loaded only then. Throws SettingsError for an
 * endpoint that is not a URL.
 *
 * @param service name of the program in the traces
 */
export async function startTracing(
  { telemetry_endpoint: endpoint, installation }: Pick<Settings, 'telemetry_endpoint' | 'installation'>,
  service: string,
  log: Logger,
): Promise<Tracing | undefined> {
  if (!endpoint) return undefined;
  if (!/^https?:\/\//.test(endpoint) || !URL.canParse(endpoint)) {
    throw new SettingsError(
      `telemetry_endpoint = ${endpoint}: must be a URL such as http://collector:4317, or empty for no traces`,
    );
  }
  const { installTracing } = await import('./otel.ts');
  return installTracing(endpoint, { service, installation, instance: processName() }, error => {
    if (error) log.warn(`telemetry_endpoint = ${endpoint} does not take spans, so they are dropped: ${error.message}`);
    else log.info(`telemetry_endpoint = ${endpoint} takes spans again`);
  });
}

/** Returns the name of this process: its pod, or process and host. The operator finds the load of a worker by this name. */
export function processName(): string {
  return process.env.POD_NAME || `${process.pid}@${hostname()}`;
}
