import type { Table } from './schema.ts';

/** A value in RowBinary: text as bytes, instants as milliseconds since 1970, booleans as 0 and 1. */
export type RowValue = null | number | Buffer | Buffer[] | number[];

/** Decodes the rows of a table from RowBinary, by column name in table order. Throws RangeError when the bytes end inside a row. */
export function* readRows(table: Table, bytes: Buffer): Generator<Map<string, RowValue>> {
  const cursor = { bytes, at: 0 };
  while (cursor.at < bytes.length) {
    yield new Map(table.columns.map(([name, type]) => [name, readValue(cursor, type)]));
  }
}

interface Cursor {
  readonly bytes: Buffer;
  at: number;
}

function readValue(cursor: Cursor, type: string): RowValue {
  const nullable = /^Nullable\((.*)\)$/.exec(type);
  if (nullable) return cursor.bytes.readUInt8(cursor.at++) === 1 ? null : readValue(cursor, nullable[1]!);
  const { bytes, at } = cursor;
  switch (type) {
    case 'String':
      return take(cursor, readVarint(cursor));
    case 'Int8':
      cursor.at += 1;
      return bytes.readInt8(at);
    case 'Int32':
      cursor.at += 4;
      return bytes.readInt32LE(at);
    case 'UInt32':
      cursor.at += 4;
      return bytes.readUInt32LE(at);
    case 'UInt64':
    case "DateTime64(3, 'UTC')":
      cursor.at += 8;
      return Number(bytes.readBigInt64LE(at));
    case 'Float64':
      cursor.at += 8;
      return bytes.readDoubleLE(at);
    case 'Array(Float64)':
      return Array.from({ length: readVarint(cursor) }, () => Number(readValue(cursor, 'Float64')));
    case 'Array(Int64)':
      // Read as the other integers of eight bytes.
      return Array.from({ length: readVarint(cursor) }, () => Number(readValue(cursor, 'UInt64')));
    case 'Array(String)':
      return Array.from({ length: readVarint(cursor) }, () => take(cursor, readVarint(cursor)));
  }
  const fixed = /^FixedString\((\d+)\)$/.exec(type);
  if (fixed) return take(cursor, Number(fixed[1]));
  throw new TypeError(`no RowBinary encoding is known for the type ${type}`);
}

function take(cursor: Cursor, size: number): Buffer {
  const end = cursor.at + size;
  if (end > cursor.bytes.length) throw new RangeError('the bytes end inside a row');
  const value = cursor.bytes.subarray(cursor.at, end);
  cursor.at = end;
  return value;
}

function readVarint(cursor: Cursor): number {
  let value = 0;
  for (let scale = 1; ; scale *= 0x80) {
    const octet = cursor.bytes.readUInt8(cursor.at++);
    value += (octet & 0x7f) * scale;
    if (octet < 0x80) return value;
  }
}
