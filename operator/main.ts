import { setTimeout } from 'node:timers/promises';
import { loadSettings, publicSettings, type Settings, SettingsError } from '../pipeline/settings.ts';
import { HealthAddressError } from '../pipeline/telemetry/health-server.ts';
import { createLogger } from '../pipeline/telemetry/log.ts';
import type { Tracing } from '../pipeline/telemetry/otel.ts';
import { startTracing } from '../pipeline/telemetry/tracing.ts';
import { connectionSource, KubeConfigError } from './kube/config.ts';
import { LeaseLostError } from './kube/lease.ts';
import { runOperator } from './operator.ts';

/**
 * Runs the program `node operator/main.ts`. SIGTERM and SIGINT stop it in order: it starts no new passes, waits for the running ones, and
 * releases the lease. The exit status is then 0. It is 1 when a setting is invalid; the message names the setting.
 */
async function main(): Promise<void> {
  let settings: Settings;
  try {
    settings = loadSettings();
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
    return;
  }
  const log = createLogger('ooni-operator', settings);
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.once(name, () => {
      log.info({ signal: name }, 'stopping');
      stop.abort();
    });
  }
  log.info({ installation: settings.installation }, 'starting');
  log.debug({ settings: publicSettings(settings) }, 'settings');
  let tracing: Tracing | undefined;
  try {
    tracing = await startTracing(settings, 'ooni-operator', log);
    const source = connectionSource();
    while (!stop.signal.aborted) {
      try {
        await runOperator(settings, source, log, stop.signal);
      } catch (error) {
        if (!(error instanceof LeaseLostError)) throw error;
        // Either the API server did not answer for long, or this process was paused. It drops its state and waits for the lease again.
        log.warn({ reason: error.message }, 'no longer leading; starting again as a standby');
        await setTimeout(1000, undefined, { signal: stop.signal }).catch(() => {});
      }
    }
    log.info('stopped');
  } catch (error) {
    const expected = [KubeConfigError, HealthAddressError, SettingsError].some(kind => error instanceof kind);
    log.fatal(expected ? { reason: (error as Error).message } : { err: error }, 'cannot continue');
    process.exitCode = 1;
  } finally {
    await tracing?.close();
  }
}

await main();
