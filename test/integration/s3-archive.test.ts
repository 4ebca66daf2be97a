import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, test } from 'vitest';
import { transformFiles } from '../../cli/commands/transform.ts';
import {
  ArchiveMissingError,
  ArchiveUnavailableError,
  ObjectChangedError,
  ObjectMissingError,
} from '../../pipeline/archive/archive.ts';
import { listBatch } from '../../pipeline/archive/batches.ts';
import { listBucket } from '../../pipeline/archive/listing.ts';
import { openArchive } from '../../pipeline/archive/open.ts';
import { S3Archive, type S3Options } from '../../pipeline/archive/s3.ts';
import { EVERYTHING } from '../../pipeline/filter.ts';
import { loadSettings } from '../../pipeline/settings.ts';
import { collect, readAll } from '../support/archive.ts';
import { S3_CREDENTIALS, S3_REGION, type S3Server, startS3 } from '../support/s3.ts';
import { type FaultyProxy, startFaultyProxy } from '../support/s3-proxy.ts';

const KEY = 'raw/20210817/15/US/ndt/2021081715_US_ndt.n0.0.jsonl.gz';
const BIG = 'raw/20210817/16/US/ndt/2021081716_US_ndt.n0.0.jsonl.gz';
// Random text hardly compresses, so the object has some megabytes on the wire.
const LINES = Array.from({ length: 4000 }, (_, index) =>
  JSON.stringify({ index, noise: randomBytes(1000).toString('base64') }),
);
const OBJECT = gzipSync(`${LINES.join('\n')}\n`);

let dir: string;
let server: S3Server;
let proxy: FaultyProxy;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 's3-'));
  server = await startS3(dir);
  await server.createBucket('public', 'public');
  await server.createBucket('private', 'private');
  for (const bucket of ['public', 'private']) {
    await server.put(bucket, KEY, gzipSync('{"a":1}\n'));
    await server.put(bucket, BIG, OBJECT);
    await server.put(bucket, `mirror/${KEY}`, gzipSync('{"mirror":true}\n'));
  }
}, 900_000);
afterAll(async () => {
  await server?.stop();
  rmSync(dir, { recursive: true, force: true });
});
beforeEach(async () => {
  proxy = await startFaultyProxy(server.port);
});
afterEach(() => proxy.close());

describe('oonipipeline transform', () => {
  async function transform(...files: string[]) {
    const output = new PassThrough();
    const complaints: string[] = [];
    const context = {
      input: Readable.from([]),
      output,
      complain: (message: string) => complaints.push(message),
      now: 0,
      settings: () =>
        loadSettings({ ARCHIVE_ENDPOINT: server.endpoint, ARCHIVE_REGION: S3_REGION, ARCHIVE_PATH_STYLE: '1' }),
    };
    const [shown, status] = await Promise.all([
      text(output),
      transformFiles(files, { root: '.' }, context).finally(() => output.end()),
    ]);
    const documents = shown
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line) as { key: string; status: string });
    return { status, keys: documents.map(({ key }) => key), complaints };
  }

  test('reads an object, and all objects of a folder, in a bucket with or without a prefix', async () => {
    expect(await transform(`s3://public/${KEY}`)).toEqual({ status: 0, keys: [KEY], complaints: [] });
    expect(await transform(`s3://public/mirror/${KEY}`)).toEqual({ status: 0, keys: [KEY], complaints: [] });
    const folder = await transform(`s3://public/${KEY.slice(0, KEY.lastIndexOf('/') + 1)}`);
    expect([folder.status, folder.complaints]).toEqual([0, []]);
    expect(folder.keys).toContain(KEY);
  });

  test('names a missing object and continues', async () => {
    const place = `s3://public/${KEY}`;
    const {
      status,
      keys: found,
      complaints,
    } = await transform(
      `${place}x`,
      's3://public/mirror',
      's3://public/nowhere/',
      's3://nowhere/x',
      's3://private/x',
      place,
    );
    expect([status, found]).toEqual([1, [KEY]]);
    expect(complaints).toEqual([
      `${place}x cannot be read: there is no such object`,
      's3://public/mirror cannot be read: it is a folder; end it with a slash to read all objects in it',
      's3://public/nowhere/ cannot be read: there is no object in it',
      expect.stringMatching(/^s3:\/\/nowhere\/x cannot be read: the archive s3:\/\/nowhere does not exist/),
      expect.stringMatching(/^s3:\/\/private\/x cannot be read: /),
    ]);
  });
});

function archive(options: Partial<S3Options> = {}): S3Archive {
  return new S3Archive({ bucket: 'public', region: S3_REGION, endpoint: proxy.endpoint, pathStyle: true, ...options });
}
const keys = async (prefix: string, from: S3Archive) => (await collect(from.list(prefix))).map(object => object.key);
const bigObject = async (from: S3Archive) => (await collect(from.list(BIG)))[0]!;
const isGet = (url: string | undefined) => url?.includes('2021081716_US_ndt') && !url.includes('list-type');

describe('S3 archive', () => {
  it('reads a public bucket unsigned, and a private one signed', async () => {
    expect(await keys('raw/', archive())).toEqual([KEY, BIG]);
    expect(await keys('raw/', archive({ bucket: 'private', credentials: S3_CREDENTIALS }))).toEqual([KEY, BIG]);
    for (const from of [archive(), archive({ bucket: 'private', credentials: S3_CREDENTIALS })]) {
      const { documents, end } = await readAll(from, BIG, 1_000_000);
      expect(documents.map(({ bytes }) => bytes.toString())).toEqual(LINES);
      expect(end).toMatchObject({ documents: LINES.length, compressedBytes: OBJECT.length });
    }
  });

  it('is opened by settings, with a prefix in its bucket', async () => {
    const settings = loadSettings({
      ARCHIVE_URL: 's3://public/mirror/',
      ARCHIVE_ENDPOINT: server.endpoint,
      ARCHIVE_PATH_STYLE: 'true',
    });
    const mirror = openArchive(settings);
    const files = await collect(listBucket(mirror, '2021-08-17', EVERYTHING));
    expect(files.map(file => file.key)).toEqual([KEY]);
    expect((await readAll(mirror, KEY)).documents[0]!.bytes.toString()).toBe('{"mirror":true}');
  });

  it('reports missing permissions and missing buckets, and shows no secret', async () => {
    const failed = (options: Partial<S3Options>) =>
      keys('raw/', archive(options)).then(
        () => expect.unreachable(),
        (error: Error) => error,
      );
    const unsigned = await failed({ bucket: 'private' });
    expect(unsigned).toBeInstanceOf(ArchiveMissingError);
    expect(unsigned.message).toContain('archive_access_key_id');
    const wrong = await failed({
      bucket: 'private',
      credentials: { accessKeyId: 'test-access', secretAccessKey: 'topsecret' },
    });
    expect(wrong).toBeInstanceOf(ArchiveMissingError);
    expect(JSON.stringify(wrong) + wrong.message + wrong.stack).not.toContain('topsecret');
    const missing = await failed({ bucket: 'nowhere', credentials: S3_CREDENTIALS });
    expect(missing).toBeInstanceOf(ArchiveMissingError);
    expect(missing.message).toContain('s3://nowhere');
  });

  it('lists page by page, in key order, and lists ranges between two keys', async () => {
    await server.createBucket('pages', 'public');
    const names = Array.from(
      { length: 1105 },
      (_, index) => `raw/20210817/15/US/ndt/2021081715_US_ndt.n0.${index}.tar.gz`,
    ).sort();
    for (let at = 0; at < names.length; at += 50) {
      await Promise.all(names.slice(at, at + 50).map(name => server.put('pages', name, 'x')));
    }
    const from = archive({ bucket: 'pages' });
    expect(await keys('raw/20210817', from)).toEqual(names);
    expect(proxy.requests).toHaveLength(2);
    expect(await collect(from.folders('raw/20210817/15/'))).toEqual(['raw/20210817/15/US/']);
    const batch = { first: names[500]!, last: names[1102]! };
    const files = await collect(listBatch(from, '2021-08-17T15', EVERYTHING, batch));
    expect(files.map(file => file.key)).toEqual(names.slice(500, 1103));
  });

  it('does not accept an invalid listing as complete', async () => {
    const page = (contents: string, more = '') =>
      `<?xml version="1.0"?><ListBucketResult><Name>public</Name>${contents}${more}</ListBucketResult>`;
    const entry = (key: string) => `<Contents><Key>${key}</Key><Size>1</Size><ETag>"e"</ETag></Contents>`;
    const folder = (prefix: string) => `<CommonPrefixes><Prefix>${prefix}</Prefix></CommonPrefixes>`;
    const more = '<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>';
    const listing = async (...pages: string[]) => {
      let number = 0;
      proxy.fault = () => ({ kind: 'answer', status: 200, body: pages[Math.min(number++, pages.length - 1)]! });
      return collect(archive({ attempts: 2 }).list('raw/')).catch((error: Error) => error);
    };
    const strange = (text: string) => expect.objectContaining({ message: expect.stringContaining(text) });
    expect(await listing(page(entry('raw/a'), more), page(entry('raw/b')))).toHaveLength(2);
    expect(await listing(page(entry('raw/a'), '<IsTruncated>true</IsTruncated>'))).toEqual(
      strange('but not from where'),
    );
    expect(await listing(page(entry('raw/b') + entry('raw/a')))).toEqual(strange('raw/a after raw/b'));
    // The same page again and again, which would never end.
    expect(await listing(page(entry('raw/a'), more))).toEqual(strange('raw/a after raw/a'));
    expect(await listing(page('<Contents><Size>1</Size></Contents>'))).toEqual(strange('without a key'));
    expect(await listing('<html>log in first</html>')).toEqual(strange('answered with something else'));
    expect(await listing('not even that <')).toBeInstanceOf(ArchiveUnavailableError);
    proxy.fault = () => ({ kind: 'answer', status: 404, body: '<html>nothing here</html>' });
    await expect(collect(archive({ attempts: 2 }).list('raw/'))).rejects.toThrow(ArchiveMissingError);
    await expect(collect(archive({ attempts: 2 }).open({ key: 'x', size: 1, etag: '' }))).rejects.toThrow(
      ObjectMissingError,
    );
    proxy.fault = () => ({ kind: 'answer', status: 200, body: page(folder('raw/b/') + folder('raw/a/')) });
    await expect(collect(archive({ attempts: 2 }).folders('raw/'))).rejects.toThrow(ArchiveUnavailableError);
  });

  it('accepts keys with any characters', async () => {
    await server.createBucket('odd', 'public');
    const odd = ['a b', 'a&amp;b', 'a+b', 'a<b>"\'', '..', 'ü/😀', '%41', 'x/.y'].map(name => `raw/${name}.tar.gz`);
    const stored: string[] = [];
    for (const key of odd) {
      // Keys that the server itself rejects cannot be tested.
      await server.put('odd', key, key).then(
        () => stored.push(key),
        () => {},
      );
    }
    expect(stored.length).toBeGreaterThan(4);
    const from = archive({ bucket: 'odd' });
    const listed = await collect(from.list('raw/'));
    expect(listed.map(({ key }) => key).sort()).toEqual(stored.sort());
    for (const object of listed) expect(Buffer.concat(await collect(from.open(object))).toString()).toBe(object.key);
  });

  it('waits and retries when the server answers SlowDown or not at all', async () => {
    proxy.fault = (_message, number) =>
      number < 2 ? { kind: 'slow-down' } : number < 4 ? { kind: 'no-answer' } : undefined;
    expect(await keys('raw/', archive())).toEqual([KEY, BIG]);
    expect(proxy.requests).toHaveLength(5);
  });

  it('gives up after repeated failures, and reports that', async () => {
    proxy.fault = () => ({ kind: 'slow-down' });
    const error = await keys('raw/', archive({ attempts: 2 })).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ArchiveUnavailableError);
    expect((error as Error).message).toContain('SlowDown');
    const nobody = await keys('raw/', archive({ attempts: 2, endpoint: 'http://127.0.0.1:1' })).catch(
      (reason: unknown) => reason,
    );
    expect(nobody).toBeInstanceOf(ArchiveUnavailableError);
    expect((nobody as Error).message).toContain('does not answer');
  });

  it.each(['reset', 'cut'] as const)('continues where the transfer broke (%s)', async kind => {
    const from = archive();
    const object = await bigObject(from);
    let gets = 0;
    // The first three responses break. Each later one gets a bit further, as in reality.
    proxy.fault = message => (isGet(message.url) && gets++ < 3 ? { kind, after: 1_000_000 } : undefined);
    const bytes = Buffer.concat(await collect(from.open(object)));
    expect(bytes.equals(OBJECT)).toBe(true);
    const ranges = proxy.requests.filter(isGet).map(line => line.split(' ')[2]);
    expect(ranges).toHaveLength(4);
    expect(ranges.slice(1).every(range => /^bytes=\d+-$/.test(range!))).toBe(true);
  });

  it('reads every line once through a connection that keeps breaking', async () => {
    let number = 0;
    proxy.fault = message => (isGet(message.url) ? { kind: 'reset', after: 300_000 + 1000 * number++ } : undefined);
    const { documents, end } = await readAll(archive(), BIG, 1_000_000);
    expect(documents.map(({ bytes }) => bytes.toString())).toEqual(LINES);
    expect(end.compressedBytes).toBe(OBJECT.length);
  });

  it('throws when no more bytes arrive, and does not treat the object as truncated', async () => {
    const from = archive({ attempts: 3 });
    let gets = 0;
    proxy.fault = message => (isGet(message.url) ? { kind: 'reset', after: gets++ === 0 ? 200_000 : 0 } : undefined);
    const error = await readAll(from, BIG, 1_000_000).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ArchiveUnavailableError);
    expect((error as Error).message).toContain(`of ${OBJECT.length}`);
  });

  it('detects an object that changed or disappeared before it was read', async () => {
    const from = archive();
    await server.put('public', 'changing', 'one');
    const [object] = await collect(from.list('changing'));
    await server.put('public', 'changing', 'two');
    await expect(collect(from.open(object!))).rejects.toThrow(ObjectChangedError);
    await expect(collect(from.open({ ...object!, key: 'gone' }))).rejects.toThrow(ObjectMissingError);
  });

  it('detects an object that changes while it is read', async () => {
    const from = archive();
    const object = await bigObject(from);
    proxy.fault = message =>
      isGet(message.url) && !message.headers.range ? { kind: 'reset', after: 500_000 } : undefined;
    const reading = from.open(object)[Symbol.asyncIterator]();
    await reading.next();
    await server.put('public', BIG, OBJECT.subarray(0, OBJECT.length - 1));
    const rest = async () => {
      for (let next = await reading.next(); !next.done; next = await reading.next());
    };
    await expect(rest()).rejects.toThrow(ObjectChangedError);
    await server.put('public', BIG, OBJECT);
  });

  it('stops on request, during a transfer and between two attempts', async () => {
    const from = archive();
    const object = await bigObject(from);
    const controller = new AbortController();
    const reading = from.open(object, { signal: controller.signal })[Symbol.asyncIterator]();
    await reading.next();
    controller.abort(new Error('enough'));
    const drain = async () => {
      for (let next = await reading.next(); !next.done; next = await reading.next());
    };
    await expect(drain()).rejects.toThrow('enough');

    proxy.fault = () => ({ kind: 'slow-down' });
    const waiting = collect(from.list('raw/', { signal: AbortSignal.timeout(300) }));
    await expect(waiting).rejects.toThrow(/aborted due to timeout/);
  });
});
