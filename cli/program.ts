import { Command } from 'commander';
import { hidePasswords } from '../pipeline/hide-password.ts';
import { CODE_VERSION } from '../pipeline/version.ts';
import { printable } from './printable.ts';

/** A command of the list: its module is loaded only when the command runs, or when its help is shown. */
interface Listed {
  readonly name: string;
  readonly description: string;
  readonly load: () => Promise<Command>;
}

/** The commands, in the order of the help and of docs/cli.md. */
const COMMANDS: readonly Listed[] = [
  {
    name: 'run',
    description: 'Take buckets of an archive through observations and analysis, in this process',
    load: async () => (await import('./commands/run.ts')).runCommand(),
  },
  {
    name: 'sql',
    description: 'Run a query in ClickHouse, and show the result',
    load: async () => (await import('./commands/sql.ts')).sqlCommand(),
  },
  {
    name: 'explain',
    description: 'Show how the verdict on a measurement comes about: observations, control, rule by rule',
    load: async () => (await import('./commands/explain.ts')).explainCommand(),
  },
  {
    name: 'verify',
    description: 'Check the ledger against the archive and the tables: is anything missing, or too much?',
    load: async () => (await import('./commands/verify.ts')).verifyCommand(),
  },
  {
    name: 'transform',
    description: 'Show the rows that the pipeline makes of measurements, one JSON document a measurement',
    load: async () => (await import('./commands/transform.ts')).transformCommand(),
  },
  {
    name: 'migrate',
    description: 'Bring the database to the version of this program',
    load: async () => (await import('./commands/migrate.ts')).migrateCommand(),
  },
  {
    name: 'geoip',
    description: "Fetch the archive's IP databases, which give the AS and country of an address on a day",
    load: async () => (await import('./commands/geoip.ts')).geoipCommand(),
  },
];

/**
 * Creates oonipipeline. Throws usage errors as CommanderError.
 *
 * @param loaded which commands can run and show their help: all, or those that a command line names. The others have only their names and
 *   descriptions, so that a command does not wait for the modules of the others.
 */
export async function createProgram(loaded: 'all' | readonly string[]): Promise<Command> {
  const program = new Command('oonipipeline')
    .description('The OONI data pipeline from a terminal')
    .version(CODE_VERSION)
    .showHelpAfterError('(--help shows what there is)')
    // An argument that an error repeats may contain a password, or characters that a terminal obeys.
    .configureOutput({ outputError: (text, write) => write(printable(hidePasswords(text))) })
    .exitOverride();
  for (const { name, description, load } of COMMANDS) {
    const command = loaded === 'all' || loaded.includes(name) ? await load() : new Command(name);
    program.addCommand(command.description(description).copyInheritedSettings(program));
  }
  return program;
}
