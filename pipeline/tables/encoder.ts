import type { MeasurementRef, RowBlock } from './block.ts';
import { EncodeError, RowBinaryWriter } from './rowbinary.ts';
import { OBSERVATION_TABLES, type ObservationTable } from './schema.ts';

/**
 * Maximum size of one measurement's rows in one table. Each row repeats the metadata of its measurement, so a crafted document could grow a
 * thousandfold. Real measurements stay below 1 MB.
 */
const MEASUREMENT_BYTES = 64 * 1024 * 1024;

const MIN_BYTES = 64 * 1024;

/** The encoded rows of one table, one after the other. */
class TableRows {
  readonly writer: RowBinaryWriter;
  rows = 0;
  /** Byte at which row i starts. `owners` has the index of its measurement. */
  offsets = new Uint32Array(1024);
  owners = new Uint32Array(1024);
  /** Number of rows at the start of the current measurement. `markedBytes` is the number of bytes. */
  markedRows = 0;
  markedBytes = 0;

  /** Starts with a little more room than the previous block needed, so that the buffer does not grow repeatedly in every block. */
  constructor(before?: TableRows) {
    this.writer = new RowBinaryWriter(before && Math.max(MIN_BYTES, before.writer.length * 1.25));
  }

  mark(): void {
    this.markedRows = this.rows;
    this.markedBytes = this.writer.length;
  }

  begin(owner: number): void {
    if (this.writer.length - this.markedBytes > MEASUREMENT_BYTES) {
      throw new EncodeError(`the rows of one measurement exceed ${MEASUREMENT_BYTES} bytes`);
    }
    if (this.rows === this.owners.length) {
      this.offsets = grow(this.offsets);
      this.owners = grow(this.owners);
    }
    this.offsets[this.rows] = this.writer.length;
    this.owners[this.rows] = owner;
    this.rows++;
  }

  rollback(): void {
    this.rows = this.markedRows;
    this.writer.length = this.markedBytes;
  }
}

function grow(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const grown = new Uint32Array(array.length * 2);
  grown.set(array);
  return grown;
}

/**
 * Collects the rows of measurements as RowBinary, either all rows of a measurement or none: `begin`, any number of rows, then `commit` or
 * `rollback`. It holds the rows until `take` returns them. The caller limits the memory by calling `take` when `rows` or `size` is large.
 */
export class RowEncoder {
  readonly #tables = new Map<ObservationTable, TableRows>();
  #measurements: MeasurementRef[] = [];

  constructor() {
    for (const { name } of OBSERVATION_TABLES) this.#tables.set(name, new TableRows());
  }

  /** Number of rows of a table that `take` would return. */
  rows(table: ObservationTable): number {
    return this.#tables.get(table)!.rows;
  }

  /** Encoded bytes of all tables that `take` has not returned. */
  get size(): number {
    let size = 0;
    for (const table of this.#tables.values()) size += table.writer.length;
    return size;
  }

  /** Starts a measurement. */
  begin(measurement: MeasurementRef): void {
    for (const table of this.#tables.values()) table.mark();
    this.#measurements.push(measurement);
  }

  /**
   * Starts a row of the current measurement and returns the writer for its columns, in table order. Throws EncodeError when the measurement's
   * rows exceed MEASUREMENT_BYTES.
   */
  row(table: ObservationTable): RowBinaryWriter {
    const rows = this.#tables.get(table)!;
    rows.begin(this.#measurements.length - 1);
    return rows.writer;
  }

  /** Ends a measurement and keeps its rows. Returns their number. */
  commit(): number {
    let rows = 0;
    for (const table of this.#tables.values()) rows += table.rows - table.markedRows;
    if (rows === 0) this.#measurements.pop();
    return rows;
  }

  /** Ends a measurement and drops its rows. */
  rollback(): void {
    for (const table of this.#tables.values()) table.rollback();
    this.#measurements.pop();
  }

  /** Returns the rows of a table, or undefined if there are none. The block owns its memory. Must not be called during a measurement. */
  take(table: ObservationTable): RowBlock | undefined {
    const taken = this.#tables.get(table)!;
    const { rows, writer, offsets, owners } = taken;
    if (rows === 0) return undefined;
    this.#tables.set(table, new TableRows(taken));
    const starts = new Uint32Array(rows + 1);
    starts.set(offsets.subarray(0, rows));
    starts[rows] = writer.length;
    const block = {
      table,
      rows,
      bytes: writer.bytes.subarray(0, writer.length),
      offsets: starts,
      owners: owners.subarray(0, rows),
      measurements: this.#measurements,
    };
    // Rows of other tables may still refer to the list of measurements. A new list starts when all rows are taken.
    if ([...this.#tables.values()].every(each => each.rows === 0)) this.#measurements = [];
    return block;
  }
}
