import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { fileOf, makeArchive, readAll, tarOf } from '../../test/support/archive.ts';
import { ArchiveUnavailableError } from './archive.ts';
import { DirectoryArchive } from './directory.ts';
import { readDocuments } from './documents.ts';

const JSONL = 'raw/20210817/15/US/ndt/2021081715_US_ndt.n0.0.jsonl.gz';
const POSTCAN = 'raw/20210817/15/US/ndt/2021081715_US_ndt.n0.0.tar.gz';

const read = (key: string, content: Uint8Array, maxBytes?: number) =>
  readAll(makeArchive({ [key]: content }).archive, key, maxBytes);
const texts = (documents: readonly { bytes: Buffer }[]) => documents.map(document => document.bytes.toString());
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

describe('JSON lines', () => {
  it('have the number of their line; blank lines count and are omitted', async () => {
    const { documents, end } = await read(JSONL, gzipSync('{"a":1}\n\n \t\r\n{"a":2}\r\n{"a":3}'));
    expect(documents).toEqual([
      { line: 1, bytes: Buffer.from('{"a":1}') },
      { line: 4, bytes: Buffer.from('{"a":2}\r') },
      { line: 5, bytes: Buffer.from('{"a":3}'), unterminated: true },
    ]);
    expect(end).toEqual({ documents: 3, compressedBytes: expect.any(Number), bytes: 29 });
  });

  it('may be empty, and may have several gzip members', async () => {
    expect((await read(JSONL, gzipSync(''))).documents).toEqual([]);
    const { documents, end } = await read(
      JSONL,
      Buffer.concat([gzipSync('{"a":1}\n{"b"'), gzipSync(':2}\n'), gzipSync('[]\n')]),
    );
    expect(texts(documents)).toEqual(['{"a":1}', '{"b":2}', '[]']);
    expect(end.truncated).toBeUndefined();
  });

  it('and every other layout: an object of zero bytes is damaged', async () => {
    const reports = 'canned/2020-10-20/20201020T141726Z-US-AS1-ndt-20201021T141726Z_AS1_x-0.2.0-probe';
    for (const key of [
      JSONL,
      POSTCAN,
      'canned/2020-10-20/ndt.0.tar.lz4',
      `${reports}.json.lz4`,
      `${reports}.yaml.lz4`,
    ]) {
      const { documents, end } = await read(key, Buffer.alloc(0));
      expect(documents).toEqual([]);
      expect(end).toEqual({ documents: 0, compressedBytes: 0, bytes: 0, truncated: 'the object is empty' });
    }
  });

  it('are split correctly for chunks of any size', async () => {
    const lines = Array.from({ length: 300 }, (_, index) =>
      JSON.stringify({ index, body: 'x'.repeat((index * 7919) % 9000) }),
    );
    const { documents } = await read(JSONL, gzipSync(`${lines.join('\n')}\n`));
    expect(texts(documents)).toEqual(lines);
  });

  it('over the size limit are skipped and counted', async () => {
    const { documents, end } = await read(JSONL, gzipSync(`{"a":1}\n"${'x'.repeat(3_000_000)}"\n{"a":3}\n`), 1000);
    expect(texts(documents)).toEqual(['{"a":1}', '', '{"a":3}']);
    expect(documents[1]).toMatchObject({ line: 2, error: { class: 'DocumentTooLong', skipped: false } });
    expect(documents[1]!.error!.message).toContain('3000002 bytes');
    expect(end.documents).toBe(3);
  });

  it('exactly at the size limit are kept', async () => {
    const line = `"${'x'.repeat(998)}"`;
    expect(texts((await read(JSONL, gzipSync(`${line}\n`), 1000)).documents)).toEqual([line]);
    expect((await read(JSONL, gzipSync(`${line}\n`), 999)).documents[0]!.error?.class).toBe('DocumentTooLong');
  });

  it('before the end of a truncated object are kept, wherever it ends', async () => {
    const lines = Array.from({ length: 40 }, (_, index) =>
      JSON.stringify({ index, hash: sha256(Buffer.from([index])) }),
    );
    const whole = gzipSync(`${lines.join('\n')}\n`);
    let before = 0;
    for (let length = 1; length < whole.length; length += 7) {
      const { documents, end } = await read(JSONL, whole.subarray(0, length));
      expect(end.truncated).toContain('broken gzip');
      expect(texts(documents)).toEqual(lines.slice(0, documents.length));
      expect(documents.length).toBeGreaterThanOrEqual(before);
      before = documents.length;
    }
    // Only the gzip trailer is missing.
    expect((await read(JSONL, whole.subarray(0, -8))).documents).toHaveLength(40);
  });

  it('before damage are kept, except in the chunk with the damage', async () => {
    const lines = Array.from({ length: 30_000 }, (_, index) =>
      JSON.stringify({ index, hash: sha256(Buffer.from(String(index))) }),
    );
    // A second member that starts with a block of a type that does not exist.
    const second = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x07]);
    const damaged = Buffer.concat([gzipSync(`${lines.join('\n')}\n`), second]);
    const { documents, end } = await read(JSONL, damaged);
    expect(end.truncated).toContain('broken gzip');
    expect(end.bytes).toBeGreaterThan(lines.length * 80 - 600 * 1024);
    expect(texts(documents)).toEqual(lines.slice(0, documents.length));
    expect((await read(JSONL, Buffer.from('no gzip at all'))).end.truncated).toContain('incorrect header');
  });

  it('pass on the errors of the archive: an interrupted transfer is not a truncated object', async () => {
    const { archive } = makeArchive({ [JSONL]: gzipSync('{}\n') });
    const unplugged = {
      url: 'unplugged',
      list: archive.list.bind(archive),
      folders: archive.folders.bind(archive),
      check: archive.check.bind(archive),
      async *open() {
        yield gzipSync('{}\n').subarray(0, 12);
        throw new ArchiveUnavailableError('unplugged');
      },
    };
    const reading = readDocuments(unplugged, await fileOf(archive, JSONL), { maxMeasurementBytes: 1000 });
    await expect(reading.next()).rejects.toThrow(ArchiveUnavailableError);
  });

  it('stop when their signal is aborted', async () => {
    const { archive } = makeArchive({ [JSONL]: gzipSync(`${JSON.stringify('x'.repeat(2000))}\n`.repeat(5000)) });
    const controller = new AbortController();
    const options = { maxMeasurementBytes: 10_000, signal: controller.signal };
    const reading = readDocuments(archive, await fileOf(archive, JSONL), options);
    await reading.next();
    controller.abort(new Error('enough'));
    await expect(reading.next()).rejects.toThrow('enough');
  });
});

describe('postcans', () => {
  const uid = '20210614004521.999962_JO_signal_68eb19b439326d60';

  it('yield the content of each post, with the uid from its name', async () => {
    const tar = await tarOf([
      [`2021061400_JO_signal/${uid}.post`, '{"format":"json","content":{"a":"}\\"]"}}'],
      ['no-folder.post', '{ "content" : [1, {"b": {}}] , "more": null, "format":"json" }\n'],
    ]);
    for (const object of [gzipSync(tar), tar]) {
      const { documents, end } = await read(POSTCAN, object);
      expect(documents).toEqual([
        { line: 1, uid, bytes: Buffer.from('{"a":"}\\"]"}') },
        { line: 2, uid: 'no-folder', bytes: Buffer.from('[1, {"b": {}}]') },
      ]);
      expect(end).toEqual({ documents: 2, compressedBytes: object.length, bytes: tar.length });
    }
  });

  it('lose only the broken post, and count posts that are skipped by rule', async () => {
    const { documents } = await read(
      POSTCAN,
      await tarOf([
        ['a/1.post', '{"format":"yaml","content":"---"}'],
        ['a/2.post', '{"content":{}}'],
        ['a/3.post', '{"format":"json","content":{"a":1}'],
        ['a/4.post', ''],
        ['a/5.post', '{"format":"json"}'],
        ['a/README', 'x'],
        ['a/6.post', `{"format":"json","content":"${'x'.repeat(2000)}"}`],
        ['a/7.post', '{"format":"json","content":{"a":7}}'],
      ]),
      1000,
    );
    expect(documents.map(({ line, uid, error }) => [line, uid, error?.class, error?.skipped])).toEqual([
      [1, '1', 'UnsupportedPost', true],
      [2, '2', 'UnsupportedPost', true],
      [3, '3', 'BrokenPost', false],
      [4, '4', 'BrokenPost', false],
      [5, '5', 'BrokenPost', false],
      [6, undefined, 'UnsupportedPost', true],
      [7, '6', 'DocumentTooLong', false],
      [8, '7', undefined, undefined],
    ]);
  });

  it('keep every complete post of a truncated object, wherever it ends', async () => {
    const sizes = [10, 412, 900, 20_000, 3000, 70_000, 1, 415, 1024];
    const posts = sizes.map(
      (size, index) => [`d/${index}.post`, `{"format":"json","content":"${'x'.repeat(size)}"}`] as const,
    );
    const tar = await tarOf(posts);
    let end = 0;
    const ends = posts.map(([, post]) => {
      const last = end + 512 + post.length;
      end = Math.ceil(last / 512) * 512;
      return last;
    });
    for (let length = 0; length < tar.length; length += length % 512 < 3 || length % 512 > 508 ? 1 : 97) {
      const { documents } = await read(POSTCAN, tar.subarray(0, length));
      expect(documents).toHaveLength(ends.filter(last => last <= length).length);
      expect(documents.every(document => document.error === undefined)).toBe(true);
    }
    const cut = await read(POSTCAN, gzipSync(tar).subarray(0, -30));
    expect(cut.end.truncated).toContain('broken gzip');
    expect(cut.documents.length).toBeGreaterThan(0);
    expect((await read(POSTCAN, tar.subarray(0, 700))).end.truncated).toContain('broken tar');
  });

  it('keep the posts before a damaged header', async () => {
    const tar = await tarOf([
      ['d/1.post', '{"format":"json","content":1}'],
      ['d/2.post', '{"format":"json","content":2}'],
    ]);
    tar.fill(0xff, 1024, 1100);
    const { documents, end } = await read(POSTCAN, tar);
    expect(texts(documents)).toEqual(['1']);
    expect(end.truncated).toContain('broken tar');
  });
});

describe('real measurements', () => {
  const fixtures = join(import.meta.dirname, '../../test/fixtures/archive');
  const shared = join(import.meta.dirname, '../../../shared/data/measurements');

  it('are yielded byte for byte', async () => {
    const archive = new DirectoryArchive(fixtures);
    const keys = globSync('**/*.jsonl.gz', { cwd: fixtures });
    expect(keys.length).toBeGreaterThan(100);
    for (const key of keys) {
      const lines = gunzipSync(readFileSync(join(fixtures, key)))
        .toString('latin1')
        .split('\n')
        .filter(Boolean);
      const { documents } = await readAll(archive, key, 32 * 1024 * 1024);
      expect(documents.map(document => document.bytes.toString('latin1'))).toEqual(lines);
    }
  });

  it.skipIf(!existsSync(shared))('have the hashes of their index', async () => {
    const archive = new DirectoryArchive(shared);
    const rows = readFileSync(join(shared, 'INDEX.tsv'), 'utf8').trimEnd().split('\n');
    const columns = rows[0]!.split('\t');
    const [keyAt, lineAt, hashAt] = ['key', 'line', 'sha256'].map(name => columns.indexOf(name)) as [
      number,
      number,
      number,
    ];
    const expected = new Map<string, Map<number, string>>();
    for (const row of rows.slice(1)) {
      const fields = row.split('\t');
      const lines = expected.get(fields[keyAt]!) ?? new Map<number, string>();
      expected.set(fields[keyAt]!, lines.set(Number(fields[lineAt]), fields[hashAt]!));
    }
    for (const [key, lines] of expected) {
      const { documents } = await readAll(archive, key, 32 * 1024 * 1024);
      expect(new Map(documents.map(({ line, bytes }) => [line, sha256(bytes)]))).toEqual(lines);
    }
  });
});
