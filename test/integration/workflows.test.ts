import { Context } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { NativeConnection, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { noCounts } from '../../pipeline/counts.ts';
import type { Activities, PlanKey } from '../../worker/activities/types.ts';
import { queuesOf, type RunCounts } from '../../worker/contract.ts';
import { workflowCode } from '../../worker/workflow-bundle.ts';
import { makeNamespace, runInput, startRun } from '../support/worker.ts';

/**
 * Tests with fake activities that fail in a certain way at a certain moment, which the real activities cannot do on demand. The other
 * properties of workflows are tested with the real ones (worker.test.ts, backfill.test.ts).
 */
let client: Client;
let connection: NativeConnection;
let workers: Worker[];
let running: Promise<unknown>;
let behave: Partial<Activities> = {};
let calls: string[] = [];

const counts = (read: number): RunCounts => ({ ...noCounts(), read, transformed: read });
const batch = (first: string) => ({ first, last: first, files: 1, bytes: 1 });

const activities: Activities = {
  planRun: key => note('planRun', key, behave.planRun?.(key)),
  observeBatch: (key, handle, which) =>
    note(`observeBatch ${which.first}`, key, behave.observeBatch?.(key, handle, which)),
  finishRun: (key, handle, total) =>
    note(
      'finishRun',
      key,
      behave.finishRun?.(key, handle, total) ?? Promise.resolve({ counts: total, rowsStored: {} }),
    ),
  abandonRun: (key, stage, failure) =>
    note(`abandonRun ${stage} ${failure.state} ${failure.reason}`, key, Promise.resolve()),
  analyse: (key, generation) =>
    note(`analyse ${generation}`, key, behave.analyse?.(key, generation) ?? Promise.resolve([])),
  refreshReference: () => Promise.reject(new Error('not asked for here')),
  planBackfill: () => Promise.reject(new Error('not asked for here')),
  pageBackfill: () => Promise.reject(new Error('not asked for here')),
  describeRun: () => Promise.reject(new Error('not asked for here')),
  needsRun: () => Promise.reject(new Error('not asked for here')),
};

async function note<T>(call: string, key: PlanKey, work: Promise<T> | undefined): Promise<T> {
  calls.push(key.plan === 1 ? call : `${call} (plan ${key.plan})`);
  return work as Promise<T>;
}

beforeAll(async () => {
  const made = await makeNamespace(inject('temporalAddress'), 'workflows');
  client = made.client;
  connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  const common = { connection, namespace: made.namespace };
  workers = [
    await Worker.create({ ...common, taskQueue: queuesOf('test').workflows, ...workflowCode() }),
    await Worker.create({ ...common, taskQueue: queuesOf('test').activities, activities }),
  ];
  running = Promise.all(workers.map(worker => worker.run()));
});
afterAll(async () => {
  for (const worker of workers) worker.shutdown();
  await running;
  await connection.close();
  await client.connection.close();
});

/** Returns the number of batches that the history of a run records as completed. */
async function completedBatches(workflowId: string): Promise<number> {
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  const asked = (events ?? [])
    .filter(event => event.activityTaskScheduledEventAttributes?.activityType?.name === 'observeBatch')
    .map(({ eventId }) => String(eventId));
  const ended = (events ?? []).flatMap(event => event.activityTaskCompletedEventAttributes ?? []);
  return ended.filter(({ scheduledEventId }) => asked.includes(String(scheduledEventId))).length;
}

function whenAsked(how: Partial<Activities>): void {
  behave = how;
  calls = [];
}

const planned = (generation: number, ...batches: string[]) => ({
  ...{ handle: { generation, openedAt: generation }, files: batches.length, bytes: batches.length },
  batches: batches.map(batch),
});

describe('a run', () => {
  test('plans again if the archive changed during the run, and counts only measurements of the last plan', async () => {
    whenAsked({
      planRun: async key => planned(key.plan, 'a', 'b'),
      observeBatch: async (key, _, which) => {
        if (key.plan < 3 && which.first === 'b') {
          throw ApplicationFailure.nonRetryable('b changed since it was listed', 'ArchiveChanged');
        }
        return counts(10);
      },
    });
    const result = await (await startRun(client, runInput('2024-01-01'))).result();
    expect(result).toMatchObject({ generation: 3, counts: { read: 20 } });
    expect(calls.filter(call => !call.startsWith('observeBatch'))).toEqual([
      'planRun',
      'abandonRun Observations failed ArchiveChanged',
      'planRun (plan 2)',
      'abandonRun Observations failed ArchiveChanged (plan 2)',
      'planRun (plan 3)',
      'finishRun (plan 3)',
    ]);
  });

  test('shows the files of each batch in the Temporal UI', async () => {
    const first = 'raw/20240101/00/IT/webconnectivity/2024010100_IT_webconnectivity.n0.0.tar.gz';
    const one = { first, last: `${first}z`, files: 12, bytes: 60_149_000 };
    const long = { first: '√'.repeat(1000), last: 'z', files: 1, bytes: 0 };
    whenAsked({
      planRun: async () => ({ ...planned(1), batches: [one, long] }),
      observeBatch: async () => counts(1),
    });
    const handle = await startRun(client, runInput('2024-01-10'));
    await handle.result();
    const { events } = await handle.fetchHistory();
    const summaries = (events ?? [])
      .filter(event => event.activityTaskScheduledEventAttributes?.activityType?.name === 'observeBatch')
      .map(({ userMetadata }) => JSON.parse(new TextDecoder().decode(userMetadata!.summary!.data!)));
    expect(summaries).toEqual([
      '12 files, 60.1 MB, from 2024010100_IT_webconnectivity.n0.0.tar.gz',
      `1 file, 0.0 MB, from ${'√'.repeat(100)}`,
    ]);
  });

  test('gives up on an archive that keeps changing', async () => {
    whenAsked({
      planRun: async key => planned(key.plan, 'a'),
      observeBatch: async () => {
        throw ApplicationFailure.nonRetryable('a changed since it was listed', 'ArchiveChanged');
      },
    });
    const handle = await startRun(client, runInput('2024-01-02'));
    await expect(handle.result()).rejects.toMatchObject({ cause: { type: 'ArchiveChanged' } });
    expect(calls.filter(call => call.startsWith('planRun'))).toHaveLength(5);
  });

  test('stops the other batches if one has failed for good, and reports the measurements already read', async () => {
    whenAsked({
      planRun: async () => planned(7, 'a', 'b'),
      observeBatch: async (_, __, which) => {
        if (which.first === 'a') return counts(10);
        const { workflowExecution } = Context.current().info;
        await expect.poll(() => completedBatches(workflowExecution!.workflowId)).toBe(1);
        throw ApplicationFailure.nonRetryable('ClickHouse refuses the rows', 'RowsRefused');
      },
    });
    const handle = await startRun(client, runInput('2024-01-03', ['Observations', 'Analysis']));
    await expect(handle.result()).rejects.toMatchObject({
      cause: { type: 'RowsRefused', message: 'ClickHouse refuses the rows', details: [{ read: 10 }] },
    });
    expect(calls.at(-1)).toBe('abandonRun Observations failed RowsRefused');
    expect(calls.some(call => call.startsWith('analyse'))).toBe(false);
  });

  test('counts rows stored by a batch before it failed, and by a batch that was stopped because of it', async () => {
    whenAsked({
      planRun: async () => planned(7, 'a', 'b'),
      observeBatch: async (_, __, which) => {
        if (which.first === 'b') {
          // Stopped when the other has failed. It had stored three rows.
          const heartbeats = setInterval(() => Context.current().heartbeat(), 100);
          await Context.current().cancelled.catch(() => {});
          clearInterval(heartbeats);
          throw new CancelledFailure('stopped', [counts(3)]);
        }
        await expect.poll(() => calls.includes('observeBatch b')).toBe(true);
        const failure = { message: 'refused', type: 'RowsRefused', nonRetryable: true, details: [counts(20)] };
        throw ApplicationFailure.create(failure);
      },
    });
    const handle = await startRun(client, runInput('2024-01-07'));
    await expect(handle.result()).rejects.toMatchObject({ cause: { type: 'RowsRefused', details: [{ read: 23 }] } });
  });

  test('reports the measurements read by its observations if the verdicts fail', async () => {
    whenAsked({
      planRun: async () => planned(7, 'a'),
      observeBatch: async () => counts(10),
      analyse: () => Promise.reject(ApplicationFailure.nonRetryable('no such column', 'Statement')),
    });
    const handle = await startRun(client, runInput('2024-01-08', ['Observations', 'Analysis']));
    await expect(handle.result()).rejects.toMatchObject({ cause: { type: 'Statement', details: [{ read: 10 }] } });
    expect(calls.at(-1)).toBe('abandonRun Analysis failed Statement');
  });

  test('analyses the new observations', async () => {
    whenAsked({ planRun: async () => planned(7, 'a'), observeBatch: async () => counts(1) });
    await (await startRun(client, runInput('2024-01-04', ['Observations', 'Analysis']))).result();
    expect(calls).toEqual(['planRun', 'observeBatch a', 'finishRun', 'analyse 7']);
    whenAsked({});
    await (await startRun(client, runInput('2024-01-05', ['Analysis']))).result();
    expect(calls).toEqual(['analyse null']);
  });

  test('with only its verdicts missing keeps its observations', async () => {
    whenAsked({ planRun: async () => ({ ...planned(7), kept: true }) });
    const run = { ...runInput('2024-01-09', ['Observations', 'Analysis']), mayKeep: true };
    expect(await (await startRun(client, run)).result()).toMatchObject({ generation: 7, counts: { read: 0 } });
    expect(calls).toEqual(['planRun', 'analyse 7']);
  });

  test('that is cancelled while its worker is gone records that, and ends as cancelled', async () => {
    whenAsked({ planRun: async () => planned(7, 'a'), observeBatch: () => Context.current().cancelled });
    const handle = await startRun(client, runInput('2024-01-06'));
    await expect.poll(() => calls.includes('observeBatch a')).toBe(true);
    await handle.cancel();
    // The activity sends no heartbeat, as if its worker were gone: it ends with the heartbeat timeout.
    await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
    expect(calls.at(-1)).toBe('abandonRun Observations cancelled Cancelled');
  });
});
