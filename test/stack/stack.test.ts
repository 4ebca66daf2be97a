import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { createClient } from '@clickhouse/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { obtainPrograms, programPath } from '../../local/programs.ts';
import { portsFrom } from '../../local/stack.ts';
import { Terminal } from '../../local/terminal.ts';
import { freeOffset } from '../support/free-offset.ts';
import { interruptProgram } from '../support/program.ts';

/** Runs the whole stack with `npm start`, and a user's commands with kubectl. The tests are one session and run in order. */
const run = promisify(execFile);
let dir: string;
let kubeconfig: string;
let stack: ChildProcess;
let clickhouse: ReturnType<typeof createClient>;
/** Address that only this stack's pods have in their environment. */
let temporal: string;

async function kubectl(...args: string[]): Promise<string> {
  const { stdout } = await run(programPath('kubectl'), ['--kubeconfig', kubeconfig, ...args], { maxBuffer: 1 << 26 });
  return stdout;
}

/** Applies a manifest given as text. Rejects with kubectl's output. */
async function apply(manifest: object): Promise<string> {
  const child = run(programPath('kubectl'), ['--kubeconfig', kubeconfig, 'apply', '-f', '-']);
  child.child.stdin?.end(JSON.stringify(manifest));
  return (await child).stdout;
}

function backfill(name: string, spec: object): object {
  return { apiVersion: 'pipeline.ooni.org/v1alpha1', kind: 'Backfill', metadata: { name }, spec };
}

/** Returns all rows as one text, without the columns that name the time and the run that wrote them. */
async function rows(table: string): Promise<string> {
  const result = await clickhouse.query({
    query: `SELECT * EXCEPT (created_at, run_generation) FROM ${table} ORDER BY ALL`,
    format: 'TabSeparated',
  });
  return result.text();
}

/** Returns the processes of this stack's pods that run a program. */
function podProcesses(program: string): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .filter(pid => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        return (
          command.includes(program) &&
          readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`TEMPORAL_ADDRESS=${temporal}\0`)
        );
      } catch (error) {
        // The process has ended since it was listed, or belongs to another user.
        if (['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
        throw error;
      }
    })
    .map(Number);
}

async function until<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
  const deadline = Date.now() + 280_000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 250));
  }
}

beforeAll(async () => {
  await obtainPrograms({ terminal: new Terminal() });
  dir = mkdtempSync(join(tmpdir(), 'ooni-stack-'));
  const offset = await freeOffset();
  temporal = `127.0.0.1:${portsFrom(offset).temporal}`;
  const { CLICKHOUSE_URL: _, KUBECONFIG: __, ...env } = process.env;
  stack = spawn(process.execPath, ['local/main.ts', '--data', dir, '--port-offset', String(offset)], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said: string[] = [];
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: stack.stdout! }).on('line', line => {
      said.push(line);
      if (line.includes('stays up')) resolve();
    });
    stack.once('exit', status => reject(new Error(`npm start ended with ${status}:\n${said.join('\n')}`)));
  });
  kubeconfig = /export KUBECONFIG=(\S+)/.exec(said.join('\n'))![1]!;
  clickhouse = createClient({ url: `http://127.0.0.1:${8123 + offset}` });
}, 600_000);

afterAll(async () => {
  await clickhouse?.close();
  await interruptProgram(stack);
  rmSync(dir, { recursive: true, force: true });
}, 120_000);

describe('a user with kubectl', { timeout: 300_000 }, () => {
  test('sees the three kinds under one category', async () => {
    const seen = await kubectl('get', 'ooni');
    expect(seen).toMatch(/backfill\S*\/example\s+Complete/);
    expect(seen).toMatch(/pipelineschedule\S*\/daily\s+0 2 \* \* \*/);
    expect(seen).toMatch(/workerpool\S*\/main\s+1\s+1/);
  });

  test('finds that the API server knew the kinds before the operator used them as owners', async () => {
    const log = await kubectl('logs', '-n', 'ooni-system', 'deployment/ooni-operator');
    expect(log).toContain('acting');
    expect(log).not.toContain('RESTMapping');
  });

  test('reads the description of a field', async () => {
    expect(await kubectl('explain', 'backfill.spec.startAt')).toMatch(/First bucket of the range, inclusive/);
  });

  test('cannot apply an invalid resource; the message names the field and the remedy', async () => {
    await expect(apply(backfill('backwards', { startAt: '2024-02-01', endAt: '2024-01-01' }))).rejects.toThrow(
      /startAt 2024-02-01 must lie before endAt 2024-01-01/,
    );
    await expect(
      kubectl('patch', 'backfill', 'example', '--type=merge', '-p', '{"spec":{"startAt":"2023-01-01"}}'),
    ).rejects.toThrow(/startAt/);
  });

  test('kills the operator and the worker during a backfill, and the rows end up the same', async () => {
    const before = {
      obs: await rows('obs_web'),
      ctrl: await rows('obs_web_ctrl'),
      verdicts: await rows('analysis_web_measurement'),
    };
    expect(before.obs.split('\n').length).toBeGreaterThan(1000);
    await apply(
      backfill('again', {
        startAt: '2024-01-22',
        endAt: '2024-02-13',
        testNames: ['web_connectivity'],
        probeCC: ['IT'],
        reprocess: 'All',
      }),
    );
    await until('the backfill to be in the middle', async () => {
      const done = await kubectl('get', 'backfill', 'again', '-o', 'jsonpath={.status.progress.succeeded}');
      return Number(done) > 0;
    });
    const victims = [...podProcesses('worker/main.ts'), ...podProcesses('operator/main.ts')];
    expect(victims).toHaveLength(2);
    for (const pid of victims) process.kill(pid, 'SIGKILL');
    await kubectl('wait', '--for=condition=Complete', 'backfill/again', '--timeout=240s');
    expect(await kubectl('get', 'backfill', 'again', '-o', 'jsonpath={.status.progress}')).toMatch(/"failed":0/);
    expect(await rows('obs_web')).toEqual(before.obs);
    expect(await rows('obs_web_ctrl')).toEqual(before.ctrl);
    expect(await rows('analysis_web_measurement')).toEqual(before.verdicts);
  });

  test('reads about it in events and in the log of a worker', async () => {
    expect(await kubectl('describe', 'backfill', 'again')).toMatch(/Events:[\s\S]*AllBucketsDone/);
    const pods = await kubectl('get', 'pods', '-o', 'name');
    const worker = pods.split('\n').find(name => name.includes('ooni-worker-main'))!;
    expect(await kubectl('logs', worker)).toMatch(/"name":"worker"/);
  });

  test('skips completed work, and plans without running', async () => {
    await apply(
      backfill('twice', {
        startAt: '2024-01-22',
        endAt: '2024-01-25',
        probeCC: ['IT'],
        testNames: ['web_connectivity'],
      }),
    );
    await kubectl('wait', '--for=condition=Complete', 'backfill/twice', '--timeout=240s');
    expect(await kubectl('get', 'backfill', 'twice', '-o', 'jsonpath={.status.plan.skipped}')).toBe('{"Completed":3}');
    // Four of the ten days have objects in the archive.
    await apply(backfill('dry', { startAt: '2023-11-27', endAt: '2023-12-07', dryRun: true }));
    await until(
      'the plan',
      async () => (await kubectl('get', 'backfill', 'dry', '-o', 'jsonpath={.status.phase}')) === 'Planned',
    );
    expect(await kubectl('get', 'backfill', 'dry', '-o', 'jsonpath={.status.plan.toRun}')).toBe('4');
  });

  test('scales the worker pool and restarts it', async () => {
    await kubectl('scale', 'workerpool', 'main', '--replicas=2');
    await until('two ready workers', async () => {
      return (await kubectl('get', 'workerpool', 'main', '-o', 'jsonpath={.status.readyReplicas}')) === '2';
    });
    const before = podProcesses('worker/main.ts');
    expect(before).toHaveLength(2);
    await kubectl('rollout', 'restart', 'deployment/ooni-worker-main');
    await kubectl('rollout', 'status', 'deployment/ooni-worker-main', '--timeout=180s');
    await until('new workers alone', async () => podProcesses('worker/main.ts').every(pid => !before.includes(pid)));
    expect(await kubectl('get', 'workerpool', 'main', '-o', 'jsonpath={.spec.replicas}')).toBe('2');
  });

  test('deletes everything', async () => {
    await kubectl('delete', 'backfills,pipelineschedules,workerpools', '--all', '--timeout=240s');
    await until('no worker left', async () => podProcesses('worker/main.ts').length === 0);
    expect(await kubectl('get', 'ooni', '-o', 'name')).toBe('');
    expect(await kubectl('get', 'deployments', '-n', 'default', '-o', 'name')).toBe('');
  });
});
