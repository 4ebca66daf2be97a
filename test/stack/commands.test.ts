import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { obtainPrograms, programPath } from '../../local/programs.ts';
import { portsFrom } from '../../local/stack.ts';
import { Terminal } from '../../local/terminal.ts';
import { CLUSTER_EXAMPLES, EXAMPLE_BACKFILL } from '../../tools/cli-examples.ts';
import { Browser } from '../support/browser.ts';
import { obtainChromium } from '../support/chromium.ts';
import { missingLine } from '../support/doc-blocks.ts';
import { freeOffset } from '../support/free-offset.ts';
import { interruptProgram } from '../support/program.ts';
import { photographTerminal } from '../support/terminal-picture.ts';
import { programs, type Typed, typeLine } from '../support/typed-line.ts';

/**
 * The production commands of the Python pipeline's README (oonipipeline/Readme.md at ooni/data fda14f9) and every command of `kubectl ooni`,
 * as a user types them, against the cluster of `npm start`. The tests are one session and run in order. The archive has three days of
 * measurements from the United States; those of the second day are damaged. With SCREENSHOTS=docs/images it writes the images of the
 * documentation there.
 */
const PRODUCTION = [
  'npx oonipipeline schedule',
  'npx oonipipeline schedule --kubernetes --probe-cc US --test-name signal',
  'npx oonipipeline backfill --workflow-name observations --start-at 2024-01-01 --end-at 2024-02-01',
];
const OBJECT = 'test/fixtures/archive/raw/20230530/18/US/signal/2023053018_US_signal.n1.0.jsonl.gz';
const IMAGES = process.env.SCREENSHOTS;
/** A password in the addresses of the servers, which no command prints. */
const PASSWORD = 'hunter2secret';

let dir: string;
let env: NodeJS.ProcessEnv;
let stack: ChildProcess | undefined;
let ports: ReturnType<typeof portsFrom>;
/** Name of the backfill that stands for EXAMPLE_BACKFILL. */
let backfill = EXAMPLE_BACKFILL;

/** Runs a line in bash, as a user types it. */
function type(line: string, more: NodeJS.ProcessEnv = {}): Promise<Typed> {
  return typeLine(line, { ...env, ...more }, line.startsWith('npx') ? process.cwd() : dir);
}

/** Runs a line and expects it to succeed. Returns its output. */
async function succeed(line: string): Promise<string> {
  const { status, output, log } = await type(line);
  expect(status, `${line}\n${output}${log}`).toBe(0);
  return output;
}

/** Runs the example of a command in docs/cli.md, and compares status and output with the page. */
async function example(name: string): Promise<string> {
  const { line, output: documented, status: expected = 0 } = CLUSTER_EXAMPLES[name]!;
  const { status, output, log } = await type(line.replaceAll(EXAMPLE_BACKFILL, backfill));
  expect(status, output + log).toBe(expected);
  const here = documented.replaceAll(EXAMPLE_BACKFILL, backfill);
  expect(missingLine(here, output + log), output + log).toBeUndefined();
  return output;
}

/** Writes images of what a line prints on a terminal of 100 columns, in colours and without, if images are asked for. */
async function photograph(image: string, line: string, more: NodeJS.ProcessEnv = {}): Promise<void> {
  if (!IMAGES) return;
  const chromium = await obtainChromium();
  if (typeof chromium === 'string') throw new Error(chromium);
  const browser = await Browser.start(chromium, 1200, 1000);
  try {
    for (const [suffix, colours] of [
      ['', { NO_COLOR: '', FORCE_COLOR: '1' }],
      ['-plain', { NO_COLOR: '1' }],
    ] as const) {
      const { output } = await type(line.replaceAll(EXAMPLE_BACKFILL, backfill), { ...more, ...colours });
      writeFileSync(join(IMAGES, `${image}${suffix}.png`), await photographTerminal(browser, output));
    }
  } finally {
    await browser.close();
  }
}

/** Waits until a backfill has ended, and returns its phase. */
async function phaseAtEnd(name: string): Promise<string> {
  const { log } = await type(`kubectl ooni backfill watch ${name}`);
  return log.trim().split(': ').at(-1) ?? '';
}

/** Reads a field of a resource. */
function field(resource: string, path: string): Promise<string> {
  return succeed(`kubectl get ${resource} -o jsonpath='{${path}}'`);
}

function objectOf(day: number): string {
  const folder = join(dir, `archive/raw/202401${day}/18/US/signal`);
  mkdirSync(folder, { recursive: true });
  return join(folder, `202401${day}18_US_signal.n1.0.jsonl.gz`);
}

beforeAll(async () => {
  await obtainPrograms({ terminal: new Terminal() });
  dir = mkdtempSync(join(tmpdir(), 'ooni-commands-'));
  for (const day of [29, 31]) copyFileSync(OBJECT, objectOf(day));
  writeFileSync(objectOf(30), gzipSync('not a measurement\n'.repeat(12)));
  const offset = await freeOffset();
  ports = portsFrom(offset);
  const { CLICKHOUSE_URL: _, KUBECONFIG: __, ...rest } = process.env;
  env = {
    ...rest,
    PATH: programs(dir, { kubectl: programPath('kubectl'), temporal: programPath('temporal') }),
    npm_config_cache: join(dir, 'npm'),
    TEMPORAL_ADDRESS: `127.0.0.1:${ports.temporal}`,
    ARCHIVE_URL: join(dir, 'archive'),
    NO_COLOR: '1',
  };
  stack = spawn(process.execPath, ['local/main.ts', '--data', join(dir, 'data'), '--port-offset', String(offset)], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  await new Promise<void>((resolve, reject) => {
    stack!.stdout!.setEncoding('utf8').on('data', text => {
      said += text;
      if (said.includes('stays up')) resolve();
    });
    stack!.once('exit', status => reject(new Error(`npm start ended with ${status}:\n${said}`)));
  });
  env.KUBECONFIG = /export KUBECONFIG=(\S+)/.exec(said)![1]!;
  // The user of the development server has no password, so any is accepted.
  env.CLICKHOUSE_URL = `http://127.0.0.1:${ports.clickhouse}`;
}, 600_000);

afterAll(async () => {
  await interruptProgram(stack);
  rmSync(dir, { recursive: true, force: true });
}, 120_000);

describe('a user of the Python pipeline, with a cluster', { timeout: 300_000 }, () => {
  test.each(PRODUCTION)('types: %s', async line => {
    const { status, output, log } = await type(line);
    expect(status, log).toBe(0);
    expect(log).toContain(`uses Kubernetes at https://127.0.0.1:${ports.kubernetes}, namespace default`);
    if (line.includes('backfill')) {
      expect(output).toMatch(
        /31 days of upload, 2024-01-01 .* to 2024-02-01 .*all countries; all tests; observations$/m,
      );
      const name = /backfill\/(\S+)/.exec(output)![1]!;
      expect(await phaseAtEnd(name)).toBe('Failed');
      await succeed(`kubectl delete backfill ${name}`);
    }
  });

  test('repeats a schedule without an effect, changes it, and deletes it', async () => {
    const filter = '--probe-cc us --test-name SIGNAL';
    const json = async (line: string) => JSON.parse(await succeed(`npx oonipipeline ${line} ${filter} -o json`));
    const schedule = 'pipelineschedule/us-signal';
    expect(await json('schedule')).toMatchObject({ schedule, action: 'unchanged', paused: false });
    expect(await json('schedule --no-analysis')).toMatchObject({ action: 'updated', stages: ['Observations'] });
    expect(await field(schedule, '.spec.stages')).toBe('["Observations"]');
    expect(await json('clear-schedules --dry-run')).toEqual({ schedule, existed: true, deleted: false });
    expect(await json('clear-schedules --yes')).toEqual({ schedule, existed: true, deleted: true });
    // The schedule of all countries and tests is another one.
    await succeed('npx oonipipeline clear-schedules --yes');
    expect((await succeed('kubectl get pipelineschedules -o name')).trim()).toBe(
      'pipelineschedule.pipeline.ooni.org/daily',
    );
  });
});

describe('an on-call engineer', { timeout: 300_000 }, () => {
  test('creates a backfill, and sees that it fails', async () => {
    const dry = 'kubectl ooni backfill create --start-at 2024-01-01 --end-at 2024-02-01 --dry-run';
    expect(await succeed(dry)).toContain('nothing was created');
    backfill = /backfill\/(\S+)/.exec(await example('backfill create'))![1]!;
    await example('backfill watch');
    await expect
      .poll(() => field(`backfill/${backfill}`, '.status.conditions[?(@.type=="Ready")].reason'), { timeout: 100_000 })
      .toBe('BucketsFailed');
  });

  test('sees the failure in status and grid, at 100 columns', async () => {
    const screen = await example('status');
    // An address stays one line, so that a terminal can follow it.
    expect(screen.split('\n').filter(line => line.length > 100 && !line.startsWith('http://'))).toEqual([]);
    await example('backfill grid');
    await photograph('kubectl-ooni-status', CLUSTER_EXAMPLES.status!.line);
    const year = 'kubectl ooni backfill grid --start-at 2023-06-01 --end-at 2024-06-01';
    await photograph('kubectl-ooni-grid', `${year} --probe-cc US --test-name signal`);
    const days = (await type(`kubectl ooni backfill grid ${backfill} -o json`)).output.trim().split('\n');
    expect(JSON.parse(days[29]!)).toMatchObject({ day: '2024-01-30', state: 'failed' });
    const view = JSON.parse((await type('kubectl ooni status -o json')).output);
    expect(view.backfills[0].status.failures[0]).toMatchObject({ bucket: '2024-01-30', reason: 'TooManyFailures' });
  });

  test('cannot pause or cancel what has ended', async () => {
    for (const change of ['pause', 'resume', 'cancel --yes']) {
      const line = `kubectl ooni backfill ${change} ${backfill}`;
      expect(await succeed(line)).toBe(`backfill/${backfill} has ended (Failed); nothing was changed\n`);
    }
    expect(await field(`backfill/${backfill}`, '.spec.suspend')).not.toBe('true');
  });

  test('repairs the archive, and retries the failed bucket', async () => {
    copyFileSync(OBJECT, objectOf(30));
    const dry = await succeed(`kubectl ooni backfill retry ${backfill} --dry-run`);
    expect(dry).toBe(`backfill/${backfill}: would set {"attempt":2}\n`);
    await example('backfill retry');
    expect(await phaseAtEnd(backfill)).toBe('Complete');
    expect(await succeed(`kubectl ooni backfill grid ${backfill}`)).toContain('■ ■ ■   3/31');
    expect(await succeed(`kubectl ooni backfill retry ${backfill}`)).toContain('has no failed bucket');
  });

  test('suspends, resumes and runs a schedule', async () => {
    await example('schedule suspend');
    expect(await field('pipelineschedule/daily', '.spec.suspend')).toBe('true');
    await example('schedule resume');
    expect(await field('pipelineschedule/daily', '.spec.suspend')).toBe('false');
    const name = /backfill\/(\S+)/.exec(await example('schedule run'))![1]!;
    expect(await phaseAtEnd(name)).toBe('Complete');
    const hour = await type('kubectl ooni schedule run daily --bucket 2024-01-29T05');
    expect(hour.status).toBe(1);
    expect(hour.log).toMatch(/2024-01-29T05 is not a bucket of pipelineschedule\/daily.*granularity is Day/);
    const later = await succeed('kubectl ooni schedule run daily --bucket 2999-01-01');
    expect(later).toContain('it starts when the bucket is complete, at 2999-01-02T00:00:00.000Z');
    await succeed(`kubectl delete ${/^backfill\/\S+/.exec(later)![0]}`);
  });

  test.each([
    ['backfill watch', 'backfill', 'Backfill'],
    ['backfill pause', 'backfill', 'Backfill'],
    ['backfill grid', 'backfill', 'Backfill'],
    ['schedule run', 'pipelineschedule', 'PipelineSchedule'],
    ['schedule suspend', 'pipelineschedule', 'PipelineSchedule'],
    ['pool pause', 'workerpool', 'WorkerPool'],
    ['logs', 'workerpool', 'WorkerPool'],
  ])('%s reports a name that does not exist', async (command, resource, kind) => {
    const { status, log } = await type(`kubectl ooni ${command} nothing`);
    expect(log).toBe(`kubectl ooni ${command}: ${resource}/nothing: namespace default has no such ${kind}\n`);
    expect(status).toBe(1);
  });

  test('reads the logs of the workers and of the operator', async () => {
    await example('logs');
    expect(await succeed('kubectl ooni logs --tail 5')).toContain('"name":"ooni-operator"');
  });

  test('pauses, resumes and cancels a backfill, while the pool is drained', async () => {
    expect((await type('kubectl ooni pool drain main')).log).toContain('add --yes. Nothing was changed');
    await example('pool drain');
    expect(await field('workerpool/main', '.spec.replicas')).toBe('0');
    const spec = { startAt: '2024-01-01', endAt: '2024-02-01', reprocess: 'All' };
    const manifest = { apiVersion: 'pipeline.ooni.org/v1alpha1', kind: 'Backfill', metadata: { name: 'again' }, spec };
    await succeed(`kubectl apply -f - <<< '${JSON.stringify(manifest)}'`);
    await example('backfill pause');
    expect(await succeed('kubectl ooni backfill pause again')).toContain('is paused already');
    await example('backfill resume');
    expect((await type('kubectl ooni backfill cancel again')).log).toContain('add --yes. Nothing was changed');
    await example('backfill cancel');
    expect(await field('backfill/again', '.spec.cancel')).toBe('Drain');
    await example('pool resume');
    expect(await field('workerpool/main', '.spec.replicas')).toBe('1');
    expect(await phaseAtEnd('again')).toBe('Cancelled');
  });

  test('keeps an autoscaled pool at its size', async () => {
    const spec = { autoscaling: { minReplicas: 0, maxReplicas: 1 }, tasks: ['Activities'] };
    const manifest = {
      apiVersion: 'pipeline.ooni.org/v1alpha1',
      kind: 'WorkerPool',
      metadata: { name: 'elastic' },
      spec,
    };
    await succeed(`kubectl apply -f - <<< '${JSON.stringify(manifest)}'`);
    await expect.poll(() => field('workerpool/elastic', '.status.desiredReplicas'), { timeout: 100_000 }).not.toBe('');
    await example('pool pause');
    expect(await field('workerpool/elastic', '.spec.autoscaling')).toBe('');
    await succeed('kubectl ooni pool resume elastic');
    expect(JSON.parse(await field('workerpool/elastic', '.spec.autoscaling'))).toMatchObject({ maxReplicas: 1 });
    await succeed('kubectl delete workerpool elastic');
  });

  test('lets doctor check everything', async () => {
    await example('doctor');
    // Only the cluster reaches its ClickHouse.
    await photograph('kubectl-ooni-doctor', CLUSTER_EXAMPLES.doctor!.line, { CLICKHOUSE_URL: 'http://127.0.0.1:1' });
  });

  test.each([
    'kubectl ooni status -n nope',
    'kubectl ooni backfill watch main -n nope',
    'kubectl ooni backfill create -n nope --start-at 2024-01-01 --end-at 2024-02-01',
    'npx oonipipeline backfill -n nope --start-at 2024-01-01 --end-at 2024-02-01',
    'npx oonipipeline schedule -n nope',
  ])('sees that a namespace does not exist: %s', async line => {
    const { status, output, log } = await type(line);
    expect(status).toBe(1);
    expect(output).toBe('');
    expect(log).toMatch(/: namespace\/nope: the cluster has no such namespace; kubectl get namespaces lists them\n$/);
  });

  test('adds missing search attributes by the remedy that doctor names', async () => {
    await succeed(`temporal operator namespace create --address $TEMPORAL_ADDRESS --namespace other`);
    const doctor = async () => (await type('kubectl ooni doctor -o json', { TEMPORAL_NAMESPACE: 'other' })).output;
    const temporal = (text: string) =>
      text.split('\n').flatMap(line => (line.includes('"check":"Temporal"') ? JSON.parse(line) : []))[0];
    await expect.poll(async () => temporal(await doctor()).state, { timeout: 100_000 }).toBe('failed');
    const { message, remedy } = temporal(await doctor());
    expect(message).toContain('lacks the search attributes');
    await succeed(remedy.replace(/^.*?(temporal operator)/, '$1'));
    await expect.poll(async () => temporal(await doctor()).state, { timeout: 100_000 }).toBe('ok');
  });

  test('writes a report without a password', async () => {
    const url = env.CLICKHOUSE_URL!.replace('//', `//default:${PASSWORD}@`);
    const { status, log } = await type('kubectl ooni report --output-file secret.json.gz', { CLICKHOUSE_URL: url });
    expect(status, log).toBe(0);
    const secret = gunzipSync(readFileSync(join(dir, 'secret.json.gz'))).toString();
    expect(secret).not.toContain(PASSWORD);
    expect(secret).toContain('"name":"ooni-operator"'.replaceAll('"', '\\"'));
    await example('report');
    expect(readdirSync(dir).filter(name => name.startsWith('ooni-report-'))).toHaveLength(1);
  });
});
