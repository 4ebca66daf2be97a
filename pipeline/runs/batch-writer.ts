import type { ArchiveFile } from '../archive/keys.ts';
import { addCounts, type Counts, noCounts } from '../counts.ts';
import { type FailureRecord, type FileRecord, type OpenedRun, recordFailures, recordFiles } from '../ledger/ledger.ts';
import type { RowBlock } from '../tables/block.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import type { RowEncoder } from '../tables/encoder.ts';
import { Inserter, type InserterOptions, type RefusedRow } from '../tables/inserter.ts';
import { OBSERVATION_TABLES } from '../tables/schema.ts';
import { claimUids, substituteUids } from '../tables/uids.ts';
import { withSpan } from '../telemetry/spans.ts';

/** A file whose measurements are not all stored. */
export interface OpenFile {
  readonly listed: ArchiveFile;
  readonly counts: Counts;
  readonly strays: string[];
  decompressed: number;
  truncated?: string;
}

/** Number of failures in memory that starts a flush before the end of a file. A hostile file can consist of failures only. */
const MAX_FAILURES = 5000;

export interface BatchWriterOptions extends InserterOptions {
  readonly signal?: AbortSignal;
  /** Receives the seconds of each block's INSERTs, with retries, also of a block that failed. */
  readonly onInserted?: (seconds: number) => void;
  /** Called when all files up to and including a key are stored and recorded, with the counts of all of them. */
  readonly onCheckpoint: (key: string, counts: Counts) => void;
}

/** The batch that is written. */
interface WrittenBatch {
  readonly clickhouse: ClickHouse;
  /** Holds the rows until they are sent. */
  readonly encoder: RowEncoder;
  readonly run: OpenedRun;
  /** Counts that an earlier attempt has stored and recorded. */
  readonly done: Counts;
}

/** The content of one flush, which stores in this order: claims of uids, rows, failures, and the records of the files that end with it. */
interface Flush {
  readonly blocks: readonly RowBlock[];
  readonly closed: readonly OpenFile[];
}

/**
 * Stores the rows and failures of a batch. During one flush the thread continues with the next documents. A second flush waits for the first,
 * so memory holds the rows of at most two, and a file is recorded after its rows are stored.
 */
export class BatchWriter {
  /** Counts of the files that are stored and recorded. */
  readonly #done: Counts;
  readonly #clickhouse: ClickHouse;
  readonly #encoder: RowEncoder;
  readonly #run: OpenedRun;
  readonly #options: BatchWriterOptions;
  readonly #inserter: Inserter;
  /** Files that are not recorded yet, by key. Refused rows are subtracted from their counts. */
  readonly #files = new Map<string, OpenFile>();
  #closed: OpenFile[] = [];
  #unsavedBytes = 0;
  #failures: FailureRecord[] = [];
  #flushing: Promise<void> = Promise.resolve();

  constructor({ clickhouse, encoder, run, done }: WrittenBatch, options: BatchWriterOptions) {
    this.#clickhouse = clickhouse;
    this.#encoder = encoder;
    this.#run = run;
    this.#done = done;
    this.#options = options;
    this.#inserter = new Inserter(clickhouse, options);
  }

  /** Compressed bytes of the files closed since the last checkpoint was requested. */
  get unsavedBytes(): number {
    return this.#unsavedBytes;
  }

  openFile(listed: ArchiveFile): OpenFile {
    const file: OpenFile = { listed, counts: noCounts(), strays: [], decompressed: 0 };
    this.#files.set(listed.key, file);
    return file;
  }

  closeFile(file: OpenFile): void {
    this.#closed.push(file);
    this.#unsavedBytes += file.counts.bytes;
  }

  fail(failure: FailureRecord): void {
    this.#failures.push(failure);
  }

  /** Returns the counts of everything so far. */
  total(): Counts {
    const total = structuredClone(this.#done);
    for (const file of this.#files.values()) addCounts(total, file.counts);
    return total;
  }

  /** Whether the number of failures in memory requires a flush. */
  get isFull(): boolean {
    return this.#failures.length >= MAX_FAILURES;
  }

  /** Starts a flush of the rows and failures in memory. Returns when the previous flush is stored; throws the error of the previous flush. */
  async flush(): Promise<void> {
    await this.#begin([]);
  }

  /** Like `flush`, and also records the closed files. `onCheckpoint` is called when this is done. */
  async checkpoint(): Promise<void> {
    const closed = this.#closed;
    this.#closed = [];
    this.#unsavedBytes = 0;
    await this.#begin(closed);
  }

  /** Waits until the current flush is stored. Throws its error. */
  async drain(): Promise<void> {
    await this.#flushing;
  }

  /** Waits for the end of the current flush, whether it succeeds or fails. Nothing is written afterwards. */
  async stop(): Promise<void> {
    await this.#flushing.catch(() => {});
  }

  async #begin(closed: readonly OpenFile[]): Promise<void> {
    await this.#flushing;
    const blocks = OBSERVATION_TABLES.flatMap(({ name }) => this.#encoder.take(name) ?? []);
    this.#flushing = this.#store({ blocks, closed });
    // The next flush awaits it. Without a handler until then, a failure would end the process.
    this.#flushing.catch(() => {});
  }

  async #store({ blocks, closed }: Flush): Promise<void> {
    const { signal, onCheckpoint } = this.#options;
    const failures = this.#failures;
    this.#failures = [];
    const broken = new Set<string>();
    const measurements = new Set(blocks.flatMap(block => block.measurements));
    const others = await claimUids(this.#clickhouse, [...measurements], signal);
    for (const block of blocks) {
      const start = performance.now();
      const size = { 'ooni.rows': block.rows, 'ooni.bytes': block.bytes.length };
      const { refused } = await withSpan(`insert ${block.table}`, size, () =>
        this.#inserter.insert(substituteUids(block, others), signal),
      ).finally(() => this.#options.onInserted?.((performance.now() - start) / 1000));
      for (const row of refused) failures.push(this.#setAside(row, broken));
    }
    await recordFailures(this.#clickhouse, this.#run, failures, signal);
    const last = closed.at(-1);
    if (!last) return;
    await recordFiles(this.#clickhouse, this.#run, closed.map(record), signal);
    for (const file of closed) {
      this.#files.delete(file.listed.key);
      addCounts(this.#done, file.counts);
    }
    onCheckpoint(last.listed.key, structuredClone(this.#done));
  }

  /** Counts a measurement that lacks a row as failed. Its other rows are stored. */
  #setAside(row: RefusedRow, broken: Set<string>): FailureRecord {
    const { key, line, uid, testName } = row.measurement;
    const { table, message } = row;
    const counts = this.#files.get(key)?.counts;
    if (counts) {
      counts.rows[table] = (counts.rows[table] ?? 0) - 1;
      if (!broken.has(`${key} ${line}`)) {
        counts.transformed--;
        counts.failed++;
      }
    }
    broken.add(`${key} ${line}`);
    return { key, line, stage: 'insert', table, row: row.row, uid, testName, class: 'RowRefused', message };
  }
}

function record({ listed, counts, strays, decompressed, truncated }: OpenFile): FileRecord {
  const state = truncated === undefined ? 'read' : 'truncated';
  return {
    key: listed.key,
    size: listed.size,
    etag: listed.etag,
    state,
    message: truncated ?? '',
    decompressed,
    counts,
    strays,
  };
}
