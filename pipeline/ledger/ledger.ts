import { createHash } from 'node:crypto';
import type { Counts } from '../counts.ts';
import type { Filter } from '../filter.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { StatementError } from '../tables/errors.ts';
import { PIPELINE_FAILURES, PIPELINE_FILES, PIPELINE_RUNS } from '../tables/ledger-tables.ts';

export type RunStage = 'Observations' | 'Analysis';

/**
 * The states of a run's stage, in order. `inserted` means that all its rows are inserted and older rows may still exist. The index in this
 * list is the version by which ClickHouse keeps one row per run, so a late repetition of an earlier state has no effect.
 */
export const RUN_STATES = ['started', 'inserted', 'cancelled', 'failed', 'completed'] as const;
export type RunState = (typeof RUN_STATES)[number];

/** Reason of a run whose rows were lost with their table. Its revision is above all states, so no late record of the run hides it. */
export const TABLE_LOST = 'TableLost';

/** Identifies a run: the bucket, the filter, and the generation of its rows. */
export interface RunKey {
  readonly bucket: string;
  readonly filter: Filter;
  readonly filterID: string;
  readonly stage: RunStage;
  /** Milliseconds since 1970. */
  readonly generation: number;
}

/** A run that is recorded in the ledger. All its records have its generation. */
export interface OpenedRun extends RunKey {
  /** Time of its first record, by ClickHouse's clock: milliseconds since 1970. A run that ended before does not overlap it in time. */
  readonly openedAt: number;
}

/** The workflow, code and reference data of a run. */
export interface RunOrigin {
  readonly workflowID: string;
  /** Identifies the attempt to plan the run. A repeated attempt finds its own record by it. */
  readonly runID: string;
  readonly backfill: string;
  readonly codeVersion: string;
  /** Versions of reference data, by name. */
  readonly referenceVersions: Readonly<Record<string, string>>;
}

export interface RunOutcome {
  readonly state: RunState;
  readonly counts?: Counts;
  /** Number of rows in the tables with the run's generation, by table. */
  readonly rowsStored?: Readonly<Record<string, number>>;
  /** Error type of a failure. `message` is a sentence. */
  readonly reason?: string;
  readonly message?: string;
}

/** A run and its latest state in the ledger. */
export interface PastRun extends OpenedRun {
  readonly state: RunState;
  /** Reason of a failure, or of an end that the run did not record itself. */
  readonly reason: string;
  readonly runID: string;
  /** Time of its latest record, by ClickHouse's clock: milliseconds since 1970. */
  readonly recordedAt: number;
  /** Number of objects read. `bytes` is their compressed size. */
  readonly files: number;
  readonly bytes: number;
}

/** The ledger that records runs, and the origin of the runs. */
export interface RunRecorder {
  readonly clickhouse: ClickHouse;
  readonly origin: RunOrigin;
  readonly signal?: AbortSignal | undefined;
}

/** Records a state of a run. May be repeated. */
export async function recordRun(
  { clickhouse, origin, signal }: RunRecorder,
  run: OpenedRun,
  outcome: RunOutcome,
): Promise<void> {
  const {
    files = 0,
    bytes = 0,
    read = 0,
    transformed = 0,
    skipped = 0,
    failed = 0,
    unsupported = 0,
    rows = {},
  } = outcome.counts ?? {};
  const row = {
    bucket: run.bucket,
    filter: run.filterID,
    probe_cc: run.filter.probeCC,
    test_names: run.filter.testNames,
    stage: run.stage,
    generation: run.generation,
    state: outcome.state,
    revision: RUN_STATES.indexOf(outcome.state) + 1,
    ...{ files, bytes, read, transformed, skipped, failed, unsupported, rows },
    rows_stored: outcome.rowsStored ?? {},
    reason: outcome.reason ?? '',
    message: outcome.message?.slice(0, 2000) ?? '',
    workflow_id: origin.workflowID,
    run_id: origin.runID,
    backfill: origin.backfill,
    code_version: origin.codeVersion,
    reference_versions: origin.referenceVersions,
    opened_at: new Date(run.openedAt).toISOString(),
  };
  await clickhouse.insert(PIPELINE_RUNS.name, [row], { signal });
}

interface PastRunRow {
  readonly bucket: string;
  readonly filter: string;
  readonly probe_cc: string[];
  readonly test_names: string[];
  readonly stage: RunStage;
  readonly generation: number;
  readonly state: RunState;
  readonly reason: string;
  readonly run_id: string;
  readonly opened_ms: number;
  readonly recorded_ms: number;
  readonly files: number;
  readonly bytes: number;
}

/** ClickHouse's type of PastRunRow. */
const PAST_RUN_ROW =
  'Tuple(bucket String, filter String, probe_cc Array(String), test_names Array(String), stage String, generation UInt64, state String, reason String, run_id String, opened_ms Int64, recorded_ms Int64, files UInt64, bytes UInt64)';

/** Content of the ledger for some buckets at one moment. */
export interface LedgerRead {
  /** ClickHouse's clock, milliseconds since 1970. */
  readonly now: number;
  /** Runs over the buckets, under any filter, oldest generation first. */
  readonly runs: readonly PastRun[];
}

/** Reads the runs of some stages over the given buckets, and the clock, with one statement, because a statement costs more than its rows. */
export async function readLedger(
  clickhouse: ClickHouse,
  stages: readonly RunStage[],
  buckets: readonly string[],
  signal?: AbortSignal,
): Promise<LedgerRead> {
  return readLedgerAnd(clickhouse, { stages, buckets }, { sql: '0', params: {} }, signal);
}

/** Like `readLedger`, with the value of another expression: a number. Its parameters may not be `stages` and `buckets`. */
export async function readLedgerAnd(
  clickhouse: ClickHouse,
  { stages, buckets }: { readonly stages: readonly RunStage[]; readonly buckets: readonly string[] },
  other: { readonly sql: string; readonly params: Readonly<Record<string, unknown>> },
  signal?: AbortSignal,
): Promise<LedgerRead & { readonly other: number }> {
  const [read] = await clickhouse.select<{ now: number; other: number; runs: PastRunRow[] }>(
    `SELECT toUnixTimestamp64Milli(now64(3, 'UTC')) AS now, ${other.sql} AS other,
       groupArray(CAST((bucket, filter, probe_cc, test_names, stage, generation, state, reason, run_id,
         toUnixTimestamp64Milli(opened_at), toUnixTimestamp64Milli(recorded_at), files, bytes), '${PAST_RUN_ROW}')) AS runs
     FROM ${PIPELINE_RUNS.name} FINAL
     WHERE stage IN {stages:Array(String)} AND bucket IN {buckets:Array(String)}`,
    {
      params: { ...other.params, stages, buckets },
      settings: { output_format_json_named_tuples_as_objects: 1 },
      signal,
    },
  );
  if (!read) throw new StatementError('ClickHouse returned no row for the runs of a bucket');
  const runs = read.runs.map(row => ({
    bucket: row.bucket,
    filter: { probeCC: row.probe_cc, testNames: row.test_names },
    filterID: row.filter,
    stage: row.stage,
    generation: row.generation,
    state: row.state,
    reason: row.reason,
    runID: row.run_id,
    openedAt: row.opened_ms,
    recordedAt: row.recorded_ms,
    files: row.files,
    bytes: row.bytes,
  }));
  runs.sort((a, b) => a.generation - b.generation || (a.filterID < b.filterID ? -1 : 1));
  return { now: read.now, other: read.other, runs };
}

/** Returns all runs of a stage over the given buckets, under any filter, oldest generation first. */
export async function pastRuns(
  clickhouse: ClickHouse,
  stage: RunStage,
  buckets: readonly string[],
  signal?: AbortSignal,
): Promise<readonly PastRun[]> {
  return (await readLedger(clickhouse, [stage], buckets, signal)).runs;
}

/**
 * Opens a run: chooses its generation and records it as started before any of its rows is written. The generation is `startedAt`, or a later
 * time if the ledger has a run over the same measurements that is as new (the clocks of servers differ). A repeated call with the same
 * `runID` returns the same generation, so a lost answer has no effect.
 *
 * @param buckets the buckets whose rows the run may replace, including its own
 * @param startedAt milliseconds since 1970
 */
export async function openRun(
  recorder: RunRecorder,
  run: Omit<RunKey, 'generation'>,
  buckets: readonly string[],
  startedAt: number,
): Promise<OpenedRun> {
  const ledger = await readLedger(recorder.clickhouse, [run.stage], buckets, recorder.signal);
  return (await openRunAmong(recorder, run, ledger, startedAt)).run;
}

/** Like `openRun`, with a ledger that was just read. Also returns the other runs of the stage over these buckets. */
export async function openRunAmong(
  recorder: RunRecorder,
  run: Omit<RunKey, 'generation'>,
  { now: openedAt, runs }: LedgerRead,
  startedAt: number,
): Promise<{ readonly run: OpenedRun; readonly others: readonly PastRun[] }> {
  const { origin } = recorder;
  const own = (each: PastRun) =>
    each.runID === origin.runID && each.bucket === run.bucket && each.filterID === run.filterID;
  const past = runs.filter(({ stage }) => stage === run.stage);
  const others = past.filter(each => !own(each));
  const known = past.find(own);
  if (known) return { run: { ...run, generation: known.generation, openedAt: known.openedAt }, others };
  const generation = past.reduce((newest, each) => Math.max(newest, each.generation + 1), startedAt);
  const opened = { ...run, generation, openedAt };
  await recordRun(recorder, opened, { state: 'started' });
  return { run: opened, others };
}

/**
 * Records the end of a run that did not record its own end. The origin of the run stays as recorded. May be repeated. A later record by the
 * run itself replaces this one if its state is higher in RUN_STATES.
 */
export async function recordEndOf(
  clickhouse: ClickHouse,
  run: RunKey,
  outcome: { readonly state: 'cancelled' | 'failed'; readonly reason: string; readonly message: string },
  signal?: AbortSignal,
): Promise<void> {
  const { bucket, filterID, stage, generation } = run;
  await clickhouse.command(
    `INSERT INTO ${PIPELINE_RUNS.name}
     SELECT * REPLACE ({state:String} AS state, {revision:UInt8} AS revision, {reason:String} AS reason, {message:String} AS message, now64(3, 'UTC') AS recorded_at)
     FROM ${PIPELINE_RUNS.name} AS runs FINAL
     WHERE bucket = {bucket:String} AND filter = {filterID:String} AND stage = {stage:String} AND generation = {generation:UInt64}
       AND runs.revision < {revision:UInt8}`,
    {
      params: { bucket, filterID, stage, generation, revision: RUN_STATES.indexOf(outcome.state) + 1, ...outcome },
      signal,
    },
  );
}

/** Returns the time of ClickHouse's clock, which stamps the ledger: milliseconds since 1970. */
export async function ledgerTime(clickhouse: ClickHouse, signal?: AbortSignal): Promise<number> {
  const [row] = await clickhouse.select<{ now: number }>("SELECT toUnixTimestamp64Milli(now64(3, 'UTC')) AS now", {
    signal,
  });
  if (!row) throw new StatementError('ClickHouse returned no row for its time');
  return row.now;
}

/** The result of reading one object in one run. */
export interface FileRecord {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
  /** `truncated`: the readable part is stored, and `message` says where reading stopped. */
  readonly state: 'read' | 'truncated';
  readonly message: string;
  /** Decompressed bytes. */
  readonly decompressed: number;
  readonly counts: Counts;
  /**
   * Uids of measurements whose country, test or upload hour differs from their key. A run with a narrower filter finds the rows to replace by
   * the columns of the rows, and must keep the rows of these measurements.
   */
  readonly strays: readonly string[];
}

/** Records files of a run. May be repeated. */
export async function recordFiles(
  clickhouse: ClickHouse,
  run: RunKey,
  files: readonly FileRecord[],
  signal?: AbortSignal,
): Promise<void> {
  const rows = files.map(file => ({
    bucket: run.bucket,
    key: file.key,
    generation: run.generation,
    filter: run.filterID,
    size: file.size,
    etag: file.etag,
    state: file.state,
    message: file.message,
    decompressed: file.decompressed,
    read: file.counts.read,
    transformed: file.counts.transformed,
    skipped: file.counts.skipped,
    failed: file.counts.failed,
    unsupported: file.counts.unsupported,
    rows: file.counts.rows,
    strays: file.strays,
  }));
  await clickhouse.insert(PIPELINE_FILES.name, rows, { signal });
}

/** Sums over the files that are recorded for a run. */
export interface RecordedFiles {
  readonly files: number;
  /** Number of measurements. */
  readonly read: number;
  /** Number of damaged files from which no measurement could be read. */
  readonly unreadable: number;
}

/** Sums up the recorded files of a run. Each file counts once. */
export async function recordedFiles(clickhouse: ClickHouse, run: RunKey, signal?: AbortSignal): Promise<RecordedFiles> {
  const { bucket, generation, filterID } = run;
  const [sums] = await clickhouse.select<RecordedFiles>(
    `SELECT count() AS files, sum(files.read) AS read, countIf(files.state = 'truncated' AND files.read = 0) AS unreadable
     FROM ${PIPELINE_FILES.name} AS files FINAL
     WHERE bucket = {bucket:String} AND generation = {generation:UInt64} AND filter = {filterID:String}`,
    { params: { bucket, generation, filterID }, signal },
  );
  if (!sums) throw new StatementError('ClickHouse returned no row for the files of a run');
  return sums;
}

/** A measurement, or one of its rows, that is not in the tables. */
export interface FailureRecord {
  readonly key: string;
  /** 1-based; 0 if the failure concerns the whole object. */
  readonly line: number;
  /** Step that failed: list, read, decode, transform, encode, insert. */
  readonly stage: string;
  /** Table of a row that ClickHouse refused. `row` is its position among the measurement's rows. */
  readonly table?: string;
  readonly row?: number;
  readonly uid?: string;
  readonly testName?: string;
  readonly class: string;
  readonly message: string;
}

/** Records failures of a run. May be repeated. */
export async function recordFailures(
  clickhouse: ClickHouse,
  run: RunKey,
  failures: readonly FailureRecord[],
  signal?: AbortSignal,
): Promise<void> {
  const rows = failures.map(failure => ({
    bucket: run.bucket,
    key: failure.key,
    line: failure.line,
    generation: run.generation,
    stage: failure.stage,
    table: failure.table ?? '',
    row: failure.row ?? 0,
    measurement_uid: failure.uid ?? '',
    test_name: failure.testName ?? '',
    class: failure.class,
    message: wellFormed(failure.message),
  }));
  await clickhouse.insert(PIPELINE_FAILURES.name, rows, { signal });
}

/** Shortens a message and removes lone surrogates. Messages quote hostile input; JSON can carry lone surrogates but ClickHouse refuses them. */
function wellFormed(message: string): string {
  return message.slice(0, 1000).toWellFormed();
}

/** Returns a short, stable name of an attempt of a run, for `runID`. */
export function attemptID(workflowRunID: string, plan: number): string {
  return createHash('sha256').update(`${workflowRunID}/${plan}`).digest('hex').slice(0, 32);
}
