import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { Backfill } from '../../crds/backfill.ts';
import { BACKFILLS } from '../../operator/controllers/resources.ts';
import { Cable } from '../support/kubeconfig-proxies.ts';
import { eventually } from '../support/operator.ts';
import { OperatorBed } from '../support/operator-bed.ts';

const bed = new OperatorBed('operator-away');
const { client, namespace, cable: temporalCable } = bed;
let apiCable: Cable;

beforeAll(async () => {
  await bed.prepare();
  const path = bed.env.KUBECONFIG!;
  const config = parse(readFileSync(path, 'utf8'));
  apiCable = new Cable(new URL(config.clusters[0].cluster.server).host);
  config.clusters[0].cluster.server = `https://${await apiCable.start()}`;
  writeFileSync(path, JSON.stringify(config));
  for (const cable of [apiCable, temporalCable]) cable.cut();
  bed.startOperator();
});

afterAll(async () => {
  for (const cable of [apiCable, temporalCable]) cable.mend();
  await bed.stop();
  apiCable.stop();
});

const create = (name: string) =>
  client.create(BACKFILLS, {
    metadata: { name, namespace },
    spec: { startAt: '2024-01-01', endAt: '2024-01-11' },
  } as Backfill);
const reason = (name: string, expected: string) =>
  eventually(async () => {
    const { status } = await client.get(BACKFILLS, { name, namespace });
    return status?.conditions?.find(one => one.type === 'Ready')?.reason === expected;
  }, 90);
const runs = async () => {
  const found = [];
  for await (const run of bed.temporal.workflow.list({ query: "WorkflowType = 'BackfillWorkflow'" })) found.push(run);
  return found;
};
const said = (text: string) => eventually(async () => bed.operator.output.includes(text));

test('an operator that starts without API server and Temporal reports this and waits', async () => {
  await said('lease cannot be acquired, trying again');
  await create('first');
  expect(bed.operator.running).toBe(true);
  apiCable.mend();
  await reason('first', 'TemporalUnavailable');
  expect(await runs()).toEqual([]);
  temporalCable.mend();
  await reason('first', 'Started');
});

test('an API server outage longer than the lease ends the leadership, not the process', async () => {
  apiCable.cut();
  await said('no longer leading; starting again as a standby');
  await create('second');
  apiCable.mend();
  await reason('second', 'Started');
  expect(bed.operator.running).toBe(true);
  await eventually(async () => (await runs()).length === 2);
});
