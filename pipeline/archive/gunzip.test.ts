import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { DamagedObjectError, gunzip } from './gunzip.ts';
import { hasEngine } from './inflate.ts';

async function* pieces(...all: Buffer[]): AsyncGenerator<Buffer> {
  yield* all;
}

/** Returns the output, and the message of the damage, if any. */
const read = (...stored: Buffer[]) => readBy(true, ...stored);
async function readBy(
  engine: boolean,
  ...stored: Buffer[]
): Promise<{ bytes: Buffer; chunks: number; damage?: string }> {
  const copies: Buffer[] = [];
  try {
    for await (const chunk of gunzip(pieces(...stored), engine)) copies.push(Buffer.from(chunk));
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
  const { bytes, chunks } = await read(gzipSync(exact));
  // `equals` is a thousand times as fast as `toEqual`, which compares byte by byte.
  expect([bytes.equals(exact), chunks]).toEqual([true, 2]);
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

const WITHOUT_ENGINE = { close() {} };

it.each<[string, () => unknown]>([
  ['without the engine', () => WITHOUT_ENGINE],
  ['whose engine does nothing', () => ({ ...WITHOUT_ENGINE, _handle: { writeSync() {} }, _writeState: [0, 0] })],
  ['whose engine has other functions', () => ({ ...WITHOUT_ENGINE, _handle: {}, _writeState: [0, 0] })],
])('notices a Node %s', (_, open) => {
  expect(hasEngine(open)).toBe(false);
});

it('uses the engine of this Node', () => {
  expect(hasEngine()).toBe(true);
});

it('reads the same bytes by streams', async () => {
  const cut = Array.from({ length: Math.ceil(stored.length / 999) }, (_, i) => stored.subarray(i * 999, (i + 1) * 999));
  for (const all of [cut, [stored], [Buffer.concat([stored, Buffer.alloc(70_000), stored])]]) {
    const here = await readBy(true, ...all);
    const there = await readBy(false, ...all);
    expect(there.damage).toBeUndefined();
    expect(there.bytes.equals(here.bytes)).toBe(true);
  }
});

it('yields all output before the end of a truncated object, and before damage, by streams', async () => {
  const { bytes, damage } = await readBy(false, stored.subarray(0, stored.length / 2));
  expect(damage).toBe('broken gzip: unexpected end of file');
  expect(bytes.equals((await read(stored.subarray(0, stored.length / 2))).bytes)).toBe(true);
  expect(await readBy(false, gzipSync('one'), Buffer.from('not gzip'))).toMatchObject({
    bytes: Buffer.from('one'),
    damage: 'broken gzip: incorrect header check',
  });
});
