import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { DATASET_NAMES } from '../../pipeline/reference/datasets.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { type ReferenceRefreshResult, referenceScheduleIDOf } from '../../worker/contract.ts';
import { makeDatabase } from '../support/database.ts';
import { FINGERPRINTS, TEST_LISTS } from '../support/fixtures.ts';
import { endedHistories, recordHistories, replayErrors } from '../support/histories.ts';
import { eventually } from '../support/operator.ts';
import { OperatorBed } from '../support/operator-bed.ts';
import { WorkerProcess } from '../support/worker.ts';

const bed = new OperatorBed('reference-schedules');
const { cable, namespace } = bed;
let clickhouse: ClickHouse;
let worker: WorkerProcess;

const id = (dataset: string) => referenceScheduleIDOf('ooni', dataset);
const describe = (dataset: string) => bed.temporal.schedule.getHandle(id(dataset)).describe();

beforeAll(async () => {
  await bed.prepare();
  // A person created one of them by hand before.
  await bed.temporal.schedule.create({
    scheduleId: id('asnmeta'),
    spec: { cronExpressions: ['5 5 * * *'] },
    action: { type: 'startWorkflow', workflowType: 'Other', taskQueue: 'other' },
  });
  const database = await makeDatabase(inject('clickhouseUrl'), 'refresh');
  clickhouse = database.clickhouse;
  worker = new WorkerProcess({
    TEMPORAL_ADDRESS: bed.temporalAddress,
    TEMPORAL_NAMESPACE: namespace,
    INSTALLATION: 'ooni',
    CLICKHOUSE_URL: database.url,
    FINGERPRINTS_DNS_SOURCE: FINGERPRINTS,
    // Content that is not the data set, like an error page.
    FINGERPRINTS_HTTP_SOURCE: import.meta.filename,
    TEST_LISTS_SOURCE: TEST_LISTS,
  });
  await worker.says(/working for Temporal/);
});

afterAll(async () => {
  await worker?.kill();
  await clickhouse?.close();
  await bed.stop();
});

test('the operator creates the schedules when Temporal returns, and each fires at once: a new installation has its data', async () => {
  cable.cut();
  bed.startOperator();
  await eventually(async () => bed.operator.output.includes('schedule of reference data:'));
  cable.mend();
  const made = DATASET_NAMES.filter(dataset => dataset !== 'asnmeta');
  for (const dataset of made) {
    const found = await eventually(() => describe(dataset));
    expect(found.action).toMatchObject({ workflowType: 'ReferenceRefreshWorkflow', args: [{ dataset }] });
    expect(found.policies.overlap).toBe('SKIP');
    // One request makes it.
    expect(found.info.lastUpdatedAt).toBeUndefined();
  }
  const rows = (table: string) =>
    clickhouse.select<{ n: number }>(`SELECT count() AS n FROM ${table}`).then(([row]) => row!.n);
  await eventually(async () => (await rows('fingerprints_dns')) === 226);
  await eventually(async () => (await rows('citizenlab')) > 20_000);
  // A broken source changes no data, and the refresh fails visibly with a message.
  const failed = await eventually(async () => {
    const query = `WorkflowType = 'ReferenceRefreshWorkflow' AND ExecutionStatus = 'Failed'`;
    for await (const one of bed.temporal.workflow.list({ query })) return one;
    return undefined;
  }, 100);
  expect(failed.workflowId).toContain(id('fingerprints_http'));
  await expect(bed.temporal.workflow.getHandle(failed.workflowId).result()).rejects.toMatchObject({
    cause: {
      cause: { type: 'ReferenceData', message: expect.stringMatching(/fingerprints_http\.csv .*Nothing was changed/) },
    },
  });
  expect(await rows('fingerprints_http')).toBe(0);
});

test('a schedule that is not ours is not changed, and is reported', async () => {
  await eventually(async () => /ooni\/reference\/asnmeta that no operator of installation/.test(bed.operator.output));
  expect((await describe('asnmeta')).action).toMatchObject({ workflowType: 'Other' });
});

test('another start changes nothing; a pause by hand stays, and a trigger by hand finds the data current', async () => {
  await bed.temporal.schedule.getHandle(id('citizenlab')).pause('maintenance');
  const before = await describe('fingerprints_dns');
  await bed.operator.stop();
  bed.startOperator();
  await eventually(async () => /ooni\/reference\/asnmeta that no operator/.test(bed.operator.output));
  expect(bed.operator.output).not.toContain('made a schedule');
  expect(bed.operator.output).not.toContain('updated a schedule');
  expect((await describe('citizenlab')).state).toMatchObject({ paused: true, note: 'maintenance' });
  const after = await describe('fingerprints_dns');
  expect(after.info.createdAt).toEqual(before.info.createdAt);

  const runs = after.info.recentActions.length;
  await bed.temporal.schedule.getHandle(id('fingerprints_dns')).trigger();
  const result = await eventually(async () => {
    const { recentActions } = (await describe('fingerprints_dns')).info;
    const last = recentActions.at(-1)?.action;
    if (recentActions.length === runs || !last) return undefined;
    return bed.temporal.workflow.getHandle(last.workflow.workflowId).result() as Promise<ReferenceRefreshResult>;
  });
  expect(result).toMatchObject({ dataset: 'fingerprints_dns', changed: false, rows: 226, leftOut: 0 });
});

test('a change by hand is undone', async () => {
  const { spec } = await describe('citizenlab');
  await bed.operator.stop();
  await bed.temporal.schedule
    .getHandle(id('citizenlab'))
    .update(schedule => ({ ...schedule, spec: { cronExpressions: ['* * * * *'] } }));
  bed.startOperator();
  await eventually(async () => JSON.stringify((await describe('citizenlab')).spec) === JSON.stringify(spec));
  expect((await describe('citizenlab')).state).toMatchObject({ paused: true, note: 'maintenance' });
});

test('the histories of all these workflows replay', async () => {
  const histories = await endedHistories(bed.temporal);
  expect(new Set(histories.map(({ status }) => status))).toEqual(new Set(['COMPLETED', 'FAILED']));
  expect(await replayErrors(histories)).toEqual([]);
  // Without the failed one, whose message names a file of this machine.
  const loaded = histories.find(
    ({ workflowId, status }) => status === 'COMPLETED' && workflowId.includes('citizenlab'),
  );
  recordHistories([{ workflowId: 'reference', history: loaded!.history }]);
});
