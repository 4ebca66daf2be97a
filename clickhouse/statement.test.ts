import { describe, expect, test } from 'vitest';
import { outputFormat, parseInsert, quote, statementKind } from './statement.ts';

describe('an INSERT whose rows follow', () => {
  test.each([
    ['INSERT INTO t FORMAT RowBinary', 'INSERT INTO t', '', 'RowBinary'],
    [
      'insert into table `a b`.t (x, `format`) format JSONEachRow',
      'insert into table `a b`.t (x, `format`)',
      '',
      'JSONEachRow',
    ],
    ['INSERT INTO t (a) SETTINGS x=1, y=2 FORMAT CSV;', 'INSERT INTO t (a)', 'SETTINGS x=1, y=2', 'CSV'],
    ["-- FORMAT no\n/* (\n */ INSERT INTO FUNCTION file('FORMAT X', 'TSV') FORMAT TSV", undefined, '', 'TSV'],
    ['INSERT INTO t (* EXCEPT(b)) FORMAT Native', 'INSERT INTO t (* EXCEPT(b))', '', 'Native'],
  ])('%s', (text, target, settings, format) => {
    const insert = parseInsert(text);
    expect(insert).toMatchObject({ settings, format });
    if (target) expect(insert?.target).toBe(target);
    expect(insert?.dataStart).toBe(text.length);
  });

  test.each([
    'SELECT 1 FORMAT JSON',
    "INSERT INTO t VALUES (1, 'FORMAT TSV')",
    'INSERT INTO t (a) FORMAT Values (1)',
    'INSERT INTO t SELECT * FROM u FORMAT Null',
    'INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x',
    "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
    'INSERT INTO t',
    'INSERT INTO t FORMAT',
    '',
  ])('is not: %s', text => {
    expect(parseInsert(text)).toBeUndefined();
  });

  test('ends with its line, not with the first byte that looks like one', () => {
    for (const [text, rows] of [
      ['INSERT INTO t FORMAT RowBinary\n\n\n', '\n\n'],
      ['INSERT INTO t FORMAT RowBinary \r\n;\n', ';\n'],
      ['INSERT INTO t FORMAT JSONEachRow {"a":1}', '{"a":1}'],
    ] as const) {
      expect(text.slice(parseInsert(text)!.dataStart)).toBe(rows);
    }
  });
});

test('the kind of a statement is its first word', () => {
  expect(statementKind('  -- x\n/* y */ ((select 1))')).toBe('SELECT');
  expect(statementKind('With x AS (SELECT 1) SELECT 2')).toBe('WITH');
  expect(statementKind(' ; ')).toBe(';');
  expect(statementKind('')).toBe('');
});

test.each([
  ['SELECT 1', undefined],
  ['SELECT 1 FORMAT JSON', 'JSON'],
  ['SELECT 1 format Native -- so\n;', 'Native'],
  ['SELECT 1 FORMAT TSV SETTINGS max_threads = 1', 'TSV'],
  ["SELECT ' FORMAT JSON'", undefined],
  ["SELECT format('{}', 1)", undefined],
  ['SELECT a AS format FROM t', undefined],
  ['SELECT * FROM (SELECT 1 FORMAT JSON)', undefined],
])('the format of %s', (text, format) => {
  expect(outputFormat(text)).toBe(format);
});

test('a quoted text is one literal, whatever it holds', () => {
  expect(quote("it's \\ 'q")).toBe("'it\\'s \\\\ \\'q'");
});
