import { TemporalError } from '../../operator/temporal/errors.ts';
import { ArchiveError } from '../../pipeline/archive/archive.ts';
import { openArchive } from '../../pipeline/archive/open.ts';
import type { Settings } from '../../pipeline/settings.ts';
import { openClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { TableError } from '../../pipeline/tables/errors.ts';
import { createLogger } from '../../pipeline/telemetry/log.ts';
import { FOR_DISPLAY } from '../clickhouse.ts';
import { missingSearchAttributes, openTemporalToRead } from '../orchestration/target.ts';
import { schemaDifferences } from '../schema-differences.ts';
import { bad, type Check, checker, ok } from './check.ts';
import { missingPrivileges, NEEDED_PRIVILEGES } from './privileges.ts';

const check = checker(TemporalError, TableError, ArchiveError);

/** Returns the remedy for a server that cannot be checked: to set its settings, or, if the environment has one of them, to check them. */
export function remedyOf(...settings: readonly string[]): string {
  const names = settings.join(' and ');
  return settings.some(name => process.env[name])
    ? `check ${names}, and whether this machine reaches that server`
    : `set ${names} to check it from this machine, with its own settings`;
}

/** Runs the checks of the servers that the settings of this machine name. */
export async function serverChecks(settings: Settings): Promise<Check[]> {
  const temporal = await openTemporalToRead(settings, createLogger('doctor', { ...settings, log_level: 'fatal' }));
  const clickhouse = openClickHouse(settings, FOR_DISPLAY);
  try {
    return await Promise.all([
      check('Temporal', remedyOf('TEMPORAL_ADDRESS', 'TEMPORAL_NAMESPACE'), async () => {
        const missing = await missingSearchAttributes(temporal);
        if (missing.length === 0)
          return ok(`${settings.temporal_address} has the namespace ${temporal.namespace} and the search attributes`);
        const names = missing.map(name => `--type Keyword --name ${name}`).join(' ');
        const remedy = `the operator adds them when it may; or: temporal operator search-attribute create --address ${settings.temporal_address} --namespace ${temporal.namespace} ${names}`;
        return bad('failed', `lacks the search attributes ${missing.join(', ')}`, remedy);
      }),
      check('ClickHouse schema', remedyOf('CLICKHOUSE_URL'), async () => {
        const differences = await schemaDifferences(clickhouse);
        if (differences.length === 0) return ok(`${clickhouse.name} has the tables of this version`);
        const tables = [...new Set(differences.map(({ table }) => table))].join(', ');
        return bad(
          'failed',
          `${clickhouse.name} differs in ${tables}`,
          'oonipipeline migrate; oonipipeline checkdb --print-diff shows the differences',
        );
      }),
      check('ClickHouse grants', remedyOf('CLICKHOUSE_URL'), async () => {
        const rows = await clickhouse.select<Record<string, string>>('SHOW GRANTS');
        const missing = missingPrivileges(
          rows.flatMap(row => Object.values(row)),
          clickhouse.database,
        );
        if (missing === undefined) {
          const remedy = `compare SHOW GRANTS FINAL with ${NEEDED_PRIVILEGES.join(', ')} ON ${clickhouse.database}.*`;
          return bad('unknown', 'SHOW GRANTS alone does not show the privileges of the user', remedy);
        }
        if (missing.length === 0) return ok('the user may read, write and migrate');
        return bad(
          'failed',
          `the user lacks ${missing.join(', ')}`,
          `GRANT ${missing.join(', ')} ON ${clickhouse.database}.* TO the user`,
        );
      }),
      check('archive', remedyOf('ARCHIVE_URL'), async signal => {
        await openArchive(settings).check({ signal });
        return ok(`${settings.archive_url} answers`);
      }),
    ]);
  } finally {
    await clickhouse.close();
    await temporal.close();
  }
}
