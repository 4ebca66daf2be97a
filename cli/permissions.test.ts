import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { temporaryDirectory } from '../test/support/archive.ts';

const PROGRAM = join(import.meta.dirname, 'bin/oonipipeline.mjs');
const ARCHIVE = join(import.meta.dirname, '../test/fixtures/archive');

// The permissions of files do not hold for root.
const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

/** Runs a command as a user who is not root. */
function oonipipeline(...args: string[]) {
  const { status, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], {
    ...user,
    cwd: '/',
    encoding: 'utf8',
    env: { PATH: process.env.PATH, NO_COLOR: '1' },
  });
  return { status, stderr };
}

/** Whether that user can run the program: the folder of the project may be readable by root only. */
const canRun = oonipipeline('--version').status === 0;

let closed: string | undefined;
function close(path: string): void {
  closed = path;
  chmodSync(path, 0o000);
}
afterEach(() => {
  if (closed) chmodSync(closed, 0o755);
  closed = undefined;
});

test.skipIf(!canRun)('an unreadable folder of the archive has the remedy of a permission', () => {
  const root = temporaryDirectory();
  chmodSync(root, 0o755);
  cpSync(join(ARCHIVE, 'raw/20240122'), join(root, 'raw/20240122'), { recursive: true });
  close(join(root, 'raw/20240122/20'));
  const { status, stderr } = oonipipeline('run', '--archive', root, '--clickhouse', `embedded:${root}/db`);
  expect(status).toBe(1);
  expect(stderr).toMatch(/EACCES: permission denied, .*; let this user read it, and repeat the command\n$/);
});

test.skipIf(!canRun)('data of ClickHouse that the user may not write are named as such', () => {
  const root = temporaryDirectory();
  chmodSync(root, 0o755);
  mkdirSync(join(root, 'metadata'));
  const { status, stderr } = oonipipeline('sql', 'SELECT 1', '--clickhouse', `embedded:${root}`);
  expect(status).toBe(1);
  expect(stderr).toContain(`oonipipeline sql: ClickHouse cannot write its data in ${root}: EACCES: permission denied`);
});
