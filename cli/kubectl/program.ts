import type { Command } from 'commander';
import { createProgramOf, type ListedCommand } from '../command-list.ts';

/** The commands, in the order of the help. */
const COMMANDS: readonly ListedCommand[] = [
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

/** Creates `kubectl ooni`. `loaded` is as in `createProgramOf`. Throws usage errors as CommanderError. */
export function createKubectlProgram(loaded: 'all' | readonly string[]): Promise<Command> {
  return createProgramOf('kubectl ooni', 'The OONI data pipeline in a cluster: a plugin of kubectl', COMMANDS, loaded);
}
