import type { MeasurementRef, RowBlock } from './block.ts';
import { RowBinaryWriter } from './rowbinary.ts';
import { OBSERVATION_TABLES, type ObservationTable } from './schema.ts';

/** The rows of one table, encoded one behind the other. */
class TableRows {
  readonly writer = new RowBinaryWriter();
  /** Start of each row. */
  offsets = new Uint32Array(1024);
  owners = new Uint32Array(1024);
  rows = 0;

  begin(owner: number): void {
    if (this.rows === this.owners.length) {
      this.offsets = grow(this.offsets);
      this.owners = grow(this.owners);
    }
    this.offsets[this.rows] = this.writer.length;
    this.owners[this.rows] = owner;
    this.rows++;
  }

  truncate(rows: number): void {
    if (rows === this.rows) return;
    this.writer.length = this.offsets[rows]!;
    this.rows = rows;
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
  private tables = new Map<ObservationTable, TableRows>();
  private measurements: MeasurementRef[] = [];
  private readonly marks = new Map<ObservationTable, number>();

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
    for (const [name, table] of this.tables) this.marks.set(name, table.rows);
    this.measurements.push(measurement);
  }

  /** Starts a row of the measurement begun last and returns the writer that takes its columns, in table order. */
  row(table: ObservationTable): RowBinaryWriter {
    const rows = this.tables.get(table)!;
    rows.begin(this.measurements.length - 1);
    return rows.writer;
  }

  /** Ends a measurement, keeping its rows. Returns how many there are. */
  commit(): number {
    let rows = 0;
    for (const [name, table] of this.tables) rows += table.rows - this.marks.get(name)!;
    if (rows === 0) this.measurements.pop();
    return rows;
  }

  /** Ends a measurement, dropping its rows. */
  rollback(): void {
    for (const [name, table] of this.tables) table.truncate(this.marks.get(name)!);
    this.measurements.pop();
  }

  /** Hands out the rows of a table, or nothing when there are none. The block owns its memory. */
  take(table: ObservationTable): RowBlock | undefined {
    const { rows, writer, offsets, owners } = this.tables.get(table)!;
    if (rows === 0) return undefined;
    this.tables.set(table, new TableRows());
    const block: RowBlock = {
      table,
      rows,
      bytes: writer.bytes.subarray(0, writer.length),
      offsets: withEnd(offsets, rows, writer.length),
      owners: owners.subarray(0, rows),
      measurements: this.measurements,
    };
    // The other tables' rows still point into this list; a block keeps what it has, so the list starts anew when all is taken.
    if ([...this.tables.values()].every(each => each.rows === 0)) this.measurements = [];
    return block;
  }
}

function withEnd(offsets: Uint32Array, rows: number, end: number): Uint32Array {
  const all = new Uint32Array(rows + 1);
  all.set(offsets.subarray(0, rows));
  all[rows] = end;
  return all;
}
