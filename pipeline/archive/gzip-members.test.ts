import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { DamagedObjectError, gunzip } from './gunzip.ts';

const FIRST = gzipSync('{"a":1}\n');
const SECOND = gzipSync('{"b":2}\n');
const ZEROS = Buffer.alloc(100);
const GARBAGE = Buffer.from('garbage');

async function unpack(
  pieces: readonly Buffer[],
  byEngine: boolean,
): Promise<{ text: string; error?: unknown; closed: boolean }> {
  let closed = false;
  async function* source() {
    try {
      yield* pieces;
    } finally {
      closed = true;
    }
  }
  const chunks: Buffer[] = [];
  let error: unknown;
  try {
    for await (const chunk of gunzip(source(), byEngine)) chunks.push(chunk);
  } catch (thrown) {
    error = thrown;
  }
  return { text: Buffer.concat(chunks).toString(), closed, ...(error !== undefined && { error }) };
}

/** Splits the bytes into pieces of every size, so that each boundary falls on every position once. */
function cuts(parts: readonly Buffer[]): Buffer[][] {
  const whole = Buffer.concat(parts);
  const everywhere = Array.from({ length: whole.length + 1 }, (_, at) => [whole.subarray(0, at), whole.subarray(at)]);
  return [[...parts], [...whole].map(byte => Buffer.from([byte])), ...everywhere];
}

describe.each([
  ['by the engine', true],
  ['by streams', false],
])('gzip %s', (_way, byEngine) => {
  // RFC 1952 section 2.2: a file is a sequence of members. gzip(1): zeros after the last member are padding. Python's reader, which
  // wrote and reads the archive, also accepts zeros between members.
  it.each([
    ['members in a row', [FIRST, SECOND], '{"a":1}\n{"b":2}\n'],
    ['padding after a member', [FIRST, ZEROS], '{"a":1}\n'],
    ['padding between members', [FIRST, ZEROS, SECOND, ZEROS], '{"a":1}\n{"b":2}\n'],
    ['an empty member', [gzipSync(''), SECOND], '{"b":2}\n'],
  ])('with %s is read to its end, wherever it is split', async (_what, parts, text) => {
    for (const pieces of cuts(parts)) expect(await unpack(pieces, byEngine)).toEqual({ text, closed: true });
  });

  it.each([
    ['other bytes after a member', [FIRST, GARBAGE]],
    ['other bytes after padding', [FIRST, ZEROS, GARBAGE]],
    ['a second member that is cut off', [FIRST, SECOND.subarray(0, 1)]],
    ['a wrong checksum', [FIRST, SECOND.subarray(0, -8), Buffer.alloc(4, 1), SECOND.subarray(-4)]],
    ['a wrong length', [FIRST, SECOND.subarray(0, -4), Buffer.alloc(4, 1)]],
    ['a compression other than deflate', [FIRST, Buffer.from([0x1f, 0x8b, 7, 0, 0, 0, 0, 0, 0, 3])]],
    ['nothing', []],
  ])('with %s throws, wherever it is split', async (_what, parts) => {
    for (const pieces of cuts(parts)) {
      const { text, error, closed } = await unpack(pieces, byEngine);
      expect(error).toBeInstanceOf(DamagedObjectError);
      expect('{"a":1}\n{"b":2}\n'.startsWith(text)).toBe(true);
      expect(closed).toBe(true);
    }
    if (parts.length > 0) expect((await unpack(parts, byEngine)).text.startsWith('{"a":1}\n')).toBe(true);
  });

  it('closes its source when its reader stops', async () => {
    let closed = false;
    async function* source() {
      try {
        for (;;) yield FIRST;
      } finally {
        closed = true;
      }
    }
    for await (const _ of gunzip(source(), byEngine)) break;
    expect(closed).toBe(true);
  });
});
