import type { CommanderError } from 'commander';
import { expect, test, vi } from 'vitest';
import type { Backfill } from '../../crds/backfill.ts';
import type { WorkerPool } from '../../crds/worker-pool.ts';
import { BACKFILLS } from '../../operator/controllers/resources.ts';
import { ConflictError, ForbiddenError } from '../../operator/kube/errors.ts';
import type { KubeObject, Resource, Stored } from '../../operator/kube/resource.ts';
import { PLAIN, paletteFor } from '../colour.ts';
import { viewOf } from '../orchestration/backfill.ts';
import { widthOf } from '../width.ts';
import { clusterChecks } from './checks.ts';
import { checkLines } from './checks-text.ts';
import { type Cluster, patchUnchanged } from './cluster.ts';
import { type GridDay, gridLines } from './grid.ts';
import { isAbout, podsOf } from './logs.ts';
import { OPERATOR_SELECTOR } from './operator-selector.ts';
import { BEFORE, fixedSize } from './pool.ts';
import { missingPrivileges } from './privileges.ts';
import { createKubectlProgram } from './program.ts';
import { redacted } from './redaction.ts';
import { remedyOf } from './server-checks.ts';

test.each([
  [['status', '--interval', 'x'], 'It must be a whole number from 1 to 3600'],
  [['status', 'all'], 'too many arguments'],
  [['backfill', 'create', '--start-at', '2024-01-02', '--end-at', '2024-01-01'], 'must lie before'],
  [['backfill', 'create', '--stages', 'None'], '"None"'],
  [['backfill', 'create', '--max-active-runs', '201'], 'from 1 to 200'],
  [['backfill', 'watch'], "missing required argument 'name'"],
  [['backfill', 'grid', '--start-at', '2024-13-01'], 'is not a day of the calendar'],
  [['backfill', 'stop', 'x'], "unknown command 'stop'"],
  [['help', 'nope'], "unknown command 'nope'"],
  [['help', 'backfill', 'nope'], "unknown command 'nope'"],
  [['backfill', 'help', 'graid'], "unknown command 'graid'\n(Did you mean grid?)"],
  [['help', 'logs', 'main'], "logs has no command 'main'"],
  [['backfill', 'create', '--dry-run', '--follow'], "option '--dry-run' cannot be used with option '--follow'"],
  [['backfill', 'grid', 'example', '--start-at', '2024-01-01'], 'NAME gives range and filter'],
  [['backfill', 'grid', 'example', '--probe-cc', 'IT'], 'NAME gives range and filter'],
  [['status', '--interval', '5'], '--interval is for --watch'],
  [['schedule', 'run', 'x', '--bucket', 'today'], 'is not a bucket'],
  [['pool', 'drain'], "missing required argument 'name'"],
  [['doctor', '-o', 'table'], 'Allowed choices are human, json'],
  [['logs', '--tail', '-1'], 'from 1 to 1000000'],
  [['logs', '--bucket', '2024-01'], 'is not a bucket'],
])('wrong usage of kubectl ooni: %j', async (args, message) => {
  const program = await createKubectlProgram('all');
  const quiet = { writeErr: () => {}, writeOut: () => {} };
  for (const command of [program, ...program.commands, ...program.commands.flatMap(each => each.commands)]) {
    command.configureOutput(quiet);
  }
  const wrong = await program.parseAsync(args, { from: 'user' }).catch((error: CommanderError) => error);
  expect((wrong as CommanderError).message).toContain(message);
});

const worker = { metadata: { namespace: 'data' }, status: { selector: 'app=worker' } };

/** A cluster whose user may not look at the Deployments of all namespaces. */
function restricted(pools: readonly object[], options = {}): Cluster {
  const list = async (resource: Resource<KubeObject>) => {
    if (resource.plural === 'deployments') throw new ForbiddenError('deployments', 403, { message: 'forbidden' });
    return pools;
  };
  return { client: { list }, namespace: 'data', options } as unknown as Cluster;
}

test('the lines about a bucket are those of the workers where the operator may not be looked for', async () => {
  const remedy = 'give the namespace of the operator, such as -n ooni-system';
  const options = { bucket: '2024-01-22' };
  expect(await podsOf(restricted([worker]), undefined, options)).toEqual({
    pods: [{ namespace: 'data', selector: 'app=worker' }],
    missing: expect.stringContaining(remedy),
  });
  await expect(podsOf(restricted([]), undefined, options)).rejects.toThrow(remedy);
  await expect(podsOf(restricted([worker]), undefined, {})).rejects.toThrow(remedy);
  const named = restricted([worker], { namespace: 'data' });
  expect(await podsOf(named, undefined, { ...options, namespace: 'data' })).toEqual({
    pods: [
      { namespace: 'data', selector: OPERATOR_SELECTOR },
      { namespace: 'data', selector: 'app=worker' },
    ],
  });
});

test('a cluster that is not there is an error with a cause', async () => {
  const error = vi.spyOn(console, 'error').mockImplementation(() => {});
  const program = await createKubectlProgram('all');
  await program.parseAsync(['status', '--kubeconfig', '/nowhere'], { from: 'user' });
  expect(error.mock.calls.flat().join()).toContain('kubectl ooni status: kubeconfig /nowhere cannot be read');
  expect(process.exitCode).toBe(1);
  process.exitCode = undefined;
  error.mockRestore();
});

test('a misspelled test name of a backfill gets the nearest known one', async () => {
  const error = vi.spyOn(console, 'error').mockImplementation(() => {});
  const program = await createKubectlProgram('all');
  const line = ['backfill', 'create', '--test-name', 'web_conectivity', '--kubeconfig', '/nowhere'];
  await program.parseAsync(line, { from: 'user' });
  expect(error.mock.calls.flat()[0]).toMatch(/^kubectl ooni backfill create: --test-name .*web_connectivity/);
  process.exitCode = undefined;
  error.mockRestore();
});

const year: GridDay[] = Array.from({ length: 366 }, (_, at) => {
  const state = (['done', 'done', 'done', 'failed', 'unfinished', 'none', 'part'] as const)[at % 7] ?? 'none';
  return { day: new Date(Date.UTC(2024, 0, 1 + at)).toISOString().slice(0, 10), state, buckets: 1, done: 0 };
});

test('the grid of a year has a line a month within 100 columns, and signs that differ without colours', () => {
  const lines = gridLines(year, PLAIN);
  expect(lines).toHaveLength(1 + 12 + 2);
  expect(Math.max(...lines.map(widthOf))).toBeLessThanOrEqual(100);
  expect(lines[1]).toBe('2024-01  ■ ■ ■ x ~ · ▪ ■ ■ ■ x ~ · ▪ ■ ■ ■ x ~ · ▪ ■ ■ ■ x ~ · ▪ ■ ■ ■  15/31 4 failed');
  expect(lines[0]).toBe('         1       5         10        15        20        25        30');
  // February begins in the column of the first day.
  expect(lines[2]?.slice(0, 12)).toBe('2024-02  x ~');
  expect(gridLines(year, paletteFor({ isTTY: true }, {})).map(widthOf)).toEqual(lines.map(widthOf));
});

test('doctor shows each remedy below its problem, within the width', () => {
  const lines = checkLines(
    [
      { check: 'CRD backfills', state: 'ok', message: 'serves v1alpha1' },
      {
        check: 'Temporal',
        state: 'failed',
        message: 'lacks the search attributes OoniBucket',
        remedy: 'add them '.repeat(20).trim(),
      },
    ],
    PLAIN,
    80,
  );
  expect(lines[0]).toBe('ok    CRD backfills  serves v1alpha1');
  expect(lines[1]).toBe('FAIL  Temporal       lacks the search attributes OoniBucket');
  expect(lines[2]).toMatch(/^ {21}-> add them/);
  expect(Math.max(...lines.map(widthOf))).toBeLessThanOrEqual(80);
});

test('doctor asks for the settings of a server only where none is set', () => {
  vi.stubEnv('TEMPORAL_ADDRESS', undefined);
  vi.stubEnv('TEMPORAL_NAMESPACE', undefined);
  expect(remedyOf('TEMPORAL_ADDRESS', 'TEMPORAL_NAMESPACE')).toBe(
    'set TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE to check it from this machine, with its own settings',
  );
  vi.stubEnv('TEMPORAL_ADDRESS', '127.0.0.1:1');
  expect(remedyOf('TEMPORAL_ADDRESS', 'TEMPORAL_NAMESPACE')).toBe(
    'check TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE, and whether this machine reaches that server',
  );
  vi.unstubAllEnvs();
});

test('a backfill has not ended while its status is of the attempt before a retry', () => {
  const seen = (observedGeneration: number) =>
    viewOf({ metadata: { name: 'x', generation: 2 }, status: { phase: 'Failed', observedGeneration } } as Backfill);
  expect(seen(1).ended).toBe(false);
  expect(seen(2).ended).toBe(true);
});

test('the state of a backfill has the warning of the operator', () => {
  const warning = { type: 'Warning', status: 'True', reason: 'NothingMatched', message: 'No object matched.' };
  const seen = { metadata: { name: 'x' }, status: { conditions: [warning] } } as unknown as Backfill;
  expect(viewOf(seen).warning).toBe('NothingMatched: No object matched.');
});

test('a drained pool remembers its size, also when it was paused before', () => {
  const pool = (spec: object, annotations = {}) =>
    ({ metadata: { name: 'main', annotations }, spec }) as unknown as WorkerPool;
  const autoscaling = { minReplicas: 0, maxReplicas: 5 };
  const paused = fixedSize(pool({ autoscaling }), 3);
  expect(paused.spec).toEqual({ replicas: 3, autoscaling: null });
  expect(JSON.parse(paused.metadata.annotations[BEFORE] ?? '')).toEqual({ autoscaling });
  const drained = fixedSize(pool({ replicas: 3 }, paused.metadata.annotations), 0);
  expect(JSON.parse(drained.metadata.annotations[BEFORE] ?? '')).toEqual({ autoscaling });
  expect(JSON.parse(fixedSize(pool({ replicas: 2 }), 0).metadata.annotations[BEFORE] ?? '')).toEqual({ replicas: 2 });
});

test('a report has no passwords and no secret values, and keeps the names of Secrets', () => {
  const text = JSON.stringify(
    redacted({
      env: [
        { name: 'CLICKHOUSE_URL', value: 'http://u:hunter2@host' },
        { name: 'TEMPORAL_API_KEY', value: 'hunter2' },
        { name: 'MY_PASSWORD', value: 'hunter2' },
        { name: 'LOG_LEVEL', value: 'info' },
        { name: 'X', valueFrom: { secretKeyRef: { name: 'ooni-pipeline', key: 'x' } } },
      ],
      message: 'cannot reach https://me:hunter2@host:8443/db now',
      nested: [{ password: 'hunter2', accessKeyId: 'hunter2' }],
    }),
  );
  expect(text).not.toContain('hunter2');
  for (const kept of ['LOG_LEVEL', 'info', '"ooni-pipeline"', 'host:8443/db now']) expect(text).toContain(kept);
});

test.each([
  [['GRANT ALL ON *.* TO u WITH GRANT OPTION'], []],
  [['GRANT SELECT, INSERT, ALTER, CREATE, DROP, OPTIMIZE ON ooni.* TO u'], []],
  [['GRANT SELECT, INSERT ON `ooni`.* TO u'], ['ALTER', 'CREATE', 'DROP', 'OPTIMIZE']],
  [['GRANT ALL ON other.* TO u'], ['SELECT', 'INSERT', 'ALTER', 'CREATE', 'DROP', 'OPTIMIZE']],
  [['GRANT writer TO u'], undefined],
  [['GRANT writer TO u', 'GRANT ALL ON *.* TO u'], []],
  [['GRANT SELECT, INSERT, ALTER DELETE, CREATE, DROP, OPTIMIZE ON ooni.* TO u'], undefined],
  [['GRANT ALL ON *.* TO u', 'REVOKE INSERT ON ooni.* FROM u'], undefined],
  // The lines of ClickHouse 26.7 for the user default.
  [
    [
      'GRANT TABLE ENGINE ON * TO u',
      'GRANT CHECK, SHOW, SELECT, INSERT, ALTER, CREATE, DROP, UNDROP TABLE, TRUNCATE, OPTIMIZE ON *.* TO u',
    ],
    [],
  ],
])('privileges that %j lacks', (grants, missing) => {
  expect(missingPrivileges(grants, 'ooni')).toEqual(missing);
});

test.each<[boolean, string, string]>([
  [true, '2024-01-22', '[pod/w-1/worker] {"time":"2024-01-23T02:00:00Z","bucket":"2024-01-22","msg":"a batch"}'],
  [true, '2024-01-22', '[pod/w-1/worker] {"bucket":"2024-01-22T05","msg":"a batch of an hour"}'],
  [true, '2024-01-22', '[pod/o-1/operator] {"msg":"the run of 2024-01-22 waits: no worker has taken it up"}'],
  [true, '2024-01-22', '[pod/o-1/operator] {"key":"default/late","msg":"the plan waits: the archive is slow"}'],
  [true, '2024-01-22', '[pod/w-1/worker] panic in the run of 2024-01-22'],
  [
    false,
    '2024-01-22',
    '[pod/w-1/worker] {"time":"2024-01-22T02:00:00Z","bucket":"2024-01-21","msg":"another bucket"}',
  ],
  [false, '2024-01-22T05', '[pod/w-1/worker] {"time":"2024-01-22T05:10:00Z","bucket":"2024-01-22","msg":"its day"}'],
  [false, '2024-01-22', ''],
])('it is %s that %s is the bucket of the log line %s', (expected, bucket, line) => {
  expect(isAbout(bucket)(line)).toBe(expected);
});

test('doctor checks the operator of each installation, and whether the namespace exists', async () => {
  const operator = (name: string, availableReplicas: number) => ({
    metadata: { name, namespace: name },
    spec: { template: { spec: { containers: [{ image: 'x', env: [{ name: 'WORKER_IMAGE', value: 'x' }] }] } } },
    status: { availableReplicas },
  });
  const lists: Record<string, object[]> = {
    deployments: [operator('a', 1), operator('b', 0)],
    leases: [{ metadata: { name: 'ooni-operator-a' }, spec: { holderIdentity: 'pod' } }],
  };
  const client = {
    list: async ({ plural }: Resource<KubeObject>) => lists[plural],
    find: async () => undefined,
    create: async (_: unknown, object: object) => ({ ...object, status: { allowed: true } }),
  } as unknown as Cluster['client'];
  const checks = await clusterChecks(client, 'nope', Date.now);
  expect(checks.filter(({ check }) => check === 'operator')).toMatchObject([
    { state: 'ok', message: 'a/a is available' },
    { state: 'failed', message: 'b/b has no available pod' },
  ]);
  expect(checks.find(({ check }) => check === 'your permissions')).toMatchObject({
    state: 'failed',
    message: 'the namespace nope does not exist',
  });
});

test('a change of the status meanwhile does not stop a command, and one of the spec does', async () => {
  const stored = (resourceVersion: string, generation: number) =>
    ({ metadata: { name: 'x', namespace: 'n', uid: 'u', resourceVersion, generation } }) as Stored<Backfill>;
  const sent: unknown[] = [];
  /** An API server whose object is `now`, and which checks the resourceVersion as Kubernetes does. */
  const server = (now: Stored<Backfill>) =>
    ({
      get: async () => now,
      patch: async (_: unknown, __: unknown, patch: { metadata: { resourceVersion: string } }) => {
        sent.push(patch);
        if (patch.metadata.resourceVersion !== now.metadata.resourceVersion)
          throw new ConflictError('PATCH /x', 409, { message: 'the object has been modified' });
      },
    }) as unknown as Cluster['client'];
  const patch = { spec: { suspend: true } };
  await patchUnchanged(server(stored('2', 1)), BACKFILLS, stored('1', 1), patch, { dryRun: false });
  expect(sent).toEqual(['1', '2'].map(resourceVersion => ({ ...patch, metadata: { resourceVersion } })));
  await expect(
    patchUnchanged(server(stored('2', 2)), BACKFILLS, stored('1', 1), patch, { dryRun: false }),
  ).rejects.toThrow('backfill/x: somebody has changed it meanwhile, and nothing was done');
  expect(sent).toHaveLength(3);
});
