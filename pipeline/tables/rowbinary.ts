import type { Column, Table } from './schema.ts';

/** A value that its column cannot hold: the measurement cannot be stored as it is. */
export class EncodeError extends Error {
  override name = 'EncodeError';
}

const SMALL = 42;
const double = new Float64Array(1);
const doubleBytes = new Uint8Array(double.buffer);

/**
 * A growing buffer with the primitive writes of ClickHouse's RowBinary format: integers and reals little-endian, text as its
 * length in LEB128 followed by UTF-8, a nullable value behind a byte that is 1 for null.
 */
export class RowBinaryWriter {
  bytes: Buffer;
  length = 0;

  constructor(capacity = 1 << 16) {
    this.bytes = Buffer.allocUnsafeSlow(capacity);
  }

  /** Makes room for `size` more bytes. */
  reserve(size: number): void {
    if (this.length + size <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.length + size));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }

  /** Copies bytes that are already RowBinary. */
  raw(block: Uint8Array): void {
    this.reserve(block.length);
    this.bytes.set(block, this.length);
    this.length += block.length;
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.length++] = value;
  }

  uint32(value: number): void {
    this.reserve(4);
    const { bytes, length } = this;
    bytes[length] = value;
    bytes[length + 1] = value >>> 8;
    bytes[length + 2] = value >>> 16;
    bytes[length + 3] = value >>> 24;
    this.length = length + 4;
  }

  /** A signed or unsigned 64-bit integer, given as a whole number of at most 2^53 in size. */
  int64(value: number): void {
    this.uint32(value >>> 0);
    this.uint32(Math.floor(value / 0x1_0000_0000) >>> 0);
  }

  float64(value: number): void {
    this.reserve(8);
    double[0] = value;
    this.bytes.set(doubleBytes, this.length);
    this.length += 8;
  }

  /** LEB128. */
  varint(value: number): void {
    this.reserve(10);
    let rest = value;
    while (rest >= 0x80) {
      this.bytes[this.length++] = (rest & 0x7f) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.bytes[this.length++] = rest;
  }

  text(value: string): void {
    const size = value.length;
    if (size > SMALL) {
      this.longText(value);
      return;
    }
    // At most 3 bytes a UTF-16 unit, so the length fits one byte. A call into the runtime costs more than this loop does.
    this.reserve(3 * SMALL + 1);
    const { bytes, length } = this;
    for (let i = 0; i < size; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 0x7f) {
        const written = bytes.write(value, length + 1);
        bytes[length] = written;
        this.length = length + 1 + written;
        return;
      }
      bytes[length + 1 + i] = unit;
    }
    bytes[length] = size;
    this.length = length + 1 + size;
  }

  private longText(value: string): void {
    const size = Buffer.byteLength(value);
    this.varint(size);
    this.reserve(size);
    this.bytes.write(value, this.length);
    this.length += size;
  }

  /** What was written so far, as a copy of its own. */
  copy(): Buffer {
    return Buffer.from(this.bytes.subarray(0, this.length));
  }
}

/** Cuts a table's columns into neighbouring groups, each beginning with one of the named columns; the first must be the table's first. */
export function sliceColumns<const N extends readonly string[]>(
  table: Table,
  firsts: N,
): { [K in keyof N]: readonly Column[] } {
  const starts = firsts.map(first => table.columns.findIndex(([name]) => name === first));
  if (starts[0] !== 0 || starts.some((start, i) => i > 0 && start <= starts[i - 1]!)) {
    throw new TypeError(`the columns of ${table.name} do not stand in the order ${firsts.join(', ')}`);
  }
  return starts.map((start, i) => table.columns.slice(start, starts[i + 1])) as never;
}

/** Writes some neighbouring columns from an object; `null` stands for "all of them null". */
export type ColumnsWriter = (writer: RowBinaryWriter, source: object | null) => void;

/**
 * Generates the writer of some columns of a table: straight-line code, one statement a column, reading the property that has the
 * column's name without `prefix` (`dns_t` with prefix `dns_` is `source.t`). `undefined` counts as null. The generated function
 * throws EncodeError when a value does not fit its column.
 */
export function compileColumns(columns: readonly Column[], prefix = ''): ColumnsWriter {
  const statements = columns.map(([name, type]) => {
    const nullable = /^Nullable\((.*)\)$/.exec(type);
    const write = writeStatement(nullable?.[1] ?? type, JSON.stringify(name));
    const read = `v = o[${JSON.stringify(name.slice(prefix.length))}];`;
    if (!nullable) return `${read} if (v === undefined || v === null) refuse(${JSON.stringify(name)}, v); ${write}`;
    return `${read} if (v === undefined || v === null) w.byte(1); else { w.byte(0); ${write} }`;
  });
  const nulls = columns.map(([, type]) => (type.startsWith('Nullable(') ? 1 : type.startsWith('Array(') ? 0 : -1));
  const absent = nulls.includes(-1) ? undefined : Buffer.from(nulls);
  const make = new Function(
    'refuse',
    'absent',
    `return (w, o) => {
       if (o === null) { ${absent ? 'w.raw(absent); return;' : 'throw new TypeError("these columns are never null");'} }
       let v;
       ${statements.join('\n')}
     }`,
  );
  return make(refuse, absent);
}

function writeStatement(type: string, name: string): string {
  switch (type) {
    case 'String':
      return 'if (typeof v === "string") w.text(v); else { w.varint(v.length); w.raw(v); }';
    case 'Int8':
      return 'w.byte(v ? 1 : 0);';
    case 'Int32':
      return `if (v !== (v | 0)) refuse(${name}, v); w.uint32(v);`;
    case 'UInt32':
      return `if (v !== (v >>> 0)) refuse(${name}, v); w.uint32(v);`;
    case 'UInt64':
    case "DateTime64(3, 'UTC')":
      return `if (!Number.isSafeInteger(v)) refuse(${name}, v); w.int64(v);`;
    case 'Float64':
      return 'w.float64(v);';
    case 'Array(String)':
      return 'w.varint(v.length); for (let i = 0; i < v.length; i++) w.text(v[i]);';
  }
  const fixed = /^FixedString\((\d+)\)$/.exec(type);
  if (fixed) {
    const size = Number(fixed[1]);
    return `{ const b = Buffer.alloc(${size}); if (Buffer.byteLength(v) > ${size}) refuse(${name}, v); b.write(v); w.raw(b); }`;
  }
  throw new TypeError(`no RowBinary encoding is known for the type ${type} of column ${name}`);
}

function refuse(column: string, value: unknown): never {
  throw new EncodeError(`${column} cannot hold ${String(value).slice(0, 60)}`);
}
