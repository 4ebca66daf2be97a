import { describe, expect, it } from 'vitest';
import { paxHeader, tarHeader, tarMember } from '../../test/support/tar.ts';
import type { RawDocument } from './document.ts';
import { type FileEnd, readPacked } from './documents.ts';

const END = Buffer.alloc(1024);
const post = (name: string, content = '1', options = {}) =>
  tarMember(name, `{"format":"json","content":${content}}`, options);
const GOOD = post('d/good.post');

async function read(...tar: Buffer[]): Promise<{ documents: RawDocument[]; sizes: number[]; end: FileEnd }> {
  async function* source() {
    yield* tar;
  }
  const reading = readPacked(source(), 'postcan', { maxMeasurementBytes: 1000 });
  const documents: RawDocument[] = [];
  const sizes: number[] = [];
  for (;;) {
    const next = await reading.next();
    if (next.done) return { documents, sizes, end: next.value };
    documents.push(...next.value);
    sizes.push(next.value.length);
  }
}
/** Lists the uid of each document or the class of its error, then the damage of the tar, if any. */
async function summary(...tar: Buffer[]): Promise<unknown[]> {
  const { documents, end } = await read(...tar);
  const seen = documents.map(({ uid, error }) => error?.class ?? uid);
  return end.truncated === undefined ? seen : [...seen, end.truncated];
}

describe('tars that no tool writes', () => {
  it('with names that point elsewhere only set uids: nothing is ever written to a path', async () => {
    expect(await summary(post('../../etc/x.post'), post('/root/y.post'), post('..\\z.post'), END)).toEqual([
      'x',
      'y',
      '..\\z',
    ]);
    const [document] = (await read(tarMember('d/\xff\xfe.post', '{"format":"json","content":1}'), END)).documents;
    expect(document!.uid).toBe('\ufffd\ufffd');
  });

  it('take long names and sizes from the preceding header', async () => {
    const long = 'y'.repeat(300);
    const body = '{"format":"json","content":1}';
    const gnu = tarMember('././@LongLink', `d/${long}.post\0`, { type: 'L', magic: 'ustar  \0' });
    expect(await summary(paxHeader({ path: `d/${long}.post` }), post('short.post'), GOOD, END)).toEqual([long, 'good']);
    expect(await summary(gnu, post('short.post'), GOOD, END)).toEqual([long, 'good']);
    const sized = Buffer.concat([tarHeader('a.post', 0), tarMember('', body).subarray(512)]);
    expect(await summary(paxHeader({ size: String(body.length) }), sized, GOOD, END)).toEqual(['a', 'good']);
    expect(await summary(paxHeader(JSON.parse('{"__proto__": "x", "comment": "c"}'), 'g'), GOOD, END)).toEqual([
      'good',
    ]);
    expect(({} as { comment?: string }).comment).toBeUndefined();
  });

  it('with impossible sizes are damaged there, and keep the members before', async () => {
    const length = (bytes: number[]) => ({ length: Buffer.from(bytes) });
    const cases: [Buffer, unknown[]][] = [
      [paxHeader({ size: '-5' }), ['broken tar: Invalid header']],
      [paxHeader({ size: 'zz' }), ['broken tar: Invalid header']],
      [tarHeader('x.post', 0, { length: Buffer.from('zzzzzzzzzzz\0') }), ['broken tar: Invalid header']],
      [paxHeader({ size: '9'.repeat(30) }), ['DocumentTooLong', 'broken tar: Unexpected end of data']],
      [tarHeader('x.post', 0o77777777777), ['DocumentTooLong', 'broken tar: Unexpected end of data']],
      [
        tarHeader('x.post', 0, length([0x80, 0, 0, ...Array<number>(9).fill(0xff)])),
        ['DocumentTooLong', 'broken tar: Unexpected end of data'],
      ],
      [tarMember('pax', Buffer.alloc(5 * 1024 * 1024, 'a'), { type: 'x' }), ['broken tar: Header exceeds max size']],
    ];
    for (const [hostile, outcome] of cases) {
      expect(await summary(GOOD, hostile, GOOD, END)).toEqual(['good', ...outcome]);
    }
  });

  it('count links and devices as skipped, and ignore directories', async () => {
    const others = ['1', '2', '3', '4', '6', 'S', 'Q'].map(type => tarHeader(`${type}.post`, 0, { type }));
    const { documents, end } = await read(tarHeader('d/', 0, { type: '5' }), ...others, GOOD, END);
    expect(documents.map(({ uid, error }) => error?.message ?? uid)).toEqual([
      ...['1', '2', '3', '4', '6', 'S', 'Q'].map(type => `the member "${type}.post" is not a file`),
      'good',
    ]);
    expect(documents.slice(0, -1).every(({ error }) => error!.skipped)).toBe(true);
    expect(end.truncated).toBeUndefined();
  });

  it('from before POSIX are read, and so are members after the end of a first tar', async () => {
    const old = { magic: '\0'.repeat(8), type: '\0' };
    expect(await summary(post('d/old.post', '1', old), END, GOOD, END)).toEqual(['old', 'good']);
    const [first, second] = await summary(GOOD, END, Buffer.alloc(512, 'x'));
    expect([first, second]).toEqual(['good', expect.stringContaining('broken tar')]);
  });

  it('with very many members are yielded in several arrays', async () => {
    const { documents, sizes } = await read(
      ...Array.from({ length: 5000 }, (_, index) => tarHeader(`d/${index}.post`, 0)),
      END,
    );
    expect(documents.map(({ line }) => line)).toEqual(Array.from({ length: 5000 }, (_, index) => index + 1));
    expect(Math.max(...sizes)).toBe(1000);
  });

  it('quote only a short part of a long name', async () => {
    const { documents } = await read(paxHeader({ path: 'x'.repeat(100_000) }), GOOD, END);
    expect(documents[0]!.error!.message.length).toBeLessThan(200);
  });
});
