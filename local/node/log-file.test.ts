import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LogFile, type LogLine, readLog } from './log-file.ts';

let dir: string;
let log: LogFile;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ooni-log-'));
  log = new LogFile(join(dir, 'a', '0.log'));
});
afterEach(() => {
  log.close();
  rmSync(dir, { recursive: true, force: true });
});

const text = (lines: readonly LogLine[]) => lines.map(line => line.text + (line.whole ? '\n' : '')).join('');

test('lines are read as they were written, for any chunks', () => {
  const bytes = Buffer.from('one\ntwo ünï 🦉\n\nfour');
  for (const byte of bytes) log.write('stdout', Buffer.from([byte]));
  log.write('stderr', Buffer.from('other\n'));
  log.close();
  const lines = readLog(log.path);
  expect(text(lines.filter(({ stream }) => stream === 'stdout'))).toBe('one\ntwo ünï 🦉\n\nfour\n');
  expect(text(lines.filter(({ stream }) => stream === 'stderr'))).toBe('other\n');
});

test('a long line is kept in pieces that add up to it', () => {
  const long = 'x'.repeat(100_000);
  log.write('stdout', Buffer.from(long.slice(0, 50_000)));
  log.write('stdout', Buffer.from(`${long.slice(50_000)}\nnext\n`));
  log.close();
  expect(text(readLog(log.path))).toBe(`${long}\nnext\n`);
});

test('a follower receives every further line, and the end', () => {
  const received: string[] = [];
  log.write('stdout', Buffer.from('before\n'));
  log.follow(
    line => received.push(line.text),
    () => received.push('(closed)'),
  );
  log.write('stdout', Buffer.from('a\nb'));
  log.close();
  expect(received).toEqual(['a', 'b', '(closed)']);
});

test('the size is limited, and the newest lines are kept', () => {
  const line = Buffer.from(`${'y'.repeat(1000)}\n`);
  for (let index = 0; index < 30_000; index++) log.write('stdout', line);
  log.write('stdout', Buffer.from('last\n'));
  log.close();
  const sizes = [log.path, `${log.path}.1`].map(path => statSync(path).size);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(10 * 1024 * 1024);
  expect(readLog(log.path).at(-1)?.text).toBe('last');
});
