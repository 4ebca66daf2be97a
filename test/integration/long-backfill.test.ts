import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { Context } from '@temporalio/activity';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { startTemporal, type TemporalServer } from '../../local/temporal.ts';
import { bucketsBetween } from '../../pipeline/bucket.ts';
import { noCounts } from '../../pipeline/counts.ts';
import { describeRun } from '../../worker/activities/describe-run.ts';
import type { Activities } from '../../worker/activities/types.ts';
import {
  BACKFILL_MESSAGES,
  type BackfillInput,
  type BackfillProgress,
  queuesOf,
  WORKFLOWS,
} from '../../worker/contract.ts';
import { workflowCode } from '../../worker/workflow-bundle.ts';
import { makeDatabase } from '../support/database.ts';
import { replayErrors } from '../support/histories.ts';
import { makeNamespace, runInput, WorkerProcess } from '../support/worker.ts';

/** Temporal suggests a new history after 4096 events, here after 150, so that a range of weeks is a long one. */
const EVENTS = 150;

let server: TemporalServer;
let dir: string;
let client: Client;
let namespace: string;
let worker: WorkerProcess;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ooni-long-'));
  // An empty bucket needs no run, so each day has an object, with a measurement that is skipped.
  for (const day of [
    ...bucketsBetween('2022-01-01', '2022-03-01', 'Day'),
    ...bucketsBetween('2022-05-01', '2022-05-08', 'Day'),
  ]) {
    const name = day.replaceAll('-', '');
    const file = join(dir, `archive/raw/${name}/00/IT/signal/${name}00_IT_signal.n0.0.jsonl.gz`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, gzipSync('{"probe_cc": "IT", "test_keys": {}}\n'));
  }
  server = await startTemporal({ dir, dynamicConfig: { 'limit.historyCount.suggestContinueAsNew': EVENTS } });
  const { url } = await makeDatabase(inject('clickhouseUrl'), 'long');
  const made = await makeNamespace(server.address, 'long');
  client = made.client;
  namespace = made.namespace;
  worker = new WorkerProcess({
    TEMPORAL_ADDRESS: server.address,
    TEMPORAL_NAMESPACE: made.namespace,
    CLICKHOUSE_URL: url,
    ARCHIVE_URL: join(dir, 'archive'),
    WORKER_SLOTS: '4',
  });
  await worker.says(/working for Temporal/);
});
afterAll(async () => {
  await worker?.kill();
  await client?.connection.close();
  await server?.stop();
  if (dir) rmSync(dir, { recursive: true, force: true });
});

function start(over: Partial<BackfillInput>, workflowId: string, taskQueue = queuesOf('test').workflows) {
  const { installation, filter, filterID } = runInput('2024-01-01');
  const input: BackfillInput = {
    ...{
      installation,
      filter,
      filterID,
      granularity: 'Day',
      stages: ['Observations'],
      order: 'OldestFirst',
      reprocess: 'All',
    },
    ...{
      startAt: '2022-01-01',
      endAt: '2022-03-01',
      maxActiveRuns: 4,
      suspended: false,
      dryRun: false,
      attempt: 1,
      ...over,
    },
  };
  return client.workflow.start<(input: BackfillInput) => Promise<BackfillProgress>>(WORKFLOWS.backfill, {
    workflowId,
    taskQueue,
    args: [input],
    memo: { attempt: 1 },
  });
}

/** Returns the runs of one workflow id: the first, and those that continued it. */
async function runsOf(workflowId: string): Promise<WorkflowHandle[]> {
  const runs: WorkflowHandle[] = [];
  await expect
    .poll(
      async () => (await client.workflow.count(`WorkflowId = '${workflowId}' AND ExecutionStatus = 'Completed'`)).count,
      { timeout: 100_000 },
    )
    .toBe(1);
  for await (const { runId } of client.workflow.list({ query: `WorkflowId = '${workflowId}'` })) {
    runs.push(client.workflow.getHandle(workflowId, runId, { followRuns: false }));
  }
  return runs;
}

test('a long backfill continues in new histories; no bucket is lost or run twice', { timeout: 600_000 }, async () => {
  const handle = await start({}, 'long');
  let most = 0;
  let last: BackfillProgress | undefined;
  for (;;) {
    const progress = await client.workflow.getHandle('long').query<BackfillProgress>(BACKFILL_MESSAGES.progress);
    const { total, succeeded, failed, skipped, active } = progress;
    expect(total - succeeded - failed - skipped - active).toBeGreaterThanOrEqual(0);
    expect(succeeded).toBeGreaterThanOrEqual(last?.succeeded ?? 0);
    most = Math.max(most, active);
    last = progress;
    if (progress.finishedAt) break;
    // A resize between the end of one history and the start of the next is also kept.
    if (succeeded > 20 && progress.maxActiveRuns === 4) {
      await client.workflow.getHandle('long').executeUpdate(BACKFILL_MESSAGES.resize, { args: [3] });
    }
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  expect(await handle.result()).toMatchObject({
    phase: 'Complete',
    total: 59,
    succeeded: 59,
    failed: 0,
    skipped: 0,
    maxActiveRuns: 3,
  });
  expect(most).toBeGreaterThan(1);
  const runs = await runsOf('long');
  expect(runs.length).toBeGreaterThan(2);
  const children: string[] = [];
  for (const run of runs) {
    const { memo } = await run.describe();
    expect(memo).toEqual({ attempt: 1 });
    const { events } = await run.fetchHistory();
    expect(events!.length).toBeLessThan(2 * EVENTS);
    children.push(
      ...events!.flatMap(event => event.startChildWorkflowExecutionInitiatedEventAttributes?.workflowId ?? []),
    );
  }
  expect(children).toHaveLength(59);
  expect(new Set(children).size).toBe(59);
});

test('histories of this version replay', { timeout: 600_000 }, async () => {
  await (await start({ startAt: '2022-05-01', endAt: '2022-05-08', maxActiveRuns: 2 }, 'replayed')).result();
  const ids = ['replayed', 'test/ALLCCS-ALLTNS/2022-05-03'];
  const histories = await Promise.all(
    ids.map(async workflowId => ({ workflowId, history: await client.workflow.getHandle(workflowId).fetchHistory() })),
  );
  expect(await replayErrors(histories)).toEqual([]);
});

test('a bucket that takes long does not stop the others when the history is continued', {
  timeout: 600_000,
}, async () => {
  const [slow, ...others] = [...bucketsBetween('2022-01-01', '2022-02-10', 'Day')] as [string, ...string[]];
  let released = false;
  // A bucket whose archive is away is retried for days. This one waits until the test releases it.
  const activities: Partial<Activities> = {
    planBackfill: async () => ({ asOf: 1, now: Date.now(), buckets: 40, toRun: 40, skipped: {} }),
    pageBackfill: async () => ({ buckets: [slow, ...others] }),
    planRun: async ({ run }) => {
      while (run.bucket === slow && !released) {
        Context.current().heartbeat();
        await sleep(200);
      }
      const end = { counts: noCounts(), rowsStored: {} };
      return { handle: { generation: 1, openedAt: 1 }, batches: [], files: 0, bytes: 0, end };
    },
    describeRun: run => describeRun(Context.current().client, run),
  };
  const connection = await NativeConnection.connect({ address: server.address });
  const common = { connection, namespace };
  const workers = [
    await Worker.create({ ...common, taskQueue: queuesOf('carry').workflows, ...workflowCode() }),
    await Worker.create({ ...common, taskQueue: queuesOf('carry').activities, activities }),
  ];
  const working = Promise.all(workers.map(one => one.run()));
  try {
    const over = { installation: 'carry', startAt: slow, endAt: '2022-02-10', maxActiveRuns: 2 };
    const handle = await start(over, 'carry', queuesOf('carry').workflows);
    const progress = () => client.workflow.getHandle('carry').query<BackfillProgress>(BACKFILL_MESSAGES.progress);
    await expect
      .poll(progress, { timeout: 300_000 })
      .toMatchObject({ succeeded: 39, active: 1, oldest: { bucket: slow } });
    released = true;
    expect(await handle.result()).toMatchObject({ phase: 'Complete', total: 40, succeeded: 40, failed: 0, skipped: 0 });
    const runs = await runsOf('carry');
    expect(runs.length).toBeGreaterThan(1);
    const histories = await Promise.all(runs.map(run => run.fetchHistory()));
    const children = histories.flatMap(({ events }) =>
      events!.flatMap(event => event.startChildWorkflowExecutionInitiatedEventAttributes?.workflowId ?? []),
    );
    expect(children.toSorted()).toEqual([slow, ...others].map(bucket => `carry/ALLCCS-ALLTNS/${bucket}`));
    expect(await replayErrors(histories.map((history, index) => ({ workflowId: `carry-${index}`, history })))).toEqual(
      [],
    );
  } finally {
    for (const one of workers) one.shutdown();
    await working;
    await connection.close();
  }
});
