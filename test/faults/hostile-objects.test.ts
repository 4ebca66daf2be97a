import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { FileEnd } from '../../pipeline/archive/documents.ts';

/** Limit of one thread in issue and design, including the program itself. */
const MOST_RSS_MB = 250;

/** Limit with one hostile document of 32 MB, which adds the document itself, its text, and a million values. */
const MOST_RSS_MB_OF_DOCUMENT = 450;

async function run<Result>(program: string, heapMB: number, scenario: string): Promise<Result> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    `--max-old-space-size=${heapMB}`,
    '--max-semi-space-size=8',
    join(import.meta.dirname, program),
    scenario,
  ]);
  return JSON.parse(stdout) as Result;
}

const read = (scenario: string) =>
  run<{ classes: Record<string, number>; end: FileEnd; maxRssMB: number }>('hostile-object.ts', 64, scenario);
const transform = (scenario: string) =>
  run<{ status: string; class?: string; maxRssMB: number }>('hostile-document.ts', 256, scenario);

describe('reading hostile objects stays within the memory limit', () => {
  it.each([
    ['an object of 1 GB', { whole: 128 * 160 }],
    ['a line of 200 MB', { whole: 2, DocumentTooLong: 1 }],
    ['lines just below the limit', { whole: 12 }],
    ['a gzip bomb in one piece', { DocumentTooLong: 1 }],
    ['a gzip bomb of newlines', {}],
    ['a post of 1 GB among others', { whole: 2, DocumentTooLong: 1 }],
    ['a postcan of 1 GB', { whole: 80 * 256 }],
    ['a postcan of 300,000 empty members', { BrokenPost: 300_000 }],
    ['a can of 600 MB', { whole: 4000 * 3200 }],
    ['a YAML document of 200 MB', { whole: 1, DocumentTooLong: 1 }],
  ])('%s', async (scenario, classes) => {
    const result = await read(scenario);
    expect(result.classes).toEqual(classes);
    expect(result.end.truncated).toBeUndefined();
    expect(result.end.documents).toBe(Object.values(classes).reduce((sum, count) => sum + count, 0));
    expect(result.maxRssMB).toBeLessThan(MOST_RSS_MB);
  });
});

describe('hostile documents become rows or failures within the memory limit', () => {
  it.each([
    ['more lists than are allowed', 'failed', 'TooManyValues'],
    ['lists in lists', 'transformed', undefined],
    ['lists in lists, as a text', 'failed', 'TooDeep'],
    ['empty objects', 'transformed', undefined],
    ['numbers, and one that is to be a text', 'transformed', undefined],
    ['queries', 'failed', 'EncodeError'],
    ['certificates', 'failed', 'InvalidCertificate'],
    ['connects to one address', 'transformed', undefined],
  ])('%s', async (scenario, status, kind) => {
    const result = await transform(scenario);
    expect([result.status, result.class]).toEqual([status, kind]);
    expect(result.maxRssMB).toBeLessThan(MOST_RSS_MB_OF_DOCUMENT);
  });
});
