import { Command, Option } from 'commander';
import { z } from 'zod';
import { loadSettings } from '../../pipeline/settings.ts';
import { createLogger } from '../../pipeline/telemetry/log.ts';
import { canRewrite } from '../colour.ts';
import { withExitStatus } from '../exit-status.ts';
import { archiveOption, type CommonOptions, checkClickHouse, directory, list, wholeNumber } from '../options.ts';

const TASKS = z.array(z.enum(['Workflows', 'Activities']));

interface Options extends CommonOptions {
  readonly threads?: number;
  readonly tasks?: ('Workflows' | 'Activities')[];
}

/** Creates `oonipipeline startworkers`, which serves the task queues in this process. */
export function startworkersCommand(): Command {
  return new Command('startworkers')
    .option(
      '--threads <n>',
      'activities at a time, each on a thread; setting worker_slots unless given',
      wholeNumber(1, 128),
    )
    .addOption(
      new Option('--tasks <names>', 'Workflows, Activities or both; setting worker_tasks unless given').argParser(
        list(TASKS),
      ),
    )
    .addOption(archiveOption())
    .option('--clickhouse <url>', 'URL of a ClickHouse server; setting clickhouse_url unless given')
    .option(
      '--geoip <dir>',
      'directory of YYYYMMDD-*.mmdb(.gz) databases; setting geoip_dir unless given, else none',
      directory,
    )
    .addHelpText(
      'after',
      `
Takes the work that schedules and backfills have put into Temporal, at the setting temporal_address, until Ctrl-C. Several processes, on
several machines, may serve the same queues. The command makes the tables that are missing.

Ctrl-C, or SIGTERM: the process takes no more work, and has four fifths of worker_drain_timeout to finish the work that it has; then it
hands the rest over at its last checkpoint, and ends. A second Ctrl-C ends it at once; another worker then continues its work. While Temporal,
ClickHouse or the archive cannot be reached, the process waits, and its log says for which.

Exit status: 0 it stopped after a signal; 1 it failed, or a second signal ended it; 2 wrong usage.

  oonipipeline startworkers --threads 4
  oonipipeline startworkers --tasks Workflows`,
    )
    .action((options: Options, command: Command) => {
      checkClickHouse(command, options);
      if (options.clickhouse?.startsWith('embedded:')) {
        command.error(
          'error: workers need a ClickHouse server, because several processes write to it: --clickhouse http://host:8123/database',
        );
      }
      return withExitStatus('startworkers', () => startWorkers(options));
    });
}

async function startWorkers(options: Options): Promise<number> {
  const given = loadSettings();
  const settings = {
    ...given,
    ...(options.threads && { worker_slots: options.threads }),
    ...(options.tasks && { worker_tasks: options.tasks }),
    ...(options.archive && { archive_url: options.archive }),
    ...(options.clickhouse && { clickhouse_url: options.clickhouse }),
    ...(options.geoip && { geoip_dir: options.geoip }),
  };
  const log = createLogger('worker', settings);
  const { runWorker, secondsToFinish } = await import('../../worker/main.ts');
  const release = countDown(secondsToFinish(settings));
  try {
    await runWorker(settings, log);
  } finally {
    release();
  }
  // The runtime of the Temporal SDK keeps the process alive.
  process.exit(0);
}

/** Milliseconds within which several signals count as one Ctrl-C, because npm and npx pass a signal on that the terminal sent as well. */
const ONE_REQUEST = 1_000;

/** Shows the seconds that a stopping worker has left. A second signal ends the process at once. Returns a function that ends this. */
function countDown(seconds: number): () => void {
  let asked: number | undefined;
  let timer: NodeJS.Timeout | undefined;
  const show = () => {
    const left = Math.max(0, Math.ceil(seconds - (performance.now() - (asked ?? 0)) / 1000));
    const rest = left > 0 ? `the work has ${left} s left` : 'the work is handed over';
    const line = `oonipipeline startworkers: stopping; ${rest}. Ctrl-C again ends it at once.`;
    process.stderr.write(canRewrite(process.stderr) ? `\r\x1b[K${line}` : `${line}\n`);
  };
  const onSignal = () => {
    if (asked !== undefined) {
      if (performance.now() - asked < ONE_REQUEST) return;
      if (canRewrite(process.stderr)) process.stderr.write('\n');
      process.exit(1);
    }
    asked = performance.now();
    show();
    if (canRewrite(process.stderr)) timer = setInterval(show, 1000);
  };
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, onSignal);
  return () => {
    clearInterval(timer);
    if (asked !== undefined) process.stderr.write(`${timer ? '\n' : ''}oonipipeline startworkers: stopped\n`);
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, onSignal);
  };
}
