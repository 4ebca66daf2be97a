import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readCsv } from './csv.ts';
import { ReferenceDataError } from './dataset.ts';
import { readTestLists } from './test-lists.ts';

const HEADER = 'url,category_code,category_description,date_added,source,notes';
const read = (...rows: (string | Buffer)[]) => {
  const bytes = Buffer.concat([HEADER, ...rows].map(row => Buffer.concat([Buffer.from(row), Buffer.from('\n')])));
  const { rows: found, problems } = readTestLists([['lists/it.csv', bytes]]);
  return { urls: found.map(({ url }) => url), problems: problems.map(({ where, what }) => `${where}: ${what}`) };
};
const row = (name: string, notes = '') => `https://${name}.example.com/,NEWS,News Media,2014-04-15,me,${notes}`;
const url = (name: string) => `https://${name}.example.com/`;
const QUOTE = 'a quote that does not close where it should';

describe('one broken row of a list loses only that row', () => {
  test.each([
    ['an open quote', row('b', '"open'), QUOTE],
    ['a quote that closes too early', row('b', '"early" more'), QUOTE],
    [
      'bytes that are not UTF-8',
      Buffer.concat([Buffer.from(row('b')), Buffer.from([0xff])]),
      'bytes that are not UTF-8',
    ],
    ['the header', HEADER, 'a second header'],
    ['too many fields', `${row('b')},`, '7 fields instead of 6'],
    ['no category', 'https://b.example.com/, ,,,,', 'https://b.example.com/ has no category'],
  ])('%s', (_, broken, what) => {
    for (const [rows, line] of [
      [[row('a'), broken, row('c'), row('d')], 3],
      [[row('a'), row('c'), row('d'), broken], 5],
      // A later quote must not close an earlier one and include all rows between them.
      [[row('a'), broken, row('c'), row('d', '"a note, with a comma"')], 3],
    ] as const) {
      expect(read(...rows)).toEqual({ urls: ['a', 'c', 'd'].map(url), problems: [`it.csv line ${line}: ${what}`] });
    }
  });

  test('an open quote that meets another open quote loses two rows', () => {
    expect(read(row('a', '"open'), row('b'), row('c', '"'), row('d'))).toMatchObject({ urls: ['b', 'd'].map(url) });
  });

  test('quotes within a field, and fields of several lines, are read', () => {
    expect(read(row('a', 'he said "no"'), row('b', '"two\nlines, ""quoted"""'), ` ${row('c')}`)).toEqual({
      urls: ['a', 'b', 'c'].map(url),
      problems: [],
    });
  });
});

test('a CR alone ends a line of a file that people edit by hand', () => {
  expect(read(row('a'), `${row('b')}\r${row('c')}`)).toEqual({ urls: ['a', 'b', 'c'].map(url), problems: [] });
});

test('a URL with a control character is reported', () => {
  expect(read(row('a\0'), row('b'))).toMatchObject({
    urls: [url('b')],
    problems: [expect.stringContaining('is not a URL')],
  });
});

test('a file that is not edited by hand is rejected when it is cut off inside a quote', () => {
  const cut = Buffer.from('a,b\n1,2\n3,"ope');
  expect(() => readCsv('x.csv', cut, ['a'])).toThrow(ReferenceDataError);
  expect(readCsv('x.csv', cut, ['a'], { handMade: true })).toMatchObject({ records: [{ line: 2 }], problems: [{}] });
});

test('data written by RFC 4180 are read back unchanged', () => {
  const field = fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', '\r', '\r\n', ' ', 'é') });
  fc.assert(
    fc.property(fc.array(fc.tuple(field, field, field), { maxLength: 5 }), rows => {
      const quoted = (value: string) => `"${value.replaceAll('"', '""')}"`;
      const text = ['x,y,z', ...rows.map(each => each.map(quoted).join(','))].join('\r\n');
      const { records, problems } = readCsv('x.csv', Buffer.from(text), ['x', 'y', 'z'], { handMade: true });
      // A field that contains a complete row counts as an open quote.
      if (problems.length > 0) return;
      expect(records.map(({ values }) => [values.x, values.y, values.z])).toEqual(rows);
    }),
  );
});

test.each([true, false])('a line break in a quoted field stays as it is (edited by hand: %s)', handMade => {
  const text = 'x,y\r\n"a\r\nb","c\nd"\r\ng,"e\r\n\r\nf"\r\n';
  const { records, problems } = readCsv('x.csv', Buffer.from(text), ['x', 'y'], { handMade });
  expect(problems).toEqual([]);
  expect(records).toEqual([
    { line: 4, values: { x: 'a\r\nb', y: 'c\nd' } },
    { line: 7, values: { x: 'g', y: 'e\r\n\r\nf' } },
  ]);
});

test('any bytes are read in linear time', () => {
  const hostile = `a,b,c\n${'"x\n'.repeat(20_000)}`;
  const { problems } = readCsv('x.csv', Buffer.from(hostile), ['a'], { handMade: true });
  expect(problems.length).toBeGreaterThan(0);
});
