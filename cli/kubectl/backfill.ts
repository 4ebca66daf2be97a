import { Command, Option } from 'commander';
import { BACKFILL, type Backfill } from '../../crds/backfill.ts';
import { parseSpec } from '../../crds/resource.ts';
import { BACKFILLS } from '../../operator/controllers/resources.ts';
import { type Granularity, granularityOf } from '../../pipeline/bucket.ts';
import { type Filter, filterIDOf, normaliseFilter } from '../../pipeline/filter.ts';
import type { RunStage } from '../../pipeline/ledger/ledger.ts';
import {
  granularityOption,
  maxActiveRunsOption,
  orderOption,
  reprocessOption,
  stagesOption,
} from '../backfill-options.ts';
import { openClickHouse } from '../clickhouse.ts';
import { paletteFor } from '../colour.ts';
import { confirmed } from '../confirmation.ts';
import { EXIT_STATUS } from '../help.ts';
import { resourceName } from '../names.ts';
import {
  type CommonOptions,
  checkClickHouse,
  clickhouseOption,
  outputOption,
  probeCCOption,
  testNameOption,
  warnUnknownNames,
} from '../options.ts';
import { type BackfillRequest, hasEnded, startBackfillAt, validateBackfill } from '../orchestration/backfill.ts';
import { showBackfill } from '../orchestration/backfill-progress.ts';
import { endAtOption, type RangeOptions, rangeOf, startAtOption } from '../ranges.ts';
import {
  type Cluster,
  type ClusterOptions,
  patchUnchanged,
  resourceNamed,
  withCluster,
  withClusterOptions,
} from './cluster.ts';
import { gridLines, gridTitle, readGrid } from './grid.ts';

/** Creates `kubectl ooni backfill` with its commands. */
export function backfillCommand(): Command {
  const backfill = new Command('backfill').description('Create, watch and change backfills');
  for (const command of [createCommand(), watchCommand(), ...changeCommands(), gridCommand()])
    backfill.addCommand(command);
  return backfill;
}

interface CreateOptions extends ClusterOptions, RangeOptions {
  readonly probeCc: readonly string[];
  readonly testName: readonly string[];
  readonly granularity: Granularity;
  readonly stages: RunStage[];
  readonly order: BackfillRequest['order'];
  readonly reprocess: BackfillRequest['reprocess'];
  readonly maxActiveRuns: number;
  readonly dryRun?: boolean;
  readonly follow?: boolean;
}

function createCommand(): Command {
  return withClusterOptions(new Command('create'))
    .description('Create a backfill')
    .addOption(startAtOption())
    .addOption(endAtOption())
    .addOption(probeCCOption())
    .addOption(testNameOption())
    .addOption(granularityOption())
    .addOption(stagesOption())
    .addOption(orderOption())
    .addOption(reprocessOption())
    .addOption(maxActiveRunsOption())
    .addOption(new Option('--dry-run', 'let the API server check it; create nothing').conflicts('follow'))
    .option('--follow', 'show the progress until it has ended')
    .addHelpText(
      'after',
      `\n${EXIT_STATUS}\n\n  kubectl ooni backfill create --start-at 2024-01-01 --end-at 2024-02-01 --probe-cc IT --follow`,
    )
    .action((options: CreateOptions, command: Command) => {
      const { granularity, stages, order, reprocess, maxActiveRuns } = options;
      const request: BackfillRequest = {
        ...rangeOf(command, options, granularity, Date.now()),
        ...{ granularity, stages, order, reprocess, maxActiveRuns, allowShrink: false },
        filter: normaliseFilter({ probeCC: options.probeCc, testNames: options.testName }),
      };
      warnUnknownNames('backfill create', options, 'kubectl ooni');
      return withCluster('backfill create', options, async cluster => {
        const target = targetOf(cluster);
        if (options.dryRun) {
          await validateBackfill(target, request);
          console.log('The API server accepts it; nothing was created.');
          return 0;
        }
        const name = await startBackfillAt(target, '', request, Date.now());
        console.log(`${name} is created`);
        return options.follow ? showBackfill(target, name) : 0;
      });
    });
}

function targetOf({ client, namespace, server }: Cluster) {
  return { at: 'Kubernetes', client, namespace, description: server, close: async () => {} } as const;
}

function watchCommand(): Command {
  return withClusterOptions(new Command('watch'))
    .description('Show the progress of a backfill until it has ended')
    .argument('<name>', 'name of the Backfill', resourceName)
    .addHelpText(
      'after',
      '\nExit status: 0 it is complete; 1 it failed or was cancelled, or Ctrl-C ended the display; 2 wrong usage.',
    )
    .action((name: string, options: ClusterOptions) =>
      withCluster('backfill watch', options, async cluster => {
        await resourceNamed(cluster, BACKFILLS, name);
        return showBackfill(targetOf(cluster), `backfill/${name}`);
      }),
    );
}

interface ChangeOptions extends ClusterOptions {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly now?: boolean;
}

interface Change {
  readonly name: string;
  readonly description: string;
  /** Returns the patch of the spec, or a sentence if there is nothing to do. */
  readonly patch: (object: Backfill, options: ChangeOptions) => object | string;
  readonly done: string;
  /** Question before a change that cannot be taken back. */
  readonly question?: (name: string, options: ChangeOptions) => string;
}

const CHANGES: readonly Change[] = [
  {
    name: 'pause',
    description: 'Start no new runs; active runs finish',
    patch: object => ended(object) ?? (object.spec.suspend ? 'is paused already' : { suspend: true }),
    done: 'is paused; active runs finish',
  },
  {
    name: 'resume',
    description: 'Continue a paused backfill',
    patch: object => ended(object) ?? (object.spec.suspend ? { suspend: false } : 'is not paused'),
    done: 'continues',
  },
  {
    name: 'cancel',
    description: 'End a backfill early; a cancelled backfill cannot continue',
    patch: (object, { now }) => {
      const cancel = now ? 'Now' : 'Drain';
      const { spec } = object;
      return spec.cancel === cancel || spec.cancel === 'Now' ? 'is cancelled already' : (ended(object) ?? { cancel });
    },
    done: 'is being cancelled',
    question: (name, { now }) => `Cancel ${name}? ${now ? 'Active runs are cancelled, too.' : 'Active runs finish.'}`,
  },
  {
    name: 'retry',
    description: 'Process the failed buckets again',
    patch: ({ spec, status }) =>
      (status?.progress?.failed ?? 0) === 0
        ? 'has no failed bucket'
        : // A paused backfill would plan the attempt and then wait.
          { attempt: (spec.attempt ?? 1) + 1, ...(spec.suspend && { suspend: false }) },
    done: 'tries its failed buckets again',
  },
];

/**
 * Returns a sentence if a backfill has ended, and so cannot be paused, resumed or cancelled. A change of its spec would have an effect at the
 * next retry only.
 */
function ended(backfill: Backfill): string | undefined {
  const phase = backfill.status?.phase;
  return phase !== 'Planned' && hasEnded(backfill) ? `has ended (${phase})` : undefined;
}

function changeCommands(): Command[] {
  return CHANGES.map(change => {
    const command = withClusterOptions(new Command(change.name))
      .description(change.description)
      .argument('<name>', 'name of the Backfill', resourceName)
      .option('--dry-run', 'let the API server check it; change nothing');
    if (change.question) {
      command
        .option('--now', 'cancel active runs, too; the next run of a bucket replaces their rows')
        .option('--yes', 'do not ask for confirmation');
    }
    return command
      .addHelpText('after', `\n${EXIT_STATUS} Nothing to do is not an error.`)
      .action((name: string, options: ChangeOptions) =>
        withCluster(`backfill ${change.name}`, options, async ({ client, namespace }) => {
          const object = await resourceNamed({ client, namespace }, BACKFILLS, name);
          const spec = change.patch(object, options);
          if (typeof spec === 'string') {
            console.log(`backfill/${name} ${spec}; nothing was changed`);
            return 0;
          }
          if (change.question && !options.dryRun) {
            const question = change.question(`backfill/${name}`, options);
            if (!(await confirmed(`kubectl ooni backfill ${change.name}`, question, options))) return 1;
          }
          await patchUnchanged(client, BACKFILLS, object, { spec }, { dryRun: options.dryRun ?? false });
          console.log(
            options.dryRun ? `backfill/${name}: would set ${JSON.stringify(spec)}` : `backfill/${name} ${change.done}`,
          );
          return 0;
        }),
      );
  });
}

interface GridOptions extends ClusterOptions, CommonOptions, RangeOptions {
  readonly probeCc: readonly string[];
  readonly testName: readonly string[];
  readonly output: 'human' | 'json';
}

function gridCommand(): Command {
  return withClusterOptions(new Command('grid'))
    .description('Show each day of a range with its outcome: a year on one screen')
    .argument('[name]', 'name of a Backfill, for its range and filter', resourceName)
    .addOption(startAtOption())
    .addOption(endAtOption())
    .addOption(probeCCOption())
    .addOption(testNameOption())
    .addOption(clickhouseOption())
    .addOption(outputOption(['human', 'json']))
    .addHelpText(
      'after',
      `
The outcomes come from the ledger, so the command needs ClickHouse: --clickhouse, or the setting CLICKHOUSE_URL. Without a name it needs no
cluster.

Exit status: 0 no day failed; 1 some did, or something does not answer; 2 wrong usage.

  kubectl ooni backfill grid example
  kubectl ooni backfill grid --start-at 2024-01-01 --end-at 2025-01-01`,
    )
    .action((name: string | undefined, options: GridOptions, command: Command) => {
      checkClickHouse(command, options);
      if (name !== undefined) {
        const { startAt, endAt, probeCc, testName } = options;
        if ((startAt ?? endAt) !== undefined || probeCc.length + testName.length > 0) {
          command.error('error: NAME gives range and filter; without it, the options do: give one of the two');
        }
        return withCluster('backfill grid', options, async cluster => {
          const spec = parseSpec(BACKFILL, await resourceNamed(cluster, BACKFILLS, name));
          const { startAt, endAt, granularity, stages } = spec;
          return showGrid(
            `backfill/${name}`,
            { startAt, endAt, granularity, stages, filter: normaliseFilter(spec) },
            options,
          );
        });
      }
      const days = [options.startAt, options.endAt].every(
        bucket => bucket === undefined || granularityOf(bucket) === 'Day',
      );
      const granularity = days ? 'Day' : 'Hour';
      const range = rangeOf(command, options, granularity, Date.now());
      const filter = normaliseFilter({ probeCC: options.probeCc, testNames: options.testName });
      warnUnknownNames('backfill grid', options, 'kubectl ooni');
      return import('../exit-status.ts').then(({ withExitStatus }) =>
        withExitStatus(
          'backfill grid',
          () =>
            showGrid(
              filterIDOf(filter),
              { ...range, granularity, stages: ['Observations', 'Analysis'], filter },
              options,
            ),
          { program: 'kubectl ooni' },
        ),
      );
    });
}

async function showGrid(
  name: string,
  range: { startAt: string; endAt: string; granularity: Granularity; stages: readonly RunStage[]; filter: Filter },
  options: GridOptions,
): Promise<number> {
  const { clickhouse, close } = await openClickHouse(options.clickhouse);
  try {
    const days = await readGrid(clickhouse, { ...range, filterID: filterIDOf(range.filter) });
    if (options.output === 'json') for (const day of days) console.log(JSON.stringify(day));
    else {
      console.log(gridTitle(name, range.startAt, range.endAt, range.granularity));
      console.log(gridLines(days, paletteFor(process.stdout)).join('\n'));
    }
    return days.some(({ state }) => state === 'failed') ? 1 : 0;
  } finally {
    await close();
  }
}
