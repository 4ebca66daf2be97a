import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { KINDS } from '../../crds/kinds.ts';
import { structural } from '../../crds/structural.ts';
import { BACKFILLS, PIPELINE_SCHEDULES, WORKER_POOLS } from '../../operator/controllers/resources.ts';
import { InvalidError } from '../../operator/kube/errors.ts';
import type { KubeObject, Resource } from '../../operator/kube/resource.ts';
import { adminClient, installCrds, kubectl, NAMESPACES } from '../support/operator.ts';
import { SPECS } from '../support/specs.ts';

const client = adminClient(inject('kubeconfig'));
const namespace = 'crds-test';
const RESOURCES: Record<string, Resource> = {
  Backfill: BACKFILLS as Resource,
  PipelineSchedule: PIPELINE_SCHEDULES as Resource,
  WorkerPool: WORKER_POOLS as Resource,
};

beforeAll(async () => {
  await installCrds(client);
  await client.create(NAMESPACES, { metadata: { name: namespace } });
});

afterAll(async () => {
  await client.delete(NAMESPACES, { name: namespace });
  await client.http.close();
});

let serial = 0;
/** Creates an object. Returns the messages of the API server when it rejects the object. */
async function create(kind: string, spec: object, name = `case-${serial++}`): Promise<string | undefined> {
  try {
    await client.create(RESOURCES[kind]!, { metadata: { name, namespace }, spec } as KubeObject);
    return undefined;
  } catch (error) {
    if (error instanceof InvalidError) return error.message;
    throw error;
  }
}

describe('the API server decides as the schemas do', () => {
  test.each(SPECS)('$kind: $what', async ({ kind, spec, rejected, by }) => {
    const message = await create(kind, spec);
    if (rejected === undefined || by === 'operator') expect(message).toBeUndefined();
    else expect(message).toContain(rejected);
  });
});

test('messages name field, value and remedy', async () => {
  expect(await create('Backfill', { startAt: '2024-02-30', endAt: '2024-03-01' })).toContain(
    'spec.startAt: Invalid value: "string": "2024-02-30" is not a day of the calendar: that month has fewer days',
  );
  expect(await create('Backfill', { startAt: '2024-03-01', endAt: '2024-02-01' })).toContain(
    'spec.endAt: Invalid value: "object": startAt 2024-03-01 must lie before endAt 2024-02-01, which is exclusive',
  );
  // An invalid bucket has one problem, and is not compared.
  for (const startAt of ['yesterday', '2024-01-01T05:00:00Z']) {
    const message = await create('Backfill', { startAt, endAt: '2024-02-01' });
    expect(message).toContain(`spec.startAt: Invalid value: "string": "${startAt}" must be an upload day`);
    expect(message).not.toMatch(/must lie before|needs granularity/);
  }
});

test('defaults are stored', async () => {
  const stored = await client.create(BACKFILLS, {
    metadata: { name: 'defaults', namespace },
    spec: { startAt: '2024-01-01', endAt: '2024-02-01' },
  } as never);
  expect(stored.spec).toEqual({
    startAt: '2024-01-01',
    endAt: '2024-02-01',
    granularity: 'Day',
    stages: ['Observations', 'Analysis'],
    probeCC: [],
    testNames: [],
    order: 'OldestFirst',
    reprocess: 'None',
    allowShrink: false,
    maxActiveRuns: 4,
    suspend: false,
    cancel: 'None',
    attempt: 1,
    dryRun: false,
  });
});

test('the name of a pool leaves room for the names derived from it', async () => {
  expect(await create('WorkerPool', { replicas: 1 }, 'p'.repeat(50))).toBeUndefined();
  expect(await create('WorkerPool', { replicas: 1 }, 'p'.repeat(51))).toContain('at most 50 characters');
});

describe('changes of a Backfill', () => {
  const change = async (name: string, spec: object): Promise<string | undefined> => {
    try {
      await client.patch(BACKFILLS, { name, namespace }, { spec });
      return undefined;
    } catch (error) {
      if (error instanceof InvalidError) return error.message;
      throw error;
    }
  };
  const BASE = { startAt: '2024-01-01', endAt: '2024-02-01', dryRun: true };

  test.each([
    ['startAt', '2024-01-02'],
    ['endAt', '2024-02-02'],
    ['granularity', 'Hour'],
    ['stages', ['Analysis']],
    ['probeCC', ['IT']],
    ['testNames', ['signal']],
    ['order', 'NewestFirst'],
    ['reprocess', 'All'],
  ])('%s cannot be changed', async (field, value) => {
    const name = `immutable-${field.toLowerCase()}`;
    await create('Backfill', BASE, name);
    expect(await change(name, { [field]: value })).toContain(`${field} cannot be changed`);
  });

  test('maxActiveRuns and suspend can change in both directions', async () => {
    await create('Backfill', BASE, 'mutable');
    for (const spec of [
      { maxActiveRuns: 9 },
      { maxActiveRuns: 1 },
      { suspend: true },
      { suspend: false },
      { ttlAfterFinished: '1h' },
    ]) {
      expect(await change('mutable', spec)).toBeUndefined();
    }
  });

  test('attempt can only rise, cancel only tighten, dryRun only be turned off', async () => {
    await create('Backfill', BASE, 'ways');
    expect(await change('ways', { attempt: 3 })).toBeUndefined();
    expect(await change('ways', { attempt: 2 })).toContain('attempt cannot be decreased');
    expect(await change('ways', { dryRun: false })).toBeUndefined();
    expect(await change('ways', { dryRun: true })).toContain('dryRun can be switched off');
    expect(await change('ways', { cancel: 'Drain' })).toBeUndefined();
    expect(await change('ways', { cancel: 'None' })).toContain('cancel can only change from None');
    expect(await change('ways', { cancel: 'Now' })).toBeUndefined();
    expect(await change('ways', { cancel: 'Drain' })).toContain('cancel can only change from None');
    expect(await change('ways', { attempt: 4 })).toContain('a cancelled backfill cannot be retried');
  });
});

describe('kubectl', () => {
  const run = (...args: string[]) => kubectl(inject('kubeconfig'), [...args, '--namespace', namespace]);

  test('scale sets the replicas of a pool', async () => {
    await create('WorkerPool', { replicas: 1 }, 'scaled');
    expect(await run('scale', 'workerpool', 'scaled', '--replicas=5')).toContain('scaled');
    expect((await client.get(WORKER_POOLS, { name: 'scaled', namespace })).spec.replicas).toBe(5);
  });

  test('scale of an autoscaled pool is rejected with the remedy', async () => {
    await create('WorkerPool', { autoscaling: { maxReplicas: 3 } }, 'auto');
    expect(await run('scale', 'workerpool', 'auto', '--replicas=5')).toContain(
      'is changed by minReplicas and maxReplicas',
    );
  });

  test('get shows the most important columns, by short names too', async () => {
    await create('Backfill', { startAt: '2024-01-01', endAt: '2024-01-02' }, 'shown');
    await create('PipelineSchedule', { schedule: '0 2 * * *' }, 'shown');
    await create('WorkerPool', { replicas: 1 }, 'shown');
    const head = async (...args: string[]) =>
      (await run('get', ...args))
        .split('\n')[0]
        ?.split(/ {2,}/)
        .map(word => word.trim());
    expect(await head('bf')).toEqual(['NAME', 'PHASE', 'PROGRESS', 'FAILED', 'SKIPPED', 'ETA', 'AGE']);
    expect(await head('psched')).toEqual(['NAME', 'SCHEDULE', 'STATUS', 'LAST', 'RESULT', 'MISSING', 'NEXT', 'AGE']);
    expect(await head('wpool')).toEqual(['NAME', 'DESIRED', 'READY', 'STATUS', 'BACKLOG', 'TASKS', 'AGE']);
    const all = await run('get', 'ooni');
    for (const name of ['backfill', 'pipelineschedule', 'workerpool'])
      expect(all).toContain(`${name}.pipeline.ooni.org/shown`);
  });

  test('explain describes every field', async () => {
    for (const kind of KINDS) {
      const text = await kubectl(inject('kubeconfig'), ['explain', `${kind.singular}.spec`, '--recursive=false']);
      expect(text).not.toContain('<no description>');
      for (const field of Object.keys((structural(kind.spec).properties ?? {}) as object))
        expect(text).toContain(`${field}\t<`);
    }
    const text = await kubectl(inject('kubeconfig'), ['explain', 'backfill.spec.maxActiveRuns']);
    expect(text).toMatch(/Default:\s+4\./);
  });
});

test('objects can be selected by fields', async () => {
  await create('Backfill', { startAt: '2024-01-01', endAt: '2024-01-02', granularity: 'Hour' }, 'by-hour');
  const found = await client.list(BACKFILLS, { namespace, fieldSelector: 'spec.granularity=Hour' });
  expect(found.map(one => one.metadata.name)).toContain('by-hour');
  expect(found.every(one => one.spec.granularity === 'Hour')).toBe(true);
});
