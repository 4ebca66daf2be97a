import { setTimeout as sleep } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { NativeConnection, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Backfill, BackfillSpecInput } from '../../crds/backfill.ts';
import { BACKFILLS } from '../../operator/controllers/resources.ts';
import type { Stored } from '../../operator/kube/resource.ts';
import { type BackfillPhase, backfillWorkflowID, queuesOf, runWorkflowID } from '../../worker/contract.ts';
import { eventually, kubectl } from '../support/operator.ts';
import { OperatorBed } from '../support/operator-bed.ts';

const bed = new OperatorBed('operator-backfill', { TEMPORAL_UI_URL: 'http://temporal.example' });
const { client, kubeconfig, namespace } = bed;
let native: NativeConnection;
let worker: Worker;
let working: Promise<void>;

beforeAll(async () => {
  await bed.start();
  native = await NativeConnection.connect({ address: bed.temporalAddress });
  worker = await Worker.create({
    connection: native,
    namespace,
    taskQueue: queuesOf('ooni').workflows,
    workflowsPath: new URL('../support/backfill-workflow.ts', import.meta.url).pathname,
  });
  working = worker.run();
});

afterAll(async () => {
  if (worker?.getState() === 'RUNNING') worker.shutdown();
  await working;
  await native?.close();
  await bed.stop();
});

async function create(name: string, spec: Partial<BackfillSpecInput> = {}): Promise<Stored<Backfill>> {
  return client.create(BACKFILLS, {
    metadata: { name, namespace },
    spec: { startAt: '2024-01-01', endAt: '2024-01-11', ...spec },
  } as Backfill);
}
const get = (name: string) => client.find(BACKFILLS, { name, namespace });
/** Returns the backfill once its status is as expected. */
const when = (name: string, matches: (status: NonNullable<Backfill['status']>) => boolean) =>
  eventually(async () => {
    const object = await get(name);
    return object?.status && matches(object.status) ? object : undefined;
  });
const phase = (name: string, expected: string) => when(name, status => status.phase === expected);
const handleOf = (object: Backfill) =>
  bed.temporal.workflow.getHandle(
    backfillWorkflowID('ooni', namespace, object.metadata.name, object.metadata.uid ?? ''),
  );
const change = (name: string, spec: Partial<BackfillSpecInput>) =>
  client.patch(BACKFILLS, { name, namespace }, { spec });
const received = (object: Backfill, text: string) =>
  eventually(async () => (await handleOf(object).query<string[]>('received')).includes(text));
const end = (object: Backfill, how: BackfillPhase) => handleOf(object).signal('end', how);
const reason = (object: Backfill, type: string) => object.status?.conditions?.find(one => one.type === type)?.reason;

describe('a backfill', () => {
  test('reports the cause that blocks its buckets, until it is gone', async () => {
    let missing = true;
    const activities = {
      work: async () => {
        if (missing) throw ApplicationFailure.retryable('there is no directory /archive', 'ArchiveMissing');
      },
    };
    const busy = await Worker.create({
      connection: native,
      namespace,
      taskQueue: queuesOf('ooni').activities,
      activities,
    });
    const done = busy.run();
    try {
      const run = await bed.temporal.workflow.start('PatientWorkflow', {
        workflowId: runWorkflowID('ooni', 'us-ALLTNS', '2024-01-01'),
        taskQueue: queuesOf('ooni').workflows,
      });
      await create('hindered', { probeCC: ['us'] });
      const seen = await when('hindered', status => status.blockedBy !== undefined);
      expect(seen.status?.blockedBy).toMatchObject({
        bucket: '2024-01-01',
        reason: 'ArchiveMissing',
        message: 'there is no directory /archive',
        link: expect.stringContaining('ooni%2Fus-ALLTNS%2F2024-01-01'),
      });
      expect(reason(seen, 'Ready')).toBe('Retrying');
      await expect
        .poll(() => kubectl(kubeconfig, ['describe', 'bf', 'hindered', '-n', namespace]), { timeout: 100_000 })
        .toMatch(/Warning +Retrying .*ArchiveMissing: there is no directory \/archive/);
      missing = false;
      await run.result();
      const healed = await when('hindered', status => status.blockedBy === undefined);
      expect(reason(healed, 'Ready')).toBe('Started');
    } finally {
      busy.shutdown();
      await done;
    }
  });

  test.each([
    ['the run of 2024-01-01', 'de', 'The run of 2024-01-01 does not progress'],
    ['the backfill itself', 'xx', 'The workflow does not progress'],
  ])('reports a defect in the workflow code of %s', async (_, probeCC, sentence) => {
    await bed.temporal.workflow.start('DefectiveWorkflow', {
      workflowId: runWorkflowID('ooni', `${probeCC}-ALLTNS`, '2024-01-01'),
      taskQueue: queuesOf('ooni').workflows,
    });
    await create(`defective-${probeCC}`, { probeCC: [probeCC] });
    const seen = await when(`defective-${probeCC}`, status => status.blockedBy?.reason === 'WorkflowTaskFailed');
    expect(seen.status?.conditions?.find(({ type }) => type === 'Ready')).toMatchObject({
      ...{ status: 'False', reason: 'WorkflowStuck' },
      message: expect.stringMatching(new RegExp(`^${sentence}.*the code is defective`)),
    });
  });

  test('reports the cause that other runs wait for, when they hold the slots', async () => {
    let hung = true;
    const activities = {
      work: async () => {
        while (hung) {
          Context.current().heartbeat({
            waitsFor: { reason: 'ClickHouseUnavailable', message: 'no space left on device' },
          });
          await sleep(200);
        }
      },
    };
    const options = { taskQueue: queuesOf('ooni').activities, activities, maxConcurrentActivityTaskExecutions: 1 };
    const busy = await Worker.create({ connection: native, namespace, ...options });
    const done = busy.run();
    const attributes = { OoniInstallation: ['ooni'] };
    const run = (bucket: string) =>
      bed.temporal.workflow.start('BucketWorkflow', {
        workflowId: runWorkflowID('ooni', 'fr-ALLTNS', bucket),
        taskQueue: queuesOf('ooni').workflows,
        searchAttributes: attributes,
      });
    try {
      const holds = await run('2024-02-01');
      await eventually(async () => (await holds.describe()).raw.pendingActivities?.some(one => one.heartbeatDetails));
      const waits = await run('2024-01-01');
      await create('starved', { probeCC: ['fr'] });
      const seen = await when('starved', status => status.blockedBy?.reason === 'ClickHouseUnavailable');
      expect(seen.status?.blockedBy?.message).toBe(
        'no worker has taken it, because other runs wait: no space left on device',
      );
      expect(reason(seen, 'Ready')).toBe('Retrying');
      hung = false;
      await Promise.all([holds.result(), waits.result()]);
    } finally {
      hung = false;
      busy.shutdown();
      await done;
    }
  });

  test('runs, shows its progress, and ends', async () => {
    const object = await create('plain', { probeCC: ['it'] });
    await phase('plain', 'Running');
    await handleOf(object).signal('advance', 4, 1);
    const seen = await when('plain', status => status.progress?.succeeded === 4);
    expect(seen.status).toMatchObject({
      progress: { total: 10, succeeded: 4, failed: 1, active: 2, percent: 50, done: '5/10' },
      bytes: 4000,
      measurements: 40,
      workflowID: handleOf(object).workflowId,
      observedGeneration: 1,
    });
    expect(seen.status?.links?.workflow).toContain(
      'http://temporal.example/namespaces/operator-backfill/workflows/ooni%2F',
    );
    expect(await kubectl(kubeconfig, ['get', 'bf', 'plain', '-n', namespace, '--no-headers'])).toMatch(
      /plain +Running +5\/10 +1 /,
    );
    await end(object, 'Complete');
    expect(
      await kubectl(kubeconfig, ['wait', '--for=condition=Complete', 'bf/plain', '-n', namespace, '--timeout=60s']),
    ).toContain('condition met');
    const ended = ['wait', '--for=jsonpath={.status.finishedAt}', 'bf/plain', '-n', namespace, '--timeout=60s'];
    expect(await kubectl(kubeconfig, ended)).toContain('condition met');
    const done = await phase('plain', 'Complete');
    expect(reason(done, 'Complete')).toBe('AllBucketsDone');
    expect(done.status?.finishedAt).toBeDefined();
    expect(await kubectl(kubeconfig, ['describe', 'bf', 'plain', '-n', namespace])).toMatch(/Normal +AllBucketsDone/);
    const remove = ['--type=json', '-p', '[{"op":"remove","path":"/status"}]'];
    await kubectl(kubeconfig, ['patch', 'bf', 'plain', '-n', namespace, '--subresource=status', ...remove]);
    await when('plain', status => status.phase === 'Complete' && status.finishedAt === done.status?.finishedAt);
  });

  test('with a misspelled test has a warning, and its workflow describes it in words', async () => {
    const object = await create('misspelled', { testNames: ['web_conectivity'], probeCC: ['it'] });
    const seen = await when('misspelled', status => status.phase === 'Running');
    expect(reason(seen, 'Warning')).toBe('UnknownName');
    expect(await kubectl(kubeconfig, ['describe', 'bf', 'misspelled', '-n', namespace])).toMatch(
      /Warning +UnknownName .*did you mean web_connectivity\?/,
    );
    expect(await (await handleOf(object).describe()).staticSummary()).toBe(
      '2024-01-01 to 2024-01-11 by Day, IT; webconectivity',
    );
    await end(object, 'Complete');
    await phase('misspelled', 'Complete');
  });

  test('gets every change of the spec', async () => {
    const object = await create('changed');
    await phase('changed', 'Running');
    await change('changed', { suspend: true });
    await phase('changed', 'Suspended');
    await change('changed', { suspend: false, maxActiveRuns: 9 });
    await received(object, 'resume');
    await received(object, 'resize 9');
    await change('changed', { attempt: 2 });
    await received(object, 'retryFailed 2');
    await change('changed', { cancel: 'Drain' });
    await phase('changed', 'Draining');
    await change('changed', { cancel: 'Now' });
    await phase('changed', 'Cancelling');
    await end(object, 'Cancelled');
    const done = await phase('changed', 'Cancelled');
    expect(reason(done, 'Failed')).toBe('Cancelled');
    // Each message was sent once.
    expect(await handleOf(object).query<string[]>('received')).toEqual([
      'pause',
      'resume',
      'resize 9',
      'retryFailed 2',
      'cancel Drain',
      'cancel Now',
    ]);
  });

  test('that is only planned starts when dryRun becomes false', async () => {
    const object = await create('dry', { dryRun: true });
    const planned = await phase('dry', 'Planned');
    expect(reason(planned, 'Complete')).toBe('Planned');
    expect(planned.status?.plan).toMatchObject({ buckets: 10, toRun: 10 });
    await change('dry', { dryRun: false });
    const running = await phase('dry', 'Running');
    expect(reason(running, 'Complete')).toBeUndefined();
    await end(object, 'Complete');
    await phase('dry', 'Complete');
  });

  test('ended by hand has failed, and another attempt starts it again', async () => {
    const object = await create('terminated');
    await phase('terminated', 'Running');
    await handleOf(object).terminate('by hand');
    const failed = await when('terminated', status => status.conditions?.some(one => one.type === 'Failed') ?? false);
    expect(reason(failed, 'Failed')).toBe('WorkflowFailed');
    expect(failed.status?.conditions?.find(one => one.type === 'Failed')?.message).toContain('by hand');
    expect(reason(failed, 'Stalled')).toBe('WorkflowFailed');
    const wait = ['wait', '--for=condition=Ready=False', 'bf/terminated', '-n', namespace, '--timeout=30s'];
    expect(await kubectl(kubeconfig, wait)).toContain('condition met');
    await change('terminated', { attempt: 2 });
    const again = await when('terminated', status => status.phase === 'Running' && status.attempt === 2);
    expect(reason(again, 'Failed')).toBeUndefined();
    await end(object, 'Complete');
    await phase('terminated', 'Complete');
  });

  test('that is deleted drains, and then disappears', async () => {
    const object = await create('deleted');
    await phase('deleted', 'Running');
    await client.delete(BACKFILLS, { name: 'deleted', namespace });
    await eventually(async () => (await get('deleted')) === undefined);
    await received(object, 'drain');
    expect(await handleOf(object).query<string[]>('received')).toEqual(['drain']);
    expect((await handleOf(object).describe()).status.name).toBe('RUNNING');
    await end(object, 'Cancelled');
  });

  test('is deleted after its ttlAfterFinished', async () => {
    const object = await create('brief', { ttlAfterFinished: '1s' });
    await phase('brief', 'Running');
    await end(object, 'Complete');
    await eventually(async () => (await get('brief')) === undefined);
  });

  test('in the future waits', async () => {
    await create('future', { startAt: '2999-01-01', endAt: '2999-02-01' });
    const waiting = await when('future', status => status.conditions?.[0]?.reason === 'RangeIncomplete');
    expect(waiting.status?.conditions).toMatchObject([{ type: 'Ready', status: 'True' }]);
    await client.delete(BACKFILLS, { name: 'future', namespace });
    await eventually(async () => (await get('future')) === undefined);
  });

  test('continues while the operator is stopped, and the next operator finds it', async () => {
    const object = await create('orphan');
    await phase('orphan', 'Running');
    const run = (await handleOf(object).describe()).runId;
    await bed.operator.kill();
    await handleOf(object).signal('advance', 7, 0);
    bed.startOperator();
    await when('orphan', status => status.progress?.succeeded === 7);
    expect((await handleOf(object).describe()).runId).toBe(run);
    await end(object, 'Complete');
    await phase('orphan', 'Complete');
  });

  // This test is the last, because it stops the worker.
  test('without a worker reports this, and can be deleted', async () => {
    await create('lonely');
    await phase('lonely', 'Running');
    worker.shutdown();
    await working;
    const alone = await when('lonely', status => status.conditions?.[0]?.reason === 'NoWorker');
    expect(alone.status).toMatchObject({ phase: 'Running', blockedBy: { reason: 'NoWorker' } });
    const { workflowId } = handleOf(alone);
    await client.delete(BACKFILLS, { name: 'lonely', namespace });
    await eventually(async () => (await get('lonely')) === undefined);
    // Temporal keeps the signal for the next worker.
    const { events } = await bed.temporal.workflow.getHandle(workflowId).fetchHistory();
    const signals = events?.flatMap(event => event.workflowExecutionSignaledEventAttributes?.signalName ?? []);
    expect(signals).toEqual(['drain']);
    expect(bed.operator.output).not.toContain('TemporalUnavailable');
  });
});
