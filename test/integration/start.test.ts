import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { freePort } from '../../pipeline/free-port.ts';
import { freeOffset } from '../support/free-offset.ts';
import { kubectl } from '../support/operator.ts';

let dir: string;
let offset: number;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ooni-start-'));
  offset = await freeOffset();
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** The verdicts in `expected/` are those of the Python pipeline, by its rules. */
const EXPECTED_RULES = { ANALYSIS_RULES_VERSION: '2' };

/** The processes that have not ended. A test that fails leaves them, and its stack would keep the ports and the data from the next test. */
const running = new Set<ChildProcess>();
afterEach(async () => {
  for (const child of running) {
    child.kill('SIGTERM');
    await once(child, 'close');
  }
});

interface Run {
  readonly child: ChildProcess;
  output(): string;
  /** Resolves when the output matches. Throws with the output if the process ends before. */
  says(pattern: RegExp): Promise<void>;
  readonly ended: Promise<{ status: number | null; stdout: string; stderr: string }>;
}

/** Runs `npm start` after the installation of dependencies: the program, with the Node that runs this test. */
function start(args: readonly string[], over: NodeJS.ProcessEnv = {}): Run {
  const { CLICKHOUSE_URL: _, KUBECONFIG: __, ...env } = process.env;
  const child = spawn(process.execPath, ['local/main.ts', ...args], {
    env: { ...env, ...over },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  child.once('close', () => running.delete(child));
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name]!.setEncoding('utf8').on('data', text => (said[name] += text));
  const ended = new Promise<{ status: number | null; stdout: string; stderr: string }>(resolve =>
    child.once('close', status => resolve({ status, ...said })),
  );
  const output = () => said.stdout + said.stderr;
  const says = async (pattern: RegExp) => {
    while (!pattern.test(output())) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`it ended without ${pattern}:\n${output()}`);
      await new Promise(resolve => setTimeout(resolve, 100));
    }
  };
  return { child, output, says, ended };
}

const onData = (...args: string[]) =>
  start(['--data', join(dir, 'data'), '--port-offset', String(offset), ...args], EXPECTED_RULES);

/**
 * Returns processes of this machine with a folder in their command line or environment: those that a stack on it left running, with its
 * pods.
 */
function left(folder: string): string[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .flatMap(pid => {
      try {
        return [
          ['cmdline', 'environ']
            .map(file => readFileSync(`/proc/${pid}/${file}`, 'utf8').replaceAll('\0', ' '))
            .join(' '),
        ];
      } catch (error) {
        if (['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
        throw error;
      }
    })
    .filter(command => command.includes(folder));
}

interface Example {
  readonly kind: string;
  readonly spec: { startAt: string; endAt: string; granularity?: string; probeCC: string[]; testNames: string[] };
}

/** Returns the buckets of the examples' Backfills that contain measurements, and the Python pipeline's results for these measurements. */
function expected(): { buckets: number; measurements: number; rows: Record<string, number> } {
  const backfills = globSync('examples/*.yaml')
    .map(file => parse(readFileSync(file, 'utf8')) as Example)
    .filter(({ kind }) => kind === 'Backfill');
  const hours = ({ spec: { startAt, endAt } }: Example): [number, number] => {
    const at = (bucket: string) => Date.parse(bucket.length === 10 ? bucket : `${bucket}:00Z`) / 3_600_000;
    return [at(startAt), at(endAt)];
  };
  const buckets = new Set<string>();
  /** Returns whether a Backfill of the examples reads an object, and records the bucket. */
  const asked = (key: string) => {
    // raw/20240122/20/IT/webconnectivity/2024012220_IT_webconnectivity.n1.0.jsonl.gz
    const [, year, month, day, hour, country, name] =
      /^raw\/(\d{4})(\d\d)(\d\d)\/(\d\d)\/([A-Z]{2})\/(\w+)\//.exec(key) ?? [];
    const at = Date.parse(`${year}-${month}-${day}T${hour}:00Z`) / 3_600_000;
    const by = backfills.find(backfill => {
      const [start, end] = hours(backfill);
      const { probeCC, testNames } = backfill.spec;
      return (
        at >= start &&
        at < end &&
        probeCC.includes(country!) &&
        testNames.some(test => test.replaceAll('_', '') === name)
      );
    });
    if (by) buckets.add(by.spec.granularity === 'Hour' ? `${year}-${month}-${day}T${hour}` : `${year}-${month}-${day}`);
    return by !== undefined;
  };
  const rows: Record<string, number> = { obs_web: 0, obs_web_ctrl: 0 };
  let measurements = 0;
  for (const line of gunzipSync(readFileSync('test/fixtures/expected/rows.jsonl.gz')).toString().trim().split('\n')) {
    const { key, tables } = JSON.parse(line) as { key: string; tables: Record<string, unknown[]> };
    if (!asked(key)) continue;
    measurements++;
    for (const table of Object.keys(rows)) rows[table] = rows[table]! + (tables[table]?.length ?? 0);
  }
  return { buckets: buckets.size, measurements, rows };
}

/**
 * Counts the measurements of examples/backfill.yaml that the Python pipeline judges blocked, by domain, country, layer and rule.
 * `expected/` has the verdicts of some of its days; the results are the same on all of them.
 */
function expectedBlocked(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const line of gunzipSync(readFileSync('test/fixtures/expected/analysis.jsonl.gz'))
    .toString()
    .trim()
    .split('\n')) {
    const verdict = JSON.parse(line) as Record<string, string | number | undefined>;
    const day = String(verdict.measurement_start_time).slice(0, 10);
    if (verdict.probe_cc !== 'IT' || verdict.test_name !== 'web_connectivity') continue;
    if (day < '2023-11-27' || day >= '2024-02-13') continue;
    const grade = (kind: string) => (layer: string) => Number(verdict[`${layer}_${kind}`] ?? 0);
    const layers = ['dns', 'tcp', 'tls'];
    const blocked = Math.max(...layers.map(grade('blocked')));
    if (blocked <= 0.5 || blocked < Math.max(...layers.map(grade('down')))) continue;
    const layer = layers.find(name => grade('blocked')(name) === blocked);
    // The bit.ly of the QA suite redirects to www.example.com, and these scenarios interfere with that host.
    const host = verdict.domain === 'bit.ly' ? 'www.example.com' : verdict.domain;
    const key = `${host} IT ${layer} ${verdict[`top_${layer}_rule_id`]}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

describe('npm start', () => {
  test('fills ClickHouse, and finds everything complete the second time', { timeout: 600_000 }, async () => {
    const first = await onData('--exit-when-done').ended;
    expect(first.status, first.stderr).toBe(0);
    const summary = JSON.parse(first.stdout.trim().split('\n').at(-1)!);
    const wanted = expected();
    expect(wanted.measurements).toBeGreaterThan(0);
    expect(summary).toMatchObject({ ...wanted, failed: 0, seconds: expect.any(Number) });
    expect(summary.rows.analysis_web_measurement).toBeGreaterThan(0);
    const lines = first.stdout.split('Grade\n')[1]?.split('\n') ?? [];
    const shown = new Map(
      lines
        .map(line => line.trim().split(/ {2,}/))
        .filter(([, country]) => country === 'IT')
        .map(([domain, country, layer, rule, count]) => [`${domain} ${country} ${layer} ${rule}`, Number(count)]),
    );
    const blocked = expectedBlocked();
    expect([...shown.keys()].sort()).toEqual([...blocked.keys()].sort());
    for (const [key, count] of blocked) expect(shown.get(key), key).toBeGreaterThanOrEqual(count);
    expect(first.stdout).toMatch(/export KUBECONFIG=.*admin\.kubeconfig/);
    // Without these, the commands would ask other servers than those of this stack.
    expect(first.stdout).toMatch(
      /export TEMPORAL_ADDRESS=\S+\n +export CLICKHOUSE_URL=\S+\n +export ARCHIVE_URL=\/.*fixtures\/archive\n/,
    );
    expect(left(dir)).toEqual([]);

    const second = await onData('--exit-when-done').ended;
    expect(second.status, second.stderr).toBe(0);
    const { seconds: _, ...again } = JSON.parse(second.stdout.trim().split('\n').at(-1)!);
    expect(again).toEqual({ ...summary, seconds: undefined });
    expect(left(dir)).toEqual([]);
  });

  test("starts again after a user's edits, does not change their resources, and stops on Ctrl-C", {
    timeout: 300_000,
  }, async () => {
    const up = onData();
    await up.says(/^resources /m);
    expect(left(dir).length).toBeGreaterThan(5);
    const other = await onData().ended;
    expect(other.status).toBe(1);
    expect(other.stderr).toMatch(/Process \d+ has started on .* already/);
    const edit = (...args: string[]) => kubectl(join(dir, 'data/kubernetes/pki/admin.kubeconfig'), args);
    const autoscaling = '{"spec":{"replicas":null,"autoscaling":{"minReplicas":1,"maxReplicas":2}}}';
    expect(await edit('patch', 'workerpool', 'main', '--type=merge', '-p', autoscaling)).toMatch(/patched/);
    expect(await edit('delete', 'backfill', 'hours', '--wait=false')).toMatch(/deleted/);
    expect(await edit('delete', 'backfill', 'example')).toMatch(/deleted/);
    // Range and filter of a Backfill cannot be changed, so examples/backfill.yaml cannot be applied over this one.
    const spec = { startAt: '2023-11-28', endAt: '2024-02-13', probeCC: ['IT'], testNames: ['web_connectivity'] };
    const example = { apiVersion: 'pipeline.ooni.org/v1alpha1', kind: 'Backfill', metadata: { name: 'example' }, spec };
    const apply = ['--kubeconfig', join(dir, 'data/kubernetes/pki/admin.kubeconfig'), 'apply', '-f', '-'];
    expect(await kubectl('', apply, JSON.stringify(example))).toMatch(/created/);
    up.child.kill('SIGINT');
    expect((await up.ended).status).toBe(0);
    expect(left(dir)).toEqual([]);

    const again = onData();
    await again.says(/Everything stays up until Ctrl-C/);
    expect(again.output()).toMatch(
      /workerpool\/main stays as it is\. examples\/workerpool\.yaml has other values for spec\.replicas;/,
    );
    expect(again.output()).toMatch(/backfill\/example stays as it is\. .* spec\.startAt;/);
    expect(await edit('get', 'workerpool', 'main', '-o', 'jsonpath={.spec}')).toMatch(/"maxReplicas":2/);
    expect(await edit('get', 'backfill', 'example', '-o', 'jsonpath={.spec.startAt}')).toBe('2023-11-28');
    expect(await edit('get', 'backfill', 'hours', '-o', 'name')).toMatch(/hours/);
    // It was printed when the operator led, so the status does not come from the earlier start.
    const lease = [
      'get',
      'lease',
      '-n',
      'ooni-system',
      'ooni-operator-default',
      '-o',
      'jsonpath={.spec.holderIdentity}',
    ];
    expect(await edit(...lease)).not.toBe('');
    again.child.kill('SIGTERM');
    expect((await again.ended).status).toBe(0);
    expect(left(dir)).toEqual([]);
  });

  test('ends with the process that is killed, and the next start ends a server that did not notice', {
    timeout: 300_000,
  }, async () => {
    const killed = onData();
    await killed.says(/^operator +starting/m);
    const [clickhouse] = readFileSync(join(dir, 'data/clickhouse/clickhouse.pid'), 'utf8').split(' ').map(Number);
    process.kill(clickhouse!, 'SIGSTOP');
    killed.child.kill('SIGKILL');
    await killed.ended;
    while (left(dir).length > 1) await new Promise(resolve => setTimeout(resolve, 200));
    const next = onData();
    await next.says(/^servers .* run /m);
    expect(next.output()).toMatch(
      new RegExp(`left these running; they are now ended: clickhouse \\(process ${clickhouse}\\)`),
    );
    next.child.kill('SIGTERM');
    expect((await next.ended).status).toBe(0);
    expect(left(dir)).toEqual([]);
  });
});

describe('npm start names the remedy', () => {
  test('for an unknown option', async () => {
    const { status, stderr } = await onData('--exit').ended;
    expect(status).toBe(2);
    expect(stderr).toMatch(/Unknown option '--exit'.*--help/);
    expect((await onData('--dta').ended).stderr).toMatch(/Unknown option '--dta'\. Did you mean --data\? .*--help/);
  });

  test.each([
    ['--data', '', /--data is empty: name a directory/],
    ['--port-offset', '', /--port-offset "": write a whole number/],
    ['--port-offset', '1.5', /--port-offset "1\.5": write a whole number/],
  ])('for a wrong value of an option: %s %j', async (option, value, said) => {
    const { status, stderr } = await start([option, value]).ended;
    expect(status).toBe(2);
    expect(stderr).toMatch(said);
  });

  test.each([
    ['LOG_LEVEL', 'loud', /LOG_LEVEL = "loud": must be one of .*info/],
    ['ARCHIVE_URL', 'ftp://x', /archive_url = "ftp:\/\/x": must be a directory or s3:/],
    ['ARCHIVE_URL', '/nowhere', /ARCHIVE_URL = \/nowhere does not exist/],
    ['GEOIP_DIR', 'nowhere', /GEOIP_DIR = \/.*\/nowhere does not exist/],
    ['FINGERPRINTS_DNS_SOURCE', '/nowhere.csv', /FINGERPRINTS_DNS_SOURCE = \/nowhere.csv does not exist/],
    ['CLICKHOUSE_URL', 'here', /clickhouse_url is not a URL; write http:/],
  ])('for an invalid setting: %s', async (name, value, said) => {
    const { status, stderr } = await start(['--data', join(dir, 'data')], { [name]: value }).ended;
    expect(status).toBe(1);
    expect(stderr).toMatch(said);
    expect(stderr).not.toMatch(/\n {4}at /);
  });

  test('for a folder that cannot hold the data', async () => {
    const { status, stderr } = await start(['--data', import.meta.filename]).ended;
    expect(status).toBe(1);
    expect(stderr).toMatch(/cannot be kept in .*start\.test\.ts: EEXIST.*--data DIR/);
    expect(stderr).not.toMatch(/\n {4}at /);
  });

  test.skipIf(process.platform !== 'linux').each(['/proc/x', '/proc/x/y'])('for a folder in /proc: %s', async path => {
    const { status, stderr } = await start(['--data', path]).ended;
    expect(status).toBe(1);
    expect(stderr).toMatch(/cannot be kept in \/proc\/x: ENOENT.*--data DIR/);
    expect(stderr).not.toMatch(/\n {4}at /);
  });

  test('for a missing ClickHouse', async () => {
    const nobody = `clickhouse://127.0.0.1:${await freePort()}`;
    const { status, stderr } = await start(['--data', join(dir, 'data'), '--port-offset', String(offset)], {
      CLICKHOUSE_URL: nobody,
    }).ended;
    expect(status).toBe(1);
    expect(stderr).toMatch(/CLICKHOUSE_URL names 127\.0\.0\.1:\d+, where no ClickHouse answers/);
    expect(left(dir)).toEqual([]);
  });

  test('for a port in use', async () => {
    const taken = createServer();
    await new Promise<void>(resolve => taken.listen(offset + 7233, '127.0.0.1', resolve));
    const { status, stderr } = await onData().ended;
    await new Promise(resolve => taken.close(resolve));
    expect(status).toBe(1);
    expect(stderr).toMatch(new RegExp(`Port ${offset + 7233}, which Temporal needs, is in use.*--port-offset`));
    expect(left(dir)).toEqual([]);
  });

  test('on request', async () => {
    const { status, stdout } = await start(['--help']).ended;
    expect(status).toBe(0);
    for (const option of ['--exit-when-done', '--clean', '--data', '--port-offset']) expect(stdout).toContain(option);
  });
});
