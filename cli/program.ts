import type { Command } from 'commander';
import { createProgramOf, type ListedCommand } from './command-list.ts';

/** The commands, in the order of the help and of docs/cli.md. */
const COMMANDS: readonly ListedCommand[] = [
  {
    name: 'run',
    description: 'Turn buckets of an archive into rows and verdicts, in this process',
    load: async () => (await import('./commands/run.ts')).runCommand(),
  },
  {
    name: 'schedule',
    description: 'Process each new day, by a schedule in Temporal or a PipelineSchedule in Kubernetes',
    load: async () => (await import('./commands/schedule.ts')).scheduleCommand(),
  },
  {
    name: 'backfill',
    description: 'Process the buckets of a range on the workers',
    load: async () => (await import('./commands/backfill.ts')).backfillCommand(),
  },
  {
    name: 'startworkers',
    description: 'Do the work of schedules and backfills, in this process, until Ctrl-C',
    load: async () => (await import('./commands/startworkers.ts')).startworkersCommand(),
  },
  {
    name: 'clear-schedules',
    description: 'Delete the schedule of a filter',
    load: async () => (await import('./commands/clear-schedules.ts')).clearSchedulesCommand(),
  },
  {
    name: 'status',
    description: 'Show schedules, missing buckets, backfills, workers and the ledger',
    load: async () => (await import('./commands/status.ts')).statusCommand(),
  },
  {
    name: 'runs',
    description: 'Show the runs of the ledger: which run did what with a bucket',
    load: async () => (await import('./commands/runs.ts')).runsCommand(),
  },
  {
    name: 'failures',
    description: 'Show which measurements failed, and why',
    load: async () => (await import('./commands/failures.ts')).failuresCommand(),
  },
  {
    name: 'sql',
    description: 'Run a query in ClickHouse, and show the result',
    load: async () => (await import('./commands/sql.ts')).sqlCommand(),
  },
  {
    name: 'explain',
    description: 'Explain the verdict on a measurement: observations, control, rule by rule',
    load: async () => (await import('./commands/explain.ts')).explainCommand(),
  },
  {
    name: 'verify',
    description: 'Check the ledger against the archive and the tables: is anything missing or surplus?',
    load: async () => (await import('./commands/verify.ts')).verifyCommand(),
  },
  {
    name: 'transform',
    description: 'Show the rows that the pipeline makes of measurements, one JSON document a measurement',
    load: async () => (await import('./commands/transform.ts')).transformCommand(),
  },
  {
    name: 'sync',
    description: 'Download measurements from the archive',
    load: async () => (await import('./commands/sync.ts')).syncCommand(),
  },
  {
    name: 'migrate',
    description: 'Bring the database to the version of this program',
    load: async () => (await import('./commands/migrate.ts')).migrateCommand(),
  },
  {
    name: 'checkdb',
    description: 'Compare the tables of the database with those of this version',
    load: async () => (await import('./commands/checkdb.ts')).checkdbCommand(),
  },
  {
    name: 'check-duplicates',
    description: 'Count duplicate rows that ClickHouse has not merged yet, and merge them',
    load: async () => (await import('./commands/check-duplicates.ts')).checkDuplicatesCommand(),
  },
  {
    name: 'update-assets',
    description: 'Load reference data and IP databases now',
    load: async () => (await import('./commands/update-assets.ts')).updateAssetsCommand(),
  },
  {
    name: 'geoip',
    description: "Fetch the archive's IP databases, which give the AS and country of an address on a day",
    load: async () => (await import('./commands/geoip.ts')).geoipCommand(),
  },
  {
    name: 'config',
    description: 'Show the settings in force, and where they come from',
    load: async () => (await import('./commands/config.ts')).configCommand(),
  },
  {
    name: 'completion',
    description: 'Print the completion script for bash, zsh or fish',
    load: async () => (await import('./commands/completion.ts')).completionCommand(),
  },
];

/** Creates oonipipeline. `loaded` is as in `createProgramOf`. Throws usage errors as CommanderError. */
export function createProgram(loaded: 'all' | readonly string[]): Promise<Command> {
  return createProgramOf('oonipipeline', 'The OONI data pipeline from a terminal', COMMANDS, loaded);
}
