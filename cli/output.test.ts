import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { Output } from './output.ts';

async function written(
  isTTY: boolean,
  form: 'json' | 'text' | 'laidOut',
  ...chunks: (string | Buffer)[]
): Promise<string> {
  const stream = Object.assign(new PassThrough(), { isTTY });
  const output = new Output(stream, form);
  for (const chunk of chunks) await output.write(chunk);
  return String(stream.read());
}

test('a terminal gets control characters in visible form; a file gets them unchanged', async () => {
  expect(await written(true, 'text', '\x1b[1m', Buffer.from('\x9b\n'))).toBe('\\x1b[1m\\x9b\n');
  expect(await written(true, 'json', '"\x9b"\n')).toBe('"\\u009b"\n');
  expect(await written(false, 'text', '\x1b[1m\x9b\n')).toBe('\x1b[1m\x9b\n');
});

test('text that is laid out with colours keeps them', async () => {
  expect(await written(true, 'laidOut', '\x1b[1mname\x1b[22m\n')).toBe('\x1b[1mname\x1b[22m\n');
});

test('a character that is split between two chunks stays whole', async () => {
  const bytes = Buffer.from('é\u009b🦉');
  expect(await written(true, 'text', ...Array.from(bytes, byte => Buffer.from([byte])))).toBe('é\\x9b🦉');
});
