import { execFile } from 'node:child_process';
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createGzip, gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { makeDatabase } from '../support/database.ts';
import { dayOfKey, expectedMeasurements, FIXTURES } from '../support/fixtures.ts';

/** Limit of a busy thread, without the program itself (75 to 100 MB). */
const THREAD_MB = 250;

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'ooni-memory-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Writes one object that repeats the measurements of a day until it has the given number of bytes decompressed. */
async function writeObject(day: string, bytes: number): Promise<number> {
  const keys = new Set(
    expectedMeasurements()
      .map(each => each.key)
      .filter(key => dayOfKey(key) === '2024-02-12'),
  );
  const text = Buffer.concat([...keys].map(key => gunzipSync(readFileSync(join(FIXTURES, key)))));
  const times = Math.ceil(bytes / text.length);
  const digits = day.replaceAll('-', '');
  const path = join(root, `raw/${digits}/00/IT/webconnectivity/${digits}00_IT_webconnectivity.n0.0.jsonl.gz`);
  mkdirSync(dirname(path), { recursive: true });
  await pipeline(
    Readable.from(Array.from({ length: times }, () => text)),
    createGzip({ level: 1 }),
    createWriteStream(path),
  );
  return times * text.toString().split('\n').filter(Boolean).length;
}

async function observe(day: string, url: string) {
  const script = join(import.meta.dirname, '../support/measure-batch.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [script, root, url, day], { maxBuffer: 1 << 20 });
  return JSON.parse(stdout) as { counts: { read: number; transformed: number }[]; beforeMB: number; peakMB: number };
}

test('memory does not grow with the size of an object', { timeout: 300_000 }, async () => {
  const { url, clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'memory');
  const lines = { small: await writeObject('2024-02-12', 150e6), big: await writeObject('2024-02-13', 750e6) };
  const small = await observe('2024-02-12', url);
  const big = await observe('2024-02-13', url);
  expect(small.counts).toMatchObject([{ read: lines.small, transformed: lines.small }]);
  expect(big.counts).toMatchObject([{ read: lines.big, transformed: lines.big }]);
  expect(big.peakMB - big.beforeMB).toBeLessThan(THREAD_MB);
  // The object is five times as large; the difference comes from when the garbage collector ran.
  expect(big.peakMB).toBeLessThan(small.peakMB + 100);
  await clickhouse.close();
});
