import type { MeasurementRef, RowBlock } from './block.ts';
import { EncodeError, RowBinaryWriter } from './rowbinary.ts';
import { OBSERVATION_TABLES, type ObservationTable } from './schema.ts';

/**
 * The most that one measurement may fill in one table. A row repeats the facts of its measurement, so a document made for it
 * could blow up a thousandfold; real ones stay below 1 MB.
 */
const MEASUREMENT_BYTES = 64 * 1024 * 1024;

const MIN_BYTES = 64 * 1024;

/** The rows of one table, encoded one behind the other. */
class TableRows {
  readonly writer: RowBinaryWriter;
  rows = 0;
  /** Byte at which row i starts, and the measurement it belongs to. */
  offsets = new Uint32Array(1024);
  owners = new Uint32Array(1024);
  /** Rows and bytes when the current measurement began. */
  markedRows = 0;
  markedBytes = 0;

  /** With room for a little more than the rows before took, so that a buffer does not grow again and again from block to block. */
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
 * Collects the rows of measurements as RowBinary, all of a measurement's rows or none: `begin`, any number of rows, then `commit` or
 * `rollback`. Holds what `take` has not yet handed out; the caller bounds it by taking when `rows` or `size` is large enough.
 */
export class RowEncoder {
  private readonly tables = new Map<ObservationTable, TableRows>();
  private measurements: MeasurementRef[] = [];

  constructor() {
    for (const { name } of OBSERVATION_TABLES) this.tables.set(name, new TableRows());
  }

  /** Rows of a table that wait to be taken. */
  rows(table: ObservationTable): number {
    return this.tables.get(table)!.rows;
  }

  /** Encoded bytes of all tables that wait to be taken. */
  get size(): number {
    let size = 0;
    for (const table of this.tables.values()) size += table.writer.length;
    return size;
  }

  /** Starts a measurement. */
  begin(measurement: MeasurementRef): void {
    for (const table of this.tables.values()) table.mark();
    this.measurements.push(measurement);
  }

  /**
   * Starts a row of the measurement begun last and returns the writer that takes its columns, in table order. Throws EncodeError
   * when the measurement's rows have grown out of all proportion.
   */
  row(table: ObservationTable): RowBinaryWriter {
    const rows = this.tables.get(table)!;
    rows.begin(this.measurements.length - 1);
    return rows.writer;
  }

  /** Ends a measurement, keeping its rows. Returns how many there are. */
  commit(): number {
    let rows = 0;
    for (const table of this.tables.values()) rows += table.rows - table.markedRows;
    if (rows === 0) this.measurements.pop();
    return rows;
  }

  /** Ends a measurement, dropping its rows. */
  rollback(): void {
    for (const table of this.tables.values()) table.rollback();
    this.measurements.pop();
  }

  /** Hands out the rows of a table, or nothing when there are none. The block owns its memory. Not while a measurement is open. */
  take(table: ObservationTable): RowBlock | undefined {
    const taken = this.tables.get(table)!;
    const { rows, writer, offsets, owners } = taken;
    if (rows === 0) return undefined;
    this.tables.set(table, new TableRows(taken));
    const starts = new Uint32Array(rows + 1);
    starts.set(offsets.subarray(0, rows));
    starts[rows] = writer.length;
    const block = {
      table,
      rows,
      bytes: writer.bytes.subarray(0, writer.length),
      offsets: starts,
      owners: owners.subarray(0, rows),
      measurements: this.measurements,
    };
    // Rows of other tables may still point into the list of measurements; it starts anew when all are taken.
    if ([...this.tables.values()].every(each => each.rows === 0)) this.measurements = [];
    return block;
  }
}
