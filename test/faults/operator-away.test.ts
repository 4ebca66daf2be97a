import { readFileSync, writeFileSync } from 'node:fs';
import { Connection, Client as TemporalClient } from '@temporalio/client';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { parse } from 'yaml';
import type { Backfill } from '../../crds/backfill.ts';
import { BACKFILLS } from '../../operator/controllers/resources.ts';
import { Cable } from '../support/kubeconfig-proxies.ts';
import {
  adminClient,
  ConditionWatch,
  eventually,
  installCrds,
  makeOperatorAccount,
  makeTemporalNamespace,
  NAMESPACES,
  OperatorProcess,
} from '../support/operator.ts';

const kubeconfig = inject('kubeconfig');
const address = inject('temporalAddress');
const namespace = 'operator-away';
const client = adminClient(kubeconfig);
const conditions = new ConditionWatch(client, namespace);
const temporalCable = new Cable(address);
let apiCable: Cable;
let operator: OperatorProcess;
let temporal: TemporalClient;

beforeAll(async () => {
  await installCrds(client);
  const account = await makeOperatorAccount(client, kubeconfig, namespace);
  await makeTemporalNamespace(address, namespace);
  const config = parse(readFileSync(account, 'utf8'));
  apiCable = new Cable(new URL(config.clusters[0].cluster.server).host);
  config.clusters[0].cluster.server = `https://${await apiCable.start()}`;
  writeFileSync(account, JSON.stringify(config));
  temporal = new TemporalClient({ connection: await Connection.connect({ address }), namespace });
  for (const cable of [apiCable, temporalCable]) cable.cut();
  operator = new OperatorProcess({
    KUBECONFIG: account,
    TEMPORAL_ADDRESS: await temporalCable.start(),
    TEMPORAL_NAMESPACE: namespace,
    OPERATOR_NAMESPACES: namespace,
    OPERATOR_LEASE_NAMESPACE: namespace,
  });
});

afterAll(async () => {
  for (const cable of [apiCable, temporalCable]) cable.mend();
  const status = await operator?.stop();
  for (const cable of [apiCable, temporalCable]) cable.stop();
  await conditions.stop();
  await temporal?.connection.close();
  for (const object of await client.list(BACKFILLS, { namespace })) {
    await client.patch(BACKFILLS, object.metadata, { metadata: { finalizers: null } });
  }
  await client.delete(NAMESPACES, { name: namespace });
  await client.http.close();
  expect(status).toBe(0);
  expect(conditions.problems).toEqual([]);
});

const create = (name: string) =>
  client.create(BACKFILLS, {
    metadata: { name, namespace },
    spec: { startAt: '2024-01-01', endAt: '2024-01-11' },
  } as Backfill);
const reason = (name: string, wanted: string) =>
  eventually(async () => {
    const { status } = await client.get(BACKFILLS, { name, namespace });
    return status?.conditions?.find(one => one.type === 'Ready')?.reason === wanted;
  }, 90);
const runs = async () => {
  const found = [];
  for await (const run of temporal.workflow.list({ query: "WorkflowType = 'BackfillWorkflow'" })) found.push(run);
  return found;
};
const said = (text: string) => eventually(async () => operator.output.includes(text));

test('an operator that starts without API server and Temporal reports this and waits', async () => {
  await said('lease cannot be acquired, trying again');
  await create('first');
  expect(operator.running).toBe(true);
  apiCable.mend();
  await reason('first', 'TemporalUnavailable');
  expect(await runs()).toEqual([]);
  temporalCable.mend();
  await reason('first', 'Started');
});

test('an API server outage longer than the lease ends the leadership, not the process', async () => {
  apiCable.cut();
  await said('no longer leading; beginning anew');
  await create('second');
  apiCable.mend();
  await reason('second', 'Started');
  expect(operator.running).toBe(true);
  await eventually(async () => (await runs()).length === 2);
});
