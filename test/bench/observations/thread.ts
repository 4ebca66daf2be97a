import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { gunzipSync, gzipSync } from 'node:zlib';
import { DirectoryArchive } from '../../../pipeline/archive/directory.ts';
import { type ArchiveFile, parseKey } from '../../../pipeline/archive/keys.ts';
import { EVERYTHING, filterIDOf } from '../../../pipeline/filter.ts';
import { readFingerprints } from '../../../pipeline/reference/fingerprints.ts';
import { HttpFingerprints } from '../../../pipeline/reference/http-fingerprints.ts';
import { openIpMetadata } from '../../../pipeline/reference/ip-metadata.ts';
import { observeBatch } from '../../../pipeline/runs/batch.ts';
import { planBucket } from '../../../pipeline/runs/observations.ts';
import { loadSettings } from '../../../pipeline/settings.ts';
import { openClickHouse } from '../../../pipeline/tables/clickhouse.ts';
import { createLogger } from '../../../pipeline/telemetry/log.ts';
import { withSpan } from '../../../pipeline/telemetry/spans.ts';
import { startTracing } from '../../../pipeline/telemetry/tracing.ts';
import { EndlessArchive } from './endless.ts';
import { floor } from './floor.ts';
import { BUCKET, type Input } from './inputs.ts';
import { timesOf, WAYS, type Way } from './pairs.ts';
import { encode } from './path.ts';
import { profile, type Stage } from './stages.ts';

/**
 * Work of a thread on its input: `insert` is everything, `encode` everything except the INSERT. `pairs` encodes piece after piece, each
 * with and without matching in turns. `spans` makes `times` spans and nothing else.
 */
export interface Work {
  readonly kind: 'floor' | 'encode' | 'insert' | 'spans' | 'pairs';
  /** Also measures the time by stage. The profiler itself slows down the pass. */
  readonly profiled?: boolean;
  /** Number of spans to make; otherwise reads the input as one object that repeats it this many times. */
  readonly times?: number;
}

/** Duration of a pass over the input, in seconds. */
export interface Took {
  readonly wall: number;
  /** Processor time of the complete process, including the threads of the collector and the compiler. */
  readonly cpu: number;
  /** Processor time of the thread alone. */
  readonly threadCpu: number;
  readonly rows: number;
  readonly shares?: Readonly<Record<Stage, number>>;
  /** Of `pairs`: processor time of the thread by way. */
  readonly ways?: Readonly<Record<Way, number>>;
}

export interface Birth {
  readonly input: Input;
  readonly geoip: string;
  readonly clickhouseUrl?: string;
  /** Address of a collector; the thread then makes the spans of a worker and exports them. */
  readonly telemetryEndpoint?: string;
  /** Whether responses are searched for fingerprints; yes unless false. Threads that insert never search. */
  readonly matching?: boolean;
}

/** OONI's list, from this folder. */
const FINGERPRINTS = '../../fixtures/fingerprints/fingerprints_http.csv.gz';

const { input, geoip, clickhouseUrl, telemetryEndpoint = '', matching = true } = workerData as Birth;
const settings = loadSettings({ ARCHIVE_URL: input.root, ...(clickhouseUrl && { CLICKHOUSE_URL: clickhouseUrl }) });
const log = createLogger('bench', settings);
await startTracing({ telemetry_endpoint: telemetryEndpoint, installation: 'bench' }, 'bench', log);
const archive = new DirectoryArchive(input.root);
const ipMetadata = openIpMetadata(geoip);
const clickhouse = clickhouseUrl === undefined ? undefined : openClickHouse(settings);
const httpFingerprints = matching
  ? new HttpFingerprints(
      readFingerprints(gunzipSync(readFileSync(join(import.meta.dirname, FINGERPRINTS))), 'http').rows,
      'bench',
    )
  : undefined;
const files: ArchiveFile[] = [];
for await (const object of archive.list('')) files.push(parseKey(object) as ArchiveFile);
const stored = () => files.map(({ key }) => readFileSync(join(input.root, key)));
let unpacked: Buffer[] | undefined;

async function pass({ kind, times, profiled }: Work): Promise<Took> {
  if (kind === 'floor') unpacked ??= stored();
  let rows = 0;
  let ways: Record<Way, number> | undefined;
  const run = async () => {
    if (kind === 'floor') for (const object of unpacked!) floor(object);
    else if (kind === 'insert') rows = await insert();
    else if (kind === 'spans') await makeSpans(times ?? 0);
    else if (kind === 'pairs') ways = await inPairs();
    else if (times === undefined) rows = (await encode(archive, files, ipMetadata, httpFingerprints)).rows;
    else
      rows = (await encode(new EndlessArchive(stored(), times), files.slice(0, 1), ipMetadata, httpFingerprints)).rows;
  };
  const started = performance.now();
  const before = { all: process.cpuUsage(), thread: process.threadCpuUsage() };
  const shares = profiled ? await profile(run) : await run();
  const took = {
    wall: (performance.now() - started) / 1e3,
    cpu: secondsOf(process.cpuUsage(before.all)),
    threadCpu: secondsOf(process.threadCpuUsage(before.thread)),
  };
  return { ...took, rows, ...(shares && { shares }), ...(ways && { ways }) };
}

/** Unpacked bytes of a piece. Some hundred of documents, so that a batch remembers bodies as it does in a run. */
const PIECE_BYTES = 16 * 1024 * 1024;
let pieces: Buffer[] | undefined;

/** Returns the lines of the input in compressed pieces. */
function makePieces(): Buffer[] {
  const made: Buffer[] = [];
  for (const object of stored()) {
    const lines = gunzipSync(object);
    for (let start = 0; start < lines.length; ) {
      const newline = lines.indexOf(0x0a, Math.min(start + PIECE_BYTES, lines.length - 1));
      const end = newline < 0 ? lines.length : newline + 1;
      made.push(gzipSync(lines.subarray(start, end)));
      start = end;
    }
  }
  return made;
}

/** Encodes each piece in each way before the next piece, so that nothing that changes slowly comes between the ways. */
async function inPairs(): Promise<Record<Way, number>> {
  pieces ??= makePieces();
  const times: number[][] = [];
  for (const piece of pieces) {
    const ofPiece: number[] = [];
    for (const way of WAYS) {
      const fingerprints = way === 'with' ? httpFingerprints : undefined;
      const before = process.threadCpuUsage();
      await encode(new EndlessArchive([piece], 1), files.slice(0, 1), ipMetadata, fingerprints);
      ofPiece.push(secondsOf(process.threadCpuUsage(before)));
    }
    times.push(ofPiece);
  }
  return timesOf(times);
}

function secondsOf({ user, system }: NodeJS.CpuUsage): number {
  return (user + system) / 1e6;
}

/** Makes spans as an INSERT does. */
async function makeSpans(count: number): Promise<void> {
  for (let span = 0; span < count; span++) {
    await withSpan('insert obs_web', { 'ooni.rows': span, 'ooni.bytes': span }, async () => {});
  }
}

/** Runs with a new run each time, as a repeat of the bucket would. Returns the number of stored rows. */
async function insert(): Promise<number> {
  if (!clickhouse) throw new TypeError('no ClickHouse to insert into');
  const bucket = { bucket: BUCKET, filter: EVERYTHING, filterID: filterIDOf(EVERYTHING) };
  const origin = { workflowID: 'bench', runID: 'bench', backfill: '', codeVersion: '0', referenceVersions: {} };
  const { run, batches } = await planBucket({ archive, clickhouse, log, origin }, bucket, Date.now());
  const tools = {
    archive,
    clickhouse,
    ipMetadata,
    maxMeasurementBytes: settings.max_measurement_bytes,
    writeBatchSize: settings.clickhouse_write_batch_size,
  };
  let rows = 0;
  for (const batch of batches) {
    const counts = await withSpan('observe batch', {}, () => observeBatch(tools, { run, batch }));
    for (const count of Object.values(counts.rows)) rows += count;
  }
  return rows;
}

parentPort!.on('message', async (work: Work) => parentPort!.postMessage(await pass(work)));
parentPort!.postMessage('ready');
