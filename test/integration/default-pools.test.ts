import { afterAll, beforeAll, expect, test } from 'vitest';
import type { WorkerPool } from '../../crds/worker-pool.ts';
import { WORKER_POOLS } from '../../operator/controllers/resources.ts';
import { CONFIG_MAPS, DEPLOYMENTS } from '../../operator/kube/builtin.ts';
import { eventually, kubectl } from '../support/operator.ts';
import { OperatorBed } from '../support/operator-bed.ts';

const bed = new OperatorBed('default-pools', { OPERATOR_DEFAULT_POOLS: 'pools' });
const { client, kubeconfig, namespace } = bed;
const map = { name: 'pools', namespace };

/** No node has this label, so no pod of these tests ever runs. */
const TEMPLATE = { spec: { nodeSelector: { nowhere: 'true' } } };
const spec = (fields: object) => JSON.stringify({ tasks: ['Activities'], template: TEMPLATE, ...fields });
const write = (data: Record<string, string>) =>
  client.apply(CONFIG_MAPS, { metadata: map, data } as never, { force: true });
const pool = (name: string) => client.find(WORKER_POOLS, { name, namespace });
const becomes = (name: string, matches: (pool: WorkerPool) => boolean) =>
  eventually(async () => {
    const found = await pool(name);
    return found && matches(found) ? found : undefined;
  });

beforeAll(async () => {
  await bed.prepare();
  await client.create(WORKER_POOLS, {
    apiVersion: 'pipeline.ooni.org/v1alpha1',
    kind: 'WorkerPool',
    metadata: { name: 'mine', namespace },
    spec: { replicas: 4, template: TEMPLATE },
  });
  await write({ one: spec({ replicas: 1 }), two: spec({ slots: 3, replicas: 0 }), mine: spec({ replicas: 1 }) });
  bed.startOperator();
});

afterAll(() => bed.stop());

test('the pools of the ConfigMap are created, owned by it, and get their Deployments', async () => {
  const owner = await client.get(CONFIG_MAPS, map);
  const one = await becomes('one', () => true);
  expect(one.spec).toMatchObject({ tasks: ['Activities'], replicas: 1, slots: 2 });
  expect(one.metadata.ownerReferences).toMatchObject([{ kind: 'ConfigMap', name: 'pools', uid: owner.metadata.uid }]);
  expect((await becomes('two', () => true)).spec).toMatchObject({ slots: 3, replicas: 0 });
  await eventually(() => client.find(DEPLOYMENTS, { name: 'ooni-worker-one', namespace }));
});

test('a pool that somebody else created stays as it is, and the log says so', async () => {
  await eventually(() => Promise.resolve(bed.operator.output.includes('a WorkerPool of this name exists')));
  expect((await pool('mine'))?.spec).toMatchObject({ replicas: 4 });
  expect((await pool('mine'))?.metadata.ownerReferences).toBeUndefined();
});

test('a change by hand holds until the value in the ConfigMap changes', async () => {
  await becomes('one', () => true);
  await kubectl(kubeconfig, ['scale', 'workerpool', 'one', '--replicas=3', '--namespace', namespace]);
  // The change of `two` shows that the operator has looked at the ConfigMap after the change by hand.
  await write({ one: spec({ replicas: 1 }), two: spec({ slots: 5, replicas: 0 }), mine: spec({ replicas: 1 }) });
  await becomes('two', found => found.spec.slots === 5);
  expect((await pool('one'))?.spec.replicas).toBe(3);
  await write({ one: spec({ replicas: 2 }), two: spec({ slots: 5, replicas: 0 }), mine: spec({ replicas: 1 }) });
  await becomes('one', found => found.spec.replicas === 2);
});

test('a pool that is deleted comes back; a pool without a key is deleted', async () => {
  const before = await becomes('one', () => true);
  await client.delete(WORKER_POOLS, { name: 'one', namespace });
  await becomes('one', found => found.metadata.uid !== before.metadata.uid);
  await write({ one: spec({ replicas: 2 }), mine: spec({ replicas: 1 }) });
  await eventually(async () => (await pool('two')) === undefined);
  expect((await pool('mine'))?.spec).toMatchObject({ replicas: 4 });
});

test('an invalid value is reported with its field, and the other pools are kept', async () => {
  await write({
    one: spec({ replicas: 2 }),
    bad: spec({ slots: 0 }),
    mine: spec({ replicas: 1 }),
    three: spec({ replicas: 0 }),
  });
  await becomes('three', () => true);
  await eventually(async () => /bad: .*spec\.slots/.test(bed.operator.output));
  expect(await pool('bad')).toBeUndefined();
});
