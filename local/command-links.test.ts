import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { linkCommands } from './command-links.ts';

let data: string;
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'ooni-links-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(data, { recursive: true });
});

test('a second start links the commands again, and they run', () => {
  const dir = linkCommands(data);
  expect(linkCommands(data)).toBe(dir);
  for (const name of ['oonipipeline', 'kubectl-ooni']) {
    expect(execFileSync(join(dir, name), ['--help'], { encoding: 'utf8' })).toMatch(/^Usage: /);
  }
});

test('kubectl is linked where PATH does not have it', () => {
  vi.stubEnv('PATH', data);
  expect(readdirSync(linkCommands(data)).sort()).toEqual(['kubectl', 'kubectl-ooni', 'oonipipeline']);
});
