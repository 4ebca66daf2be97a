import type { ArchiveFile } from '../archive/keys.ts';
import { addCounts, type Counts, noCounts } from '../counts.ts';
import { type FailureRecord, type FileRecord, type OpenedRun, recordFailures, recordFiles } from '../ledger/ledger.ts';
import type { RowBlock } from '../tables/block.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import type { RowEncoder } from '../tables/encoder.ts';
import { Inserter, type InserterOptions, type RefusedRow } from '../tables/inserter.ts';
import { OBSERVATION_TABLES } from '../tables/schema.ts';
import { claimUids, substituteUids } from '../tables/uids.ts';

/** A file whose measurements are not all stored yet. */
export interface OpenFile {
  readonly listed: ArchiveFile;
  readonly counts: Counts;
  readonly strays: string[];
  decompressed: number;
  truncated?: string;
}

/** Failures held in memory before they are written without waiting for the end of a file: a hostile file is nothing but failures. */
const MAX_FAILURES = 5000;

export interface BatchWriterOptions extends InserterOptions {
  readonly signal?: AbortSignal;
  /** Told when all files up to a key, itself included, are stored and recorded: with the counts of all of them. */
  readonly onCheckpoint: (key: string, counts: Counts) => void;
}

/** What one flush stores: its uids are claimed, then the rows, then the failures, then the record of the files that end with it. */
interface Flush {
  readonly blocks: readonly RowBlock[];
  readonly closed: readonly OpenFile[];
}

/**
 * Stores what a batch makes. While one flush is on its way the thread goes on with the next documents; a second one waits for the
 * first, so the rows of two are in memory at most, and what is recorded of a file comes after its rows.
 */
export class BatchWriter {
  /** What is stored and recorded. */
  readonly #done: Counts;
  readonly #clickhouse: ClickHouse;
  readonly #encoder: RowEncoder;
  readonly #run: OpenedRun;
  readonly #options: BatchWriterOptions;
  readonly #inserter: Inserter;
  /** Files that are not recorded yet, by key: refused rows are taken out of their counts. */
  readonly #files = new Map<string, OpenFile>();
  #closed: OpenFile[] = [];
  #unsavedBytes = 0;
  #failures: FailureRecord[] = [];
  #flushing: Promise<void> = Promise.resolve();

  /** @param done what an earlier attempt had stored and recorded */
  constructor(clickhouse: ClickHouse, encoder: RowEncoder, run: OpenedRun, done: Counts, options: BatchWriterOptions) {
    this.#clickhouse = clickhouse;
    this.#encoder = encoder;
    this.#run = run;
    this.#done = done;
    this.#options = options;
    this.#inserter = new Inserter(clickhouse, options);
  }

  /** Compressed bytes of the files closed since the last checkpoint was asked for. */
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

  /** Everything counted so far. */
  total(): Counts {
    const total = structuredClone(this.#done);
    for (const file of this.#files.values()) addCounts(total, file.counts);
    return total;
  }

  /** Whether so many failures wait that they should be flushed. */
  get isFull(): boolean {
    return this.#failures.length >= MAX_FAILURES;
  }

  /** Sends what waits. Returns when the flush before this one is stored; throws what that one threw. */
  async flush(): Promise<void> {
    await this.#begin([]);
  }

  /** Sends what waits and has the files recorded that are closed. Returns like `flush`; `onCheckpoint` tells when it is done. */
  async checkpoint(): Promise<void> {
    const closed = this.#closed;
    this.#closed = [];
    this.#unsavedBytes = 0;
    await this.#begin(closed);
  }

  /** Returns when everything sent is stored; throws when it could not be. */
  async drain(): Promise<void> {
    await this.#flushing;
  }

  /** Lets what is on its way come to its end, whatever that is: after this nothing is written any more. */
  async stop(): Promise<void> {
    await this.#flushing.catch(() => {});
  }

  async #begin(closed: readonly OpenFile[]): Promise<void> {
    await this.#flushing;
    const blocks = OBSERVATION_TABLES.flatMap(({ name }) => this.#encoder.take(name) ?? []);
    this.#flushing = this.#store({ blocks, closed });
    // Awaited by the next flush; until then a failure is nobody's, which would end the process.
    this.#flushing.catch(() => {});
  }

  async #store({ blocks, closed }: Flush): Promise<void> {
    const { signal, onCheckpoint } = this.#options;
    const failures = this.#failures;
    this.#failures = [];
    const spoilt = new Set<string>();
    const measurements = new Set(blocks.flatMap(block => block.measurements));
    const others = await claimUids(this.#clickhouse, [...measurements], signal);
    for (const block of blocks) {
      const { refused } = await this.#inserter.insert(substituteUids(block, others), signal);
      for (const row of refused) failures.push(this.#setAside(row, spoilt));
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

  /** A measurement that lacks a row counts as failed; its other rows are in. */
  #setAside(row: RefusedRow, spoilt: Set<string>): FailureRecord {
    const { key, line, uid, testName } = row.measurement;
    const { table, message } = row;
    const counts = this.#files.get(key)?.counts;
    if (counts) {
      counts.rows[table] = (counts.rows[table] ?? 0) - 1;
      if (!spoilt.has(`${key} ${line}`)) {
        counts.transformed--;
        counts.failed++;
      }
    }
    spoilt.add(`${key} ${line}`);
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
