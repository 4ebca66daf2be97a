/**
 * Reads one hostile object in its own process, so that its memory can be measured:
 *
 *     node --max-old-space-size=64 --max-semi-space-size=8 test/faults/hostile-object.ts SCENARIO
 *
 * Prints one JSON line: the result, and the peak memory of the process.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type FileEnd, type Packing, readPacked } from '../../pipeline/archive/documents.ts';
import { XxHash32 } from '../../pipeline/archive/xxh32.ts';
import { tarHeader, tarMember } from '../support/tar.ts';

const MB = 1024 * 1024;

/** Repeats bytes without holding all of them in memory. */
function* repeat(piece: Buffer, times: number): Generator<Buffer> {
  for (let time = 0; time < times; time++) yield piece;
}

function* inGzip(pieces: Iterable<Buffer>): Generator<Buffer> {
  let last: Buffer | undefined;
  let packed = Buffer.alloc(0);
  for (const piece of pieces) {
    if (piece !== last) packed = gzipSync(piece, { level: 1 });
    last = piece;
    yield packed;
  }
}

/** Returns one frame of stored blocks. */
function* inLz4(pieces: Iterable<Buffer>): Generator<Buffer> {
  const descriptor = Buffer.from([0b0110_0000, 0x70]);
  yield Buffer.concat([Buffer.from([0x04, 0x22, 0x4d, 0x18]), descriptor]);
  yield Buffer.from([(new XxHash32().update(descriptor).digest() >>> 8) & 0xff]);
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += 4 * MB) {
      const block = piece.subarray(at, at + 4 * MB);
      const size = Buffer.alloc(4);
      size.writeUInt32LE((block.length | 0x80000000) >>> 0);
      yield size;
      yield block;
    }
  }
  yield Buffer.alloc(4);
}

const line = (bytes: number) => Buffer.from(`${JSON.stringify({ noise: 'x'.repeat(bytes) })}\n`);
const lines = (bytes: number, count: number) => Buffer.concat(Array.from({ length: count }, () => line(bytes)));
const post = (content: string) => tarMember('d/1.post', `{"format":"json","content":${content}}`);
const yaml = (text: string) => Buffer.from(`---\n${text}\n...\n`);
const xs = Buffer.alloc(4 * MB, 'x');
const NEWLINE = Buffer.from('\n');

const SCENARIOS: Record<string, () => { packing: Packing; stored: Iterable<Buffer> }> = {
  'an object of 1 GB': () => ({ packing: 'jsonl', stored: inGzip(repeat(lines(50_000, 160), 128)) }),
  'a line of 200 MB': () => ({
    packing: 'jsonl',
    stored: inGzip([line(10), ...repeat(xs, 50), NEWLINE, line(10)]),
  }),
  'lines just below the limit': () => ({
    packing: 'jsonl',
    stored: inGzip(Array.from({ length: 12 }, () => [...repeat(xs, 7), NEWLINE]).flat()),
  }),
  'a gzip bomb in one piece': () => ({
    packing: 'jsonl',
    stored: [Buffer.concat([...inGzip(repeat(Buffer.alloc(16 * MB), 128))])],
  }),
  'a gzip bomb of newlines': () => ({ packing: 'jsonl', stored: inGzip(repeat(Buffer.alloc(16 * MB, '\n'), 16)) }),
  'a post of 1 GB among others': () => ({
    packing: 'postcan',
    stored: inGzip([post('1'), tarHeader('d/2.post', 1024 * MB), ...repeat(xs, 256), post('3'), Buffer.alloc(1024)]),
  }),
  'a postcan of 1 GB': () => ({
    packing: 'postcan',
    stored: inGzip([
      ...repeat(Buffer.concat([...repeat(post(`"${'x'.repeat(50_000)}"`), 80)]), 256),
      Buffer.alloc(1024),
    ]),
  }),
  'a postcan of 300,000 empty members': () => ({
    packing: 'postcan',
    stored: inGzip([...repeat(Buffer.concat([...repeat(tarHeader('d/1.post', 0), 10_000)]), 30), Buffer.alloc(1024)]),
  }),
  'a can of 600 MB': () => ({
    packing: 'jsoncan',
    stored: repeat(readFileSync(join(import.meta.dirname, '../fixtures/lz4/linked-with-size.lz4')), 3200),
  }),
  'a YAML document of 200 MB': () => ({
    packing: 'yamlcan',
    stored: inLz4([
      yaml('probe_cc: IT\ntest_name: http_host'),
      Buffer.from('---\ninput: '),
      ...repeat(xs, 50),
      Buffer.from('\n...\n'),
      yaml('input: y'),
    ]),
  }),
};

const scenario = SCENARIOS[process.argv[2] ?? ''];
if (!scenario) throw new Error(`the scenarios are ${Object.keys(SCENARIOS).join(', ')}`);
const { packing, stored } = scenario();
async function* source() {
  for (const piece of stored) {
    // Chunks of the size that a network delivers.
    for (let at = 0; at < piece.length; at += 256 * 1024) yield piece.subarray(at, at + 256 * 1024);
  }
}
const documents = readPacked(source(), packing, { maxMeasurementBytes: 32 * MB });
const classes: Record<string, number> = {};
let end: FileEnd;
for (;;) {
  const next = await documents.next();
  if (next.done) {
    end = next.value;
    break;
  }
  for (const { error } of next.value) {
    const kind = error?.class ?? 'whole';
    classes[kind] = (classes[kind] ?? 0) + 1;
  }
}
console.log(JSON.stringify({ classes, end, maxRssMB: Math.round(process.resourceUsage().maxRSS / 1024) }));
