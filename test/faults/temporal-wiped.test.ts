import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection, Client as TemporalClient } from '@temporalio/client';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { Backfill } from '../../crds/backfill.ts';
import type { PipelineSchedule } from '../../crds/pipeline-schedule.ts';
import { startTemporal, type TemporalServer } from '../../local/temporal.ts';
import { BACKFILLS, PIPELINE_SCHEDULES } from '../../operator/controllers/resources.ts';
import { DATASET_NAMES } from '../../pipeline/reference/datasets.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { referenceScheduleIDOf, scheduleIDOf } from '../../worker/contract.ts';
import { startProxy } from '../support/clickhouse-proxy.ts';
import { makeDatabase } from '../support/database.ts';
import { expectedRows, FIXTURES } from '../support/fixtures.ts';
import {
  adminClient,
  ConditionWatch,
  eventually,
  installCrds,
  makeOperatorAccount,
  NAMESPACES,
  OperatorProcess,
} from '../support/operator.ts';
import { WorkerProcess } from '../support/worker.ts';

/* Temporal is killed while a backfill runs, and starts again with an empty store: it knows neither the workflow nor the search attributes. */
const [DONE, RUNNING] = ['2020-01-10', '2020-01-11'] as const;
const namespace = 'temporal-wiped';
const name = 'range';
const kubeconfig = inject('kubeconfig');
const client = adminClient(kubeconfig);
const conditions = new ConditionWatch(client, namespace);
const stores: string[] = [];
let temporal: TemporalServer;
let clickhouse: ClickHouse;
let operator: OperatorProcess;
let worker: WorkerProcess;
let proxy: Awaited<ReturnType<typeof startProxy>>;
/** Resolves when the rows of the second bucket are stored. Its worker gets the response only after `release`. */
const stored = Promise.withResolvers<void>();
const release = Promise.withResolvers<void>();

async function startEmpty(port?: number): Promise<TemporalServer> {
  const dir = mkdtempSync(join(tmpdir(), 'ooni-wiped-'));
  stores.push(dir);
  return startTemporal({ dir, ...(port !== undefined && { port }) });
}

beforeAll(async () => {
  await installCrds(client);
  const account = await makeOperatorAccount(client, kubeconfig, namespace);
  const database = await makeDatabase(inject('clickhouseUrl'), 'wiped');
  clickhouse = database.clickhouse;
  let isSecond = false;
  proxy = await startProxy(database.url, async passing => {
    const { statement, data } = passing;
    isSecond ||= /^INSERT INTO `?pipeline_runs/.test(statement) && data.includes(RUNNING);
    const answer = await passing.forward();
    if (isSecond && /^INSERT INTO `?obs_web\b/.test(statement)) {
      stored.resolve();
      await release.promise;
    }
    await passing.answer(answer);
  });
  temporal = await startEmpty();
  operator = new OperatorProcess({
    KUBECONFIG: account,
    TEMPORAL_ADDRESS: temporal.address,
    OPERATOR_NAMESPACES: namespace,
    OPERATOR_LEASE_NAMESPACE: namespace,
  });
  worker = new WorkerProcess({
    INSTALLATION: 'ooni',
    TEMPORAL_ADDRESS: temporal.address,
    CLICKHOUSE_URL: proxy.url,
    ARCHIVE_URL: FIXTURES,
  });
});

afterAll(async () => {
  release.resolve();
  await operator?.stop();
  await worker?.kill();
  await temporal?.stop();
  for (const dir of stores) rmSync(dir, { recursive: true, force: true });
  proxy?.close();
  await conditions.stop();
  await clickhouse?.close();
  for (const { metadata } of await client.list(PIPELINE_SCHEDULES, { namespace })) {
    await client.patch(PIPELINE_SCHEDULES, metadata, { metadata: { finalizers: null } });
  }
  await client.delete(NAMESPACES, { name: namespace });
  await client.http.close();
  expect(conditions.problems).toEqual([]);
});

const when = (matches: (status: NonNullable<Backfill['status']>) => boolean) =>
  eventually(async () => {
    const object = await client.find(BACKFILLS, { name, namespace });
    return object?.status && matches(object.status) ? object.status : undefined;
  }, 300);

const SCHEDULES = [
  scheduleIDOf('ooni', namespace, 'daily'),
  ...DATASET_NAMES.map(dataset => referenceScheduleIDOf('ooni', dataset)),
];

/** Returns what Temporal has of the schedules of the installation, once it has all of them. */
async function schedules(): Promise<unknown[]> {
  const connection = await Connection.connect({ address: temporal.address });
  try {
    const { schedule } = new TemporalClient({ connection });
    const describe = (id: string) => eventually(() => schedule.getHandle(id).describe(), 200);
    const found = await Promise.all(SCHEDULES.map(describe));
    return found.map(({ spec, action, policies, state }) => ({ spec, action, policies, paused: state.paused }));
  } finally {
    await connection.close();
  }
}

/** Returns the state of each run in the ledger, oldest first. */
async function runsOf(bucket: string): Promise<string[]> {
  const rows = await clickhouse.select<{ state: string }>(
    `SELECT state FROM pipeline_runs FINAL WHERE bucket = {bucket:String} AND stage = 'Observations' ORDER BY generation`,
    { params: { bucket } },
  );
  return rows.map(({ state }) => state);
}

test('Temporal loses its data during a backfill: its schedules are made again, and a new attempt runs what is not done', {
  timeout: 900_000,
}, async () => {
  await client.create(BACKFILLS, {
    metadata: { name, namespace },
    spec: { startAt: DONE, endAt: '2020-01-12', stages: ['Observations'], maxActiveRuns: 1 },
  } as Backfill);
  await client.create(PIPELINE_SCHEDULES, {
    metadata: { name: 'daily', namespace },
    spec: { schedule: '0 2 29 2 *' },
  } as PipelineSchedule);
  await stored.promise;
  const before = await schedules();
  await when(status => status.progress?.succeeded === 1 && status.progress.active === 1);

  const port = Number(temporal.address.split(':')[1]);
  await temporal.process.stop(0, 'SIGKILL');
  temporal = await startEmpty(port);
  release.resolve();

  const lost = await when(status => status.conditions?.some(({ reason }) => reason === 'WorkflowLost') ?? false);
  expect(lost.progress).toMatchObject({ total: 2, succeeded: 1, active: 0 });
  const ready = lost.conditions?.find(({ type }) => type === 'Ready');
  expect(ready).toMatchObject({ status: 'Unknown', reason: 'WorkflowLost' });
  expect(ready?.message).toMatch(/has lost its data.*increase spec\.attempt/);
  expect(lost.conditions?.filter(({ type }) => type === 'Complete').map(({ status }) => status)).not.toContain('True');
  expect(await runsOf(RUNNING)).toEqual(['started']);

  expect(await schedules()).toEqual(before);

  await client.patch(BACKFILLS, { name, namespace }, { spec: { attempt: 2 } });
  const done = await when(({ phase }) => phase === 'Complete');
  expect(done.progress).toMatchObject({ succeeded: 1, failed: 0, active: 0 });
  expect(await runsOf(DONE)).toEqual(['completed']);
  expect(await runsOf(RUNNING)).toEqual(['cancelled', 'completed']);
  for (const table of ['obs_web', 'obs_web_ctrl']) {
    // A plain read: the rows of the run that was lost are gone.
    const rows = await clickhouse.select<{ uid: string; n: number }>(
      `SELECT measurement_uid AS uid, count() AS n FROM ${table} GROUP BY uid`,
    );
    expect(new Map(rows.map(({ uid, n }) => [uid, n]))).toEqual(expectedRows(table, [DONE, RUNNING]));
  }
});
