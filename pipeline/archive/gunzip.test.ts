import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { DamagedObjectError, gunzip } from './gunzip.ts';

async function* pieces(...all: Buffer[]): AsyncGenerator<Buffer> {
  yield* all;
}

/** Returns the output, and the message of the damage, if any. */
async function read(...stored: Buffer[]): Promise<{ bytes: Buffer; chunks: number; damage?: string }> {
  const copies: Buffer[] = [];
  try {
    for await (const chunk of gunzip(pieces(...stored))) copies.push(Buffer.from(chunk));
  } catch (error) {
    if (!(error instanceof DamagedObjectError)) throw error;
    return { bytes: Buffer.concat(copies), chunks: copies.length, damage: error.message };
  }
  return { bytes: Buffer.concat(copies), chunks: copies.length };
}

/** Content that compresses little and is longer than two chunks. */
const content = Buffer.from(randomBytes(600_000).toString('hex'));
const stored = gzipSync(content);

it.each([1, 1000, 65_536, stored.length])('accepts stored bytes in pieces of %i', async size => {
  const from = size === 1 ? gzipSync('some text') : stored;
  const cut = Array.from({ length: Math.ceil(from.length / size) }, (_, i) => from.subarray(i * size, (i + 1) * size));
  const { bytes, damage } = await read(...cut);
  expect(damage).toBeUndefined();
  expect(bytes.equals(size === 1 ? Buffer.from('some text') : content)).toBe(true);
});

it('fills chunks of half a MB from pieces of any size, so that few chunks are passed on', async () => {
  const cut = Array.from({ length: Math.ceil(stored.length / 999) }, (_, i) => stored.subarray(i * 999, (i + 1) * 999));
  expect((await read(...cut)).chunks).toBe(Math.ceil(content.length / (512 * 1024)));
});

it('ends when the output ends exactly with a chunk', async () => {
  const exact = Buffer.alloc(1024 * 1024, 'x');
  expect(await read(gzipSync(exact))).toEqual({ bytes: exact, chunks: 2 });
});

it('reads several members, and skips zeros after them', async () => {
  const one = gzipSync('one');
  const zeros = Buffer.alloc(5);
  expect((await read(Buffer.concat([one, gzipSync(' two')]))).bytes.toString()).toBe('one two');
  expect((await read(one, gzipSync(' two'))).bytes.toString()).toBe('one two');
  expect(await read(Buffer.concat([one, zeros]))).toEqual({ bytes: Buffer.from('one'), chunks: 1 });
  expect(await read(one, zeros)).toEqual({ bytes: Buffer.from('one'), chunks: 1 });
});

it('yields all output before the end of a truncated object', async () => {
  const { bytes, damage } = await read(stored.subarray(0, stored.length / 2));
  expect(damage).toBe('broken gzip: unexpected end of file');
  expect(bytes.length).toBeGreaterThan(content.length / 3);
  expect(bytes.equals(content.subarray(0, bytes.length))).toBe(true);
  expect(await read()).toMatchObject({ damage: 'broken gzip: unexpected end of file' });
});

it('yields the output before damage', async () => {
  expect(await read(gzipSync('one'), Buffer.from('not gzip'))).toEqual({
    bytes: Buffer.from('one'),
    chunks: 1,
    damage: 'broken gzip: incorrect header check',
  });
});

it('passes on errors of the source', async () => {
  async function* broken() {
    yield stored.subarray(0, 1000);
    throw new RangeError('unplugged');
  }
  const reading = async () => {
    for await (const _ of gunzip(broken()));
  };
  await expect(reading()).rejects.toThrow(RangeError);
});
