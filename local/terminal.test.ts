import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Terminal } from './terminal.ts';

const ESCAPE = '\x1b';

beforeEach(() => {
  vi.stubEnv('TERM', 'xterm');
});
afterEach(() => {
  vi.unstubAllEnvs();
});

/** Returns the lines that a terminal shows for a text. Supports the control sequences that Terminal uses. */
function screen(text: string): string[] {
  const lines = [''];
  let row = 0;
  for (const [part] of text.matchAll(new RegExp(`${ESCAPE}\\[\\d*[AJ]|\\r|\\n|[^${ESCAPE}\\r\\n]+`, 'g'))) {
    if (part === '\r') continue;
    if (part === '\n') row++;
    else if (part.startsWith(ESCAPE) && part.endsWith('A')) row -= Number(part.slice(2, -1));
    else if (part === `${ESCAPE}[J`) lines.splice(row, lines.length, '');
    else lines[row] = (lines[row] ?? '') + part;
    lines[row] ??= '';
  }
  return lines;
}

test('two live lines are rewritten in place, and text printed meanwhile appears above them', () => {
  let written = '';
  const terminal = new Terminal({ isTTY: true, columns: 60, write: text => (written += text) });
  const one = terminal.line('one', 'begins');
  const two = terminal.line('two', 'begins');
  one.update('goes on');
  terminal.print('a note');
  two.update('x'.repeat(100));
  expect(screen(written)).toEqual([
    'a note',
    `${'one'.padEnd(26)}goes on`,
    // The line is cut: a wrapped line would take two rows.
    `${'two'.padEnd(26)}${'x'.repeat(33)}`,
  ]);
  one.done('is done');
  two.done('is done, too');
  expect(screen(written)).toEqual(['a note', `${'one'.padEnd(26)}is done`, `${'two'.padEnd(26)}is done, too`, '']);
});

test('without a terminal, only starts and ends are printed', () => {
  let written = '';
  const terminal = new Terminal({ write: text => (written += text) });
  const line = terminal.line('one', 'begins');
  line.update('goes on');
  line.done('is done');
  expect(written).toBe(`${'one'.padEnd(26)}begins\n${'one'.padEnd(26)}is done\n`);
});

test('a terminal that has only lines gets no control sequences', () => {
  vi.stubEnv('TERM', 'dumb');
  let written = '';
  const terminal = new Terminal({ isTTY: true, columns: 60, write: text => (written += text) });
  const line = terminal.line('one', 'begins');
  terminal.print('a note');
  line.done('ends');
  expect(written.split('\n').map(text => text.trimEnd())).toEqual([
    `${'one'.padEnd(26)}begins`,
    'a note',
    `${'one'.padEnd(26)}ends`,
    '',
  ]);
});
