import { setTimeout } from 'node:timers/promises';
import { backOff } from '../pipeline/back-off.ts';
import { prepareDatabase } from '../pipeline/migrations/migrate.ts';
import type { Settings } from '../pipeline/settings.ts';
import { openClickHouse } from '../pipeline/tables/clickhouse.ts';
import type { Logger } from '../pipeline/telemetry/log.ts';

const WAITS = { initial: 1_000, longest: 60_000 };

/** Command that migrates the database by hand, for the message of an error. */
const COMMAND = 'node cli/main.ts migrate --yes, in a pod of the operator';

/**
 * Creates or migrates the database once, as the setting `automatic_migration` allows, so that the tables exist before any worker has work.
 * Tries again until it succeeds or the signal aborts: ClickHouse may be away, or wait for a migration by hand. Logs each cause once.
 * Workers that start meanwhile wait for the lock of the migration.
 */
export async function migrateDatabase(settings: Settings, log: Logger, signal: AbortSignal): Promise<void> {
  const stopped = new Promise<undefined>(resolve =>
    signal.addEventListener('abort', () => resolve(undefined), { once: true }),
  );
  let reported = '';
  for (let attempt = 1; !signal.aborted; attempt++) {
    const attempted = migrateOnce(settings, log, signal).then(
      () => undefined,
      (error: Error) => error.message.split('\n')[0]!,
    );
    // A leader that stops does not wait for a server that hangs: the lock of an interrupted migration expires.
    const problem = await Promise.race([attempted, stopped]);
    if (problem === undefined || signal.aborted) return;
    if (problem !== reported) log.warn(`cannot prepare the database: ${problem}`);
    reported = problem;
    await setTimeout(backOff(attempt, WAITS), undefined, { signal }).catch(() => {});
  }
}

/** Throws SettingsError or TableErrors. */
async function migrateOnce(settings: Settings, log: Logger, signal: AbortSignal): Promise<void> {
  const clickhouse = openClickHouse(settings, { retry: { attempts: 1, initial: 0, longest: 0 } });
  try {
    const applied = await prepareDatabase(clickhouse, settings, log, { remedy: COMMAND, signal });
    log.info({ applied }, `the database ${clickhouse.name} is prepared`);
  } finally {
    await clickhouse.close();
  }
}
