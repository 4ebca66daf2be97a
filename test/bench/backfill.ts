/**
 * Cost of a backfill with little data: the fixed cost of a bucket, and a range of years that is mostly empty.
 *
 *     npm run bench -- backfill [--archive DIR] [--start-at DAY] [--end-at DAY] [--buckets N]
 *
 * Everything runs in this process as in `oonipipeline run`, with a ClickHouse started for it; CLICKHOUSE_URL is not used. The
 * archive is `../shared/data/measurements` if it exists, otherwise the fixtures. With two buckets at a time, the benchmark measures
 *
 * - a bucket of seven measurements, and an empty bucket that is run anyway, each N times (20), with the number of statements;
 * - the plan of the range (2012 to 2026), and its run;
 * - the plan of the range again when all is done, and the time per bucket without objects.
 *
 * Prints readable lines with seconds and processor seconds, of this process and of ClickHouse, and, last, one line of JSON. On a machine
 * with other load, use the processor seconds.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { runBuckets } from '../../cli/run/run-buckets.ts';
import { planRun, type RunRequest } from '../../cli/run/select-buckets.ts';
import { startClickHouse } from '../../local/clickhouse.ts';
import { DirectoryArchive } from '../../pipeline/archive/directory.ts';
import { countBuckets } from '../../pipeline/bucket.ts';
import { EVERYTHING, filterIDOf } from '../../pipeline/filter.ts';
import { ensureDatabase, migrate } from '../../pipeline/migrations/migrate.ts';
import { openIpMetadata } from '../../pipeline/reference/ip-metadata.ts';
import { loadSettings } from '../../pipeline/settings.ts';
import { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { parseClickHouseUrl } from '../../pipeline/tables/clickhouse-url.ts';
import { createLogger } from '../../pipeline/telemetry/log.ts';
import { ThreadPool } from '../../pipeline/threads/pool.ts';
import { processorTime } from './processor-time.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures/archive');
const SHARED = join(import.meta.dirname, '../../../shared/data/measurements');
/** Day with seven measurements of six tests from three countries. */
const SMALL = '20221110';

const { values } = parseArgs({
  options: {
    archive: { type: 'string', default: existsSync(SHARED) ? SHARED : FIXTURES },
    'start-at': { type: 'string', default: '2012-01-01' },
    'end-at': { type: 'string', default: '2026-11-01' },
    buckets: { type: 'string', default: '20' },
  },
});
const request: RunRequest = {
  filter: EVERYTHING,
  filterID: filterIDOf(EVERYTHING),
  granularity: 'Day',
  stages: ['Observations', 'Analysis'],
  reprocess: 'None',
};
const never = new AbortController().signal;
const log = createLogger('bench', { log_level: 'fatal', log_format: 'json' });

/** Counts the statements. */
class Counting extends ClickHouse {
  statements = 0;
  override command(...args: Parameters<ClickHouse['command']>) {
    this.statements++;
    return super.command(...args);
  }
  override commandOnce(...args: Parameters<ClickHouse['commandOnce']>) {
    this.statements++;
    return super.commandOnce(...args);
  }
  override select<Row>(...args: Parameters<ClickHouse['select']>) {
    this.statements++;
    return super.select<Row>(...args);
  }
  override insert(...args: Parameters<ClickHouse['insert']>) {
    this.statements++;
    return super.insert(...args);
  }
}

const dir = mkdtempSync(join(tmpdir(), 'ooni-bench-'));
delete process.env.CLICKHOUSE_URL;
const server = await startClickHouse({ dir: join(dir, 'clickhouse') });
const clickhouseUrl = `${server.url}/bench_backfill`;
await ensureDatabase({ clickhouse_url: clickhouseUrl });
const clickhouse = new Counting(parseClickHouseUrl(clickhouseUrl), '');
try {
  await migrate(clickhouse, log);
  const count = Number(values.buckets);
  const small = await fixedCost(makeSmall(count), days(count));
  print(`a bucket of seven measurements  ${small.ms} ms, ${cpuOf(small)}, ${small.statements} statements`);
  const empty = await fixedCost(values.archive, days(count, '1999'));
  print(`an empty bucket that is run     ${empty.ms} ms, ${cpuOf(empty)}, ${empty.statements} statements`);
  const range = await wholeRange(values.archive);
  console.log(JSON.stringify({ bench: 'backfill', cores: availableParallelism(), small, empty, range }));
} finally {
  await clickhouse.close();
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
}

function print(line: string): void {
  console.log(line);
}

function days(count: number, year = '2001'): string[] {
  return Array.from({ length: count }, (_, day) =>
    new Date(Date.UTC(Number(year), 0, 1 + day)).toISOString().slice(0, 10),
  );
}

/** Creates an archive with the seven measurements on each of `count` days. */
function makeSmall(count: number): string {
  const root = join(dir, 'small');
  const keys = readdirSync(join(FIXTURES, 'raw', SMALL), { recursive: true, encoding: 'utf8' }).filter(key =>
    key.endsWith('.gz'),
  );
  for (const day of days(count)) {
    const digits = day.replaceAll('-', '');
    for (const key of keys) {
      const target = join(root, 'raw', digits, key.replaceAll(SMALL, digits));
      mkdirSync(dirname(target), { recursive: true });
      cpSync(join(FIXTURES, 'raw', SMALL, key), target);
    }
  }
  return root;
}

interface Cost {
  /** Milliseconds. */
  readonly ms: number;
  /** Milliseconds of all processors, of this process and of ClickHouse. */
  readonly pipelineCpu: number;
  readonly clickhouseCpu: number;
}

function cpuOf({ pipelineCpu, clickhouseCpu }: Cost): string {
  return `processors ${pipelineCpu} ms and ClickHouse ${clickhouseCpu} ms`;
}

async function measured<T>(work: () => Promise<T>): Promise<{ result: T; cost: Cost }> {
  const processors = () => ({ own: processorTime(process.pid), other: processorTime(server.process!.child.pid!) });
  const before = processors();
  const started = performance.now();
  const result = await work();
  const after = processors();
  return {
    result,
    cost: {
      ms: Math.round(performance.now() - started),
      pipelineCpu: Math.round(1000 * (after.own - before.own)),
      clickhouseCpu: Math.round(1000 * (after.other - before.other)),
    },
  };
}

/** Returns the cost of one of the buckets on average. */
async function fixedCost(archive: string, buckets: readonly string[]): Promise<Cost & { statements: number }> {
  const before = clickhouse.statements;
  const { cost } = await measured(() => run(archive, buckets));
  const each = (value: number) => Math.round(value / buckets.length);
  return {
    ms: each(cost.ms),
    pipelineCpu: each(cost.pipelineCpu),
    clickhouseCpu: each(cost.clickhouseCpu),
    statements: each(clickhouse.statements - before),
  };
}

async function wholeRange(root: string) {
  const range = { startAt: values['start-at'], endAt: values['end-at'] };
  const buckets = countBuckets(range.startAt, range.endAt, 'Day');
  const plan = async () => {
    const started = performance.now();
    const planned = await planRun(
      { archive: new DirectoryArchive(root), clickhouse },
      { ...request, range },
      { found: undefined, now: Date.now(), signal: never },
    );
    return { planned, seconds: round((performance.now() - started) / 1000) };
  };
  const first = await plan();
  const emptyMs = round((1000 * first.seconds) / buckets);
  print(
    `plan of ${buckets} days           ${first.seconds} s, ${first.planned.buckets.length} to run, ${emptyMs} ms a day`,
  );
  const { result: measurements, cost } = await measured(() => run(root, first.planned.buckets));
  print(`run of the range                ${cost.ms / 1000} s, ${cpuOf(cost)}, ${measurements} measurements`);
  const again = await plan();
  print(`plan when all is done           ${again.seconds} s, ${again.planned.buckets.length} to run`);
  return {
    buckets,
    toRun: first.planned.buckets.length,
    plan: first.seconds,
    run: cost,
    measurements,
    again: again.seconds,
  };
}

/** Runs buckets and returns the number of measurements read. */
async function run(root: string, buckets: readonly string[]): Promise<number> {
  const settings = loadSettings({ ARCHIVE_URL: root, CLICKHOUSE_URL: clickhouseUrl, WORKER_SLOTS: '2' });
  const pool = new ThreadPool(settings, openIpMetadata(undefined), log);
  const tools = {
    archive: new DirectoryArchive(root),
    clickhouse,
    pool,
    log,
    maxFailedShare: settings.max_failed_share,
    allowShrink: false,
    rulesVersion: settings.analysis_rules_version,
    referenceVersions: {},
  };
  try {
    const watch = { onRead: () => {}, onBucket: () => {}, signal: never };
    const { counts, failed, left } = await runBuckets(tools, buckets, { ...request, slots: 2 }, watch);
    if (failed.length > 0 || left > 0) throw new Error(`${failed.length} buckets failed: ${failed[0]?.message}`);
    return counts.read;
  } finally {
    await pool.close();
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
