import type { Archive } from '../archive/archive.ts';
import type { ArchiveFile, BadKey } from '../archive/keys.ts';
import { listBucket } from '../archive/listing.ts';
import { granularityOf, nextBucket } from '../bucket.ts';
import { addsUp, type Counts, counted, sumCounts } from '../counts.ts';
import {
  auditFailures,
  auditFiles,
  auditRepetitions,
  auditRows,
  auditRuns,
  type FailureAudit,
  type FileAudit,
  type RowsAudit,
  type RunAudit,
} from '../ledger/audit.ts';
import { readHistory } from '../ledger/history.ts';
import { pastRuns } from '../ledger/ledger.ts';
import { covers, overlappingBuckets } from '../ledger/replaced-rows.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { OBSERVATION_TABLES, type ObservationTable } from '../tables/schema.ts';
import { findMissingRows } from './missing-rows.ts';
import type { BucketKey } from './observations.ts';

/** The problems that `verifyBucket` reports, each with its meaning. */
export const PROBLEMS = {
  NotCompleted: 'no run of the bucket under this filter was completed',
  NewerRun: 'a newer run started and did not complete, so the tables have rows of two runs',
  NotAnalysed: 'no analysis was completed after the observations, so the verdicts do not belong to the rows',
  FileNotRead: 'an object of the archive was not read by the run',
  FileChanged: 'an object differs in size or ETag from the one that was read',
  FileGone: 'an object that was read is no longer in the archive; its rows are still in the tables',
  KeyNotRecorded: 'an object whose key has no known form is not in pipeline_failures',
  CountsDoNotAddUp: 'read differs from transformed + skipped + failed + unsupported',
  FilesAndRunDiffer: 'the sum of the counts of the objects differs from the counts of the run',
  FailuresDiffer: 'the number of measurements in pipeline_failures differs from the number counted as failed',
  RowsMissing: 'rows that the ledger counts are not in the table',
  RowsTooMany: 'the table has rows of the run that the ledger does not count',
  RowsTwice: 'the table has rows twice; only FINAL hides the copies',
  MeasurementTwice: 'measurements have rows of this run and of another run',
  OlderRows: 'the table has rows of an older run, which this run should have replaced',
  UnknownRows: 'the table has rows of a run that is not in the ledger',
} as const;
export type ProblemName = keyof typeof PROBLEMS;

/** One problem of a bucket. */
export interface Problem {
  readonly problem: ProblemName;
  /** The object concerned. */
  readonly key?: string;
  readonly table?: ObservationTable;
  /** A sentence with the figures. */
  readonly message: string;
}

/** The result of verifying one bucket under one filter. */
export interface Verification {
  readonly bucket: string;
  readonly filter: string;
  /** Generation of the verified run: the newest completed run, or else the newest that failed after its last batch. */
  readonly generation?: number;
  /** Number of objects in the archive. `measurements` is the number that the verified run has read. */
  readonly files: number;
  readonly measurements: number;
  /** By table: the number of rows that the ledger counts, and the number of rows of the run in the table. */
  readonly rows: Readonly<Partial<Record<ObservationTable, { counted: number; stored: number }>>>;
  /** The problems found; empty if the bucket is correct. */
  readonly problems: readonly Problem[];
}

export interface VerifyTools {
  readonly archive: Archive;
  readonly clickhouse: ClickHouse;
  readonly maxMeasurementBytes: number;
}

/**
 * Checks a bucket's ledger against the archive and against the tables, and returns what is missing or superfluous, by key where possible. For
 * a day that was run in hours, it returns one result per hour. It reads objects again only if a table does not have the number of rows that
 * was counted, to separate measurements that lack rows from those that are in several objects. Writes nothing. Throws ArchiveErrors and
 * TableErrors.
 */
export async function verifyBucket(tools: VerifyTools, key: BucketKey, signal?: AbortSignal): Promise<Verification[]> {
  const { clickhouse } = tools;
  const isDay = granularityOf(key.bucket) === 'Day';
  const runs = await auditRuns(clickhouse, overlappingBuckets(key.bucket), key.filterID, signal);
  const own = runs.filter(({ bucket }) => bucket === key.bucket);
  if (own.length > 0 || !isDay || runs.length === 0) {
    const hint = own.length === 0 ? await whereElse(clickhouse, key, signal) : '';
    return [await verifyRun(tools, key, { runs: own, hint }, signal)];
  }
  const hours: Verification[] = [];
  for (const bucket of overlappingBuckets(key.bucket).slice(1)) {
    const hour = runs.filter(run => run.bucket === bucket);
    const verified = await verifyRun(tools, { ...key, bucket }, { runs: hour, hint: '' }, signal);
    if (hour.length > 0 || verified.files > 0) hours.push(verified);
  }
  return hours;
}

/** Runs of a bucket in the ledger, newest first. */
interface RecordedRuns {
  readonly runs: readonly RunAudit[];
  /** Continues the message about a bucket that was not run: where else its measurements may have been run. Empty if nowhere. */
  readonly hint: string;
}

async function verifyRun(
  tools: VerifyTools,
  key: BucketKey,
  { runs, hint }: RecordedRuns,
  signal?: AbortSignal,
): Promise<Verification> {
  const { archive, clickhouse } = tools;
  const { bucket, filter, filterID } = key;
  const problems: Problem[] = [];
  const bad: BadKey[] = [];
  const listed = new Map<string, ArchiveFile>();
  const onBadKey = (each: BadKey) => bad.push(each);
  for await (const file of listBucket(archive, bucket, filter, { signal, onBadKey })) listed.set(file.key, file);
  if (listed.size === 0) await archive.check({ signal });

  const completed = runs.find(({ state }) => state === 'completed');
  const run = completed ?? runs.find(({ state, reason }) => state === 'failed' && reason === 'TooManyFailures');
  // A bucket that was never run and has no objects is correct.
  const nothing = runs.length === 0 && listed.size === 0 && bad.length === 0;
  if (!completed && !nothing)
    problems.push({ problem: 'NotCompleted', message: notCompleted(listed.size, runs[0], hint) });
  const found = { bucket, filter: filterID, files: listed.size };
  if (!run) return { ...found, measurements: 0, rows: {}, problems };
  for (const newer of runs.filter(({ generation }) => generation > run.generation)) {
    problems.push({
      problem: 'NewerRun',
      message: `the run of ${timeOf(newer)} ${stateOf(newer)}; run the bucket again`,
    });
  }

  if (completed && (await isHalfAnalysed(clickhouse, key, signal))) {
    problems.push({
      problem: 'NotAnalysed',
      message: `no analysis was completed since the run of ${timeOf(run)}; run the bucket again`,
    });
  }

  const files = await auditFiles(clickhouse, run, filterID, signal);
  const failures = await auditFailures(clickhouse, run, signal);
  problems.push(
    ...compareFiles(listed, files),
    ...bad
      .filter(each => !failures.get(each.key)?.object)
      .map(each => ({ problem: 'KeyNotRecorded' as const, key: each.key, message: each.reason })),
    ...checkCounts(run, files, failures),
  );
  const all = await auditRows(clickhouse, bucket, signal);
  const rows = compareRows(run, files, all);
  const examined = { tools, key, run, signal };
  problems.push(...(await explainRows(examined, listed, files, rows)));
  problems.push(...(await checkOthers(examined, all)));
  return {
    ...found,
    generation: run.generation,
    measurements: run.counts.read,
    rows: Object.fromEntries(
      [...rows].flatMap(([table, { expected, distinct }]) =>
        expected || distinct ? [[table, { counted: expected, stored: distinct }]] : [],
      ),
    ),
    problems,
  };
}

/** Returns whether a bucket has analysis runs, but its observations have no completed analysis. */
async function isHalfAnalysed(clickhouse: ClickHouse, key: BucketKey, signal?: AbortSignal): Promise<boolean> {
  const { bucket, filter, filterID } = key;
  const query = {
    filter,
    filterID,
    stages: ['Observations', 'Analysis'] as const,
    from: bucket,
    before: nextBucket(bucket),
  };
  const { begun, pending } = (await readHistory(clickhouse, query, signal)).of(bucket);
  return begun.includes('Analysis') && pending.includes('Analysis');
}

/** Returns a hint if the bucket was run under another filter or in another size. */
async function whereElse(clickhouse: ClickHouse, { bucket, filter }: BucketKey, signal?: AbortSignal): Promise<string> {
  const past = await pastRuns(clickhouse, 'Observations', overlappingBuckets(bucket), signal);
  const other = past.findLast(run => run.state === 'completed' && covers(run.filter, filter));
  return other ? `, but ${other.bucket} was run under ${other.filterID}; verify it under that filter` : '';
}

function notCompleted(files: number, newest: RunAudit | undefined, hint: string): string {
  if (!newest) return `it was never run under this filter; the archive has ${counted(files, 'object')} of it${hint}`;
  return `its newest run, of ${timeOf(newest)}, ${stateOf(newest)}`;
}

function timeOf({ generation }: Pick<RunAudit, 'generation'>): string {
  return new Date(generation).toISOString();
}

function stateOf({ state, reason, message }: RunAudit): string {
  if (state === 'started' || state === 'inserted') return 'is active, or ended without a record';
  return `${state === 'completed' ? 'was completed' : state === 'failed' ? 'failed' : 'was cancelled'}${reason && `: ${reason}: ${message}`}`;
}

function compareFiles(listed: ReadonlyMap<string, ArchiveFile>, files: ReadonlyMap<string, FileAudit>): Problem[] {
  const problems: Problem[] = [];
  for (const { key, size, etag } of listed.values()) {
    const read = files.get(key);
    if (!read) {
      problems.push({ problem: 'FileNotRead', key, message: `${size} bytes in the archive, not in pipeline_files` });
    } else if (read.size !== size || read.etag !== etag) {
      const was = `${read.size} bytes, ETag ${read.etag}`;
      problems.push({
        problem: 'FileChanged',
        key,
        message: `read: ${was}; in the archive: ${size} bytes, ETag ${etag}`,
      });
    }
  }
  for (const { key, counts } of files.values()) {
    if (listed.has(key)) continue;
    problems.push({
      problem: 'FileGone',
      key,
      message: `${counted(counts.read, 'measurement')} of it are in the ledger`,
    });
  }
  return problems;
}

const COUNTERS = ['files', 'read', 'transformed', 'skipped', 'failed', 'unsupported'] as const;

function checkCounts(
  run: RunAudit,
  files: ReadonlyMap<string, FileAudit>,
  failures: ReadonlyMap<string, FailureAudit>,
): Problem[] {
  const problems: Problem[] = [];
  const sum = sumCounts([...files.values()].map(({ counts }) => counts));
  if (!addsUp(run.counts))
    problems.push({ problem: 'CountsDoNotAddUp', message: `the run: ${countsText(run.counts)}` });
  const differ: [string, number, number][] = COUNTERS.map(name => [name, run.counts[name], sum[name]]);
  for (const { name } of OBSERVATION_TABLES) {
    differ.push([`rows of ${name}`, run.counts.rows[name] ?? 0, sum.rows[name] ?? 0]);
  }
  for (const [what, ofRun, ofFiles] of differ) {
    if (ofRun !== ofFiles) {
      problems.push({
        problem: 'FilesAndRunDiffer',
        message: `${what}: the run ${ofRun}, its files together ${ofFiles}`,
      });
    }
  }
  for (const { key, counts } of files.values()) {
    if (!addsUp(counts)) problems.push({ problem: 'CountsDoNotAddUp', key, message: countsText(counts) });
    const recorded = failures.get(key)?.failed ?? 0;
    if (recorded !== counts.failed) {
      const message = `${counted(counts.failed, 'measurement')} failed, pipeline_failures has ${recorded}`;
      problems.push({ problem: 'FailuresDiffer', key, message });
    }
  }
  for (const [key, { failed }] of failures) {
    if (files.has(key) || failed === 0) continue;
    const message = `pipeline_failures has ${counted(failed, 'measurement')} of an object that the run did not read`;
    problems.push({ problem: 'FailuresDiffer', key, message });
  }
  return problems;
}

function countsText({ read, transformed, skipped, failed, unsupported }: Counts): string {
  return `${read} read, ${transformed} transformed, ${skipped} skipped, ${failed} failed, ${unsupported} unsupported`;
}

interface ComparedRows {
  /** Number of rows that the ledger counts. */
  readonly expected: number;
  readonly rows: number;
  readonly distinct: number;
}

function compareRows(
  run: RunAudit,
  files: ReadonlyMap<string, FileAudit>,
  all: readonly RowsAudit[],
): Map<ObservationTable, ComparedRows> {
  const sum = sumCounts([...files.values()].map(({ counts }) => counts));
  return new Map(
    OBSERVATION_TABLES.map(({ name }) => {
      const own = all.find(each => each.table === name && isOwn(run, each));
      return [name, { expected: sum.rows[name] ?? 0, rows: own?.rows ?? 0, distinct: own?.distinct ?? 0 }];
    }),
  );
}

function isOwn(run: RunAudit, rows: RowsAudit): boolean {
  return rows.bucket === run.bucket && rows.generation === run.generation;
}

/** A run whose rows are verified. */
interface ExaminedRun {
  readonly tools: VerifyTools;
  readonly key: BucketKey;
  readonly run: RunAudit;
  readonly signal: AbortSignal | undefined;
}

/** Reports rows that are there twice. Where the number of rows differs from the count, reads the objects again to find the cause. */
async function explainRows(
  examined: ExaminedRun,
  listed: ReadonlyMap<string, ArchiveFile>,
  files: ReadonlyMap<string, FileAudit>,
  compared: ReadonlyMap<ObservationTable, ComparedRows>,
): Promise<Problem[]> {
  const { tools, key, run, signal } = examined;
  const problems: Problem[] = [];
  for (const [table, { rows, distinct }] of compared) {
    if (rows === distinct) continue;
    problems.push({ problem: 'RowsTwice', table, message: `${counted(rows - distinct, 'row')} of ${distinct} twice` });
  }
  const short = [...compared].filter(([, { expected, distinct }]) => distinct < expected);
  const long = [...compared].filter(([, { expected, distinct }]) => distinct > expected);
  if (short.length === 0 && long.length === 0) return problems;

  const uids = new Set<string>();
  // Objects that changed or were added since the run do not show which rows the run should have made.
  const asRead = [...listed.values()].filter(file => files.get(file.key)?.etag === file.etag);
  const opened = { ...key, generation: run.generation };
  const missing = await findMissingRows({ ...tools, signal }, opened, asRead, uid => uids.add(uid));
  for (const { key, table, rows, measurements, example } of missing) {
    const message = `${counted(rows, 'row')} of ${counted(measurements, 'measurement')} missing, such as ${example}`;
    problems.push({ problem: 'RowsMissing', key, table, message });
  }
  for (const [table, { expected, distinct }] of long) {
    const unknown = await unknownMeasurements(examined, table, uids);
    const of = unknown.length > 0 ? `; of measurements that are in no object: ${unknown.slice(0, 3).join(', ')}` : '';
    problems.push({ problem: 'RowsTooMany', table, message: `${counted(distinct, 'row')}, ${expected} counted${of}` });
  }
  return problems;
}

/** Returns the measurements that have rows of a run but are in none of its objects. */
async function unknownMeasurements(
  { tools, run, signal }: ExaminedRun,
  table: ObservationTable,
  uids: ReadonlySet<string>,
): Promise<string[]> {
  const rows = await tools.clickhouse.select<{ uid: string }>(
    `SELECT DISTINCT measurement_uid AS uid FROM ${table} WHERE bucket_date = {bucket:String} AND run_generation = {generation:UInt64}`,
    { params: { bucket: run.bucket, generation: run.generation }, signal },
  );
  return rows.map(({ uid }) => uid).filter(uid => !uids.has(uid));
}

/** Reports rows of other runs over the same measurements. Rows of other filters and of hours are correct. */
async function checkOthers({ tools, key, run, signal }: ExaminedRun, all: readonly RowsAudit[]): Promise<Problem[]> {
  const { clickhouse } = tools;
  const problems: Problem[] = [];
  for (const { table, measurements, example } of await auditRepetitions(clickhouse, run, signal)) {
    const message = `${counted(measurements, 'measurement')}, such as ${example}`;
    problems.push({ problem: 'MeasurementTwice', table, message });
  }
  const past = await pastRuns(clickhouse, 'Observations', overlappingBuckets(key.bucket), signal);
  const everything = key.filter.probeCC.length === 0 && key.filter.testNames.length === 0;
  for (const group of all) {
    if (isOwn(run, group) || group.bucket !== key.bucket) continue;
    const { table, rows, generation } = group;
    const writers = past.filter(each => each.bucket === group.bucket && each.generation === generation);
    const of = `${counted(rows, 'row')} of generation ${generation}`;
    if (writers.length === 0) {
      if (everything)
        problems.push({ problem: 'UnknownRows', table, message: `${of}, which no run of the ledger has` });
    } else if (generation < run.generation && writers.some(({ filterID }) => filterID === key.filterID)) {
      problems.push({
        problem: 'OlderRows',
        table,
        message: `${of}, which the run of ${timeOf(run)} should have replaced`,
      });
    }
  }
  return problems;
}
