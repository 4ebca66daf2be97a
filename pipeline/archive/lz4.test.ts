import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeArchive, readAll, tarOf } from '../../test/support/archive.ts';
import { lz4Blocks, storedFrame } from '../../test/support/lz4.ts';
import { DamagedObjectError } from './gunzip.ts';
import { unlz4 } from './lz4.ts';
import { XxHash32 } from './xxh32.ts';

// test/fixtures/lz4/README.md describes how the reference implementation made the frames from these lines.
const LINES = Array.from(
  { length: 4000 },
  (_, index) =>
    `{"line":${index + 1},"probe_cc":"IT","hash":"${(Math.imul(index + 1, 2654435761) >>> 0).toString(16)}"}`,
);
const TEXT = Buffer.from(`${LINES.join('\n')}\n`);
const frame = (name: string) => readFileSync(join(import.meta.dirname, '../../test/fixtures/lz4', name));
const NAMES = ['independent.lz4', 'linked-with-size.lz4', 'one-block-no-checksum.lz4', 'linked-block-checksums.lz4'];

async function unpack(bytes: Buffer, step = 1000): Promise<{ output: Buffer; error?: unknown }> {
  async function* source() {
    for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
  }
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of unlz4(source())) chunks.push(chunk);
  } catch (error) {
    return { output: Buffer.concat(chunks), error };
  }
  return { output: Buffer.concat(chunks) };
}

describe('xxh32', () => {
  // Test vectors of the reference implementation, seed 0.
  it.each([
    ['', 0x02cc5d05],
    ['a', 0x550d7456],
    ['abc', 0x32d153ff],
    ['Nobody inspects the spammish repetition', 0xe2293b2f],
  ])('of %j', (text, hash) => {
    expect(new XxHash32().update(Buffer.from(text)).digest()).toBe(hash);
  });

  it('does not depend on how the bytes are split', () => {
    const whole = new XxHash32().update(TEXT).digest();
    for (const step of [1, 5, 16, 17, 1000]) {
      const pieces = new XxHash32();
      for (let at = 0; at < 5000; at += step) pieces.update(TEXT.subarray(at, Math.min(5000, at + step)));
      expect(pieces.digest()).toBe(new XxHash32().update(TEXT.subarray(0, 5000)).digest());
    }
    expect(whole).not.toBe(0);
  });
});

describe('lz4', () => {
  it.each(NAMES)('unpacks %s', async name => {
    for (const step of [1, 7, 65_536, 1e9]) expect((await unpack(frame(name), step)).output.equals(TEXT)).toBe(true);
  });

  it('unpacks several frames, and skips skippable frames', async () => {
    const skippable = Buffer.concat([Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0]), Buffer.from('abc')]);
    const { output, error } = await unpack(
      Buffer.concat([frame(NAMES[0]!), skippable, frame(NAMES[1]!), storedFrame([Buffer.from('x')])]),
    );
    expect(error).toBeUndefined();
    expect(output.equals(Buffer.concat([TEXT, TEXT, Buffer.from('x')]))).toBe(true);
    expect((await unpack(Buffer.alloc(0))).output).toHaveLength(0);
  });

  it.each(NAMES)('keeps the output before the end of a truncated %s', async name => {
    const whole = frame(name);
    for (let length = 5; length < whole.length; length += 1511) {
      const { output, error } = await unpack(whole.subarray(0, length), 4096);
      expect(error).toBeInstanceOf(DamagedObjectError);
      expect(output.equals(TEXT.subarray(0, output.length))).toBe(true);
    }
    const almost = await unpack(whole.subarray(0, -1), 4096);
    expect(almost.output.equals(TEXT)).toBe(true);
    expect(almost.error).toBeInstanceOf(DamagedObjectError);
  });

  it('detects damage by its checksums', async () => {
    for (const name of ['independent.lz4', 'linked-block-checksums.lz4']) {
      const damaged = Buffer.from(frame(name));
      damaged[20_000]! ^= 1;
      expect((await unpack(damaged)).error).toBeInstanceOf(DamagedObjectError);
    }
    const header = Buffer.from(frame(NAMES[0]!));
    header[4]! ^= 8;
    expect((await unpack(header)).error).toEqual(new DamagedObjectError('broken lz4: the frame header is damaged'));
  });

  it('detects a content size that differs from the header, and allocates no memory for that size', async () => {
    const whole = frame('linked-with-size.lz4');
    for (const size of [0n, BigInt(TEXT.length - 1), 2n ** 63n]) {
      const wrong = Buffer.from(whole);
      wrong.writeBigUInt64LE(size, 6);
      wrong[14] = (new XxHash32().update(wrong.subarray(4, 14)).digest() >>> 8) & 0xff;
      const { output, error } = await unpack(wrong);
      expect(error).toEqual(
        new DamagedObjectError(`broken lz4: the frame holds ${TEXT.length} bytes, where its header says ${size}`),
      );
      expect(output.equals(TEXT)).toBe(true);
    }
  });

  it('rejects blocks longer than the frame allows, and bytes after the last frame', async () => {
    const long = storedFrame([Buffer.alloc(64 * 1024 + 1)]);
    expect((await unpack(long)).error).toEqual(
      new DamagedObjectError('broken lz4: a block of 65537 bytes is too long'),
    );
    const more = Buffer.concat([frame(NAMES[0]!), Buffer.from('garbage')]);
    const { output, error } = await unpack(more);
    expect(output.equals(TEXT)).toBe(true);
    expect((error as Error).message).toContain('no frame starts with');
    const skipped = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff, 1]);
    expect((await unpack(skipped)).error).toEqual(new DamagedObjectError('broken lz4: unexpected end of file'));
  });

  it('does not crash on any single damaged byte', async () => {
    const bytes = frame('one-block-no-checksum.lz4');
    for (let at = 0; at < bytes.length; at += 337) {
      const damaged = Buffer.from(bytes);
      damaged[at]! ^= 0xff;
      const { error } = await unpack(damaged, 1e9);
      expect(error === undefined || error instanceof DamagedObjectError).toBe(true);
    }
  });
});

describe('cans', () => {
  const REPORT = 'canned/2020-10-20/20201020T000000Z-IT-AS137-ndt-20201020T000000Z_AS137_x-0.2.0-probe.json.lz4';
  const CAN = 'canned/2020-10-20/web_connectivity.0.tar.lz4';

  it('yield the lines of a report', async () => {
    const { documents, end } = await readAll(makeArchive({ [REPORT]: frame(NAMES[0]!) }).archive, REPORT);
    expect(documents.map(({ line, bytes }) => [line, bytes.toString()])).toEqual(
      LINES.map((text, index) => [index + 1, text]),
    );
    expect(end).toEqual({ documents: 4000, compressedBytes: frame(NAMES[0]!).length, bytes: TEXT.length });
  });

  it('yield the lines of a tar of reports, numbered continuously', async () => {
    const tar = await tarOf([
      ['2020-10-20/a.json', '{"a":1}\n{"a":2}\n'],
      ['2020-10-20/notes.txt', 'no report\n'],
      [
        '2020-10-20/b.yaml',
        '---\nprobe_cc: IT\nstart_time: 1380000000.0\ntest_name: HTTP Host\n...\n---\ninput: x\n...\n',
      ],
      ['2020-10-20/c.json', '{"a":4}'],
    ]);
    const { documents, end } = await readAll(makeArchive({ [CAN]: storedFrame(lz4Blocks(tar)) }).archive, CAN);
    expect(documents.map(({ line }) => line)).toEqual([1, 2, 3, 4]);
    expect(documents[3]).toEqual({ line: 4, bytes: Buffer.from('{"a":4}'), unterminated: true });
    expect(documents[2]!.uid).toMatch(/^0120130924[0-9a-f]{30}$/);
    expect(end.truncated).toBeUndefined();
  });

  it('keep the complete lines of a truncated object', async () => {
    const { documents, end } = await readAll(
      makeArchive({ [REPORT]: frame(NAMES[2]!).subarray(0, 30_000) }).archive,
      REPORT,
    );
    expect(end.truncated).toBe('broken lz4: unexpected end of file');
    expect(documents.length).toBeGreaterThan(1000);
    expect(documents.map(({ bytes }) => bytes.toString())).toEqual(LINES.slice(0, documents.length));
  });
});
