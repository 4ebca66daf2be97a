import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RowEncoder } from './encoder.ts';
import { compileColumns, EncodeError, RowBinaryWriter, sliceColumns } from './rowbinary.ts';
import { readRows } from './rowbinary-reader.ts';
import { type Column, OBS_WEB, type Table } from './schema.ts';

const COLUMNS: readonly Column[] = [
  ['s', 'String'],
  ['ns', 'Nullable(String)'],
  ['b', 'Nullable(Int8)'],
  ['i', 'Int32'],
  ['u', 'Nullable(UInt32)'],
  ['f', 'Nullable(Float64)'],
  ['t', "Nullable(DateTime64(3, 'UTC'))"],
  ['g', 'UInt64'],
  ['list', 'Array(String)'],
  ['id', 'FixedString(4)'],
];
const TABLE: Table = { name: 'test', columns: COLUMNS, engine: '', orderBy: [] };
const write = compileColumns(COLUMNS);
const NULLS = { s: '', i: 0, g: 0, list: [], id: '' };

function encode(row: object): Buffer {
  const writer = new RowBinaryWriter(1);
  write(writer, row);
  return writer.copy();
}

describe('RowBinary (ClickHouse format, expected bytes written by hand)', () => {
  it('writes each type', () => {
    const row = {
      s: 'é',
      ns: null,
      b: true,
      i: -2,
      u: 4_200_000_000,
      f: 1,
      t: -1,
      g: 2 ** 33 + 1,
      list: ['a', ''],
      id: 'ab',
    };
    expect(encode(row).toString('hex')).toBe(
      [
        '02c3a9',
        '01',
        '0001',
        'feffffff',
        '0000ea56fa',
        '00000000000000f03f',
        '00ffffffffffffffff',
        '0100000002000000',
        '02016100',
        '61620000',
      ].join(''),
    );
  });

  it('writes long and non-ASCII text with the length of its UTF-8', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 400 }), text => {
        const [row] = [...readRows(TABLE, encode({ ...NULLS, s: text, list: [text, text] }))];
        expect(String(row!.get('s'))).toBe(text);
        expect((row!.get('list') as Buffer[]).map(String)).toEqual([text, text]);
      }),
    );
  });

  it('grows within a row of any size', () => {
    const writer = new RowBinaryWriter(1);
    const rows = Array.from({ length: 50 }, (_, i) => ({ ...NULLS, s: 'x'.repeat(i * 97), ns: 'y'.repeat(i), i }));
    for (const row of rows) write(writer, row);
    expect([...readRows(TABLE, writer.copy())].map(row => row.get('i'))).toEqual(rows.map(row => row.i));
  });

  it.each([
    ['i', 2 ** 31],
    ['i', 1.5],
    ['u', -1],
    ['u', 2 ** 32],
    ['g', 2 ** 60],
    ['id', 'abcde'],
    ['s', null],
  ])('rejects a value that column %s cannot hold: %j', (column, value) => {
    expect(() => encode({ ...NULLS, [column]: value })).toThrow(EncodeError);
  });

  it('writes an absent group as nulls and empty lists if all its columns allow it', () => {
    const writer = new RowBinaryWriter();
    compileColumns([COLUMNS[1]!, COLUMNS[8]!])(writer, null);
    expect(writer.copy()).toEqual(Buffer.from([1, 0]));
    expect(() => write(writer, null)).toThrow('never null');
  });

  it('rejects groups that are not in the order of the table', () => {
    expect(() => sliceColumns(OBS_WEB, ['measurement_uid', 'tcp_t', 'dns_t'])).toThrow('are not in the order');
    expect(() => sliceColumns(OBS_WEB, ['measurement_uid', 'no_such_column'])).toThrow('are not in the order');
    const groups = sliceColumns(OBS_WEB, ['measurement_uid', 'dns_t']);
    expect(groups.flat()).toEqual(OBS_WEB.columns);
  });
});

describe('RowEncoder', () => {
  const ref = (uid: string) => ({ uid, key: 'k', line: 1, testName: 't' });
  const add = (encoder: RowEncoder, ...rows: string[]) => {
    for (const row of rows) encoder.row('obs_web').text(row);
  };

  it('keeps all rows of a measurement or none', () => {
    const encoder = new RowEncoder();
    encoder.begin(ref('a'));
    add(encoder, 'a1', 'a2');
    expect(encoder.commit()).toBe(2);
    encoder.begin(ref('b'));
    add(encoder, 'b1');
    encoder.row('obs_web_ctrl').text('b2');
    encoder.rollback();
    encoder.begin(ref('none'));
    expect(encoder.commit()).toBe(0);
    encoder.begin(ref('c'));
    add(encoder, 'c1');
    encoder.commit();
    expect(encoder.rows('obs_web_ctrl')).toBe(0);
    const block = encoder.take('obs_web')!;
    expect(block.bytes.toString('latin1')).toBe('\x02a1\x02a2\x02c1');
    expect([...block.offsets]).toEqual([0, 3, 6, 9]);
    expect([...block.owners].map(owner => block.measurements[owner]!.uid)).toEqual(['a', 'a', 'c']);
  });

  it('returns blocks that later rows do not change', () => {
    const encoder = new RowEncoder();
    encoder.begin(ref('a'));
    add(encoder, 'a1');
    encoder.row('obs_web_ctrl').text('a2');
    encoder.commit();
    const first = encoder.take('obs_web')!;
    encoder.begin(ref('b'));
    add(encoder, 'b1');
    encoder.commit();
    const [second, control] = [encoder.take('obs_web')!, encoder.take('obs_web_ctrl')!];
    expect(first.bytes.toString('latin1')).toBe('\x02a1');
    expect([first, second, control].map(block => block.measurements[block.owners[0]!]!.uid)).toEqual(['a', 'b', 'a']);
    expect(encoder.take('obs_web')).toBeUndefined();
    expect(encoder.size).toBe(0);
  });

  it('rejects a measurement that would fill the memory', () => {
    const encoder = new RowEncoder();
    encoder.begin(ref('bomb'));
    const row = Buffer.alloc(40 * 1024 * 1024);
    encoder.row('obs_web').raw(row);
    encoder.row('obs_web').raw(row);
    expect(() => encoder.row('obs_web')).toThrow(EncodeError);
    encoder.rollback();
    expect(encoder.size).toBe(0);
  });
});
