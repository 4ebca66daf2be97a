/**
 * A tenth of an OONI day, end to end, and an estimate for a complete day.
 *
 *     npm run bench -- day [--count N] [--data DIR] [--dir DIR] [--threads N]
 *
 * Makes N measurements (160,000) from the real lines of DIR (`../shared/data/measurements` if it exists, otherwise the fixtures),
 * as postcans and JSON lines in the layout of the archive. Runs the stages with the command line, into a ClickHouse in its own
 * process. Prints for each stage the seconds, the processor seconds of the pipeline and of ClickHouse, and the peak memory; then
 * rows and parts of each table, and ten times the time. With `--dir` the archive is kept there and reused.
 *
 * Prints tables and, last, one line of JSON.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { startClickHouse } from '../../local/clickhouse.ts';
import { listBucket } from '../../pipeline/archive/listing.ts';
import { openArchive } from '../../pipeline/archive/open.ts';
import { EVERYTHING } from '../../pipeline/filter.ts';
import { loadSettings } from '../../pipeline/settings.ts';
import { openClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { corpus } from '../fidelity/expected.ts';
import { PROGRAM_ENV } from '../support/program.ts';
import { type MadeDay, makeDay } from './day/make-day.ts';
import { processorTime } from './processor-time.ts';

const { values: options } = parseArgs({
  options: {
    count: { type: 'string', default: '160000' },
    data: { type: 'string', default: corpus().archive },
    dir: { type: 'string' },
    threads: { type: 'string', default: String(availableParallelism()) },
  },
});
const count = Number(options.count);
if (!(count > 0)) fail(`--count must be a number above 0, is "${options.count}"`);

const DAY = '2024-02-12';
/** Number of measurements of an OONI day. */
const WHOLE = 1_600_000;
const CLI = join(import.meta.dirname, '../../cli/main.ts');
const FINGERPRINTS = join(import.meta.dirname, '../fixtures/fingerprints/fingerprints_dns.csv');
/** Interval between reads of /proc in milliseconds. */
const READ_EVERY = 100;

interface Stage {
  readonly seconds: number;
  /** Processor seconds. */
  readonly pipeline: number;
  readonly clickhouse: number;
  /** Peak memory of the pipeline's process, MB. */
  readonly peak: number;
}

const dir = mkdtempSync(join(tmpdir(), 'ooni-day-'));
try {
  const made = await archiveOf(options.dir ?? join(dir, 'archive'));
  console.log(
    `${made.measurements.toLocaleString('en')} measurements in ${made.objects} objects: ${megabytes(made.stored)} MB stored, ${megabytes(made.bytes)} MB unpacked`,
  );
  console.log(JSON.stringify(await measure(made)));
} finally {
  rmSync(dir, { recursive: true, force: true });
}

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}

/** Returns the archive: a new one, or with `--dir` the existing one. */
async function archiveOf(root: string): Promise<MadeDay> {
  const record = join(root, 'day.json');
  if (existsSync(record)) {
    const made = JSON.parse(readFileSync(record, 'utf8')) as MadeDay & { count: number };
    if (made.count === count) return made;
    fail(`${root} holds a day of ${made.count} measurements; name another --dir`);
  }
  const made = await makeDay(options.data, root, DAY, count);
  writeFileSync(record, JSON.stringify({ ...made, count }));
  return made;
}

async function measure({ root, measurements }: MadeDay): Promise<object> {
  const server = await startClickHouse({ dir: join(dir, 'clickhouse') });
  const clickhouse = openClickHouse({ clickhouse_url: server.url });
  try {
    const pid = server.process?.child.pid;
    const run = (...args: string[]) => stage(pid, args, server.url);
    const range = ['--start-at', DAY, '--end-at', '2024-02-13', '--threads', options.threads, '--archive', root];
    const stages: Record<string, Stage> = {
      listing: await list(root),
      observations: await run('run', ...range, '--stages', 'Observations'),
      analysis: await run('run', ...range, '--stages', 'Analysis', '--fingerprints', FINGERPRINTS),
      verify: await run('verify', '--bucket', DAY, '--archive', root),
    };
    console.table(stages);
    const tables = await clickhouse.select<{ table: string; rows: number; parts: number; MB: number }>(
      `SELECT table, sum(p.rows) AS rows, count() AS parts, round(sum(bytes_on_disk) / 1e6) AS MB FROM system.parts AS p
       WHERE active AND database = currentDatabase() GROUP BY table ORDER BY rows DESC`,
    );
    // The number of a part comes from the INSERT that wrote it. Merged parts have the range of numbers of the parts they replaced.
    const written = await clickhouse.select<{ table: string; inserted: number }>(
      `SELECT table, sum(partition_inserts) AS inserted FROM (SELECT table, partition_id, max(max_block_number) AS partition_inserts
       FROM system.parts WHERE database = currentDatabase() GROUP BY table, partition_id) GROUP BY table`,
    );
    const parts = Object.fromEntries(
      tables.map(({ table, ...each }) => [
        table,
        { ...each, 'parts inserted': written.find(found => found.table === table)?.inserted },
      ]),
    );
    console.table(parts);
    const clickhousePeak = pid ? peakOf(pid) : undefined;
    const seconds = Object.values(stages).reduce((sum, each) => sum + each.seconds, 0);
    const processor = Object.values(stages).reduce((sum, each) => sum + each.pipeline + each.clickhouse, 0);
    const whole = Math.round((seconds * WHOLE) / measurements);
    const busy = Math.round((processor * WHOLE) / measurements / availableParallelism());
    const largest = Object.entries(stages).sort(([, a], [, b]) => b.seconds - a.seconds)[0]![0];
    console.log(
      `${round(seconds)} s for ${measurements} measurements; a day of ${WHOLE.toLocaleString('en')} takes ${Math.floor(whole / 60)} min ${whole % 60} s (target: under 15 min), and ${Math.floor(busy / 60)} min ${busy % 60} s by processor time on ${availableParallelism()} processors. The largest stage is ${largest}.`,
    );
    return {
      node: process.version,
      processors: availableParallelism(),
      measurements,
      stages,
      parts,
      clickhousePeak,
      whole,
      busy,
    };
  } finally {
    await clickhouse.close();
    await server.stop();
  }
}

async function list(root: string): Promise<Stage> {
  const started = performance.now();
  const before = process.cpuUsage();
  for await (const _ of listBucket(openArchive({ ...loadSettings({}), archive_url: root }), DAY, EVERYTHING));
  const { user, system } = process.cpuUsage(before);
  return {
    seconds: round((performance.now() - started) / 1e3),
    pipeline: round((user + system) / 1e6),
    clickhouse: 0,
    peak: Math.round(process.memoryUsage.rss() / 1e6),
  };
}

/** Runs a command of the pipeline until it exits. */
async function stage(server: number | undefined, args: readonly string[], url: string): Promise<Stage> {
  const before = server ? processorTime(server) : 0;
  const started = performance.now();
  const child = spawn(process.execPath, [CLI, ...args], {
    env: { ...PROGRAM_ENV, CLICKHOUSE_URL: url, MAX_FAILED_SHARE: '1', LOG_FORMAT: 'json' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let [pipeline, peak] = [0, 0];
  const watch = setInterval(() => {
    try {
      pipeline = processorTime(child.pid!);
      peak = peakOf(child.pid!);
    } catch {
      // The process has exited.
    }
  }, READ_EVERY);
  const [output, [status]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  clearInterval(watch);
  if (status !== 0) fail(`oonipipeline ${args[0]} ended with status ${status}:\n${output}`);
  console.log(output.trim());
  return {
    seconds: round((performance.now() - started) / 1e3),
    pipeline: round(pipeline),
    clickhouse: round((server ? processorTime(server) : 0) - before),
    peak,
  };
}

/** Returns the peak resident memory of a process, MB. */
function peakOf(pid: number): number {
  return Math.round((Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1024) / 1e6);
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
