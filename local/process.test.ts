import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { freePort } from '../pipeline/free-port.ts';
import {
  endLeftovers,
  findOnPath,
  isRunning,
  type Program,
  readPid,
  requirePort,
  StartError,
  type Supervised,
  startTime,
  supervise,
} from './process.ts';

let dir: string;
const started: Supervised[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ooni-process-'));
});
afterEach(async () => {
  for (const process of started.splice(0)) await process.stop(0);
  rmSync(dir, { recursive: true, force: true });
});

/** Starts a shell script. */
async function run(script: string, more: Partial<Program> = {}): Promise<Supervised> {
  const process = await supervise({ name: 'it', command: '/bin/sh', args: ['-c', script], dir, ...more });
  started.push(process);
  return process;
}

const log = () => readFileSync(join(dir, 'it.log'), 'utf8');
const pidFile = () => join(dir, 'it.pid');
async function until(look: () => boolean): Promise<void> {
  while (!look()) await sleep(20);
}

describe('a supervised process', () => {
  test('writes to its log and is asked to stop', async () => {
    const it = await run('trap "echo bye; exit 0" TERM; echo hello; while :; do sleep 0.05; done');
    await until(() => log().includes('hello'));
    expect(readPid(pidFile())?.pid).toBe(it.child.pid);
    await it.stop();
    expect(log()).toBe('hello\nbye\n');
    expect(it.crashed).toBe(false);
    expect(existsSync(pidFile())).toBe(false);
  });

  test('that does not stop is killed after its grace period', async () => {
    const it = await run('trap "" TERM; echo on; while :; do sleep 0.05; done');
    await until(() => log().includes('on'));
    await it.stop(100);
    expect(await it.exited).toBe('was ended by SIGKILL');
  });

  test('that ends before it is ready is reported with the end of its log', async () => {
    const it = await run('echo "the reason" >&2; exit 3');
    await expect(it.waitFor(async () => false)).rejects.toThrow(
      /it exited with status 3\. Its log, .*it\.log, ends:\nthe reason/,
    );
    expect(it.crashed).toBe(true);
  });

  test('that cannot be started is reported', async () => {
    const it = await run('', { command: join(dir, 'nothing'), ipc: true });
    await expect(it.waitFor(async () => false)).rejects.toThrow(StartError);
  });

  test('that is kept is restarted, and given up after repeated failures', async () => {
    const it = await run('echo run; sleep 0.05; exit 1');
    const said: string[] = [];
    it.keep(message => said.push(message));
    expect(await it.exited).toBe('exited with status 1');
    expect(log()).toBe('run\n'.repeat(said.length + 1));
    expect(said.length).toBeGreaterThan(1);
    expect(said[0]).toContain('it exited with status 1; it is restarted');
    expect(it.crashed).toBe(true);
  });

  test('that is kept and then stopped stays stopped, also between two runs', async () => {
    const it = await run('exit 1');
    const restarting = new Promise(resolve => it.keep(resolve));
    await restarting;
    await it.stop();
    expect(log()).toBe('');
    expect(it.crashed).toBe(false);
  });

  test('left by an earlier run is ended before the next one starts; no other process is', async () => {
    const first = await run('while :; do sleep 0.05; done');
    const identity = readPid(pidFile())!;
    expect(isRunning(identity)).toBe(true);
    const second = await run('while :; do sleep 0.05; done');
    expect(isRunning(identity)).toBe(false);
    expect(await first.exited).toBe('was ended by SIGTERM');
    expect(second.crashed).toBe(false);

    // A pid file with a process id that now belongs to another process: this test.
    await second.stop();
    writeFileSync(pidFile(), `${process.pid} 1\n`);
    await endLeftovers(dir);
    expect(existsSync(pidFile())).toBe(false);
  });
});

describe('a process that an earlier run left', () => {
  test('is named when it is ended, even if it was stopped', async () => {
    const it = await run('trap "exit 0" TERM; echo on; while :; do sleep 0.05; done');
    await until(() => log().includes('on'));
    const { pid } = it.child;
    it.child.kill('SIGSTOP');
    expect(await endLeftovers(dir)).toEqual([`it (process ${pid})`]);
    // The process ended normally, not by SIGKILL.
    expect(await it.exited).toBe('exited with status 0');
    expect(await endLeftovers(dir)).toEqual([]);
  });

  test.skipIf(!findOnPath('python3'))(
    'runs as long as one of its threads does, also when the first has ended',
    async () => {
      // The first thread ends alone (the system call exit, not exit_group) and is a zombie. The other thread holds a port.
      const script = `
import ctypes, platform, socket, threading, time
server = socket.create_server(('127.0.0.1', 0))
threading.Thread(target=lambda: time.sleep(60)).start()
print(server.getsockname()[1], flush=True)
ctypes.CDLL(None).syscall({'x86_64': 60}.get(platform.machine(), 93), 0)`;
      const it = await run('', { command: findOnPath('python3')!, args: ['-c', script] });
      const { pid } = it.child;
      const identity = readPid(pidFile())!;
      await until(() => /^\d+\n/.test(log()));
      await until(() => readFileSync(`/proc/${pid}/status`, 'utf8').includes('State:\tZ'));
      expect(isRunning(identity)).toBe(true);
      await endLeftovers(dir);
      expect(isRunning(identity)).toBe(false);
      await requirePort(Number(log()), 'the test');
    },
  );
});

test('the start time distinguishes two processes with the same id', () => {
  const start = startTime(process.pid)!;
  expect(isRunning({ pid: process.pid, start })).toBe(true);
  expect(isRunning({ pid: process.pid, start: `${start}0` })).toBe(false);
  expect(startTime(999_999_999)).toBeUndefined();
  writeFileSync(join(dir, 'half'), '123');
  expect(readPid(join(dir, 'half'))).toBeUndefined();
});

test('the error for a port in use names the port and a remedy', async () => {
  const port = await freePort();
  await requirePort(port, 'the test');
  const server = createServer();
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve));
  await expect(requirePort(port, 'the test')).rejects.toThrow(
    new RegExp(`Port ${port}, which the test needs, is in use.*--port-offset`),
  );
  server.close();
});

test('the search in PATH finds executable programs, except those that npm put there', () => {
  const file = join(dir, 'tool');
  writeFileSync(file, '');
  expect(findOnPath('tool', dir)).toBeUndefined();
  chmodSync(file, 0o755);
  expect(findOnPath('tool', `/nowhere:${dir}`)).toBe(file);
  // A folder that cannot be looked into does not end the search.
  const loop = join(dir, 'loop');
  symlinkSync(loop, loop);
  expect(findOnPath('tool', `${loop}:${dir}`)).toBe(file);
  expect(findOnPath('biome', join(process.cwd(), 'node_modules', '.bin'))).toBeUndefined();
});
