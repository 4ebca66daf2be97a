import { setTimeout as sleep } from 'node:timers/promises';
import { Command, Option } from 'commander';
import { loadSettings, type Settings } from '../../pipeline/settings.ts';
import { parseClickHouseUrl } from '../../pipeline/tables/clickhouse-url.ts';
import { TableError } from '../../pipeline/tables/errors.ts';
import { createLogger } from '../../pipeline/telemetry/log.ts';
import { EMBEDDED, FOR_DISPLAY, type OpenedClickHouse, openClickHouse } from '../clickhouse.ts';
import { canRewrite, paletteFor } from '../colour.ts';
import { withExitStatus } from '../exit-status.ts';
import { type CommonOptions, checkClickHouse, checkInterval, clickhouseOption, intervalOption } from '../options.ts';
import { Output } from '../output.ts';
import type { StatusView } from '../status/observe.ts';
import { onStopSignal } from '../stop-signals.ts';
import { columnsOf } from '../width.ts';

interface Options extends CommonOptions {
  readonly watch?: boolean;
  readonly interval: number;
  readonly output?: 'human' | 'json';
}

/** Columns of the display where the output is not a terminal. */
const WIDTH = 100;

/** Creates `oonipipeline status`, which shows the state of the installation. */
export function statusCommand(): Command {
  return new Command('status')
    .option('--watch', 'show it again and again, until Ctrl-C')
    .addOption(intervalOption())
    .addOption(clickhouseOption())
    .addOption(
      new Option('-o, --output <form>', 'human, or json with one document')
        .choices(['human', 'json'])
        .default(undefined, 'human on a terminal, else json'),
    )
    .addHelpText(
      'after',
      `
Shows the schedules with their next and last buckets, the buckets that are missing and how late they are, the active backfills and runs,
the causes that block them, the backlog and the workers, from Temporal; and the totals and the last failures of the ledger, from ClickHouse.
A server that does not answer is unknown, and its part is left out; unknown is not zero.

A bucket is missing if its schedule has fired for it and the ledger has no completed run of it, also while its run is active. LATE is the
time since the end of the oldest missing bucket.

Exit status: 0 both servers answer, nothing blocks a run, and the last run of each bucket did not fail; 1 one of these does not hold, and
the display says which; 2 wrong usage. A missing bucket alone is not an error. With --watch, Ctrl-C ends with 0.

  oonipipeline status
  oonipipeline status --watch --interval 10`,
    )
    .action((options: Options, command: Command) => {
      checkClickHouse(command, options);
      checkInterval(command);
      return withExitStatus('status', () => status(options));
    });
}

async function status(options: Options): Promise<number> {
  const settings = loadSettings();
  const form = options.output ?? (process.stdout.isTTY ? 'human' : 'json');
  const { openTemporalToRead } = await import('../orchestration/target.ts');
  const { isAsDesired, observeStatus } = await import('../status/observe.ts');
  const { statusLines } = await import('../status/text.ts');
  const temporal = await openTemporalToRead(settings, createLogger('status', { ...settings, log_level: 'error' }));
  const stop = new AbortController();
  onStopSignal(() => stop.abort());
  let opened: OpenedClickHouse | undefined;
  try {
    for (;;) {
      const clickhouse = await (opened ? tryToReach(opened) : tryToOpen(options.clickhouse, settings));
      if (!(clickhouse instanceof TableError)) opened = clickhouse;
      const view = await observeStatus(
        {
          installation: settings.installation,
          temporal,
          temporalAddress: settings.temporal_address,
          clickhouse:
            clickhouse instanceof TableError
              ? { known: false, reason: clickhouse.message }
              : { known: true, value: clickhouse.clickhouse },
          clickhouseName: opened?.name ?? nameOf(options.clickhouse ?? settings.clickhouse_url),
        },
        Date.now(),
      );
      await show(view, form, options, statusLines);
      if (!options.watch) return isAsDesired(view) ? 0 : 1;
      await sleep(options.interval * 1000, undefined, { signal: stop.signal }).catch(() => {});
      if (stop.signal.aborted) return 0;
    }
  } finally {
    await opened?.close();
    await temporal.close();
  }
}

/** Returns the name of a ClickHouse that could not be opened, without a password. */
function nameOf(place: string): string {
  if (place.startsWith(EMBEDDED)) return place;
  const { url, database } = parseClickHouseUrl(place);
  return `${url}/${database}`;
}

async function tryToOpen(place: string | undefined, settings: Settings): Promise<OpenedClickHouse | TableError> {
  try {
    return await openClickHouse(place, { settings, sending: FOR_DISPLAY });
  } catch (error) {
    if (error instanceof TableError) return error;
    throw error;
  }
}

/** Returns the error if a ClickHouse that was open does not answer any more. Its statements would wait for minutes. */
async function tryToReach(opened: OpenedClickHouse): Promise<OpenedClickHouse | TableError> {
  try {
    await opened.clickhouse.probe();
    return opened;
  } catch (error) {
    if (error instanceof TableError) return error;
    throw error;
  }
}

async function show(
  view: StatusView,
  form: 'human' | 'json',
  { watch }: Options,
  lines: typeof import('../status/text.ts').statusLines,
): Promise<void> {
  if (form === 'json') {
    await new Output(process.stdout, 'json').write(`${JSON.stringify(view)}\n`);
    return;
  }
  const width = columnsOf(process.stdout) ?? WIDTH;
  // On a terminal, the next display replaces the last one.
  const clear = watch && canRewrite(process.stdout) ? '\x1b[H\x1b[2J\x1b[3J' : '';
  process.stdout.write(`${clear}${lines(view, paletteFor(process.stdout), width).join('\n')}\n`);
}
