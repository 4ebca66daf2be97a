import type { MeasurementRef, RowBlock } from './block.ts';
import { type ClickHouse, identifier } from './clickhouse.ts';
import { RowsRefusedError } from './errors.ts';
import { LONG_RETRY, type RetryOptions, retry } from './retry.ts';
import { OBSERVATION_TABLES, type ObservationTable } from './schema.ts';

/** A row that ClickHouse rejected. */
export interface RefusedRow {
  readonly table: ObservationTable;
  readonly measurement: MeasurementRef;
  /** Index of the row among the measurement's rows in the block. */
  readonly row: number;
  readonly code?: number;
  readonly message: string;
}

export interface InsertResult {
  readonly rows: number;
  readonly refused: readonly RefusedRow[];
}

export interface InserterOptions {
  /** Maximum number of rows in one INSERT (`clickhouse_write_batch_size`). */
  readonly batchSize: number;
  readonly retry?: RetryOptions;
  /** Called for each INSERT that failed, except when it was stopped. */
  readonly onError?: (error: Error) => void;
  /** Called for each failure that will be retried. */
  readonly onRetry?: (error: Error, attempt: number, wait: number) => void;
}

/** Number of rejected rows of one block at which the table, not the rows, is the likely cause. */
const MAX_REFUSED = 256;

/**
 * Inserts blocks of rows with `async_insert=0`: the rows are stored when it returns.
 *
 * An INSERT may be sent twice: after a lost answer the client does not know whether the server has committed it, and after a crash it does not
 * know which rows were sent. This is safe, because the second copy of a row has the same sorting key and generation as the first:
 * ReplacingMergeTree keeps one of them, FINAL shows one at any time, and the end of the run deletes the other (finalize-rows.ts).
 *
 * The inserter does not rely on ClickHouse to drop equal blocks. ClickHouse's record of blocks expires, and it would silently drop rows that
 * are deleted and inserted again. So every INSERT has its own token (clickhouse.ts).
 */
export class Inserter {
  readonly #clickhouse: ClickHouse;
  readonly #options: InserterOptions;

  constructor(clickhouse: ClickHouse, options: InserterOptions) {
    this.#clickhouse = clickhouse;
    this.#options = options;
  }

  /**
   * Stores a block. Finds the rows that ClickHouse rejects by bisection and returns them; all other rows are stored. Retries transient errors.
   * Throws TableErrors for everything else, and RowsRefusedError when so many rows are rejected that the table is the likely cause.
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
          `ClickHouse rejects ${refused.length} rows of one block of ${block.table}, so the table seems to be what is wrong; the last: ${error.message}`,
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
    const options = { ...LONG_RETRY, ...this.#options.retry, onRetry: this.#options.onRetry, signal };
    const insert = () =>
      this.#clickhouse.insertBytes(STATEMENTS[block.table], slices(bytes), {
        signal,
        // One INSERT is one block, and ClickHouse stores a block completely or not at all.
        settings: { max_insert_block_size: String(Math.max(this.#options.batchSize, end - start) + 1) },
      });
    await retry(
      () =>
        insert().catch((error: Error) => {
          if (!signal?.aborted) this.#options.onError?.(error);
          throw error;
        }),
      options,
    );
  }
}

/** The statements name the columns, because a database that the Python pipeline made may have them in another order. */
const STATEMENTS = Object.fromEntries(
  OBSERVATION_TABLES.map(table => [
    table.name,
    `INSERT INTO ${identifier(table.name)} (${table.columns.map(([name]) => identifier(name)).join(', ')}) FORMAT RowBinary`,
  ]),
) as Record<ObservationTable, string>;

/** Cuts bytes into pieces that a socket takes one by one, so that sending does not copy the block. */
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
