import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { FileEnd } from '../../pipeline/archive/documents.ts';

/** What issue and design allow one thread, the program itself included. */
const MOST_RSS_MB = 250;

async function read(scenario: string) {
  const program = join(import.meta.dirname, 'hostile-object.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--max-old-space-size=64',
    '--max-semi-space-size=8',
    program,
    scenario,
  ]);
  return JSON.parse(stdout) as { classes: Record<string, number>; end: FileEnd; maxRssMB: number };
}

describe('hostile objects are read within bounds of memory', () => {
  it.each([
    ['an object of 1 GB', { whole: 128 * 160 }],
    ['a line of 200 MB', { whole: 2, DocumentTooLong: 1 }],
    ['lines just below the limit', { whole: 12 }],
    ['a gzip bomb in one piece', { DocumentTooLong: 1 }],
    ['a gzip bomb of newlines', {}],
    ['a post of 1 GB among others', { whole: 2, DocumentTooLong: 1 }],
    ['a postcan of 1 GB', { whole: 80 * 256 }],
    ['a postcan of a million empty members', { BrokenPost: 1_000_000 }],
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
