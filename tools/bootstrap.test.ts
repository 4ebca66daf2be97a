import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isRunning, type ProcessIdentity, startTime } from '../local/process.ts';

/** A package with the `npm start` of this project, but another program at the end of the chain. */
let dir: string;
let npm: ChildProcess;
let starter: ProcessIdentity;
let program: ProcessIdentity;

const ROOT = join(import.meta.dirname, '..');
/** Records the signal that stopped it, and exits. */
const PROGRAM = `
  import { writeFileSync } from 'node:fs';
  const stop = how => { writeFileSync('how', how); process.exit(0); };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => stop(signal));
  process.on('message', message => stop('message ' + message));
  process.on('disconnect', () => stop('disconnect'));
  setInterval(() => {}, 1000);
  writeFileSync('pids', process.ppid + ' ' + process.pid);`;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ooni-bootstrap-'));
  // The shell replaces itself with Node. A shell that stays between npm and Node would not pass on SIGINT.
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const start = scripts.start.replace('local/', '');
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ type: 'module', scripts: { start } }));
  writeFileSync(join(dir, 'program.mjs'), PROGRAM);
  const bootstrap = JSON.stringify(join(ROOT, 'tools/bootstrap.mjs'));
  const file = JSON.stringify(relative(ROOT, join(dir, 'program.mjs')));
  writeFileSync(join(dir, 'start.mjs'), `import { run } from ${bootstrap}; process.exitCode = await run(${file}, []);`);
  npm = spawn('npm', ['start'], { cwd: dir, stdio: 'ignore', detached: true });
  const pids = await until(() => textOf('pids').split(' ').map(Number));
  [starter, program] = pids.map(pid => ({ pid, start: startTime(pid)! })) as [ProcessIdentity, ProcessIdentity];
});

afterEach(() => {
  try {
    process.kill(-npm.pid!, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
  rmSync(dir, { recursive: true, force: true });
});

function textOf(name: string): string {
  return readFileSync(join(dir, name), 'utf8');
}

/** Polls until `look` returns a value and does not throw, and returns that value. */
async function until<T>(look: () => T | undefined | false): Promise<T> {
  for (;;) {
    try {
      const found = look();
      if (found) return found;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    await sleep(50);
  }
}

test.each([
  ['npm', 'SIGINT'],
  ['npm', 'SIGTERM'],
  ['npm', 'SIGHUP'],
  ['npm', 'SIGQUIT'],
  ['npm', 'SIGKILL'],
  ['the starter', 'SIGINT'],
  ['the starter', 'SIGTERM'],
  ['the starter', 'SIGHUP'],
  ['the starter', 'SIGQUIT'],
  ['the starter', 'SIGKILL'],
] as const)('the program stops normally and leaves no process behind when %s gets %s', async (name, signal) => {
  const gone = once(npm, 'exit');
  process.kill(name === 'npm' ? npm.pid! : starter.pid, signal);
  await until(() => textOf('how'));
  await until(() => !isRunning(program) && !isRunning(starter));
  await gone;
});

test('the program stops on Ctrl-C, which reaches every process of the terminal', async () => {
  // A terminal also sends it to the whole group.
  process.kill(-npm.pid!, 'SIGINT');
  expect(await until(() => textOf('how'))).toMatch(/^(SIGINT|message SIGINT)$/);
});
