import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pino from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ControlPlane, NODE_NAME, startControlPlane } from '../../local/control-plane.ts';
import { LocalNode } from '../../local/node/node.ts';
import { programPath } from '../../local/programs.ts';

// The node accepts every pod of its control plane, so this test has a separate one.
let dir: string;
let plane: ControlPlane;
let node: LocalNode;
const run = promisify(execFile);

async function kubectl(...args: string[]): Promise<string> {
  const { stdout } = await run(programPath('kubectl'), ['--kubeconfig', plane.kubeconfig, ...args], { maxBuffer: 1e8 });
  return stdout;
}

async function apply(...objects: object[]): Promise<void> {
  const list = { apiVersion: 'v1', kind: 'List', items: objects };
  const child = run(programPath('kubectl'), ['--kubeconfig', plane.kubeconfig, 'apply', '-f', '-']);
  child.child.stdin!.end(JSON.stringify(list));
  await child;
}

// biome-ignore lint/suspicious/noExplicitAny: objects of all kinds, as JSON
type Json = any;
const get = async (...args: string[]): Promise<Json> => JSON.parse(await kubectl('get', '-o', 'json', ...args));

/** Waits until `probe` returns a value. vitest's timeout is the limit. */
async function until<T>(probe: () => Promise<T | undefined | false>): Promise<T> {
  for (;;) {
    const found = await probe();
    if (found) return found;
    await sleep(100);
  }
}

function makeNode(): LocalNode {
  return new LocalNode({
    name: NODE_NAME,
    kubeconfig: plane.nodeKubeconfig,
    certificate: plane.certificate,
    dir: join(dir, 'pods'),
    workdir: process.cwd(),
    log: pino({ level: 'silent' }),
  });
}

/** Returns a container that runs JavaScript code. */
const script = (name: string, code: string, more: object = {}) => ({
  name,
  image: 'ooni-pipeline:dev',
  args: ['-e', code],
  ...more,
});
const pod = (name: string, container: object, spec: object = {}, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default', ...metadata },
  spec: { containers: [container], terminationGracePeriodSeconds: 5, ...spec },
});

const SERVER = `
  const healthy = () => !require('node:fs').existsSync(process.env.TMPDIR + '/sick');
  require('node:http').createServer((request, response) => { response.statusCode = healthy() ? 200 : 500; response.end(process.env.ANSWER); })
    .listen(8080, process.env.POD_IP, () => console.log('listening'));
  process.on('SIGTERM', () => { console.log('leaving'); process.exit(0); });`;
const ENV = [{ name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }];
const PROBE = { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 };

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ooni-node-'));
  plane = await startControlPlane({ dir: join(dir, 'kubernetes') });
  node = makeNode();
  await node.start();
  await until(async () => (await get('serviceaccounts')).items.some((item: Json) => item.metadata.name === 'default'));
});

afterAll(async () => {
  await node?.stop();
  await plane?.stop();
  rmSync(dir, { recursive: true, force: true });
});

const alive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
};

describe('a Deployment', () => {
  const deployment = (replicas: number, answer: string) => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'web' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: {
          terminationGracePeriodSeconds: 5,
          containers: [
            script('web', SERVER, { env: [...ENV, { name: 'ANSWER', value: answer }], readinessProbe: PROBE }),
          ],
        },
      },
    },
  });
  const addresses = async (): Promise<string[]> =>
    (await get('pods', '-l', 'app=web')).items
      .filter((item: Json) => !item.metadata.deletionTimestamp)
      .map((item: Json) => item.status.podIP);
  const answers = async () =>
    Promise.all((await addresses()).map(async ip => (await fetch(`http://${ip}:8080/`)).text()));

  test('rolls out with a separate address for each pod', async () => {
    await apply(deployment(2, 'one'));
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=100s');
    expect(await answers()).toEqual(['one', 'one']);
    expect(new Set(await addresses()).size).toBe(2);
  });

  test('scales', async () => {
    await kubectl('scale', 'deployment/web', '--replicas=3');
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=100s');
    expect(await answers()).toEqual(['one', 'one', 'one']);
    await kubectl('scale', 'deployment/web', '--replicas=1');
    await until(async () => (await get('pods', '-l', 'app=web')).items.length === 1);
  });

  test('is replaced by a new version and stopped gracefully', async () => {
    const [old] = (await get('pods', '-l', 'app=web')).items;
    const follow = run(programPath('kubectl'), ['--kubeconfig', plane.kubeconfig, 'logs', '-f', old.metadata.name]);
    // Its first output proves that kubectl follows the log.
    await new Promise(resolve => follow.child.stdout!.once('data', resolve));
    await apply(deployment(1, 'two'));
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=100s');
    expect(await answers()).toEqual(['two']);
    // Following a log ends after the container has ended, with its last output.
    expect((await follow).stdout).toBe('listening\nleaving\n');
    await until(
      async () =>
        !(await get('pods', '-l', 'app=web')).items.some((item: Json) => item.metadata.uid === old.metadata.uid),
    );
  });

  test('is described with the node’s events', async () => {
    await until(async () => /Started container web/.test(await kubectl('describe', 'pods', '-l', 'app=web')));
    expect(await kubectl('get', 'nodes')).toMatch(/^local +Ready /m);
    await kubectl('delete', 'deployment/web');
    await until(async () => (await get('pods', '-l', 'app=web')).items.length === 0);
  });
});

describe('a container', () => {
  test('gets its variables from all possible sources', async () => {
    await apply(
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'config', namespace: 'default' },
        data: { A: 'a', B: 'b' },
      },
      {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'secret', namespace: 'default' },
        stringData: { PASSWORD: 'p$1', 'other.key': 'x' },
      },
      pod(
        'variables',
        script('main', 'console.log(JSON.stringify([process.env, process.argv.slice(1)]))', {
          args: [
            '-e',
            'console.log(JSON.stringify([process.env, process.argv.slice(1)]))',
            '--',
            '$(NAME)',
            '$$(NAME)',
            '$(NONE)',
          ],
          envFrom: [
            { configMapRef: { name: 'config' } },
            { secretRef: { name: 'secret' }, prefix: 'S_' },
            { configMapRef: { name: 'absent', optional: true } },
          ],
          env: [
            { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
            { name: 'LABEL', valueFrom: { fieldRef: { fieldPath: "metadata.labels['x/y']" } } },
            { name: 'B', value: 'over $(A)' },
            { name: 'KEY', valueFrom: { secretKeyRef: { name: 'secret', key: 'other.key' } } },
            { name: 'MEMORY', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
            ...ENV,
          ],
          resources: { limits: { memory: '64Mi' }, requests: { cpu: '1m', memory: '1Mi' } },
        }),
        { restartPolicy: 'Never' },
        { labels: { 'x/y': 'z' } },
      ),
    );
    await kubectl('wait', 'pod/variables', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=100s');
    const [env, argv] = JSON.parse(await kubectl('logs', 'variables'));
    expect(env).toMatchObject({
      A: 'a',
      B: 'over a',
      S_PASSWORD: 'p$1',
      NAME: 'variables',
      LABEL: 'z',
      KEY: 'x',
      MEMORY: '64',
      POD_IP: expect.stringMatching(/^127\./),
    });
    expect(argv).toEqual(['variables', '$(NAME)', '$(NONE)']);
  });

  test('without its Secret reports that, and starts when the Secret exists', async () => {
    const wants = script('main', 'console.log(process.env.LATE)', {
      env: [{ name: 'LATE', valueFrom: { secretKeyRef: { name: 'late', key: 'value' } } }],
    });
    await apply(pod('late', wants, { restartPolicy: 'Never' }));
    // The API server may be unavailable for a moment, which gives another message.
    await until(
      async () =>
        (await get('pod', 'late')).status.containerStatuses?.[0].state.waiting?.message === 'secret "late" not found',
    );
    await apply({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'late', namespace: 'default' },
      stringData: { value: 'here' },
    });
    await kubectl('wait', 'pod/late', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=100s');
    expect(await kubectl('logs', 'late')).toBe('here\n');
  });

  test('with an unknown image is not run', async () => {
    await apply(pod('foreign', { name: 'main', image: 'nginx:1' }));
    const waiting = await until(async () => {
      const state = (await get('pod', 'foreign')).status.containerStatuses?.[0].state.waiting;
      return state?.reason === 'ErrImagePull' && state;
    });
    expect(waiting.message).toContain('"nginx:1" cannot be run');
    await kubectl('delete', 'pod/foreign');
  });

  test('calls the API as its service account, with the permissions of that account', async () => {
    const code = `
      const config = JSON.parse(require('node:fs').readFileSync(process.env.KUBECONFIG, 'utf8'));
      const { server } = config.clusters[0].cluster;
      const ca = Buffer.from(config.clusters[0].cluster['certificate-authority-data'], 'base64');
      const get = path => new Promise(resolve => require('node:https').get(server + path,
        { ca, headers: { authorization: 'Bearer ' + config.users[0].user.token } }, response => { response.resume(); resolve(response.statusCode); }));
      (async () => console.log(await get('/api/v1/namespaces/default/configmaps'), await get('/api/v1/namespaces/default/secrets')))();`;
    await apply(
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'reader', namespace: 'default' } },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'Role',
        metadata: { name: 'reader', namespace: 'default' },
        rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['list'] }],
      },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'RoleBinding',
        metadata: { name: 'reader', namespace: 'default' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
        subjects: [{ kind: 'ServiceAccount', name: 'reader', namespace: 'default' }],
      },
      pod('account', script('main', code), { restartPolicy: 'Never', serviceAccountName: 'reader' }),
    );
    await kubectl('wait', 'pod/account', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=100s');
    expect(await kubectl('logs', 'account')).toBe('200 403\n');
  });

  test('that crashes is restarted, backs off, and keeps the log of the previous run', async () => {
    // The third run stays. Later reads are therefore always of this run and the one before.
    const code = `
      const fs = require('node:fs');
      fs.appendFileSync(process.env.TMPDIR + '/runs', '.');
      const run = fs.statSync(process.env.TMPDIR + '/runs').size;
      console.log('run', run);
      if (run === 3) setInterval(() => {}, 1000);
      else process.exitCode = 3;`;
    await apply(pod('crash', script('main', code)));
    await until(async () => (await kubectl('logs', 'crash').catch(() => '')) === 'run 3\n');
    expect(await kubectl('logs', 'crash', '--previous')).toBe('run 2\n');
    const status = await until(async () => {
      const [current] = (await get('pod', 'crash')).status.containerStatuses;
      return current.restartCount === 2 && current.state.running && current;
    });
    expect(status.lastState.terminated).toMatchObject({ exitCode: 3, reason: 'Error' });
    // The first restart is immediate, the second waits.
    await until(async () =>
      (await kubectl('describe', 'pod/crash')).includes('back-off 1s restarting failed container=main'),
    );
    await kubectl('delete', 'pod/crash');
    await expect(kubectl('get', 'pod', 'crash')).rejects.toThrow(/not found/);
  });

  test('that fails its liveness probe is restarted; one not ready is not', async () => {
    const container = script('main', SERVER, {
      env: ENV,
      readinessProbe: PROBE,
      livenessProbe: { ...PROBE, failureThreshold: 2 },
    });
    await apply(pod('sick', container));
    await kubectl('wait', 'pod/sick', '--for=condition=Ready', '--timeout=100s');
    const { uid } = (await get('pod', 'sick')).metadata;
    const { writeFileSync } = await import('node:fs');
    const flag = join(dir, 'pods', `default_sick_${uid}`, 'tmp', 'sick');
    writeFileSync(flag, '');
    await until(async () => (await get('pod', 'sick')).status.containerStatuses[0].restartCount > 0);
    rmSync(flag);
    await kubectl('wait', 'pod/sick', '--for=condition=Ready', '--timeout=100s');
    // Events are written some time after their cause.
    await until(async () =>
      (await kubectl('describe', 'pod/sick')).includes('Liveness probe failed: HTTP probe failed with statuscode: 500'),
    );
  });

  test('that does not stop is killed after its grace period, with all its child processes', async () => {
    const code = `
      const child = require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
      process.on('SIGTERM', () => {});
      setInterval(() => {}, 1000);
      console.log(process.pid, child.pid);`;
    await apply(pod('stubborn', script('main', code), { terminationGracePeriodSeconds: 1 }));
    // Matches a whole line, because the log may be read while it is written.
    const said = await until(async () => /^\d+ \d+\n$/.exec(await kubectl('logs', 'stubborn').catch(() => ''))?.[0]);
    const pids = said.trim().split(' ').map(Number);
    expect(pids.map(alive)).toEqual([true, true]);
    await kubectl('delete', 'pod/stubborn');
    await until(async () => !pids.some(alive));
  });

  test('log is limited by tail, size and time, and shows times', async () => {
    await apply(
      pod('talk', script('main', "for (let i = 1; i <= 5; i++) console.log('line ' + i)"), { restartPolicy: 'Never' }),
    );
    await kubectl('wait', 'pod/talk', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=100s');
    expect(await kubectl('logs', 'talk', '--tail=2')).toBe('line 4\nline 5\n');
    expect(await kubectl('logs', 'talk', '--limit-bytes=8')).toBe('line 1\nl');
    expect(await kubectl('logs', 'talk', '--since-time=2100-01-01T00:00:00Z')).toBe('');
    expect(await kubectl('logs', 'talk', '--timestamps', '--tail=1')).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z line 5\n$/);
    await expect(kubectl('logs', 'talk', '--previous')).rejects.toThrow(/not found/);
  });

  test('for init runs first, and stops the pod when it fails', async () => {
    const say = (text: string, code = 0) => script(text, `console.log('${text}'); process.exitCode = ${code}`);
    await apply(
      pod('ordered', say('main'), { restartPolicy: 'Never', initContainers: [say('first'), say('second')] }),
      pod('broken', say('main'), { restartPolicy: 'Never', initContainers: [say('first', 1), say('second')] }),
    );
    await kubectl('wait', 'pod/ordered', '--for=jsonpath={.status.phase}=Succeeded', '--timeout=100s');
    await kubectl('wait', 'pod/broken', '--for=jsonpath={.status.phase}=Failed', '--timeout=100s');
    const { status } = await get('pod', 'ordered');
    const [first, second] = status.initContainerStatuses.map((entry: Json) => entry.state.terminated);
    expect(Date.parse(second.startedAt)).toBeGreaterThanOrEqual(Date.parse(first.finishedAt));
    expect((await get('pod', 'broken')).status.containerStatuses[0].state.terminated).toBeUndefined();
  });
});

test('the log endpoint rejects clients other than the API server', async () => {
  const { daemonEndpoints } = (await get('node', NODE_NAME)).status;
  const response = new Promise<number | undefined>((resolve, reject) => {
    import('node:https').then(({ get: httpsGet }) => {
      const url = `https://127.0.0.1:${daemonEndpoints.kubeletEndpoint.Port}/containerLogs/default/talk/main`;
      httpsGet(url, { rejectUnauthorized: false }, answer => {
        answer.resume();
        resolve(answer.statusCode);
      }).on('error', reject);
    });
  });
  expect(await response).toBe(401);
});

test('a restarted node runs its pods again, and removes those that were deleted meanwhile', async () => {
  await apply(
    pod('stays', script('main', SERVER, { env: ENV, readinessProbe: PROBE })),
    pod('goes', script('main', SERVER, { env: ENV, readinessProbe: PROBE })),
  );
  await kubectl('wait', 'pod/stays', 'pod/goes', '--for=condition=Ready', '--timeout=100s');
  const before = await get('pod', 'stays');
  const pidFile = join(dir, 'pods', `default_stays_${before.metadata.uid}`, 'main', 'pid');
  const pid = Number(readFileSync(pidFile, 'utf8').split(' ')[0]);
  await node.stop();
  expect(alive(pid)).toBe(false);
  await kubectl('delete', 'pod/goes', '--wait=false');
  node = makeNode();
  await node.start();
  await until(async () => !(await get('pods')).items.some((item: Json) => item.metadata.name === 'goes'));
  const after = await until(async () => {
    const current = await get('pod', 'stays');
    return (
      current.status.containerStatuses[0].restartCount === 1 && current.status.containerStatuses[0].ready && current
    );
  });
  expect(after.metadata.uid).toBe(before.metadata.uid);
  expect(after.status.containerStatuses[0].lastState.terminated.message).toBe('The node was restarted');
  await fetch(`http://${after.status.podIP}:8080/`);
});
