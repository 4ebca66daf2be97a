import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { WorkerPool } from '../../crds/worker-pool.ts';
import { WORKER_POOLS } from '../../operator/controllers/resources.ts';
import { DEPLOYMENTS } from '../../operator/kube/builtin.ts';
import {
  adminClient,
  eventually,
  installCrds,
  makeOperatorAccount,
  makeTemporalNamespace,
  NAMESPACES,
  OperatorProcess,
} from '../support/operator.ts';

const LABEL = 'pipeline.ooni.org/installation';
const kubeconfig = inject('kubeconfig');
const namespace = 'two-installations';
const client = adminClient(kubeconfig);
const operators: OperatorProcess[] = [];

// Both operators claim resources without a label: the mistake that the setting operator_claims_unlabelled prevents.
beforeAll(async () => {
  await installCrds(client);
  const account = await makeOperatorAccount(client, kubeconfig, namespace);
  await makeTemporalNamespace(inject('temporalAddress'), namespace);
  for (const installation of ['a', 'b']) {
    operators.push(
      new OperatorProcess({
        KUBECONFIG: account,
        INSTALLATION: installation,
        TEMPORAL_ADDRESS: inject('temporalAddress'),
        TEMPORAL_NAMESPACE: namespace,
        OPERATOR_NAMESPACES: namespace,
        OPERATOR_LEASE_NAMESPACE: namespace,
      }),
    );
  }
});

afterAll(async () => {
  for (const operator of operators) await operator.stop();
  await client.delete(NAMESPACES, { name: namespace });
  await client.http.close();
});

const create = (name: string, labels: Record<string, string> = {}) =>
  client.create(WORKER_POOLS, { metadata: { name, namespace, labels }, spec: { replicas: 0 } } as WorkerPool);

/** Returns the installation of the workers of a pool, from the environment in its Deployment. */
async function installationOfWorkers(pool: string): Promise<string | undefined> {
  const deployment = await client.find(DEPLOYMENTS, { name: `ooni-worker-${pool}`, namespace });
  return deployment?.spec?.template.spec?.containers[0]?.env?.find(({ name }) => name === 'INSTALLATION')?.value;
}

test('a resource with a label belongs to the operator of that installation', async () => {
  await create('of-a', { [LABEL]: 'a' });
  await create('of-b', { [LABEL]: 'b' });
  expect(await eventually(() => installationOfWorkers('of-a'))).toBe('a');
  expect(await eventually(() => installationOfWorkers('of-b'))).toBe('b');
});

test('of two operators exactly one claims a resource without a label', async () => {
  const names = ['one', 'two', 'three', 'four', 'five', 'six'];
  await Promise.all(names.map(name => create(name)));
  for (const name of names) {
    const workers = await eventually(() => installationOfWorkers(name));
    const pool = await client.get(WORKER_POOLS, { name, namespace });
    expect(pool.metadata.labels?.[LABEL]).toBe(workers);
  }
  // One change of the Deployment, by one operator: a second operator would apply its own installation.
  for (const name of names) {
    const deployment = await client.get(DEPLOYMENTS, { name: `ooni-worker-${name}`, namespace });
    expect(deployment.metadata.generation).toBe(1);
  }
});

test('a resource of a third installation is left alone', async () => {
  await create('of-c', { [LABEL]: 'c' });
  await create('later', { [LABEL]: 'a' });
  await eventually(() => installationOfWorkers('later'));
  expect((await client.get(WORKER_POOLS, { name: 'of-c', namespace })).status).toBeUndefined();
});
