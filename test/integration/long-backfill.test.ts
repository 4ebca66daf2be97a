import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { startTemporal, type TemporalServer } from '../../local/temporal.ts';
import { bucketsBetween } from '../../pipeline/bucket.ts';
import {
  BACKFILL_MESSAGES,
  type BackfillInput,
  type BackfillProgress,
  queuesOf,
  WORKFLOWS,
} from '../../worker/contract.ts';
import { makeDatabase } from '../support/database.ts';
import { replayErrors } from '../support/histories.ts';
import { makeNamespace, runInput, WorkerProcess } from '../support/worker.ts';

/** Temporal suggests a new history after 4096 events, here after 150, so that a range of weeks is a long one. */
const EVENTS = 150;

let server: TemporalServer;
let dir: string;
let client: Client;
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

function start(over: Partial<BackfillInput>, workflowId: string) {
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
    taskQueue: queuesOf('test').workflows,
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
