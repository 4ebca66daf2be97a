import { Command, Option } from 'commander';
import { hidePassword } from '../../pipeline/hide-password.ts';
import { migrate } from '../../pipeline/migrations/migrate.ts';
import type { DatabaseOrigin } from '../../pipeline/migrations/migration-origin.ts';
import { type MigrationPlan, planMigrations } from '../../pipeline/migrations/migration-plan.ts';
import { loadSettings } from '../../pipeline/settings.ts';
import { createLogger } from '../../pipeline/telemetry/log.ts';
import { openClickHouse } from '../clickhouse.ts';
import { confirmed } from '../confirmation.ts';
import { withExitStatus } from '../exit-status.ts';
import { type CommonOptions, checkClickHouse, clickhouseOption } from '../options.ts';

interface Options extends CommonOptions {
  readonly dryRun?: boolean;
  readonly print?: boolean;
  readonly yes?: boolean;
}

/** Creates `oonipipeline migrate`, which migrates a database to the version of the program on request. */
export function migrateCommand(): Command {
  return new Command('migrate')
    .addOption(clickhouseOption())
    .option('--dry-run', 'list what would be done; change nothing')
    .addOption(new Option('--print', 'print the statements that would be sent; change nothing').conflicts('dryRun'))
    .option('--yes', 'do not ask for confirmation')
    .addHelpText(
      'after',
      `
The operator, workers and "oonipipeline run" migrate a database by themselves if this pipeline made it or it is empty;
the setting automatic_migration changes that. Only this command migrates any other database, such as one that the Python pipeline made.
The Python pipeline cannot write to a migrated database. docs/moving-from-python.md explains how to move, and how to go back.

An interrupted migration continues when the command is repeated.

Exit status: 0 the database is up to date, or --dry-run or --print is given; 1 it could not be migrated, or the answer was no; 2 wrong
usage.

  oonipipeline migrate --dry-run --clickhouse http://localhost:8123/ooni
  oonipipeline migrate --print > migration.sql`,
    )
    .action((options: Options, command: Command) => {
      checkClickHouse(command, options);
      return withExitStatus('migrate', () => runMigrate(options));
    });
}

/** Returns the command that migrates the database of a command line, for messages. Hides the password. */
export function migrateCommandLine(clickhouse: string | undefined): string {
  if (clickhouse === undefined) return 'oonipipeline migrate';
  const place = hidePassword(clickhouse);
  return `oonipipeline migrate --clickhouse ${/^[\w:/.@-]+$/.test(place) ? place : `'${place}'`}`;
}

async function runMigrate(options: Options): Promise<number> {
  const given = loadSettings();
  const log = createLogger('migrate', given);
  const changes = !options.dryRun && !options.print;
  const opened = await openClickHouse(options.clickhouse, { settings: given, create: changes });
  try {
    const plan = await planMigrations(opened.settings, createLogger('migrate', { ...given, log_level: 'fatal' }));
    if (options.print) console.log(statementsOf(plan));
    else console.log(textOf(plan, opened.name));
    if (!changes || plan.pending.length === 0) return 0;
    if (
      NEEDS_CONSENT.has(plan.origin) &&
      !(await confirmed('oonipipeline migrate', `Migrate ${opened.name}?`, options))
    )
      return 1;
    const applied = await migrate(opened.clickhouse, log, opened.alone ? { lockExpiry: 0 } : {});
    console.log(
      applied.length > 0
        ? `Applied ${applied.join(', ')}. ${opened.name} is up to date.`
        : `Another process applied them. ${opened.name} is up to date.`,
    );
    return 0;
  } finally {
    await opened.close();
  }
}

/** Origins of databases that other programs may be using. */
const NEEDS_CONSENT: ReadonlySet<DatabaseOrigin> = new Set(['python', 'other']);

const ORIGINS: Readonly<Record<DatabaseOrigin, string>> = {
  empty: 'is empty',
  own: 'was made by this pipeline',
  python: 'was made by the Python pipeline',
  other: 'has tables that this pipeline did not make',
};

/** Formats the plan as text. */
export function textOf({ origin, pending }: MigrationPlan, name: string): string {
  if (pending.length === 0) return `${name} is up to date.`;
  return [
    `${name} ${ORIGINS[origin]}.`,
    `${pending.length === 1 ? 'One migration is' : `${pending.length} migrations are`} not applied:`,
    ...pending.flatMap(({ number, name: title, changes }) => [
      `  ${number} ${title}`,
      ...(changes.length > 0 ? changes : ['nothing to change']).map(change => `      ${change}`),
    ]),
    ...(origin === 'python' ? [PYTHON] : []),
  ].join('\n');
}

const PYTHON = `Stop the Python pipeline first: its analysis inserts by position, and ClickHouse rejects that (code 20) once a column is added.
To run both, give this pipeline its own database. docs/moving-from-python.md explains both ways.`;

function statementsOf({ pending }: MigrationPlan): string {
  return pending
    .map(({ number, name, statements }) =>
      [`-- ${number} ${name}`, ...statements.map(statement => `${statement};`)].join('\n'),
    )
    .join('\n\n');
}
