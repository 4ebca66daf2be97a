import { describe, expect, test } from 'vitest';
import { endOfStatement, namesFile, outputFormat, parseInsert, quote, statementKind } from './statement.ts';

describe('an INSERT with rows after it', () => {
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

  test('ends with its line, not with the first byte that looks like a line end', () => {
    for (const [text, rows] of [
      ['INSERT INTO t FORMAT RowBinary\n\n\n', '\n\n'],
      ['INSERT INTO t FORMAT RowBinary \r\n;\n', ';\n'],
      ['INSERT INTO t FORMAT JSONEachRow {"a":1}', '{"a":1}'],
    ] as const) {
      expect(text.slice(parseInsert(text)!.dataStart)).toBe(rows);
    }
  });
});

describe('one statement or several', () => {
  test.each([
    ['SELECT 1', 'SELECT 1'],
    ['SELECT 1;', 'SELECT 1'],
    ['SELECT 1 ; ;\n -- the end; really\n', 'SELECT 1 '],
    ['SELECT 1; /* a; /* nested; */ b */ # c;', 'SELECT 1'],
    ["SELECT ';', '--', '\\';', ';'';'", "SELECT ';', '--', '\\';', ';'';'"],
    ['SELECT `a;b`, "c;""d" FROM t', 'SELECT `a;b`, "c;""d" FROM t'],
    ['SELECT $a$ ; $b$ ; $a$, $$;$$', 'SELECT $a$ ; $b$ ; $a$, $$;$$'],
    ['SELECT ‘a;b’, “c;d”', 'SELECT ‘a;b’, “c;d”'],
    ['-- one; two\nSELECT 1 // three;', '-- one; two\nSELECT 1 // three;'],
    ["INSERT INTO t VALUES (1, 'a;b'), (2, ';');", "INSERT INTO t VALUES (1, 'a;b'), (2, ';')"],
    ['INSERT INTO t FORMAT CSV\n1,a;b\n2,;DROP TABLE t', 'INSERT INTO t FORMAT CSV\n1,a;b\n2,;DROP TABLE t'],
    ["SELECT 'a\\\n;'", "SELECT 'a\\\n;'"],
    ['', ''],
    [' -- nothing', ' -- nothing'],
  ])('one: %s', (text, statement) => {
    const { end, next } = endOfStatement(text);
    expect([text.slice(0, end), next]).toEqual([statement, undefined]);
  });

  test.each([
    ['SELECT 1; SELECT 2', 'SELECT 2'],
    ["SELECT ';' ;; /* ; */ DROP TABLE t; SELECT 3", 'DROP TABLE t; SELECT 3'],
    ['SELECT 1 -- one\n; SELECT 2', 'SELECT 2'],
    ['INSERT INTO t VALUES (1); DROP TABLE t', 'DROP TABLE t'],
    ['INSERT INTO t SELECT 1; DROP TABLE t', 'DROP TABLE t'],
    ['SELECT $a;b', 'b'],
    ['SELECT 1 #c; SELECT 2', 'SELECT 2'],
    ["SELECT x'41'; SELECT 2", 'SELECT 2'],
    ['SELECT a$b$c; SELECT d$b$e', 'SELECT d$b$e'],
    ['SELECT 1; )', ')'],
  ])('several: %s', (text, second) => {
    expect(text.slice(endOfStatement(text).next)).toBe(second);
  });

  test('the time to read a long statement grows linearly with its length', () => {
    const text = `INSERT INTO t VALUES ${"(1, 'a;''b\\'c'), ".repeat(50_000)}(2, '')`;
    expect(endOfStatement(text)).toEqual({ end: text.length });
    const long = `SELECT '${'x'.repeat(5_000_000)};'`;
    expect(endOfStatement(long)).toEqual({ end: long.length });
  });
});

test('recognizes statements that name files', () => {
  expect(namesFile("SELECT 1 INTO /* a */ outfile 'x' FORMAT CSV")).toBe(true);
  expect(namesFile("INSERT INTO t FROM INFILE 'x' FORMAT CSV")).toBe(true);
  expect(namesFile("SELECT 'INTO OUTFILE x', outfile FROM t")).toBe(false);
  expect(namesFile('SELECT 1')).toBe(false);
});

test('the kind of a statement is its first word, or the SELECT or INSERT after WITH', () => {
  expect(statementKind('  -- x\n/* y */ ((select 1))')).toBe('SELECT');
  expect(statementKind('With x AS (SELECT 1) SELECT 2')).toBe('SELECT');
  expect(statementKind('WITH x AS (SELECT 1) INSERT INTO t SELECT 2')).toBe('INSERT');
  expect(statementKind('WITH 1')).toBe('WITH');
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

test('a quoted text is one literal, with any content', () => {
  expect(quote("it's \\ 'q")).toBe("'it\\'s \\\\ \\'q'");
});
