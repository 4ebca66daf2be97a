/**
 * Speed of the observation path, as a share of a floor measured in the same run on the same bytes (observations/floor.ts).
 *
 *     npm run bench -- observations [--data DIR] [--seconds N] [--input NAME] [--no-clickhouse] [--stream GB] [--traced] [--matching]
 *
 * Floor and path run in turns, N seconds of work each (10). Their medians are compared by processor time of the process, which a
 * busy machine disturbs least, and by wall-clock time. Then the benchmark measures one thread against one thread per processor, the
 * path into ClickHouse (for the first input), the stages of both with a profiler, and the memory of processes that do nothing else.
 * DIR is a folder in the layout of the archive; the default is `../shared/data/measurements` if it exists, otherwise the fixtures.
 * `--traced` instead compares the path into ClickHouse with itself while each span is exported to a collector, in rounds of new threads.
 * `--matching` instead compares the path up to RowBinary with itself without the fingerprints of HTTP responses, piece by piece on one thread, by its
 * processor time. It prints the median with its interval, and the same where nothing differs.
 * `--stream` instead processes one object of the given size in GB and shows the memory over time.
 *
 * Prints tables and, last, one line of JSON.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { startClickHouse } from '../../local/clickhouse.ts';
import { corpus } from '../fidelity/expected.ts';
import { makeDatabase } from '../support/database.ts';
import { OtlpCollector } from '../support/otlp-collector.ts';
import { type Input, makeInputs } from './observations/inputs.ts';
import { type Estimate, estimate } from './observations/pairs.ts';
import { STAGES, type Stage } from './observations/stages.ts';
import type { Birth, Took, Work } from './observations/thread.ts';
import { Thread } from './observations/threads.ts';

const { values: options } = parseArgs({
  options: {
    data: { type: 'string', default: corpus().archive },
    seconds: { type: 'string', default: '10' },
    input: { type: 'string' },
    clickhouse: { type: 'boolean', default: true },
    stream: { type: 'string' },
    traced: { type: 'boolean', default: false },
    matching: { type: 'boolean', default: false },
  },
  allowNegative: true,
});
const seconds = Number(options.seconds);
if (!(seconds > 0)) fail(`--seconds must be a number above 0, is "${options.seconds}"`);
if (!existsSync(options.data)) fail(`--data names ${options.data}, which does not exist`);
if (options.stream !== undefined && !(Number(options.stream) > 0)) fail('--stream must be a number of GB above 0');

/** Seconds per turn when threads are compared, and minimum number of turns. */
const TURN = 2.5;
const TURNS = 5;
/** Rounds of new threads when the path is compared with itself. */
const ROUNDS = 5;
/** Threads of a comparison in one thread, and the least number of blocks of each. */
const THREADS = 8;
const BLOCKS = 2;
/** Seconds of work after which the memory of a process no longer grows. */
const MEMORY_SECONDS = 10;
/** Greatest share of the time that the search for fingerprints may cost. */
const MATCHING_TARGET = 0.1;
/** Number of spans that are made alone; the queue of the exporter holds 2,048. */
const SPANS = 2000;
/** The exporter sends spans at the latest after this time (pipeline/telemetry/otel.ts). */
const EXPORT_DELAY_MS = 1000;
const TARGETS = { bodies: 0.8, rows: 0.5, all: 0.7 };
const TARGET_INTO_CLICKHOUSE = 0.6;
const geoip = join(import.meta.dirname, '../fixtures/geoip');

const dir = mkdtempSync(join(tmpdir(), 'ooni-bench-'));
try {
  const inputs = makeInputs(options.data, dir).filter(({ name }) => name === (options.input ?? name));
  if (inputs.length === 0) fail('--input must be bodies, rows or all');
  const [first] = inputs as [Input];
  const result = options.traced
    ? await compareTraced(first)
    : options.matching
      ? await compareMatching(inputs)
      : options.stream === undefined
        ? await measure(inputs)
        : await stream(first, Number(options.stream));
  console.log(JSON.stringify(result));
} finally {
  rmSync(dir, { recursive: true, force: true });
}

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}

async function measure(inputs: readonly Input[]): Promise<object> {
  const results = [];
  for (const input of inputs) {
    const mb = `${megabytes(input.bytes)} MB in ${input.measurements} measurements`;
    console.log(
      `\n${input.name}: ${input.what}; ${mb}, ${megabytes(input.stored)} MB stored, ${input.keys.length} objects`,
    );
    const encoded = await compare(input, { kind: 'encode' });
    const table = { ...encoded.table };
    let inserted: Compared | undefined;
    if (options.clickhouse && input === inputs[0]) {
      inserted = await withClickHouse(url => compare(input, { kind: 'insert' }, url));
      table['into ClickHouse'] = inserted.table['into ClickHouse']!;
    }
    const threads = await scale(input);
    table[`${threads.threads} threads`] = {
      'MB/s (clock)': round((input.bytes / 1e6) * threads.path.all),
      'measurements/s (clock)': round(input.measurements * threads.path.all),
    };
    console.table(table);
    const target = TARGETS[input.name];
    console.log(`of the floor, up to RowBinary: ${ratio(encoded)}; target: ${target}`);
    if (inserted) console.log(`of the floor, into ClickHouse: ${ratio(inserted)}; target: ${TARGET_INTO_CLICKHOUSE}`);
    console.log(
      `${threads.threads} threads: ${timesText(threads.path)} times one, by the clock; target: 1.8 (the floor: ${timesText(threads.floor)})`,
    );
    console.table(stageTable(input, encoded, inserted));
    const memory = await remember(input);
    console.table(memory);
    results.push({ input, target, encoded, inserted, threads, memory });
  }
  return { node: process.version, processors: availableParallelism(), seconds, results };
}

interface Compared {
  readonly floor: Times;
  readonly path: Times;
  readonly ratioByProcessorTime: number;
  readonly ratioByClock: number;
  readonly rows: number;
  readonly passes: number;
  readonly shares: Record<Stage, number>;
  readonly table: Record<string, object>;
}

/** Medians of passes, in seconds. */
interface Times {
  readonly cpu: number;
  readonly wall: number;
}

/** Runs passes of floor and path in turns on one thread. */
async function compare(input: Input, work: Work, clickhouseUrl?: string): Promise<Compared> {
  const thread = await Thread.start({ input, geoip, clickhouseUrl });
  const floors: Took[] = [];
  const paths: Took[] = [];
  for (const warm of [{ kind: 'floor' }, work] as const) for (let i = 0; i < 3; i++) await thread.pass(warm);
  while (floors.length < 3 || total(floors) < seconds || total(paths) < seconds) {
    floors.push(await thread.pass({ kind: 'floor' }));
    paths.push(await thread.pass(work));
  }
  const profiles: Record<Stage, number>[] = [];
  for (let spent = 0; spent < seconds / 2 || profiles.length < 2; ) {
    const took = await thread.pass({ ...work, profiled: true });
    profiles.push(took.shares!);
    spent += took.cpu;
  }
  await thread.stop();
  const shares = Object.fromEntries(STAGES.map(stage => [stage, median(profiles.map(each => each[stage]))])) as Record<
    Stage,
    number
  >;
  const [floor, path] = [timesOf(floors), timesOf(paths)];
  return {
    floor,
    path,
    ratioByProcessorTime: floor.cpu / path.cpu,
    ratioByClock: floor.wall / path.wall,
    rows: paths[0]!.rows,
    passes: paths.length,
    shares,
    table: {
      floor: row(input, floor),
      [work.kind === 'insert' ? 'into ClickHouse' : 'up to RowBinary']: row(input, path, floor, paths[0]!.rows),
    },
  };
}

/** Compares one thread with one thread per processor, in turns. The floor is compared too, because processors share memory and caches. */
async function scale(input: Input) {
  const threads = await Promise.all(
    Array.from({ length: availableParallelism() }, () => Thread.start({ input, geoip })),
  );
  const path = await inTurns(threads, { kind: 'encode' });
  const floor = await inTurns(threads, { kind: 'floor' });
  await Promise.all(threads.map(thread => thread.stop()));
  return { threads: threads.length, path, floor };
}

/**
 * Measures passes per second of one thread and of all threads, in turns, and their ratio. The ratio is the median of pairs of
 * consecutive turns, because a machine shared with other work changes its speed within seconds.
 */
async function inTurns(threads: readonly Thread[], work: Work) {
  for (let i = 0; i < 2; i++) await Promise.all(threads.map(thread => thread.pass(work)));
  const found: { all: number; times: number }[] = [];
  for (let spent = 0; spent < 2 * seconds || found.length < TURNS; ) {
    const started = performance.now();
    const one = await turn(threads[0]!, work);
    const all = (await Promise.all(threads.map(thread => turn(thread, work)))).reduce((sum, each) => sum + each);
    found.push({ all, times: all / one });
    spent += (performance.now() - started) / 1e3;
  }
  const times = found.map(each => each.times);
  return {
    all: median(found.map(({ all }) => all)),
    times: median(times),
    least: Math.min(...times),
    most: Math.max(...times),
  };
}

/**
 * Measures passes per second of a thread. Threads do not wait for each other. A pass that ends after the turn is not counted,
 * because other threads may already have stopped.
 */
async function turn(thread: Thread, work: Work): Promise<number> {
  const started = performance.now();
  for (let passes = 0, spent = 0; ; passes++) {
    await thread.pass(work);
    const now = (performance.now() - started) / 1e3;
    if (now > TURN && passes > 0) return passes / spent;
    spent = now;
  }
}

/**
 * Measures the cost of tracing. The traced thread also exports, which in a worker the main thread does. Passes with and without tracing
 * differ by less than two equal passes do, so the spans are also made alone: their number in a pass times the cost of one is the cost of
 * tracing.
 */
async function compareTraced(input: Input): Promise<object> {
  const collector = await OtlpCollector.start();
  try {
    return await withClickHouse(async clickhouseUrl => {
      const plain = { input, geoip, clickhouseUrl };
      const births = { off: plain, on: { ...plain, telemetryEndpoint: collector.endpoint }, again: plain };
      const found = await compareBirths(births, { kind: 'insert' }, { feature: 'tracing', target: 0.02 });
      const alone = await measureSpans(births.on, collector);
      const share = (alone.spansOfPass * alone.cpu) / found.off.cpu;
      console.log(
        `a pass makes ${alone.spansOfPass} spans; a span costs ${(alone.cpu * 1e6).toFixed(0)} µs of processor time, its export and the collector included: ${(share * 100).toFixed(3)} % of the pass`,
      );
      return { ...found, ...alone, share };
    });
  } finally {
    collector.stop();
  }
}

/** Returns the number of spans of a pass, and the processor time in seconds of one, from its start until the collector has it. */
async function measureSpans(traced: Birth, collector: OtlpCollector): Promise<{ spansOfPass: number; cpu: number }> {
  const thread = await Thread.start(traced);
  const collected = async (work: Work, least: number) => {
    const [spans, before] = [collector.spans.length, process.cpuUsage()];
    await thread.pass(work);
    // The exporter sends the last spans with a delay.
    for (let waits = 0; waits < 2 || (collector.spans.length < spans + least && waits < 30); waits++) {
      await setTimeout(EXPORT_DELAY_MS);
    }
    const { user, system } = process.cpuUsage(before);
    return { spans: collector.spans.length - spans, cpu: (user + system) / 1e6 };
  };
  try {
    const { spans: spansOfPass } = await collected({ kind: 'insert' }, 1);
    await collected({ kind: 'spans', times: SPANS }, SPANS);
    const { spans, cpu } = await collected({ kind: 'spans', times: SPANS }, SPANS);
    return { spansOfPass, cpu: cpu / spans };
  } finally {
    await thread.stop();
  }
}

/** Measures what the search for fingerprints of HTTP responses costs, in time and in the peak memory of a process with one thread. */
async function compareMatching(inputs: readonly Input[]): Promise<object> {
  const results = [];
  for (const input of inputs) {
    console.log(`\n${input.name}: ${input.what}`);
    const found = await compareInThread({ input, geoip });
    console.log(
      `matching costs ${estimateText(found.cost)} of the thread’s processor time, over ${found.blocks} blocks; no difference measures as ${estimateText(found.noise)}; target: ${percent(MATCHING_TARGET)}`,
    );
    const memory = {
      without: (await inProcess({ input, geoip, matching: false }, 1, MEMORY_SECONDS)).peak,
      with: (await inProcess({ input, geoip }, 1, MEMORY_SECONDS)).peak,
    };
    console.log(`peak RSS of a process with one thread: ${memory.with} MB, without matching ${memory.without} MB`);
    results.push({ input, ...found, memory });
  }
  return { target: MATCHING_TARGET, results };
}

/**
 * Compares the path with and without the search on one thread, piece by piece (pairs.ts), and with itself, which shows what the method
 * cannot tell apart. Threads with the same code differ for as long as they live, because they compile and collect differently, so several
 * threads run one after another.
 */
async function compareInThread(birth: Birth) {
  const cost: number[][] = [];
  const noise: number[][] = [];
  for (let at = 1; at <= THREADS; at++) {
    const thread = await Thread.start(birth);
    const [costs, noises]: [number[], number[]] = [[], []];
    await thread.pass({ kind: 'pairs' });
    for (let spent = 0; costs.length < BLOCKS || spent < seconds / THREADS; ) {
      const { ways, cpu } = await thread.pass({ kind: 'pairs' });
      costs.push(ways!.with / ways!.without - 1);
      noises.push(ways!.again / ways!.without - 1);
      spent += cpu;
    }
    await thread.stop();
    cost.push(costs);
    noise.push(noises);
    console.log(`thread ${at}: ${percent(median(costs))}, no difference ${percent(median(noises))}`);
  }
  return { blocks: cost.flat().length, cost: estimate(cost), noise: estimate(noise) };
}

function estimateText({ median: middle, low, high, quartiles: [first, third] }: Estimate): string {
  return `${percent(middle)} (95 % interval ${percent(low)} to ${percent(high)}, quartiles ${percent(first)} and ${percent(third)})`;
}

interface Feature {
  readonly feature: string;
  /** Greatest share of the time that it may cost. */
  readonly target: number;
}

/**
 * Runs passes without and with a feature, in turns. Two threads with the same code differ by some percent, for as long as they live, because
 * they compile and collect differently. So each round has new threads, and a second thread without the feature shows the difference that means
 * nothing.
 */
async function compareBirths(
  births: Readonly<Record<'off' | 'on' | 'again', Birth>>,
  work: Work,
  { feature, target }: Feature,
): Promise<{ input: Input; off: Times; cost: Times; noise: Times }> {
  const { input } = births.off;
  const rounds: Record<keyof typeof births, Took[]>[] = [];
  for (let i = 1; i <= ROUNDS; i++) {
    rounds.push(await roundOf(births, work, seconds / ROUNDS));
    const { off, on, again } = mapValues(rounds.at(-1)!, passes => timesOf(passes).cpu);
    console.log(
      `round ${i}: ${feature} ${percent(on / off - 1)} of processor time, no difference ${percent(again / off - 1)}`,
    );
  }
  const times = mapValues(births, (_, name) => timesOf(rounds.flatMap(round => round[name])));
  const ratio = (name: 'on' | 'again', unit: 'cpu' | 'wall') =>
    median(rounds.map(round => timesOf(round[name])[unit] / timesOf(round.off)[unit])) - 1;
  const cost = { cpu: ratio('on', 'cpu'), wall: ratio('on', 'wall') };
  const noise = { cpu: ratio('again', 'cpu'), wall: ratio('again', 'wall') };
  console.table({
    [`without ${feature}`]: row(input, times.off),
    [`with ${feature}`]: row(input, times.on),
    [`without ${feature}, again`]: row(input, times.again),
  });
  console.log(
    `${feature} costs ${percent(cost.cpu)} of processor time, ${percent(cost.wall)} by the clock; no difference measures as ${percent(noise.cpu)}, ${percent(noise.wall)}; target: ${percent(target)}`,
  );
  return { input, ...times, cost, noise };
}

/** Runs passes on one new thread for each birth, in turns that begin with another thread each time. */
async function roundOf<Name extends string>(
  births: Readonly<Record<Name, Birth>>,
  work: Work,
  least: number,
): Promise<Record<Name, Took[]>> {
  const names = Object.keys(births) as Name[];
  const threads = new Map<Name, Thread>();
  for (const name of names) threads.set(name, await Thread.start(births[name]));
  const found = mapValues(births, (): Took[] => []);
  for (let i = 0; i < 2; i++) for (const thread of threads.values()) await thread.pass(work);
  for (let turn = 0, spent = 0; turn < names.length || spent < least; turn++) {
    for (let at = 0; at < names.length; at++) {
      const name = names[(turn + at) % names.length]!;
      const took = await threads.get(name)!.pass(work);
      found[name].push(took);
      spent += took.cpu / names.length;
    }
  }
  await Promise.all([...threads.values()].map(thread => thread.stop()));
  return found;
}

function mapValues<Name extends string, From, To>(
  record: Readonly<Record<Name, From>>,
  change: (value: From, name: Name) => To,
): Record<Name, To> {
  const entries = (Object.entries(record) as [Name, From][]).map(([name, value]) => [name, change(value, name)]);
  return Object.fromEntries(entries) as Record<Name, To>;
}

async function withClickHouse<T>(work: (url: string) => Promise<T>): Promise<T> {
  const server = await startClickHouse({ dir: join(dir, 'clickhouse') });
  try {
    const { url, clickhouse } = await makeDatabase(server.url, 'bench');
    try {
      return await work(url);
    } finally {
      await clickhouse.close();
    }
  } finally {
    await server.stop();
  }
}

/** Measures the peak memory in MB of processes with no thread, one thread, and one thread per processor. */
async function remember(input: Input): Promise<Record<string, { 'peak RSS, MB': number }>> {
  const counts = [...new Set([0, 1, availableParallelism()])];
  const found: Record<string, { 'peak RSS, MB': number }> = {};
  for (const count of counts) {
    const { peak } = await inProcess({ input, geoip }, count, seconds);
    found[`${count} threads`] = { 'peak RSS, MB': peak };
  }
  return found;
}

/** Processes one object of the given size in GB. */
async function stream(input: Input, gigabytes: number): Promise<object> {
  const times = Math.ceil((gigabytes * 1e9) / input.bytes);
  console.log(`one object that repeats ${input.name} ${times} times: ${megabytes(times * input.bytes)} MB`);
  const found = await inProcess({ input, geoip }, 1, 0, times);
  console.log(
    `${round((times * input.bytes) / 1e6 / found.seconds)} MB/s; peak RSS ${found.peak} MB; in each tenth of the time:`,
  );
  console.log(found.tenths.join(' '));
  return { input, times, ...found };
}

async function inProcess(birth: Birth, threads: number, seconds: number, times?: number) {
  const script = join(import.meta.dirname, 'observations/memory.ts');
  const args = [script, JSON.stringify(birth), String(threads), String(seconds), ...(times ? [String(times)] : [])];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as { peak: number; tenths: number[]; seconds: number };
}

function row(input: Input, { cpu, wall }: Times, floor?: Times, rows?: number): object {
  return {
    'MB/s (processor)': round(input.bytes / 1e6 / cpu),
    'MB/s (clock)': round(input.bytes / 1e6 / wall),
    'measurements/s (processor)': round(input.measurements / cpu),
    'measurements/s (clock)': round(input.measurements / wall),
    ...(rows !== undefined && { rows }),
    ...(floor && floor.cpu !== cpu && { 'of the floor': (floor.cpu / cpu).toFixed(2) }),
  };
}

/** Returns the time of each stage in milliseconds per pass, and its speed in MB/s as if it were the only stage. */
function stageTable(input: Input, encoded: Compared, inserted?: Compared): object {
  return Object.fromEntries(
    STAGES.filter(stage => encoded.shares[stage] > 0 || (inserted?.shares[stage] ?? 0) > 0).map(stage => {
      const spent = encoded.shares[stage] * encoded.path.cpu;
      return [
        stage,
        {
          'share, up to RowBinary': percent(encoded.shares[stage]),
          'ms a pass': round(spent * 1e3),
          'MB/s alone': spent > 0 ? round(input.bytes / 1e6 / spent) : '',
          'measurements/s alone': spent > 0 ? round(input.measurements / spent) : '',
          ...(inserted && { 'share, into ClickHouse': percent(inserted.shares[stage]) }),
        },
      ];
    }),
  );
}

function ratio({ ratioByProcessorTime, ratioByClock }: Compared): string {
  return `${ratioByProcessorTime.toFixed(2)} by processor time, ${ratioByClock.toFixed(2)} by the clock`;
}

/** Formats the ratio with the minimum and maximum of all turns. */
function timesText({ times, least, most }: { times: number; least: number; most: number }): string {
  return `${times.toFixed(2)} (${least.toFixed(2)} to ${most.toFixed(2)})`;
}

function timesOf(passes: readonly Took[]): Times {
  return { cpu: median(passes.map(({ cpu }) => cpu)), wall: median(passes.map(({ wall }) => wall)) };
}

function total(passes: readonly Took[]): number {
  return passes.reduce((sum, { cpu }) => sum + cpu, 0);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function round(value: number): number {
  return value < 10 ? Number(value.toFixed(1)) : Math.round(value);
}
