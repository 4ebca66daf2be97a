import { Command } from 'commander';
import { hidePasswords } from '../../pipeline/hide-password.ts';
import { CODE_VERSION } from '../../pipeline/version.ts';
import { printable } from '../printable.ts';

interface Listed {
  readonly name: string;
  readonly description: string;
  readonly load: () => Promise<Command>;
}

const COMMANDS: readonly Listed[] = [
  {
    name: 'status',
    description: 'Show the whole installation on one screen',
    load: async () => (await import('./status.ts')).statusCommand(),
  },
  {
    name: 'backfill',
    description: 'Create, watch and change backfills',
    load: async () => (await import('./backfill.ts')).backfillCommand(),
  },
  {
    name: 'schedule',
    description: 'Run, suspend and resume schedules',
    load: async () => (await import('./schedule.ts')).scheduleCommand(),
  },
  {
    name: 'pool',
    description: 'Drain, pause and resume worker pools',
    load: async () => (await import('./pool.ts')).poolCommand(),
  },
  {
    name: 'doctor',
    description: 'Check the installation, and name the remedy of each problem',
    load: async () => (await import('./doctor.ts')).doctorCommand(),
  },
  {
    name: 'report',
    description: 'Write a redacted file for a bug report',
    load: async () => (await import('./report.ts')).reportCommand(),
  },
  {
    name: 'logs',
    description: 'Show the logs of the operator, or of the workers of a pool',
    load: async () => (await import('./logs.ts')).logsCommand(),
  },
];

/** Creates `kubectl ooni`. `loaded` is as in `createProgram` of oonipipeline. Throws usage errors as CommanderError. */
export async function createKubectlProgram(loaded: 'all' | readonly string[]): Promise<Command> {
  const program = new Command('kubectl ooni')
    .description('The OONI data pipeline in a cluster: a plugin of kubectl')
    .version(CODE_VERSION)
    .showHelpAfterError('(--help shows what there is)')
    .configureOutput({ outputError: (text, write) => write(printable(hidePasswords(text))) })
    .exitOverride();
  for (const { name, description, load } of COMMANDS) {
    const command = loaded === 'all' || loaded.includes(name) ? await load() : new Command(name);
    program.addCommand(command.description(description).copyInheritedSettings(program));
    for (const each of command.commands) each.copyInheritedSettings(program);
  }
  return program;
}
