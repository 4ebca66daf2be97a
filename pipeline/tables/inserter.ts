import type { MeasurementRef, RowBlock } from './block.ts';
import { type ClickHouse, identifier } from './clickhouse.ts';
import { RowsRefusedError } from './errors.ts';
import { PATIENT, type RetryOptions, retry } from './retry.ts';
import { OBSERVATION_TABLES, type ObservationTable } from './schema.ts';

/** A row that ClickHouse would not take. */
export interface RefusedRow {
  readonly table: ObservationTable;
  readonly measurement: MeasurementRef;
  /** Place of the row among the measurement's rows of the block. */
  readonly row: number;
  readonly code?: number;
  readonly message: string;
}

export interface InsertResult {
  readonly rows: number;
  readonly refused: readonly RefusedRow[];
}

export interface InserterOptions {
  /** Rows in one INSERT at most (`clickhouse_write_batch_size`). */
  readonly batchSize: number;
  readonly retry?: RetryOptions;
  /** Told of each failure that will be tried again. */
  readonly onRetry?: (error: Error, attempt: number, wait: number) => void;
}

/** When ClickHouse refuses so many rows of one block, the rows are not what is wrong. */
const MAX_REFUSED = 256;

/**
 * Inserts blocks of rows, `async_insert=0`: when it returns, the rows are stored.
 *
 * An INSERT may be sent twice: when its answer is lost nobody knows whether the server has committed it, and after a crash nobody knows what had
 * been sent. That does no harm, because the second copy of a row has the sorting key and the generation of the first:
 * ReplacingMergeTree keeps one of them, FINAL shows one at every moment, and the end of the run deletes the other (finalizeRows.ts).
 * Nothing relies on ClickHouse dropping equal blocks: what it remembers of them expires, and rows that were deleted and come again would be
 * dropped silently. So every INSERT has a token of its own (clickhouse.ts).
 */
export class Inserter {
  readonly #clickhouse: ClickHouse;
  readonly #options: InserterOptions;

  constructor(clickhouse: ClickHouse, options: InserterOptions) {
    this.#clickhouse = clickhouse;
    this.#options = options;
  }

  /**
   * Stores a block. Rows that ClickHouse refuses are found by bisection and returned; all others are in. Transient errors are
   * tried again. Throws TableErrors for everything else, RowsRefusedError when it refuses so many rows that the table must be what is wrong.
   */
  async insert(block: RowBlock, signal?: AbortSignal): Promise<InsertResult> {
    const refused: RefusedRow[] = [];
    for (let start = 0; start < block.rows; start += this.#options.batchSize) {
      await this.#range(block, start, Math.min(block.rows, start + this.#options.batchSize), refused, signal);
    }
    return { rows: block.rows - refused.length, refused };
  }

  async #range(
    block: RowBlock,
    start: number,
    end: number,
    refused: RefusedRow[],
    signal?: AbortSignal,
  ): Promise<void> {
    try {
      await this.#send(block, start, end, signal);
    } catch (error) {
      if (!(error instanceof RowsRefusedError)) throw error;
      if (end - start === 1) {
        refused.push(describe(block, start, error));
        if (refused.length < MAX_REFUSED) return;
        throw new RowsRefusedError(
          `ClickHouse refuses ${refused.length} rows of one block of ${block.table}, so the table seems to be what is wrong; the last: ${error.message}`,
          { code: error.code, cause: error },
        );
      }
      const middle = (start + end) >>> 1;
      await this.#range(block, start, middle, refused, signal);
      await this.#range(block, middle, end, refused, signal);
    }
  }

  async #send(block: RowBlock, start: number, end: number, signal?: AbortSignal): Promise<void> {
    const bytes = block.bytes.subarray(block.offsets[start], block.offsets[end]);
    const options = { ...PATIENT, ...this.#options.retry, onRetry: this.#options.onRetry, signal };
    await retry(
      () =>
        this.#clickhouse.insertBytes(STATEMENTS[block.table], slices(bytes), {
          signal,
          // One INSERT is one block, and a block is all in or not at all.
          settings: { max_insert_block_size: String(Math.max(this.#options.batchSize, end - start) + 1) },
        }),
      options,
    );
  }
}

/** Columns are named: in a database that the Python pipeline made they may stand in another order. */
const STATEMENTS = Object.fromEntries(
  OBSERVATION_TABLES.map(table => [
    table.name,
    `INSERT INTO ${identifier(table.name)} (${table.columns.map(([name]) => identifier(name)).join(', ')}) FORMAT RowBinary`,
  ]),
) as Record<ObservationTable, string>;

/** Pieces that a socket takes one by one, so that sending does not copy the block. */
function slices(bytes: Uint8Array): Uint8Array[] {
  const size = 1 << 20;
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  );
}

function describe(block: RowBlock, row: number, error: RowsRefusedError): RefusedRow {
  const owner = block.owners[row]!;
  let first = row;
  while (first > 0 && block.owners[first - 1] === owner) first--;
  return {
    table: block.table,
    measurement: block.measurements[owner]!,
    row: row - first,
    code: error.code,
    message: error.message,
  };
}
