import { setTimeout as sleep } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { NativeConnection, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { WorkerPool } from '../../crds/worker-pool.ts';
import { WORKER_POOLS } from '../../operator/controllers/resources.ts';
import { DRAINING_LABEL, POOL_LABEL } from '../../operator/controllers/worker-pool/deployment.ts';
import { DEPLOYMENTS, type Deployment, PODS } from '../../operator/kube/builtin.ts';
import { noCounts } from '../../pipeline/counts.ts';
import {
  type BackfillInput,
  type BackfillProgress,
  queuesOf,
  type ReferenceRefreshInput,
  runWorkflowID,
  WORKFLOWS,
} from '../../worker/contract.ts';
import { replayErrors } from '../support/histories.ts';
import { eventually } from '../support/operator.ts';
import { OperatorBed } from '../support/operator-bed.ts';
import { runInput, WorkerProcess } from '../support/worker.ts';

const bed = new OperatorBed('worker-versions', { WORKER_IMAGE: 'ooni-pipeline:one', WORKER_VERSIONING: 'true' });
const { client, namespace } = bed;
const installation = 'ooni';
const workers: WorkerProcess[] = [];
let released = false;
let activities: { readonly worker: Worker; readonly done: Promise<void>; readonly connection: NativeConnection };

beforeAll(async () => {
  await bed.start();
  const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  const worker = await Worker.create({
    ...{ connection, namespace, taskQueue: queuesOf(installation).activities },
    activities: {
      refreshReference: async ({ dataset }: ReferenceRefreshInput) => ({ dataset, changed: false, rows: 0 }),
      planBackfill: async () => ({ asOf: 1, now: Date.now(), buckets: 2, toRun: 2, skipped: {} }),
      pageBackfill: async () => ({ buckets: ['2024-01-01', '2024-01-02'] }),
      planRun: async () => {
        while (!released) {
          Context.current().heartbeat();
          await sleep(200);
        }
        const end = { counts: noCounts(), rowsStored: {} };
        return { handle: { generation: 1, openedAt: 1 }, batches: [], files: 0, bytes: 0, end };
      },
    },
  });
  activities = { worker, done: worker.run(), connection };
});
afterAll(async () => {
  for (const worker of workers) await worker.kill();
  activities?.worker.shutdown();
  await activities?.done;
  await activities?.connection.close();
  await bed.stop();
});

const envOf = (deployment: Deployment, name: string) =>
  deployment.spec?.template.spec?.containers[0]?.env?.find(one => one.name === name)?.value;
const pool = () => client.get(WORKER_POOLS, { name: 'main', namespace });
const deployed = (image: string) =>
  eventually(async () => {
    const found = await client.find(DEPLOYMENTS, { name: 'ooni-worker-main', namespace });
    return found?.spec?.template.spec?.containers[0]?.image === image ? found : undefined;
  });
const keepers = () => client.list(DEPLOYMENTS, { namespace, labelSelector: `${DRAINING_LABEL}=main` });

/** Does the work of a node for the pods of a version: a real worker takes its tasks, and the pods become ready. */
async function run(deployment: Deployment): Promise<string> {
  const version = envOf(deployment, 'WORKER_BUILD_ID');
  if (!version) throw new Error('the pods have no version');
  const worker = new WorkerProcess({
    INSTALLATION: installation,
    TEMPORAL_ADDRESS: inject('temporalAddress'),
    TEMPORAL_NAMESPACE: namespace,
    WORKER_TASKS: 'Workflows',
    WORKER_BUILD_ID: version,
  });
  workers.push(worker);
  await worker.says(/working for Temporal/);
  await eventually(async () => {
    const pods = await client.list(PODS, { namespace, labelSelector: `${POOL_LABEL}=main` });
    const own = pods.find(pod => pod.spec?.containers[0]?.env?.some(one => one.value === version));
    if (!own) return false;
    const status = { conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: new Date().toISOString() }] };
    await client.patch(PODS, own.metadata, { status }, { subresource: 'status' });
    return true;
  });
  await eventually(async () => {
    const { status } = await pool();
    const ready = status?.conditions?.find(one => one.type === 'Ready');
    if (ready?.reason !== 'Available') throw new Error(`${ready?.reason}: ${ready?.message}`);
    return status?.version === version;
  });
  return version;
}

/** Returns the versions that completed the workflow tasks of a workflow, in order, each once. */
async function versionsOf(workflowID: string): Promise<string[]> {
  const { events } = await bed.temporal.workflow.getHandle(workflowID).fetchHistory();
  const all = events!.flatMap(({ workflowTaskCompletedEventAttributes: done }) =>
    done ? [done.deploymentVersion?.buildId ?? 'none'] : [],
  );
  return [...new Set(all)];
}

test('a run ends on the version that it began with, a backfill moves on, and the former version goes after its last run', async () => {
  await client.create(WORKER_POOLS, {
    metadata: { name: 'main', namespace },
    spec: { replicas: 1, tasks: ['Workflows'], template: { spec: { nodeSelector: { nowhere: 'true' } } } },
  } as unknown as WorkerPool);
  const one = await run(await deployed('ooni-pipeline:one'));

  const taskQueue = queuesOf(installation).workflows;
  const { filter, filterID, stages } = runInput('2024-01-01');
  const input: BackfillInput = {
    ...{ installation, filter, filterID, stages, startAt: '2024-01-01', endAt: '2024-01-03', granularity: 'Day' },
    ...{ order: 'OldestFirst', reprocess: 'All', maxActiveRuns: 1, suspended: false, dryRun: false, attempt: 1 },
  };
  const backfill = await bed.temporal.workflow.start(WORKFLOWS.backfill, {
    ...{ workflowId: 'backfill', taskQueue, args: [input] },
  });
  const [first, second] = ['2024-01-01', '2024-01-02'].map(bucket => runWorkflowID(installation, filterID, bucket)) as [
    string,
    string,
  ];
  await eventually(async () => (await bed.temporal.workflow.getHandle(first).describe()).raw.pendingActivities?.length);

  await client.patch(
    WORKER_POOLS,
    { name: 'main', namespace },
    { spec: { template: { spec: { containers: [{ name: 'worker', image: 'ooni-pipeline:two' }] } } } },
  );
  const two = await run(await deployed('ooni-pipeline:two'));
  expect(two).not.toBe(one);
  const [keeper, ...more] = await keepers();
  expect(more).toEqual([]);
  expect(keeper?.spec?.template.spec?.containers[0]?.image).toBe('ooni-pipeline:one');
  expect(keeper && [envOf(keeper, 'WORKER_BUILD_ID'), envOf(keeper, 'WORKER_TASKS')]).toEqual([one, 'Workflows']);
  expect((await pool()).status?.drainingVersions).toEqual([one]);

  released = true;
  expect(await backfill.result()).toMatchObject({
    phase: 'Complete',
    succeeded: 2,
  } satisfies Partial<BackfillProgress>);
  expect(await versionsOf(first)).toEqual([one]);
  expect(await versionsOf(second)).toEqual([two]);
  expect(await versionsOf('backfill')).toEqual([one, two]);
  const history = await backfill.fetchHistory();
  expect(await replayErrors([{ workflowId: 'backfill', history }])).toEqual([]);

  await eventually(async () => (await keepers()).length === 0);
  await eventually(async () => (await pool()).status?.drainingVersions === undefined);
});
