import { availableParallelism } from 'node:os';
import { Command, Option } from 'commander';
import type { Archive } from '../../pipeline/archive/archive.ts';
import { openArchive } from '../../pipeline/archive/open.ts';
import { type Granularity, granularityOf } from '../../pipeline/bucket.ts';
import { counted, noCounts } from '../../pipeline/counts.ts';
import { filterIDOf, normaliseFilter } from '../../pipeline/filter.ts';
import type { RunStage } from '../../pipeline/ledger/ledger.ts';
import { migrateAutomatically } from '../../pipeline/migrations/migrate.ts';
import { sourceOf } from '../../pipeline/reference/datasets.ts';
import { type IpMetadata, openIpMetadata } from '../../pipeline/reference/ip-metadata.ts';
import { NO_SOURCE } from '../../pipeline/reference/no-source.ts';
import { RunMetrics } from '../../pipeline/runs/metrics.ts';
import type { Settings } from '../../pipeline/settings.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { OBSERVATION_TABLES } from '../../pipeline/tables/schema.ts';
import { serveHealth } from '../../pipeline/telemetry/health-server.ts';
import type { Logger } from '../../pipeline/telemetry/log.ts';
import type { PlainSpan } from '../../pipeline/telemetry/spans.ts';
import { startTracing } from '../../pipeline/telemetry/tracing.ts';
import { ThreadPool } from '../../pipeline/threads/pool.ts';
import { granularityOption, reprocessOption, stagesOption } from '../backfill-options.ts';
import { type OpenedClickHouse, openClickHouse } from '../clickhouse.ts';
import { createCommandLogger } from '../command-logger.ts';
import { withExitStatus } from '../exit-status.ts';
import {
  archiveOption,
  type CommonOptions,
  checkClickHouse,
  checkRange,
  clickhouseOption,
  geoipOption,
  outputOption,
  probeCCOption,
  settingsWith,
  source,
  testNameOption,
  uploadBucket,
  warnUnknownNames,
  wholeNumber,
} from '../options.ts';
import { printableLine } from '../printable.ts';
import { type FingerprintTools, loadFingerprints, loadHttpFingerprints } from '../run/fingerprints.ts';
import { startProgress } from '../run/progress.ts';
import { type FailedBucket, type RunTotals, runBuckets } from '../run/run-buckets.ts';
import { findWithoutRange, planRun, type RunPlan, type RunRequest } from '../run/select-buckets.ts';
import { onStopSignal } from '../stop-signals.ts';
import { migrateCommandLine } from './migrate.ts';

interface Options extends CommonOptions {
  readonly startAt?: string;
  readonly endAt?: string;
  readonly granularity: Granularity;
  readonly probeCc: readonly string[];
  readonly testName: readonly string[];
  readonly stages: RunStage[];
  readonly reprocess: 'None' | 'Failed' | 'All';
  readonly allowShrink?: boolean;
  readonly fingerprints?: string;
  readonly httpFingerprints?: string;
  readonly threads: number;
  readonly output: 'human' | 'json';
}

/** Result of a run, as `-o json` prints it. */
export interface RunSummary {
  /** Completed buckets. */
  readonly buckets: number;
  /** Buckets that the plan skips, by reason. */
  readonly bucketsSkipped: RunPlan['skipped'];
  readonly bucketsFailed: readonly FailedBucket[];
  /** Planned buckets that were not run: the run was stopped, or it could not continue. */
  readonly bucketsLeft: number;
  readonly files: number;
  /** Compressed bytes. */
  readonly bytes: number;
  /** Measurements read: transformed + skipped + failed + unsupported. */
  readonly measurements: number;
  readonly transformed: number;
  readonly skipped: number;
  readonly failed: number;
  readonly unsupported: number;
  /** Rows that this run left in the tables, by table. */
  readonly rows: Readonly<Record<string, number>>;
  readonly verdicts: number;
  readonly seconds: number;
}

/** Creates `oonipipeline run`, which turns files into verdicts in this process, without Kubernetes and Temporal. */
export function runCommand(): Command {
  return new Command('run')
    .addOption(archiveOption())
    .addOption(clickhouseOption())
    .option(
      '--start-at <bucket>',
      'first bucket, YYYY-MM-DD, or YYYY-MM-DDTHH with --granularity Hour; UTC',
      uploadBucket,
    )
    .option('--end-at <bucket>', 'end of the range, exclusive', uploadBucket)
    .addOption(granularityOption())
    .addOption(probeCCOption())
    .addOption(testNameOption())
    .addOption(stagesOption())
    .addOption(reprocessOption())
    .option(
      '--allow-shrink',
      'replace rows although the archive lists less than half of what the last completed run of a bucket read',
    )
    .addOption(geoipOption())
    .option(
      '--fingerprints <source>',
      `file or URL of the block page fingerprints of DNS answers, or ${NO_SOURCE}; setting fingerprints_dns_source unless given`,
      source,
    )
    .option(
      '--http-fingerprints <source>',
      `file or URL of the fingerprints of HTTP responses, or ${NO_SOURCE}; setting fingerprints_http_source unless given, or ${NO_SOURCE} with --fingerprints`,
      source,
    )
    .addOption(
      new Option('--threads <n>', 'threads that read measurements, and buckets at a time')
        .default(availableParallelism(), 'one for each core')
        .argParser(wholeNumber(1, 128)),
    )
    .addOption(outputOption(['human', 'json']))
    .addHelpText(
      'after',
      `
Without --start-at and --end-at, the command runs every bucket that the directory has objects of; an archive on S3 needs a range.
With --stages Analysis alone, buckets are measurement days; without a range, all days that have observations.

The tables pipeline_runs, pipeline_files and pipeline_failures record what was done. A repeated command does what is not done yet, also
after Ctrl-C or a crash. The command makes the tables that are missing. It migrates a database that this pipeline made; use
oonipipeline migrate for any other. Settings without an option here are in docs/settings.md: MAX_FAILED_SHARE=0.2,
ANALYSIS_RULES_VERSION=3, LOG_LEVEL=debug.

A name of a test or a country that is not known, and a run that finds no object under its filter, are reported on standard error.

Exit status: 0 every bucket asked for is done, or its time is not over yet; 1 some are not done (they failed, now or before, or the run
was stopped), or the archive has no object under the filter, with a range or without; 2 wrong usage.

  oonipipeline run --archive test/fixtures/archive --clickhouse embedded:data
  oonipipeline run --start-at 2024-01-01 --end-at 2024-01-02 --probe-cc IT --test-name signal --clickhouse embedded:data`,
    )
    .action((options: Options, command: Command) => {
      checkClickHouse(command, options);
      checkOptions(command, options);
      warnUnknownNames('run', options);
      return withExitStatus('run', () => run(options, command));
    });
}

/** Ends the program with status 2 for contradictory options. */
function checkOptions(command: Command, options: Options): void {
  const { startAt, endAt, granularity, stages } = options;
  const wrong = (message: string) => command.error(`error: ${message}`);
  if (granularity === 'Hour' && !stages.includes('Observations'))
    wrong('verdicts are made by the day: --stages Analysis takes --granularity Day');
  if (granularity === 'Day' && [startAt, endAt].some(each => each !== undefined && granularityOf(each) === 'Hour'))
    wrong('an hour (YYYY-MM-DDTHH) needs --granularity Hour; with Day write YYYY-MM-DD');
  checkRange(command, options);
}

async function run(options: Options, command: Command): Promise<number> {
  const started = Date.now();
  const settings = settingsWith(options);
  const request = requestOf(options);
  if (!request.range && request.stages.includes('Observations') && settings.archive_url.includes('://')) {
    command.error(
      `error: ${settings.archive_url} is too large to be listed as a whole: give --start-at and --end-at, or a directory as --archive`,
    );
  }
  const log = createCommandLogger('run', settings);
  const ipMetadata = openIpMetadata(settings.geoip_dir || undefined);
  if (settings.geoip_dir === '') {
    log.warn(
      'IP metadata is missing: no address gets an AS number, and an answer that differs from the control’s is not judged. Give --geoip a directory; "oonipipeline geoip" fetches the databases.',
    );
  }
  const tracing = await startTracing(settings, 'oonipipeline', log);
  const metrics = settings.prometheus_bind_address ? new RunMetrics() : undefined;
  const server =
    metrics &&
    (await serveHealth({ address: settings.prometheus_bind_address, registry: metrics.registry, live: {}, ready: {} }));
  const { signal, release } = stopOnSignals();
  try {
    const archive = openArchive(settings);
    // Before the database is made: an archive that is not there, or has no measurements, leaves no empty database behind.
    if (request.range && request.stages.includes('Observations')) await archive.check({ signal });
    const found = await findWithoutRange(archive, request, signal);
    if (found?.length === 0) return report({ buckets: [], skipped: {} }, NOTHING, options, { started, settings });
    const opened = await openClickHouse(options.clickhouse, { settings, create: true });
    try {
      const spans = tracing && { onSpan: tracing.export };
      const parts = { archive, found, log, ipMetadata, signal, started, ...spans, ...(metrics && { metrics }) };
      return await runIn(opened, request, options, parts);
    } finally {
      await opened.close();
    }
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    console.error('oonipipeline run: stopped before the first bucket');
    return 1;
  } finally {
    await tracing?.close();
    await server?.stop();
    release();
  }
}

/** Parts of the process that a run uses. */
interface RunParts {
  readonly archive: Archive;
  /** Buckets with objects in the archive, if they were looked for. */
  readonly found: readonly string[] | undefined;
  readonly log: Logger;
  readonly ipMetadata: IpMetadata;
  readonly signal: AbortSignal;
  /** Start of the command, in milliseconds since 1970. */
  readonly started: number;
  readonly onSpan?: (span: PlainSpan) => void;
  readonly metrics?: RunMetrics;
}

/** Plans and runs the buckets, prints the result, and returns the exit status. */
async function runIn(
  opened: OpenedClickHouse,
  request: RunRequest,
  options: Options,
  parts: RunParts,
): Promise<number> {
  const { clickhouse } = opened;
  const { archive, found, log, signal, started } = parts;
  const settings = { ...opened.settings, worker_slots: options.threads };
  // If no other process can be migrating, the process that left the lock was killed: do not wait for the lock.
  const lock = opened.alone ? { lockExpiry: 0 } : {};
  const remedy = migrateCommandLine(options.clickhouse);
  await migrateAutomatically(clickhouse, log, { automatic: settings.automatic_migration, remedy, signal, ...lock });
  const plan = await planRun({ archive, clickhouse }, request, { found, now: started, signal });
  const { hasFingerprints } = await loadAllFingerprints({ clickhouse, log, signal }, settings, options, {
    hasBuckets: plan.buckets.length > 0,
    stages: request.stages,
  });
  const allowShrink = options.allowShrink ?? false;
  const totals = await runPlan(plan, request, {
    ...parts,
    ...{ settings, clickhouse, allowShrink, withoutFingerprints: !hasFingerprints },
  });
  return report(plan, totals, options, { started, settings, database: opened.name });
}

/** Totals of a run without buckets. */
const NOTHING: RunTotals = {
  done: 0,
  failed: [],
  left: 0,
  counts: noCounts(),
  rows: {},
  verdicts: 0,
  foundObjects: false,
};

/** Prints the result of a run, and returns the exit status. */
function report(
  plan: RunPlan,
  totals: RunTotals,
  options: Options,
  {
    started,
    settings,
    database = '',
  }: { readonly started: number; readonly settings: Settings; readonly database?: string },
): number {
  const summary = summaryOf(plan, totals, started);
  const cause = nothingDone(summary, totals, options, settings.archive_url);
  if (cause !== undefined) console.error(`oonipipeline run: ${cause}`);
  if (options.output === 'json') console.log(JSON.stringify(summary));
  else if (askedFor(summary) > 0) console.log(textOf(summary, settings.archive_url, database));
  return cause === undefined && isDone(summary) ? 0 : 1;
}

/** Loads the fingerprints that the stages of a run use. Returns whether there is a source of those of DNS answers. */
async function loadAllFingerprints(
  tools: FingerprintTools,
  settings: Settings,
  { fingerprints, httpFingerprints }: Options,
  { hasBuckets, stages }: { readonly hasBuckets: boolean; readonly stages: readonly RunStage[] },
): Promise<{ readonly hasFingerprints: boolean }> {
  const isGiven = fingerprints !== undefined;
  const sources = {
    ...settings,
    // A run with given fingerprints of DNS answers does not fetch others.
    ...(isGiven && { fingerprints_dns_source: fingerprints, fingerprints_http_source: NO_SOURCE }),
    ...(httpFingerprints !== undefined && { fingerprints_http_source: httpFingerprints }),
  };
  const dns = sourceOf(sources, 'fingerprints_dns');
  if (hasBuckets && stages.includes('Observations')) {
    await loadHttpFingerprints(tools, sourceOf(sources, 'fingerprints_http'), httpFingerprints !== undefined);
  }
  if ((hasBuckets || isGiven) && stages.includes('Analysis')) await loadFingerprints(tools, dns, isGiven);
  return { hasFingerprints: dns !== undefined };
}

/** The settings and parts with which a plan is run. */
interface RunContext extends RunParts {
  readonly settings: Settings;
  readonly clickhouse: ClickHouse;
  readonly allowShrink: boolean;
  readonly withoutFingerprints: boolean;
}

/** Runs the plan and shows the progress. */
async function runPlan(plan: RunPlan, request: RunRequest, context: RunContext): Promise<RunTotals> {
  const { settings, archive, clickhouse, ipMetadata, log, allowShrink, withoutFingerprints, metrics, signal } = context;
  const pool = new ThreadPool(settings, ipMetadata, log, context.onSpan);
  const progress = startProgress(plan.buckets.length);
  const tools = {
    archive,
    clickhouse,
    pool,
    log,
    maxFailedShare: settings.max_failed_share,
    allowShrink,
    rulesVersion: settings.analysis_rules_version,
    referenceVersions: { ip: ipMetadata.version },
    withoutFingerprints,
    ...(metrics && { metrics }),
  };
  const onBucket = (failed?: FailedBucket) => {
    progress.bucket();
    if (failed) progress.line(printableLine(`${failed.bucket} failed: ${failed.reason}: ${failed.message}`));
  };
  try {
    const run = { ...request, slots: settings.worker_slots };
    return await runBuckets(tools, plan.buckets, run, { onRead: progress.read, onBucket, signal });
  } finally {
    progress.stop();
    await pool.close();
  }
}

function requestOf(options: Options): RunRequest {
  const { startAt, endAt, granularity, stages, reprocess } = options;
  const filter = normaliseFilter({ probeCC: options.probeCc, testNames: options.testName });
  const range = startAt !== undefined && endAt !== undefined ? { startAt, endAt } : undefined;
  return { filter, filterID: filterIDOf(filter), granularity, stages, reprocess, ...(range && { range }) };
}

/** The user stopped the run. */
class Stopped extends Error {
  override name = 'Stopped';
}

/** Returns a signal that aborts at Ctrl-C or SIGTERM. A second one ends the program at once; the next run can continue after that. */
function stopOnSignals(): { signal: AbortSignal; release: () => void } {
  const stop = new AbortController();
  const release = onStopSignal(() => {
    process.stderr.write(
      '\noonipipeline run: stopping; the same command continues from here. A second signal ends it at once.\n',
    );
    stop.abort(new Stopped('asked to stop'));
  });
  return { signal: stop.signal, release };
}

function summaryOf(plan: RunPlan, totals: RunTotals, started: number): RunSummary {
  const { files, bytes, read, transformed, skipped, failed, unsupported } = totals.counts;
  return {
    buckets: totals.done,
    bucketsSkipped: plan.skipped,
    bucketsFailed: totals.failed,
    bucketsLeft: totals.left,
    ...{ files, bytes, measurements: read, transformed, skipped, failed, unsupported },
    rows: Object.fromEntries(OBSERVATION_TABLES.map(({ name }) => [name, totals.rows[name] ?? 0])),
    verdicts: totals.verdicts,
    seconds: Math.round((Date.now() - started) / 100) / 10,
  };
}

function askedFor({ buckets, bucketsFailed, bucketsLeft, bucketsSkipped }: RunSummary): number {
  return Object.values(bucketsSkipped).reduce(
    (sum, count) => sum + count,
    buckets + bucketsFailed.length + bucketsLeft,
  );
}

function isDone({ bucketsFailed, bucketsLeft, bucketsSkipped }: RunSummary): boolean {
  return bucketsFailed.length === 0 && bucketsLeft === 0 && !bucketsSkipped.FailedBefore;
}

/** Text after the number of skipped buckets, by reason. It fits one bucket and many. */
const SKIPPED: Readonly<Record<keyof RunPlan['skipped'], string>> = {
  Completed: 'done before, without new objects in the archive (--reprocess All repeats the run)',
  FailedBefore: 'failed before and not retried (--reprocess Failed retries)',
  Empty: 'empty: without an object in the archive',
  Incomplete: 'not over yet',
};

function textOf(summary: RunSummary, archive: string, clickhouse: string): string {
  const n = (value: number) => value.toLocaleString('en');
  const { buckets, bucketsSkipped, bucketsFailed, bucketsLeft, measurements, rows, verdicts } = summary;
  const skipped = Object.entries(bucketsSkipped) as [keyof typeof SKIPPED, number][];
  return [
    `${n(buckets)} of ${counted(askedFor(summary), 'bucket')} of ${archive} done in ${summary.seconds} s, into ${clickhouse}`,
    ...(bucketsFailed.length > 0 ? [`  ${n(bucketsFailed.length)} failed, see above`] : []),
    ...(bucketsLeft > 0 ? [`  ${n(bucketsLeft)} left; the same command continues`] : []),
    ...skipped.map(([reason, count]) => `  ${n(count)} ${SKIPPED[reason]}`),
    `${counted(measurements, 'measurement')} in ${counted(summary.files, 'file')}: ${n(summary.transformed)} transformed, ${n(summary.skipped)} skipped, ` +
      `${n(summary.failed)} failed, ${n(summary.unsupported)} unsupported`,
    ...Object.entries(rows).map(([table, count]) => `  ${table.padEnd(24)}${n(count).padStart(12)} rows`),
    `  ${'verdicts'.padEnd(24)}${n(verdicts).padStart(12)}`,
  ].join('\n');
}

/**
 * Returns why the run had nothing to do; undefined if it had something, or if an earlier run did it. A misspelled filter must not look like
 * a success to a script, with a range or without.
 */
function nothingDone(summary: RunSummary, totals: RunTotals, options: Options, archive: string): string | undefined {
  const asked = askedFor(summary);
  if (asked === 0) return nothingFound(options, archive);
  const { Empty = 0 } = summary.bucketsSkipped;
  // The archive was searched for every bucket of the range.
  const searched = options.stages.includes('Observations') && summary.buckets + Empty === asked;
  return searched && !totals.foundObjects ? nothingMatched(options, archive) : undefined;
}

function nothingMatched({ probeCc, testName, startAt, endAt }: Options, archive: string): string {
  const filter = [...probeCc, ...testName].join(', ');
  const range = startAt === undefined ? '' : ` from ${startAt} to ${endAt}`;
  return filter === ''
    ? `${archive} has no object${range}: nothing was read`
    : `no object of ${archive}${range} matched ${filter}: nothing was read`;
}

function nothingFound({ probeCc, testName, stages }: Options, archive: string): string {
  if (!stages.includes('Observations')) return 'There are no observations to judge: run the stage Observations first.';
  const filter = [...probeCc, ...testName].join(', ');
  return (
    `${archive} holds no measurements${filter && ` of ${filter}`} where they belong (raw/YYYYMMDD/HH/CC/testname/...jsonl.gz or .tar.gz, ` +
    'jsonl/, canned/). oonipipeline transform reads any file.'
  );
}
