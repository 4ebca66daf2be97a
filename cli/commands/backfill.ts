import { Command, type Command as CommandType, Option } from 'commander';
import { z } from 'zod';
import { openArchive } from '../../pipeline/archive/open.ts';
import type { Granularity } from '../../pipeline/bucket.ts';
import { byteSize } from '../../pipeline/byte-size.ts';
import { filterIDOf, normaliseFilter } from '../../pipeline/filter.ts';
import type { RunStage } from '../../pipeline/ledger/ledger.ts';
import { type BackfillPlan, planBackfill } from '../../pipeline/runs/backfill-plan.ts';
import { loadSettings } from '../../pipeline/settings.ts';
import { TableSchemaError } from '../../pipeline/tables/errors.ts';
import { createLogger, type Logger } from '../../pipeline/telemetry/log.ts';
import { filterWords } from '../../worker/contract.ts';
import { granularityOption, maxActiveRunsOption, orderOption, reprocessOrAllOption } from '../backfill-options.ts';
import { openClickHouse } from '../clickhouse.ts';
import { withExitStatus } from '../exit-status.ts';
import {
  checkClickHouse,
  clickhouseOption,
  list,
  outputOption,
  probeCCOption,
  testNameOption,
  warnUnknownNames,
} from '../options.ts';
import type { BackfillRequest } from '../orchestration/backfill.ts';
import { TARGET_HELP, withTargetOptions } from '../orchestration/options.ts';
import type { Target, TargetOptions } from '../orchestration/target.ts';
import { withTarget } from '../orchestration/with-target.ts';
import { endAtOption, type RangeOptions, rangeOf, startAtOption } from '../ranges.ts';

const WORKFLOW_NAMES = z.array(z.enum(['observations', 'analysis']));
const STAGES: Readonly<Record<'observations' | 'analysis', RunStage>> = {
  observations: 'Observations',
  analysis: 'Analysis',
};

interface Options extends TargetOptions, RangeOptions {
  readonly probeCc: readonly string[];
  readonly testName: readonly string[];
  readonly workflowName: readonly (keyof typeof STAGES)[];
  readonly granularity: Granularity;
  readonly order: BackfillRequest['order'];
  readonly reprocess: BackfillRequest['reprocess'];
  readonly allowShrink?: boolean;
  readonly maxActiveRuns: number;
  readonly createTables?: boolean;
  readonly dropTables?: boolean;
  readonly clickhouse?: string;
  readonly follow?: boolean;
  readonly yes?: boolean;
  readonly output: 'human' | 'json';
}

/** Creates `oonipipeline backfill`, which processes the buckets of a range on the workers. */
export function backfillCommand(): Command {
  const command = new Command('backfill')
    .addOption(startAtOption())
    .addOption(endAtOption())
    .addOption(probeCCOption())
    .addOption(testNameOption())
    .addOption(
      new Option('--workflow-name <names>', 'observations (archive to rows), analysis (rows to verdicts), or both')
        .default(['observations'], 'observations')
        .argParser(list(WORKFLOW_NAMES)),
    )
    .addOption(granularityOption())
    .addOption(orderOption())
    .addOption(reprocessOrAllOption())
    .option('--allow-shrink', 'replace rows although the archive lists less than half of what was read before')
    .addOption(maxActiveRunsOption())
    .option('--create-tables', 'create the tables that are missing, first')
    .option(
      '--drop-tables',
      'drop the tables with rows of measurements and the ledger, first; asks; needs --create-tables',
    )
    .addOption(clickhouseOption())
    .option('--dry-run', 'show which buckets would be processed; change nothing')
    .option('--follow', 'show the progress until the backfill has ended')
    .option('--yes', 'do not ask for confirmation')
    .addOption(outputOption(['human', 'json']));
  return withTargetOptions(command)
    .addHelpText(
      'after',
      `
Processes the buckets from --start-at, included, to --end-at, not included, once. Buckets that are done, that the archive has no object
of, or whose time is not over are skipped. No schedule is needed, and a repeated command does what is not done. Workers do the work:
oonipipeline startworkers.

${TARGET_HELP}
--clickhouse is used by --create-tables, --drop-tables and --dry-run; workers use their own setting.

Exit status: 0 it is started, or with --follow: every bucket is done; 1 it could not be started, the answer was no, or with --follow:
buckets failed, it was cancelled, or Ctrl-C ended the display; 2 wrong usage.

  oonipipeline backfill --probe-cc US --test-name signal --workflow-name observations --start-at 2024-01-01 --end-at 2024-02-01
  oonipipeline backfill --start-at 2024-01-01 --end-at 2024-02-01 --reprocess Failed --follow`,
    )
    .action((options: Options, command: Command) => {
      checkClickHouse(command, options);
      const request = requestOf(options, command);
      warnUnknownNames('backfill', options);
      return backfill(request, options);
    });
}

/** Returns the request of a command line. Ends the program with status 2 for contradictory options. */
function requestOf(options: Options, command: CommandType): BackfillRequest {
  const { granularity, workflowName, order, reprocess, maxActiveRuns, allowShrink = false } = options;
  if (options.dropTables && !options.createTables) {
    command.error('error: --drop-tables needs --create-tables, because workers need the tables');
  }
  if (options.follow && options.dryRun) command.error('error: --dry-run starts nothing that --follow could show');
  if (new Set(workflowName).size !== workflowName.length) {
    command.error('error: --workflow-name must name each workflow once');
  }
  if (granularity === 'Hour' && !workflowName.includes('observations')) {
    command.error('error: verdicts are made by the day: --workflow-name analysis takes --granularity Day');
  }
  return {
    ...rangeOf(command, options, granularity, Date.now()),
    granularity,
    filter: normaliseFilter({ probeCC: options.probeCc, testNames: options.testName }),
    // In the order of a run, independent of the order on the command line.
    stages: (['observations', 'analysis'] as const)
      .filter(name => workflowName.includes(name))
      .map(name => STAGES[name]),
    order,
    reprocess,
    maxActiveRuns,
    allowShrink,
  };
}

async function backfill(request: BackfillRequest, options: Options): Promise<void> {
  if (options.dryRun) return withExitStatus('backfill', () => showPlan(request, options));
  return withTarget('backfill', options, async ({ target, settings, log }) => {
    const { describeBuckets, startBackfillAt } = await import('../orchestration/backfill.ts');
    // A backfill that cannot be started must not have dropped the tables.
    if (options.dropTables) await checkTarget(target, request);
    if (options.createTables && !(await prepare(options, log))) return 1;
    if (target.at === 'Temporal') {
      const { keepReferenceSchedules } = await import('../orchestration/schedule.ts');
      await keepReferenceSchedules(target.temporal, settings.installation, log);
    }
    const name = await startBackfillAt(target, settings.installation, request, Date.now());
    if (options.output === 'json') {
      const { startAt, endAt, granularity, filter, stages } = request;
      console.log(JSON.stringify({ backfill: name, startAt, endAt, granularity, filter, stages }));
    } else {
      console.log(`${name} is started: ${describeBuckets(request)}; ${describeWork(request)}`);
    }
    if (!options.follow) return 0;
    const { showBackfill } = await import('../orchestration/backfill-progress.ts');
    return showBackfill(target, name);
  });
}

const describeWork = ({ filter, stages }: BackfillRequest) =>
  `${filterWords(filter)}; ${stages.join(' and ').toLowerCase()}`;

/** Throws the ORCHESTRATION_ERRORS if the target would not start the backfill now. */
async function checkTarget(target: Target, request: BackfillRequest): Promise<void> {
  if (target.at === 'Temporal') {
    const { missingSearchAttributes } = await import('../orchestration/target.ts');
    await missingSearchAttributes(target.temporal);
    return;
  }
  const { validateBackfill } = await import('../orchestration/backfill.ts');
  await validateBackfill(target, request);
}

async function prepare(options: Options, log: Logger): Promise<boolean> {
  const { prepareTables } = await import('../tables.ts');
  const opened = await openClickHouse(options.clickhouse, { create: true });
  try {
    return await prepareTables('oonipipeline backfill', opened, options, log);
  } finally {
    await opened.close();
  }
}

const SKIPPED: Readonly<Record<keyof BackfillPlan['skipped'], string>> = {
  Completed: 'done before',
  FailedBefore: 'failed before; --reprocess Failed takes them, too',
  Empty: 'without an object in the archive',
  InFlight: 'processed by another run now',
  Incomplete: 'not over yet',
};

/** Plans the backfill as a worker does, and shows the plan. */
async function showPlan(request: BackfillRequest, options: Options): Promise<number> {
  const settings = loadSettings();
  const log = createLogger('backfill', { ...settings, log_level: 'warn' });
  const opened = await openClickHouse(options.clickhouse, { settings });
  try {
    const { describeBuckets } = await import('../orchestration/backfill.ts');
    if (options.dropTables) {
      const { prepareTables } = await import('../tables.ts');
      await prepareTables('oonipipeline backfill', opened, options, log);
    }
    const range = { ...request, filterID: filterIDOf(request.filter), attempt: 1 };
    // After --drop-tables the ledger knows of no bucket.
    if (options.dropTables) Object.assign(range, { reprocess: 'All' });
    const tools = { archive: openArchive(settings), clickhouse: opened.clickhouse };
    const plan = await planBackfill(tools, range, Date.now(), { dryRun: {} });
    const { buckets, toRun, first, last, skipped, bytes } = plan;
    if (options.output === 'json') console.log(JSON.stringify({ buckets, toRun, first, last, skipped, bytes }));
    else {
      console.log(`${describeBuckets(request)}; ${describeWork(request)}`);
      const ends = toRun > 0 ? `, from ${first} to ${last}` : '';
      const size = bytes ? ` (${byteSize(bytes)} of the archive)` : '';
      console.log(`${toRun.toLocaleString('en')} of ${buckets.toLocaleString('en')} would be processed${ends}${size}`);
      for (const [reason, count] of Object.entries(skipped)) {
        console.log(`  ${count.toLocaleString('en')} ${SKIPPED[reason as keyof typeof SKIPPED]}`);
      }
    }
    return 0;
  } catch (error) {
    if (!(error instanceof TableSchemaError)) throw error;
    throw new TableSchemaError(`${error.message}; --create-tables, without --dry-run, makes the tables`);
  } finally {
    await opened.close();
  }
}
