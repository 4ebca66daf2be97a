import { Command, Option } from 'commander';
import { openArchive } from '../../pipeline/archive/open.ts';
import { byteSize } from '../../pipeline/byte-size.ts';
import { counted } from '../../pipeline/counts.ts';
import { filterIDOf, normaliseFilter } from '../../pipeline/filter.ts';
import { withExitStatus } from '../exit-status.ts';
import { path } from '../names.ts';
import {
  archiveOption,
  type CommonOptions,
  checkRange,
  outputOption,
  probeCCOption,
  settingsWith,
  testNameOption,
  warnUnknownNames,
  wholeNumber,
} from '../options.ts';
import { printable } from '../printable.ts';
import { instant } from '../ranges.ts';
import { onStopSignal } from '../stop-signals.ts';
import { SyncError, type SyncResult, startSyncProgress, syncBuckets } from '../sync/sync.ts';

interface Options extends CommonOptions {
  readonly startAt: string;
  readonly endAt: string;
  readonly probeCc: readonly string[];
  readonly testName: readonly string[];
  readonly outputDir: string;
  readonly transfers: number;
  readonly dryRun?: boolean;
  readonly output: 'human' | 'json';
}

/** Creates `oonipipeline sync`, which downloads measurements from the archive. */
export function syncCommand(): Command {
  return new Command('sync')
    .requiredOption('--start-at <bucket>', 'first day or hour of upload: YYYY-MM-DD or YYYY-MM-DDTHH, UTC', instant)
    .requiredOption('--end-at <bucket>', 'end of the range, exclusive', instant)
    .requiredOption(
      '--output-dir <dir>',
      'destination; objects keep their keys, so it is an archive for the other commands',
      path,
    )
    .addOption(probeCCOption())
    .addOption(testNameOption())
    .addOption(archiveOption())
    .addOption(new Option('--transfers <n>', 'objects at a time').default(8).argParser(wholeNumber(1, 64)))
    .option('--dry-run', 'show what would be downloaded; download nothing')
    .addOption(outputOption(['human', 'json']))
    .addHelpText(
      'after',
      `
Downloads the objects of the range under the filter, as they are. An object that the directory already has with the same size is skipped,
so a repeated command continues, also after Ctrl-C or a crash. On a terminal a bar shows the progress; elsewhere each object is a JSON line on
standard error.

Exit status: 0 the directory has all files; 1 some are missing, and standard error says why; 2 wrong usage.

  oonipipeline sync --start-at 2024-01-01 --end-at 2024-01-02 --probe-cc IT --test-name signal --output-dir data
  oonipipeline run --archive data --clickhouse embedded:db`,
    )
    .action((options: Options, command: Command) => {
      checkRange(command, options);
      warnUnknownNames('sync', options);
      return withExitStatus('sync', () => sync(options), { expected: [SyncError] });
    });
}

async function sync(options: Options): Promise<number> {
  const settings = settingsWith(options);
  const filter = normaliseFilter({ probeCC: options.probeCc, testNames: options.testName });
  const stop = new AbortController();
  const release = onStopSignal(() => stop.abort());
  const progress = startSyncProgress();
  try {
    const result = await syncBuckets(openArchive(settings), filter, options, {
      dir: options.outputDir,
      transfers: options.transfers,
      dryRun: options.dryRun ?? false,
      progress,
      signal: stop.signal,
    });
    progress.end();
    if (options.output === 'json') console.log(JSON.stringify({ filter: filterIDOf(filter), ...result }));
    else console.log(printable(textOf(result, options, settings.archive_url)));
    return result.stopped || result.failed.length > 0 ? 1 : 0;
  } finally {
    progress.end();
    release();
  }
}

function textOf(result: SyncResult, { outputDir, dryRun }: Options, archive: string): string {
  const { objects, bytes, present, failed, stopped } = result;
  if (objects + present + failed.length === 0) return `${archive} has no object of this range and filter`;
  return [
    `${counted(objects, 'object')}, ${byteSize(bytes)}, ${dryRun ? 'would be downloaded' : 'downloaded'} to ${outputDir}; ${present.toLocaleString('en')} were there`,
    ...failed.map(({ key, message }) => `  ${key}: ${message}`),
    ...(stopped ? ['It was stopped; the same command continues.'] : []),
  ].join('\n');
}
