import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import {
  BACKFILL_MESSAGES,
  type BackfillInput,
  type BackfillProgress,
  FINAL_PHASES,
  queuesOf,
  runWorkflowID,
  WORKFLOWS,
} from '../../worker/contract.ts';
import { makeDatabase } from '../support/database.ts';
import { expectedMeasurements, FIXTURES } from '../support/fixtures.ts';
import { endedHistories, recordHistories, replayErrors } from '../support/histories.ts';
import { runTools, runWhole } from '../support/runs.ts';
import { makeNamespace, runInput, startRun, WorkerProcess } from '../support/worker.ts';

let client: Client;
let clickhouse: ClickHouse;
let worker: WorkerProcess;
let root: string;
let count = 0;

beforeAll(async () => {
  const database = await makeDatabase(inject('clickhouseUrl'), 'backfill', { migrated: false });
  clickhouse = database.clickhouse;
  const made = await makeNamespace(inject('temporalAddress'), 'backfill');
  client = made.client;
  root = mkdtempSync(join(tmpdir(), 'ooni-archive-'));
  for (const key of new Set(expectedMeasurements().map(each => each.key))) {
    if (!/\/(202311|202312|2024)/.test(key)) continue;
    mkdirSync(dirname(join(root, key)), { recursive: true });
    cpSync(join(FIXTURES, key), join(root, key));
  }
  // A bucket without objects in the archive gets no run, so every day has an object without measurements.
  for (let day = Date.UTC(2023, 10, 24); day < Date.UTC(2024, 10); day += 86_400_000) {
    const digits = new Date(day).toISOString().slice(0, 10).replaceAll('-', '');
    const path = join(root, `raw/${digits}/00/IT/signal/${digits}00_IT_signal.n9.9.jsonl.gz`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, gzipSync(''));
  }
  worker = new WorkerProcess({
    TEMPORAL_ADDRESS: inject('temporalAddress'),
    TEMPORAL_NAMESPACE: made.namespace,
    CLICKHOUSE_URL: database.url,
    ARCHIVE_URL: root,
    WORKER_SLOTS: '3',
  });
  await worker.says(/working for Temporal/);
});
afterAll(async () => {
  await worker?.kill();
  await client?.connection.close();
  await clickhouse?.close();
  if (root) rmSync(root, { recursive: true, force: true });
});

function input(over: Partial<BackfillInput> = {}): BackfillInput {
  const { installation, filter, filterID } = runInput('2024-01-01');
  return {
    installation,
    filter,
    filterID,
    startAt: '2023-11-24',
    endAt: '2023-12-04',
    granularity: 'Day',
    stages: ['Observations'],
    order: 'OldestFirst',
    reprocess: 'All',
    maxActiveRuns: 2,
    suspended: false,
    dryRun: false,
    attempt: 1,
    ...over,
  };
}

type Backfill = WorkflowHandle<(input: BackfillInput) => Promise<BackfillProgress>>;

async function start(over: Partial<BackfillInput> = {}, workflowId = `test/backfill/${++count}`): Promise<Backfill> {
  return client.workflow.start<(input: BackfillInput) => Promise<BackfillProgress>>(WORKFLOWS.backfill, {
    workflowId,
    taskQueue: queuesOf('test').workflows,
    args: [input(over)],
  });
}

function send(handle: Backfill, message: keyof typeof BACKFILL_MESSAGES, ...args: unknown[]): Promise<unknown> {
  return handle.executeUpdate<unknown, [unknown]>(BACKFILL_MESSAGES[message], { args: args as [unknown] });
}

/** Polls the progress until `until` holds. The figures must add up at every moment. */
async function follow(handle: Backfill, until: (progress: BackfillProgress) => boolean): Promise<BackfillProgress> {
  for (let polls = 0; polls < 2000; polls++) {
    const progress = await handle.query<BackfillProgress>(BACKFILL_MESSAGES.progress);
    const { total, succeeded, failed, skipped, active } = progress;
    expect(total - succeeded - failed - skipped - active).toBeGreaterThanOrEqual(0);
    expect(active).toBeLessThanOrEqual(progress.maxActiveRuns);
    if (until(progress)) return progress;
    await sleep(20);
  }
  throw new Error('never came to pass');
}

/** Adds an object without measurements to a day. */
function addObject(day: string): void {
  const digits = day.replaceAll('-', '');
  writeFileSync(join(root, `raw/${digits}/00/IT/signal/${digits}00_IT_signal.n9.10.jsonl.gz`), gzipSync(''));
}

/** Adds lines of broken JSON to a day, so that its bucket fails until `mend`. */
function breakDay(day: string): { mend(): void } {
  const digits = day.replaceAll('-', '');
  const path = join(root, `raw/${digits}/00/ZZ/signal/${digits}00_ZZ_signal.n0.0.jsonl.gz`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, gzipSync('{broken\n'.repeat(10)));
  return { mend: () => rmSync(path) };
}

describe('a backfill', () => {
  test('processes its range in order, and its counts add up', async () => {
    const handle = await start({ maxActiveRuns: 1 });
    await follow(handle, ({ phase }) => FINAL_PHASES.includes(phase));
    const result = await handle.result();
    // Shown in the Temporal UI.
    const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    expect(currentDetails).toContain('**Complete**: 10 of 10 buckets are done: 10 succeeded, 0 failed');
    expect(result).toMatchObject({
      phase: 'Complete',
      total: 10,
      succeeded: 10,
      failed: 0,
      skipped: 0,
      active: 0,
      failures: [],
    });
    expect(result.plan).toEqual({ buckets: 10, toRun: 10, first: '2023-11-24', last: '2023-12-03', skipped: {} });
    const runs = await clickhouse.select<{ bucket: string; read: number; state: string }>(
      'SELECT bucket, read, state FROM pipeline_runs FINAL ORDER BY generation, bucket',
    );
    expect(runs.map(run => run.bucket).sort()).toEqual(runs.map(run => run.bucket));
    expect(runs.reduce((sum, run) => sum + run.read, 0)).toBe(result.counts.read);
    const inRange = expectedMeasurements().filter(({ key }) => /\/202311(2[4-9]|30)\/|\/2023120[123]\//.test(key));
    expect(result.counts.read).toBe(inRange.length);
  });

  test('with reprocess None runs buckets that were never completed, under any filter that covers them', async () => {
    const italy = { filter: { probeCC: ['IT'], testNames: [] }, filterID: 'it-ALLTNS' };
    const handle = await start({
      ...italy,
      reprocess: 'None',
      startAt: '2023-12-01',
      endAt: '2023-12-06',
      order: 'NewestFirst',
    });
    const result = await handle.result();
    expect(result).toMatchObject({ phase: 'Complete', total: 5, succeeded: 2, skipped: 3 });
    expect(result.plan).toMatchObject({ toRun: 2, first: '2023-12-05', last: '2023-12-04', skipped: { Completed: 3 } });
    const wider = await (await start({ reprocess: 'None', startAt: '2023-12-01', endAt: '2023-12-06' })).result();
    expect(wider.plan).toMatchObject({ toRun: 2, skipped: { Completed: 3 } });
  });

  test('a dry run plans and runs no bucket', async () => {
    const result = await (await start({ dryRun: true, startAt: '2020-01-01', endAt: '2021-01-01' })).result();
    expect(result).toMatchObject({ phase: 'Planned', total: 366, succeeded: 0, active: 0 });
    expect(result.plan).toEqual({ buckets: 366, toRun: 0, skipped: { Empty: 366 }, bytes: 0 });
    const range = { startAt: '2024-02-01', endAt: '2024-03-01', order: 'NewestFirst' } as const;
    const some = await (await start({ dryRun: true, ...range })).result();
    const bytes = readdirSync(root, { recursive: true, withFileTypes: true })
      .filter(each => each.isFile() && /raw.202402\d\d/.test(each.parentPath))
      .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
    expect(bytes).toBeGreaterThan(0);
    expect(some.plan).toEqual({ buckets: 29, toRun: 29, first: '2024-02-29', last: '2024-02-01', skipped: {}, bytes });
    expect(
      await clickhouse.select("SELECT 1 FROM pipeline_runs WHERE bucket LIKE '2020%' OR bucket LIKE '2024-02%'"),
    ).toEqual([]);
  });

  test('a dry run counts the buckets that another run processes, under the same filter only', async () => {
    // Nobody works on this queue, so these runs are in progress until the test ends them.
    const others = await Promise.all(
      [runInput('2024-02-05'), runInput('2024-02-06', ['Observations'], { probeCC: ['IT'] })].map(run =>
        client.workflow.start(WORKFLOWS.bucket, {
          workflowId: runWorkflowID(run.installation, run.filterID, run.bucket),
          taskQueue: 'nobody',
          args: [run],
          searchAttributes: { OoniInstallation: ['test'], OoniBucket: [run.bucket], OoniFilter: [run.filterID] },
        }),
      ),
    );
    try {
      const query = "TaskQueue = 'nobody' AND ExecutionStatus = 'Running'";
      await expect.poll(async () => (await client.workflow.count(query)).count).toBe(2);
      const { plan } = await (await start({ dryRun: true, startAt: '2024-02-04', endAt: '2024-02-08' })).result();
      expect(plan).toMatchObject({ buckets: 4, toRun: 3, first: '2024-02-04', skipped: { InFlight: 1 } });
    } finally {
      for (const other of others) await other.terminate();
    }
  });

  test('buckets that are not complete are omitted', async () => {
    const today = new Date().toISOString().slice(0, 10);
    const later = new Date(Date.now() + 3 * 86_400_000).toISOString().slice(0, 10);
    const result = await (await start({ startAt: today, endAt: later })).result();
    expect(result).toMatchObject({
      phase: 'Complete',
      total: 3,
      skipped: 3,
      succeeded: 0,
      plan: { skipped: { Incomplete: 3 } },
    });
  });

  test('failed buckets are named, retried on request, and retried by a further attempt', async () => {
    const broken = [breakDay('2024-03-02'), breakDay('2024-03-04')];
    const range = { startAt: '2024-03-01', endAt: '2024-03-06', reprocess: 'None' } as const;
    const failed = await (await start(range, 'test/backfill/retry')).result();
    expect(failed).toMatchObject({ phase: 'Failed', total: 5, succeeded: 3, failed: 2 });
    expect(failed.failures.map(({ bucket, reason, workflowID }) => [bucket, reason, workflowID])).toEqual(
      ['2024-03-02', '2024-03-04'].map(day => [day, 'TooManyFailures', runWorkflowID('test', 'ALLCCS-ALLTNS', day)]),
    );
    expect(failed.failures[0]?.message).toMatch(/10 of 10 measurements/);
    expect(failed.counts).toMatchObject({ read: 20, failed: 20 });
    // None skips them, Failed does not.
    const none = await (await start(range)).result();
    expect(none).toMatchObject({
      phase: 'Complete',
      succeeded: 0,
      plan: { skipped: { Completed: 3, FailedBefore: 2 } },
    });
    broken[0]!.mend();
    const second = await (await start({ ...range, attempt: 2 }, 'test/backfill/retry')).result();
    expect(second).toMatchObject({ phase: 'Failed', attempt: 2, total: 5, succeeded: 1, failed: 1, skipped: 3 });
    broken[1]!.mend();
    // A completed bucket is run again if the archive has a new object of it. The others are skipped.
    addObject('2024-03-01');
    const added = await (await start(range)).result();
    expect(added).toMatchObject({ phase: 'Complete', succeeded: 1, plan: { first: '2024-03-01', last: '2024-03-01' } });
    const third = await (await start({ ...range, reprocess: 'Failed' })).result();
    expect(third).toMatchObject({ phase: 'Complete', succeeded: 1, plan: { skipped: { Completed: 4 } } });
  });

  test('retryFailed during a backfill retries the failed buckets, once for each number', async () => {
    const broken = breakDay('2024-04-02');
    const blocked = breakDay('2024-04-05');
    const handle = await start({ startAt: '2024-04-01', endAt: '2024-04-06', maxActiveRuns: 1 });
    await follow(handle, progress => progress.failed === 1);
    await send(handle, 'pause');
    broken.mend();
    await expect(send(handle, 'retryFailed', 0)).rejects.toThrow();
    await send(handle, 'retryFailed', 2);
    await send(handle, 'retryFailed', 2);
    await send(handle, 'resume');
    const result = await handle.result();
    expect(result).toMatchObject({ phase: 'Failed', attempt: 2, total: 5, succeeded: 4, failed: 1, active: 0 });
    expect(result.failures.map(each => each.bucket)).toEqual(['2024-04-05']);
    const tries = await clickhouse.select<{ bucket: string; n: number }>(
      "SELECT bucket, count() AS n FROM pipeline_runs FINAL WHERE bucket LIKE '2024-04-%' GROUP BY bucket ORDER BY bucket",
    );
    expect(tries.map(each => each.n)).toEqual([1, 2, 1, 1, 2]);
    blocked.mend();
  });

  test('pause starts no more runs, resume continues, resize widens the window', async () => {
    const handle = await start({ suspended: true, startAt: '2024-05-01', endAt: '2024-06-01' });
    const suspended = await follow(handle, ({ phase }) => phase === 'Suspended');
    expect(suspended).toMatchObject({ active: 0, succeeded: 0, total: 31 });
    await expect(send(handle, 'resize', 0)).rejects.toThrow();
    await send(handle, 'resize', 5);
    await send(handle, 'resume');
    await follow(handle, ({ succeeded }) => succeeded > 5);
    await send(handle, 'pause');
    const paused = await follow(handle, ({ active }) => active === 0);
    expect(paused.phase).toBe('Suspended');
    expect(paused.succeeded).toBeLessThan(31);
    await send(handle, 'resume');
    expect(await handle.result()).toMatchObject({ phase: 'Complete', succeeded: 31, maxActiveRuns: 5 });
  });

  test('cancel Drain lets the active runs finish, cancel Now stops them', async () => {
    const handle = await start({ startAt: '2024-06-01', endAt: '2024-07-01' });
    await follow(handle, ({ succeeded }) => succeeded > 2);
    await expect(send(handle, 'cancel', 'Later')).rejects.toThrow();
    await send(handle, 'cancel', 'Drain');
    const drained = await handle.result();
    expect(drained.phase).toBe('Cancelled');
    expect(drained.succeeded).toBeLessThan(30);
    const [recorded] = await clickhouse.select<{ n: number; done: number }>(
      "SELECT count() AS n, countIf(state = 'completed') AS done FROM pipeline_runs FINAL WHERE bucket LIKE '2024-06-%'",
    );
    expect(recorded).toEqual({ n: drained.succeeded, done: drained.succeeded });

    const other = await start({ startAt: '2024-07-01', endAt: '2024-08-01' });
    await follow(other, ({ succeeded, active }) => succeeded > 2 && active > 0);
    await send(other, 'cancel', 'Now');
    const stopped = await other.result();
    expect(stopped).toMatchObject({ phase: 'Cancelled', failed: 0, active: 0 });
    const left = await clickhouse.select(
      "SELECT state FROM pipeline_runs FINAL WHERE bucket LIKE '2024-07-%' AND state IN ('started', 'inserted')",
    );
    expect(left).toEqual([]);
  });

  test('cancelling the workflow itself has the effect of cancel Now', async () => {
    const handle = await start({ startAt: '2024-08-01', endAt: '2024-09-01' });
    await follow(handle, ({ succeeded }) => succeeded > 2);
    await handle.cancel();
    expect(await handle.result()).toMatchObject({ phase: 'Cancelled', active: 0, failed: 0 });
  });

  /** Starts a run that stays in flight, because no worker serves its queue. */
  const occupy = (bucket: string) => {
    const run = runInput(bucket);
    return client.workflow.start(WORKFLOWS.bucket, {
      workflowId: runWorkflowID(run.installation, run.filterID, run.bucket),
      taskQueue: 'nobody-serves-this',
      args: [run],
    });
  };

  test('a bucket that is active in another run is run afterwards, if the other run did not complete it', async () => {
    const other = await occupy('2024-09-02');
    const handle = await start({ startAt: '2024-09-01', endAt: '2024-09-04' });
    await follow(handle, ({ succeeded, active }) => succeeded === 2 && active === 1);
    await other.terminate();
    expect(await handle.result()).toMatchObject({ phase: 'Complete', total: 3, succeeded: 3, skipped: 0 });
  });

  test('a bucket that another run has completed meanwhile is skipped and reported', async () => {
    const other = await occupy('2024-09-05');
    const handle = await start({ startAt: '2024-09-05', endAt: '2024-09-06', reprocess: 'None' });
    await follow(handle, ({ active }) => active === 1);
    await runWhole(runTools(clickhouse, root), '2024-09-05');
    await other.terminate();
    const plan = { skipped: { InFlight: 1 } };
    expect(await handle.result()).toMatchObject({ phase: 'Complete', total: 1, succeeded: 0, skipped: 1, plan });
  });

  test('a terminated run counts as failed, and the ledger records it', async () => {
    const day = '2024-09-12';
    const handle = await start({ startAt: '2024-09-10', endAt: '2024-09-13', maxActiveRuns: 1 });
    await follow(handle, ({ succeeded }) => succeeded === 1);
    await send(handle, 'pause');
    await follow(handle, ({ active }) => active === 0);
    await worker.stop();
    // The worker runs only workflow tasks, so runs begin but do no work. The test ends the remaining runs itself.
    const env = { ...workerEnvironment() };
    const workflows = new WorkerProcess({ ...env, WORKER_TASKS: 'Workflows' });
    await workflows.says(/working for Temporal/);
    await send(handle, 'resume');
    for (const left of ['2024-09-11', day]) {
      const found = () => client.workflow.getHandle(runWorkflowID('test', 'ALLCCS-ALLTNS', left)).describe();
      const appears = () =>
        found().then(
          ({ status }) => status.name,
          () => 'absent',
        );
      const state = await appears();
      if (left !== day && state === 'COMPLETED') continue;
      await expect.poll(appears, { timeout: 100_000 }).toBe('RUNNING');
      await client.workflow.getHandle(runWorkflowID('test', 'ALLCCS-ALLTNS', left)).terminate('a person wants it gone');
    }
    await workflows.stop();
    worker = new WorkerProcess(env);
    expect(await handle.result()).toMatchObject({
      phase: 'Failed',
      failures: expect.arrayContaining([expect.objectContaining({ bucket: day, reason: 'Terminated' })]),
    });
    const [recorded] = await clickhouse.select(`SELECT state, reason FROM pipeline_runs FINAL WHERE bucket = '${day}'`);
    expect(recorded).toEqual({ state: 'failed', reason: 'Terminated' });
  });

  test('invalid input is rejected with a message', async () => {
    await expect((await start({ maxActiveRuns: 0 })).result()).rejects.toMatchObject({
      cause: { type: 'InvalidBackfill', message: expect.stringMatching(/maxActiveRuns = 0/) },
    });
    await expect((await start({ startAt: 'yesterday' })).result()).rejects.toMatchObject({
      cause: { message: expect.stringMatching(/"yesterday" is not a bucket/) },
    });
  });

  function workerEnvironment(): Record<string, string> {
    return {
      TEMPORAL_ADDRESS: inject('temporalAddress'),
      TEMPORAL_NAMESPACE: client.options.namespace,
      CLICKHOUSE_URL: `${inject('clickhouseUrl')}/${clickhouse.database}`,
      ARCHIVE_URL: root,
      WORKER_SLOTS: '3',
    };
  }
});

test('a firing of a schedule runs the bucket that was complete at its nominal time', async () => {
  const { filter, filterID, installation } = runInput('2024-01-01');
  const schedule = await client.schedule.create({
    scheduleId: 'test/schedule',
    spec: { cronExpressions: ['0 2 * * *'] },
    state: { paused: true },
    action: {
      type: 'startWorkflow',
      workflowType: WORKFLOWS.scheduledRun,
      taskQueue: queuesOf('test').workflows,
      workflowId: 'test/launch',
      args: [{ installation, granularity: 'Day', filter, filterID, stages: ['Observations'] }],
    },
  });
  await schedule.backfill({
    start: new Date('2024-01-23T01:00:00Z'),
    end: new Date('2024-01-24T03:00:00Z'),
    overlap: 'ALLOW_ALL',
  });
  const launches = ['2024-01-23T02:00:00Z', '2024-01-24T02:00:00Z'].map(time =>
    client.workflow.getHandle(`test/launch-${time}`),
  );
  await expect
    .poll(
      () =>
        Promise.all(launches.map(each => each.describe())).then(
          () => true,
          () => false,
        ),
      { timeout: 100_000 },
    )
    .toBe(true);
  const results = await Promise.all(launches.map(each => each.result()));
  expect(results).toMatchObject([
    { bucket: '2024-01-22', counts: { read: 23 } },
    { bucket: '2024-01-23', counts: { read: 26 } },
  ]);
  const run = await client.workflow.getHandle(runWorkflowID('test', 'ALLCCS-ALLTNS', '2024-01-22')).describe();
  expect(run.typedSearchAttributes.getAll().map(({ key, value }) => [key.name, value])).toEqual(
    expect.arrayContaining([
      ['OoniBucket', '2024-01-22'],
      ['OoniFilter', 'ALLCCS-ALLTNS'],
      ['OoniInstallation', 'test'],
    ]),
  );
  await schedule.delete();
});

test('a launcher with a bucket runs that bucket', async () => {
  const { filter, filterID, installation } = runInput('2024-01-22');
  const handle = await client.workflow.start(WORKFLOWS.scheduledRun, {
    workflowId: 'test/requested',
    taskQueue: queuesOf('test').workflows,
    args: [{ installation, granularity: 'Day', filter, filterID, stages: ['Observations'], bucket: '2024-01-22' }],
  });
  expect(await handle.result()).toMatchObject({ bucket: '2024-01-22', counts: { read: 23 } });
});

test('a launcher started by hand, without a nominal time, reports that', async () => {
  const { filter, filterID, installation } = runInput('2024-01-01');
  const handle = await client.workflow.start(WORKFLOWS.scheduledRun, {
    workflowId: 'test/by-hand',
    taskQueue: queuesOf('test').workflows,
    args: [{ installation, granularity: 'Day', filter, filterID, stages: ['Observations'] }],
  });
  await expect(handle.result()).rejects.toMatchObject({ cause: { message: expect.stringMatching(/nominal time/) } });
});

test('a second start does not run a bucket that is already running', async () => {
  const run = runInput('2024-01-23');
  const first = await startRun(client, run);
  const second = await startRun(client, run).catch(error => error);
  await first.result();
  expect([second.name, second.workflowId ?? '']).toEqual(['WorkflowExecutionAlreadyStartedError', first.workflowId]);
});

test('all these histories replay', async () => {
  const histories = await endedHistories(client);
  expect(histories.length).toBeGreaterThan(100);
  expect(await replayErrors(histories)).toEqual([]);
  const recorded =
    /^test\/(backfill\/(retry|\d+)|launch-.*23T.*|by-hand|ALLCCS-ALLTNS\/(2023-11-27|2024-03-0[14]|2024-01-22))$/;
  recordHistories(histories.filter(({ workflowId }) => recorded.test(workflowId)));
});
