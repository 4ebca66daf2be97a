import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeDirectory } from './directories.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ooni-directories-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test('a directory is created with its parents, and may already exist', () => {
  const path = join(dir, 'a', 'b', 'c');
  makeDirectory(path, 0o700);
  makeDirectory(path);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  const link = join(dir, 'link');
  symlinkSync(path, link);
  makeDirectory(join(link, 'd'));
  expect(statSync(join(path, 'd')).isDirectory()).toBe(true);
});

test('a file or a dangling link at the path gives an error of the operating system', () => {
  writeFileSync(join(dir, 'file'), '');
  symlinkSync(join(dir, 'nothing'), join(dir, 'dangling'));
  expect(() => makeDirectory(join(dir, 'file'))).toThrow(/EEXIST/);
  expect(() => makeDirectory(join(dir, 'file', 'below'))).toThrow(/ENOTDIR/);
  expect(() => makeDirectory(join(dir, 'dangling'))).toThrow(/EEXIST/);
});

// Runs in its own process, because a call that does not return cannot be interrupted.
test.skipIf(process.platform !== 'linux')('/proc gives an error and the call returns', async () => {
  const code = `import { makeDirectory } from ${JSON.stringify(join(import.meta.dirname, 'directories.ts'))};
    for (const path of ['/proc/x', '/proc/x/y']) { try { makeDirectory(path); } catch (error) { console.log(error.code); } }`;
  const call = promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], { timeout: 15_000 });
  expect((await call).stdout).toBe('ENOENT\nENOENT\n');
});
