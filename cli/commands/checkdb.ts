import { Command, Option } from 'commander';
import { VIEWS } from '../../pipeline/analysis/views.ts';
import { loadSettings } from '../../pipeline/settings.ts';
import { ALL_TABLES } from '../../pipeline/tables/all-tables.ts';
import { createTable } from '../../pipeline/tables/ddl.ts';
import { openClickHouse } from '../clickhouse.ts';
import { createCommandLogger } from '../command-logger.ts';
import { withExitStatus } from '../exit-status.ts';
import { type CommonOptions, checkClickHouse, clickhouseOption } from '../options.ts';
import { schemaDifferences } from '../schema-differences.ts';
import { prepareTables, type TableOptions } from '../tables.ts';

interface Options extends CommonOptions, TableOptions {
  readonly printCreate: boolean;
  readonly printDiff: boolean;
  readonly output: 'human' | 'json';
}

/** Creates `oonipipeline checkdb`, which compares the tables of a database with those of this version. */
export function checkdbCommand(): Command {
  return new Command('checkdb')
    .addOption(new Option('--create-tables', 'create the tables that are missing').default(false))
    .addOption(new Option('--no-create-tables', 'create no table'))
    .addOption(
      new Option('--drop-tables', 'drop the tables with rows of measurements and the ledger; asks').default(false),
    )
    .addOption(new Option('--no-drop-tables', 'drop no table'))
    .addOption(new Option('--print-create', 'print the statement that creates each table').default(true))
    .addOption(new Option('--no-print-create', 'print no such statements'))
    .addOption(
      new Option('--print-diff', 'print the statements that would change the database to this version').default(false),
    )
    .addOption(new Option('--no-print-diff', 'print no differences'))
    .option('--dry-run', 'show what would be dropped; change nothing')
    .option('--yes', 'do not ask for confirmation')
    .addOption(clickhouseOption())
    .addOption(new Option('-o, --output <form>', 'form of the differences').choices(['human', 'json']).default('human'))
    .addHelpText(
      'after',
      `
--print-diff compares tables, columns, types, engines and sorting keys with this version. It prints nothing when nothing differs. It changes
nothing: oonipipeline migrate does. A difference that ClickHouse cannot change in place is a line that begins with --.
--drop-tables alone drops the tables; together with --create-tables it empties them. Reference data remain.

Exit status: 0 done, and --print-diff found no difference; 1 it found one, the answer was no, or ClickHouse rejected the statement; 2 wrong usage.

  oonipipeline checkdb --no-print-create --print-diff
  oonipipeline checkdb --create-tables --no-print-create`,
    )
    .action((options: Options, command: Command) => {
      checkClickHouse(command, options);
      return withExitStatus('checkdb', () => checkdb(options));
    });
}

async function checkdb(options: Options): Promise<number> {
  const settings = loadSettings();
  const log = createCommandLogger('checkdb', settings);
  const changes = (options.createTables || options.dropTables) && !options.dryRun;
  if (options.printCreate && options.output === 'human') {
    const dialect = { cluster: settings.clickhouse_cluster };
    for (const table of ALL_TABLES) console.log(`## Create for ${table.name}\n${createTable(table, dialect)}\n`);
    for (const { name, select } of VIEWS)
      console.log(`## Create for ${name}\nCREATE OR REPLACE VIEW ${name} AS\n${select}\n`);
    if (!changes && !options.printDiff && !options.dropTables) return 0;
  }
  const opened = await openClickHouse(options.clickhouse, { settings, create: changes });
  try {
    if (!(await prepareTables('oonipipeline checkdb', opened, options, log))) return 1;
    if (!options.printDiff) return 0;
    const differences = await schemaDifferences(opened.clickhouse);
    for (const each of differences) console.log(options.output === 'json' ? JSON.stringify(each) : each.statement);
    return differences.length > 0 ? 1 : 0;
  } finally {
    await opened.close();
  }
}
