import { expect, test } from 'vitest';
import { canRewrite, paletteFor } from './colour.ts';
import { type Column, layOut } from './table.ts';
import { columnsOf, widthOf } from './width.ts';

interface Row {
  readonly name: string;
  readonly count: number;
  readonly message: string;
}
const COLUMNS: readonly Column<Row>[] = [
  { title: 'NAME', text: row => row.name, paint: (_, { good }) => good },
  { title: 'COUNT', text: row => String(row.count), right: true },
  { title: 'MESSAGE', text: row => row.message, flexible: true },
];
const ROWS: readonly Row[] = [
  { name: 'a', count: 5, message: 'short' },
  { name: 'longer', count: 12345, message: 'a message that is much longer than the terminal is wide' },
];

test('columns are aligned, and figures are at the right', () => {
  expect(layOut(COLUMNS, ROWS)).toEqual([
    'NAME    COUNT  MESSAGE',
    'a           5  short',
    'longer  12345  a message that is much longer than the terminal is wide',
  ]);
});

test('the flexible column is cut to the width of the terminal', () => {
  const lines = layOut(COLUMNS, ROWS, { width: 40 });
  expect(lines.map(widthOf)).toEqual([22, 20, 40]);
  expect(lines[2]).toMatch(/…$/);
});

test('a cell is one line, and its control characters are visible', () => {
  expect(layOut(COLUMNS, [{ name: 'x', count: 0, message: 'a\n\x1b[31mred' }])[1]).toBe(
    'x         0  a\\n\\x1b[31mred',
  );
});

test('colours do not change the widths, and NO_COLOR turns them off', () => {
  const terminal = { isTTY: true };
  const coloured = layOut(COLUMNS, ROWS, { palette: paletteFor(terminal, {}) });
  expect(coloured[1]).toContain('\x1b[32ma\x1b[39m');
  expect(coloured.map(widthOf)).toEqual(layOut(COLUMNS, ROWS).map(widthOf));
  for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
    expect(layOut(COLUMNS, ROWS, { palette: paletteFor(terminal, env) }).join('')).not.toContain('\x1b');
  }
  expect(paletteFor({ isTTY: false }, {}).good('x')).toBe('x');
  expect(paletteFor({ isTTY: false }, { FORCE_COLOR: '1' }).good('x')).not.toBe('x');
});

test('a name is cut in the middle, because its end tells it from others', () => {
  const rows = [{ name: 'us-signal-20261128-065007', phase: 'Failed' }];
  const columns = [
    { title: 'NAME', text: (row: (typeof rows)[number]) => row.name, flexible: 'middle' as const },
    { title: 'PHASE', text: (row: (typeof rows)[number]) => row.phase },
  ];
  expect(layOut(columns, rows, { width: 23 })).toEqual(['NAME             PHASE', 'us-sign…-065007  Failed']);
});

test('columns that are wide together are cut, the widest first, and figures stay whole', () => {
  const rows = [{ name: 'n'.repeat(40), count: 12345, message: 'm'.repeat(60) }];
  const lines = layOut(COLUMNS, rows, { width: 40 });
  expect(lines.map(widthOf)).toEqual([40, 40, 40, 28]);
  expect(lines[1]).toBe(`${'n'.repeat(32)}…  12345`);
});

test('wide characters take two columns, and marks none', () => {
  // Wcwidth of the three names: 4, 2 and 1.
  const rows = [
    { name: '日本', count: 1, message: 'm' },
    { name: 'ab', count: 22, message: '検閲されたサイト検閲されたサイト' },
    { name: 'e\u0301', count: 3, message: 'm' },
  ];
  expect(layOut(COLUMNS, rows)).toEqual([
    'NAME  COUNT  MESSAGE',
    '日本      1  m',
    'ab       22  検閲されたサイト検閲されたサイト',
    'e\u0301         3  m',
  ]);
  expect(layOut(COLUMNS, rows, { width: 37 })[2]).toBe('ab       22  検閲されたサイト検閲さ…');
});

test('a text of which too little would be left is shown below its row', () => {
  const rows = [
    { name: 'n'.repeat(40), count: 5, message: 'the probe sent a measurement that is not JSON' },
    { name: 'short', count: 12345, message: '' },
  ];
  expect(layOut(COLUMNS, rows, { width: 60 })).toEqual([
    `NAME${' '.repeat(36)}  COUNT`,
    `${'n'.repeat(40)}      5`,
    '    the probe sent a measurement that is not JSON',
    `short${' '.repeat(35)}  12345`,
  ]);
  const [long] = [{ name: 'n'.repeat(40), count: 5, message: 'word '.repeat(99).trim() }];
  const lines = layOut(COLUMNS, [long], { width: 60 });
  expect(lines).toHaveLength(6);
  expect(Math.max(...lines.map(widthOf))).toBeLessThanOrEqual(60);
  expect(lines.at(-1)).toMatch(/word…$/);
});

test('an optional column is left out where the others would be cut', () => {
  const columns = COLUMNS.map(each => (each.title === 'COUNT' ? { ...each, optional: true } : each));
  expect(layOut(columns, ROWS, { width: 12 })[0]).toBe('NAME');
  expect(layOut(columns, ROWS, { width: 40 })[0]).toBe('NAME    COUNT  MESSAGE');
});

test.each([
  [{ isTTY: true }, { TERM: 'xterm-256color' }, true],
  [{ isTTY: true }, {}, true],
  [{ isTTY: true }, { TERM: 'dumb' }, false],
  [{}, { TERM: 'xterm' }, false],
])('a line is written again only on a terminal that can do so: %j %j', (stream, env, expected) => {
  expect(canRewrite(stream, env)).toBe(expected);
});

test('a terminal of no size has an unknown width', () => {
  expect([{ columns: 0 }, {}, { columns: 80 }].map(columnsOf)).toEqual([undefined, undefined, 80]);
});
