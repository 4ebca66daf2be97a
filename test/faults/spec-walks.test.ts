import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { BACKFILLS, PIPELINE_SCHEDULES, WORKER_POOLS } from '../../operator/controllers/resources.ts';
import { canonical } from '../../operator/hash.ts';
import { ConflictError } from '../../operator/kube/errors.ts';
import type { KubeObject, Resource } from '../../operator/kube/resource.ts';
import { note } from '../support/fault-notes.ts';
import { adminClient, eventually, installCrds } from '../support/operator.ts';
import { OperatorLife, type State } from '../support/operator-life.ts';

/* Resources get the specs S0, S1 and S2, at random moments of the operator's work. In another namespace, resources of the same names have S2 from
 * the beginning. In the end, Kubernetes and Temporal hold the same of both. operator/controllers/walks.test.ts walks without servers, and many more times. */
const SEED = Number(process.env.FAULTS_SEED ?? 1);
/** Resources of each kind. */
const WALKS = 5;

/** No node has this label, so no pod of these tests ever runs. */
const NOWHERE = { nodeSelector: { nowhere: 'true' } };
const pool = fc.record({
  replicas: fc.integer({ min: 0, max: 3 }),
  slots: fc.integer({ min: 1, max: 4 }),
  tasks: fc.constantFrom(['Workflows'], ['Activities'], ['Workflows', 'Activities']),
  drainTimeout: fc.constantFrom('2m', '10s'),
  template: fc.constantFrom(
    { spec: NOWHERE },
    { metadata: { labels: { team: 'a' } }, spec: NOWHERE },
    { spec: { ...NOWHERE, containers: [{ name: 'worker', resources: { limits: { cpu: 2, memory: '1024Mi' } } }] } },
    { spec: { ...NOWHERE, containers: [{ name: 'worker', env: [{ name: 'A', value: 'b' }] }] } },
  ),
});
const schedule = fc.record({
  schedule: fc.constantFrom('0 2 29 2 *', '0 2 13 * 5', '5 4 1 1 *'),
  suspend: fc.boolean(),
  overlap: fc.constantFrom('Allow', 'Skip', 'Buffer'),
  probeCC: fc.constantFrom([], ['IT'], ['DE', 'FR']),
  catchUpWindow: fc.constantFrom('24h', '1h'),
  timeZone: fc.constantFrom('Etc/UTC', 'Europe/Rome'),
});
const backfill = fc.record({
  startAt: fc.constant('2024-01-01'),
  endAt: fc.constant('2024-01-11'),
  maxActiveRuns: fc.integer({ min: 1, max: 4 }),
  suspend: fc.boolean(),
});
const COUNTRIES = ['IT', 'FR', 'DE', 'ES', 'PT'];
/** A Backfill that is suspended at last keeps the runs that it has started before. A fresh one has none. */
const walksOf = <T>(spec: fc.Arbitrary<T>, last = (it: T): T => it) =>
  fc.sample(fc.tuple(spec, spec, spec.map(last)), { seed: SEED, numRuns: WALKS });

const WALKED: { resource: Resource; name: string; specs: readonly object[] }[] = [
  ...walksOf(pool).map((specs, i) => ({ resource: WORKER_POOLS as Resource, name: `w${i}`, specs })),
  ...walksOf(schedule).map((specs, i) => ({ resource: PIPELINE_SCHEDULES as Resource, name: `s${i}`, specs })),
  ...walksOf(backfill, it => ({ ...it, suspend: false })).map((specs, i) => ({
    resource: BACKFILLS as Resource,
    name: `b${i}`,
    // Each has buckets of its own, so that none waits for another.
    specs: specs.map(spec => ({ ...spec, probeCC: [COUNTRIES[i]] })),
  })),
];

/** Replaces the spec of a resource, which the operator may write at the same time. */
async function replace(life: OperatorLife, resource: Resource, name: string, spec: object): Promise<void> {
  await eventually(async () => {
    try {
      const object = await life.client.get(resource, { name, namespace: life.namespace });
      await life.client.replace(resource, { ...object, spec } as never);
      return true;
    } catch (error) {
      if (error instanceof ConflictError) return false;
      throw error;
    }
  });
}

interface PoolState {
  readonly status: { readonly replicas?: number; readonly conditions?: readonly { readonly reason: string }[] };
}

/**
 * Returns the state of a pool without the number of its pods. No pod of this test becomes ready, so Kubernetes keeps one of a former template if it had
 * been created before the template changed.
 */
function withoutPods({ status: { replicas: _, conditions = [], ...status }, ...rest }: PoolState): object {
  const kept = conditions.map(one => (one.reason === 'RollingOut' ? { ...one, message: '' } : one));
  return { ...rest, status: { ...status, conditions: kept } };
}

/** Returns the parts of a state that do not depend on the way to it. The fields of a status that show progress come when the runs have ended. */
function withoutWay(state: State, ended: boolean): string {
  const entries = Object.entries(state).flatMap(([name, value]) => {
    if (name.startsWith('workflow') && !ended) {
      const { status, most, phase } = value as Record<string, unknown>;
      return status === 'RUNNING' && most !== undefined ? [[name, { most, phase }]] : [];
    }
    if (name.startsWith('workflow') || (name.startsWith('Backfill/') && !ended)) return [];
    return [[name, name.startsWith('WorkerPool/') ? withoutPods(value as PoolState) : value]];
  });
  return canonical(
    JSON.parse(JSON.stringify(Object.fromEntries(entries)), (key, value) =>
      key === 'observedGeneration' ? undefined : value,
    ),
  );
}

const open = (name: string) =>
  new OperatorLife({
    kubeconfig: inject('kubeconfig'),
    address: inject('temporalAddress'),
    name,
  });

describe.runIf(process.env.FAULTS)('the operator', () => {
  let walked: OperatorLife;
  let fresh: OperatorLife;

  beforeAll(async () => {
    const client = adminClient(inject('kubeconfig'));
    await installCrds(client);
    await client.http.close();
    walked = open('spec-walks-a');
    fresh = open('spec-walks-b');
    for (const life of [walked, fresh]) {
      await life.open();
      life.startOperator();
    }
  });
  afterAll(async () => {
    await walked?.close();
    await fresh?.close();
  });

  test('resources that walk over three specs end as fresh ones with the last spec', async () => {
    const pauses = fc.sample(fc.integer({ min: 0, max: 4000 }), { seed: SEED, numRuns: 2 * WALKED.length });
    await Promise.all(
      WALKED.map(async ({ resource, name, specs: [first, second, last] }, index) => {
        const create = ({ client, namespace }: OperatorLife, spec: unknown) =>
          client.create(resource, { metadata: { name, namespace }, spec } as KubeObject);
        await create(fresh, last);
        await create(walked, first);
        await delay(pauses[2 * index]);
        await replace(walked, resource, name, second as object);
        await delay(pauses[2 * index + 1]);
        await replace(walked, resource, name, last as object);
      }),
    );
    const bothAre = (ended: boolean, whole: (state: string) => boolean) =>
      eventually(async () => {
        const [one, other] = await Promise.all([walked.state(), fresh.state()]);
        const text = withoutWay(other, ended);
        if (!whole(text)) throw new Error(`fresh ones have not settled: ${text}`);
        expect(JSON.parse(withoutWay(one, ended))).toEqual(JSON.parse(text));
        return true;
      }, 200);
    const count = (text: string, part: string) => text.split(part).length - 1;
    await bothAre(false, text => count(text, '"phase":"Running"') === WALKS && count(text, '"Deployment/') >= WALKS);
    for (const life of [walked, fresh]) life.release();
    await bothAre(true, text => count(text, '"phase":"Complete"') === WALKS);
    note(`walks: ${WALKED.length} over three specs, ${WALKED.length} ended as fresh resources`);
  });
});
