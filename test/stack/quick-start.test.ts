import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@clickhouse/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { portsFrom } from '../../local/stack.ts';
import { SERVER_EXAMPLES } from '../../tools/cli-examples.ts';
import { missingLine } from '../support/doc-blocks.ts';
import { freeOffset } from '../support/free-offset.ts';
import { interruptProgram } from '../support/program.ts';
import { typeLine } from '../support/typed-line.ts';

/**
 * The quick start and the production commands of the Python pipeline's README (oonipipeline/Readme.md at ooni/data fda14f9), line by line,
 * with `npx oonipipeline` in place of `hatch run oonipipeline`, against the servers of `npm start -- --no-kubernetes`.
 */
const QUICK_START = [
  'npx oonipipeline schedule --probe-cc US --test-name signal',
  'npx oonipipeline backfill --create-tables --probe-cc US --test-name signal --workflow-name observations --start-at 2024-01-01 --end-at 2024-02-01',
  'npx oonipipeline backfill --create-tables --drop-tables --probe-cc US --test-name signal --workflow-name observations --start-at 2024-01-01 --end-at 2024-02-01',
];
const PRODUCTION = [
  'npx oonipipeline schedule',
  'npx oonipipeline backfill --workflow-name observations --start-at 2024-01-01 --end-at 2024-02-01',
];

const FIXTURES = join(process.cwd(), 'test/fixtures');
let dir: string;
let uiURL: string;
let env: NodeJS.ProcessEnv;
let servers: Started | undefined;
let workers: Started | undefined;
let clickhouse: ReturnType<typeof createClient>;

/** Runs a line in bash, as a user types it. */
const type = (line: string) => typeLine(line, env);

/** Returns the first line of the example of a command in docs/cli.md that the printed text does not contain. */
function missingInExample(name: string, printed: string): string | undefined {
  return missingLine(SERVER_EXAMPLES[name]!.output, printed);
}

async function select(query: string): Promise<unknown[]> {
  return (await clickhouse.query({ query, format: 'JSONEachRow' })).json();
}

/** A started program, with its own process group, as a terminal gives it. */
interface Started {
  readonly child: ChildProcess;
  readonly output: () => string;
}

/** Starts a program and resolves when its output contains a text. Rejects when it ends before. */
async function start(command: string, args: readonly string[], text: string): Promise<Started> {
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let output = '';
  await new Promise<void>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', chunk => {
        output += chunk;
        if (output.includes(text)) resolve();
      });
    }
    child.once('exit', status => reject(new Error(`${command} ${args.join(' ')} ended with ${status}:\n${output}`)));
  });
  return { child, output: () => output };
}

/** Sends SIGINT to the whole process group, as Ctrl-C does, and resolves when all its processes have ended. */
async function interrupt({ child }: Started): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  process.kill(-child.pid!, 'SIGINT');
  await closed;
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ooni-quick-start-'));
  const offset = await freeOffset();
  const ports = portsFrom(offset);
  // One object of a day in the range of the commands, under the filter of the commands.
  const folder = join(dir, 'archive/raw/20240131/18/US/signal');
  mkdirSync(folder, { recursive: true });
  copyFileSync(
    join(FIXTURES, 'archive/raw/20230530/18/US/signal/2023053018_US_signal.n1.0.jsonl.gz'),
    join(folder, '2024013118_US_signal.n1.0.jsonl.gz'),
  );
  const { KUBECONFIG: _, ...rest } = process.env;
  env = {
    ...rest,
    // A kubeconfig of the machine must not decide where the commands work.
    HOME: dir,
    XDG_CACHE_HOME: process.env.XDG_CACHE_HOME || join(process.env.HOME ?? '', '.cache'),
    npm_config_cache: join(dir, 'npm'),
    PATH: `${join(process.cwd(), 'node_modules/.bin')}:${process.env.PATH}`,
    TEMPORAL_ADDRESS: `127.0.0.1:${ports.temporal}`,
    ARCHIVE_URL: join(dir, 'archive'),
    FINGERPRINTS_DNS_SOURCE: join(FIXTURES, 'fingerprints/fingerprints_dns.csv'),
    FINGERPRINTS_HTTP_SOURCE: 'none',
    TEST_LISTS_SOURCE: 'none',
    AS_ORGANISATIONS_SOURCE: 'none',
    // As on a terminal.
    LOG_FORMAT: 'human',
  };
  delete env.CLICKHOUSE_URL;
  const args = ['local/main.ts', '--no-kubernetes', '--data', join(dir, 'data'), '--port-offset', String(offset)];
  servers = await start(process.execPath, args, 'stays up');
  env.CLICKHOUSE_URL = `http://127.0.0.1:${ports.clickhouse}`;
  clickhouse = createClient({ url: env.CLICKHOUSE_URL });
  uiURL = `http://127.0.0.1:${ports.temporalUI}/`;
}, 600_000);

afterAll(async () => {
  await clickhouse?.close();
  if (workers) await interrupt(workers);
  await interruptProgram(servers?.child);
  rmSync(dir, { recursive: true, force: true });
}, 120_000);

describe('a user of the Python pipeline', { timeout: 300_000 }, () => {
  test.each(QUICK_START)('types: %s', async line => {
    // A script cannot answer the question before tables are dropped.
    const { status, output, log } = await type(line.includes('--drop-tables') ? `${line} --yes` : line);
    expect(status, log).toBe(0);
    expect(log).toContain('uses Temporal at 127.0.0.1');
    const documented = Object.entries(SERVER_EXAMPLES).find(([, example]) => line === `npx ${example.line}`)?.[0];
    if (documented) expect(missingInExample(documented, log + output), log + output).toBeUndefined();
    if (line.includes('backfill')) expect(output).toMatch(/31 days of upload, 2024-01-01 .* to 2024-02-01/);
  });

  test('finds the UI of Temporal where npm start says', async () => {
    const status = () =>
      fetch(uiURL).then(
        answer => answer.status,
        () => 'no answer',
      );
    await expect.poll(status, { timeout: 100_000 }).toBe(200);
  });

  test('starts workers, and the backfill ends with the rows of the last day', async () => {
    const [command = '', ...args] = `npx ${SERVER_EXAMPLES.startworkers!.line}`.split(' ');
    workers = await start(command, args, 'working for Temporal');
    const days =
      "SELECT DISTINCT bucket_date AS day, probe_cc AS cc, test_name AS test FROM obs_web WHERE test_name = 'signal'";
    await expect
      .poll(() => select(days), { timeout: 200_000, interval: 500 })
      .toEqual([{ day: '2024-01-31', cc: 'US', test: 'signal' }]);
  });

  test.each(PRODUCTION)('types: %s', async line => {
    const { status, output, log } = await type(line.includes('backfill') ? `${line} --follow` : line);
    expect(status, log).toBe(0);
    expect(output).toContain('all countries; all tests');
  });

  test('looks at the status when the workers have nothing left to do', async () => {
    const look = async () => {
      const { output } = await type(`npx ${SERVER_EXAMPLES.status!.line}`);
      return missingInExample('status', output);
    };
    await expect.poll(look, { timeout: 200_000 }).toBeUndefined();
  });

  test('repeats a schedule without an effect, and deletes it', async () => {
    const filter = '--probe-cc us --test-name SIGNAL';
    const again = await type(`npx oonipipeline schedule ${filter} -o json`);
    expect(JSON.parse(again.output)).toMatchObject({ action: 'unchanged', paused: false });
    const less = await type(`npx oonipipeline schedule ${filter} --no-analysis -o json`);
    expect(JSON.parse(less.output)).toMatchObject({ action: 'updated', stages: ['Observations'] });
    const asked = await type(`npx oonipipeline clear-schedules ${filter}`);
    expect(asked).toMatchObject({ status: 1, output: '' });
    expect(asked.log).toContain('add --yes. Nothing was changed');
    const dry = await type(`npx oonipipeline clear-schedules ${filter} --dry-run -o json`);
    expect(JSON.parse(dry.output)).toEqual({
      schedule: 'ooni/schedule/_command/us-signal',
      existed: true,
      deleted: false,
    });
    const cleared = await type(`npx oonipipeline clear-schedules ${filter} --yes -o json`);
    expect(JSON.parse(cleared.output)).toMatchObject({ existed: true, deleted: true });
    await type(`npx oonipipeline schedule ${filter}`);
    const documented = await type(`npx ${SERVER_EXAMPLES['clear-schedules']!.line}`);
    expect(missingInExample('clear-schedules', documented.log + documented.output), documented.log).toBeUndefined();
    // The schedule of all countries and tests is another one.
    expect(JSON.parse((await type('npx oonipipeline schedule -o json')).output)).toMatchObject({ action: 'unchanged' });
  });

  test('stops the workers with Ctrl-C', async () => {
    await interrupt(workers!);
    expect(missingInExample('startworkers', workers!.output()), workers!.output()).toBeUndefined();
  });
});
