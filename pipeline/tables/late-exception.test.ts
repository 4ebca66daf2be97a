import { expect, test } from 'vitest';
import { ClickHouseUnavailableError, RowsRefusedError } from './errors.ts';
import { untilException } from './late-exception.ts';

const TAG = 'abcdefghijklmnop';
const MESSAGE =
  'Code: 395. DB::Exception: in the middle: while executing. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO) (version 26.7.2.1 (official build))\n';
const MARKED = `\r\n__exception__\r\n${TAG}\r\n${MESSAGE}${Buffer.byteLength(MESSAGE)} ${TAG}\r\n__exception__\r\n`;

/** Returns the output for an answer in chunks of `size` bytes, and the error at its end. */
async function read(answer: string, size: number, options: { tag?: string; error?: Error } = {}) {
  const { tag = TAG, error } = options;
  async function* chunks() {
    const bytes = Buffer.from(answer);
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
    if (error) throw error;
  }
  let text = '';
  try {
    for await (const chunk of untilException(chunks(), tag || undefined)) text += chunk.toString('latin1');
    return { text };
  } catch (thrown) {
    return { text, thrown: thrown as Error };
  }
}

test('an answer without an exception passes unchanged, for any size of chunks', async () => {
  const answer = `1\r\n2\r\n__exception__\r\nother\r\n3\r\n__exception__\r\n${TAG.slice(0, 8)}`;
  for (const size of [1, 2, 7, 1000]) expect(await read(answer, size)).toEqual({ text: answer });
});

test('an exception after the first rows is thrown and is not part of the output', async () => {
  for (const size of [1, 3, 20, 1000]) {
    const { text, thrown } = await read(`1\n2\n${MARKED}`, size);
    expect(text).toBe('1\n2\n');
    expect(thrown).toBeInstanceOf(RowsRefusedError);
    expect(thrown?.message).toBe(
      'ClickHouse rejected the statement: in the middle: while executing (code 395, FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)',
    );
  }
});

test('a connection that breaks within the exception still gives the message', async () => {
  const { thrown } = await read(`1\n${MARKED.slice(0, 130)}`, 10, { error: new Error('aborted') });
  expect(thrown?.message).toContain('in the middle');
});

test('an exception without marks, before the connection breaks, is thrown', async () => {
  const { thrown } = await read(`1\n2\n${MESSAGE}`, 10, { tag: '', error: new Error('aborted') });
  expect(thrown?.message).toContain('ClickHouse rejected the statement: in the middle');
  const broken = await read('1\n2\n', 10, { tag: '', error: new Error('aborted') });
  expect(broken.text).toBe('1\n2\n');
  expect(broken.thrown).toBeInstanceOf(ClickHouseUnavailableError);
  expect(broken.thrown?.message).toContain('does not answer: aborted');
});
