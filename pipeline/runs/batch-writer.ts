import type { ArchiveFile } from '../archive/keys.ts';
import { addCounts, type Counts, noCounts } from '../counts.ts';
import type { RowBlock } from '../tables/block.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import type { RowEncoder } from '../tables/encoder.ts';
import { Inserter, type InserterOptions, type RefusedRow } from '../tables/inserter.ts';
import { type FailureRecord, type FileRecord, type OpenedRun, recordFailures, recordFiles } from '../tables/ledger.ts';
import { OBSERVATION_TABLES } from '../tables/schema.ts';

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

/**
 * Stores what a batch makes: rows by the Inserter, then the failures and the files they are from. While one flush is on its way the
 * thread goes on with the next documents; a second flush waits for the first, so two are in memory at most.
 */
export class BatchWriter {
  readonly #clickhouse: ClickHouse;
  readonly #encoder: RowEncoder;
  readonly #run: OpenedRun;
  readonly #inserter: Inserter;
  readonly #signal: AbortSignal | undefined;
  /** Files since the last checkpoint, by key: refused rows are taken out of their counts. */
  readonly #files = new Map<string, OpenFile>();
  #closed: OpenFile[] = [];
  #failures: FailureRecord[] = [];
  #flushing: Promise<void> = Promise.resolve();

  constructor(
    clickhouse: ClickHouse,
    encoder: RowEncoder,
    run: OpenedRun,
    options: InserterOptions,
    signal?: AbortSignal,
  ) {
    this.#clickhouse = clickhouse;
    this.#encoder = encoder;
    this.#run = run;
    this.#inserter = new Inserter(clickhouse, options);
    this.#signal = signal;
  }

  /** Compressed bytes of the files closed since the last checkpoint. */
  get unsavedBytes(): number {
    return this.#closed.reduce((sum, file) => sum + file.counts.bytes, 0);
  }

  openFile(listed: ArchiveFile): OpenFile {
    const file: OpenFile = { listed, counts: noCounts(), strays: [], decompressed: 0 };
    this.#files.set(listed.key, file);
    return file;
  }

  closeFile(file: OpenFile): void {
    this.#closed.push(file);
  }

  fail(failure: FailureRecord): void {
    this.#failures.push(failure);
  }

  /** `done` and what has been counted since the last checkpoint. */
  total(done: Counts): Counts {
    const total = structuredClone(done);
    for (const file of this.#files.values()) addCounts(total, file.counts);
    return total;
  }

  /** Sends the rows that wait. Returns when the flush before this one is stored; throws what it threw. */
  async flush(): Promise<void> {
    const blocks = OBSERVATION_TABLES.flatMap(({ name }) => this.#encoder.take(name) ?? []);
    await this.#flushing;
    this.#flushing = this.#store(blocks);
    // Awaited by the next flush; until then a failure is nobody's, which would end the process.
    this.#flushing.catch(() => {});
    if (this.#failures.length >= MAX_FAILURES) await this.#storeFailures();
  }

  /** Stores everything, the record of the files last, and returns the counts of the files closed since the last checkpoint. */
  async checkpoint(): Promise<Counts[]> {
    await this.flush();
    await this.#flushing;
    await this.#storeFailures();
    const closed = this.#closed;
    await recordFiles(this.#clickhouse, this.#run, closed.map(record), this.#signal);
    for (const file of closed) this.#files.delete(file.listed.key);
    this.#closed = [];
    return closed.map(file => file.counts);
  }

  /** Lets what is on its way come to its end: after this nothing is written any more. */
  async stop(): Promise<void> {
    await this.#flushing.catch(() => {});
  }

  async #store(blocks: readonly RowBlock[]): Promise<void> {
    const spoilt = new Set<string>();
    for (const block of blocks) {
      const { refused } = await this.#inserter.insert(block, this.#signal);
      for (const row of refused) this.#setAside(row, spoilt);
    }
  }

  /** A measurement that lacks a row counts as failed; its other rows are in. */
  #setAside(row: RefusedRow, spoilt: Set<string>): void {
    const { key, line, uid, testName } = row.measurement;
    const { table, message } = row;
    this.#failures.push({
      key,
      line,
      stage: 'insert',
      table,
      row: row.row,
      uid,
      testName,
      class: 'RowRefused',
      message,
    });
    const counts = this.#files.get(key)?.counts;
    if (!counts) return;
    counts.rows[table] = (counts.rows[table] ?? 0) - 1;
    if (spoilt.has(`${key} ${line}`)) return;
    spoilt.add(`${key} ${line}`);
    counts.transformed--;
    counts.failed++;
  }

  async #storeFailures(): Promise<void> {
    const failures = this.#failures;
    this.#failures = [];
    await recordFailures(this.#clickhouse, this.#run, failures, this.#signal);
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
