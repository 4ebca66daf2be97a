import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Backfill } from '../../crds/backfill.ts';
import type { PipelineSchedule } from '../../crds/pipeline-schedule.ts';
import type { WorkerPool } from '../../crds/worker-pool.ts';
import { BACKFILLS, PIPELINE_SCHEDULES, WORKER_POOLS } from '../../operator/controllers/resources.ts';
import { DEPLOYMENTS, LEASES } from '../../operator/kube/builtin.ts';
import { backfillWorkflowID, scheduleIDOf } from '../../worker/contract.ts';
import { ApiProxy, kubeconfigFor } from '../support/kubeconfig-proxies.ts';
import { eventually } from '../support/operator.ts';
import { OperatorBed } from '../support/operator-bed.ts';

const bed = new OperatorBed('operator-crash');
const { client, namespace } = bed;
let proxy: ApiProxy;
let config: Awaited<ReturnType<typeof kubeconfigFor>>;

beforeAll(async () => {
  await bed.prepare();
  proxy = new ApiProxy(bed.env.KUBECONFIG!);
  config = await kubeconfigFor(await proxy.start());
  bed.env.KUBECONFIG = config.path;
});

afterAll(async () => {
  await bed.stop();
  await proxy?.stop();
  await config?.remove();
});

/** Returns whether a write belongs to a reconcile. Writes of the lease and of events cannot go wrong here. */
const matters = (path: string) => path.includes('pipeline.ooni.org') || path.includes('/deployments');

/** Writes that a new Backfill, PipelineSchedule and WorkerPool cause until all are settled. A number above the last one would not kill. */
const WRITES = [1, 2, 3, 4, 5, 6, 7, 8, 9];

test.each(WRITES)('killed after write %i, whose answer is lost, it does everything exactly once', async nth => {
  const name = `n${nth}`;
  const operator = bed.startOperator();
  let writes = 0;
  let killed: Promise<void> | undefined;
  proxy.onWrite = ({ path }) => {
    if (!matters(path)) return true;
    writes++;
    if (writes < nth) return true;
    killed ??= operator.kill();
    return false;
  };
  const backfill = await client.create(BACKFILLS, {
    metadata: { name, namespace },
    spec: { startAt: '2024-01-01', endAt: '2024-01-11' },
  } as Backfill);
  await client.create(PIPELINE_SCHEDULES, {
    metadata: { name, namespace },
    spec: { schedule: '0 2 * * *' },
  } as PipelineSchedule);
  await client.create(WORKER_POOLS, { metadata: { name, namespace }, spec: { replicas: 0 } } as WorkerPool);
  await eventually(async () => {
    if (killed === undefined) throw new Error(`not killed; the operator said: ${operator.output}`);
    return true;
  });
  await killed;
  proxy.onWrite = () => true;
  // A killed holder's lease expires by itself; this test does not wait for that each time.
  for (const lease of await client.list(LEASES, { namespace })) await client.delete(LEASES, lease.metadata);

  const next = bed.startOperator();
  try {
    await eventually(async () => {
      const stored = await client.get(BACKFILLS, { name, namespace });
      return (
        stored.status?.workflowID !== undefined &&
        // No worker runs here. After ten seconds the status reports that instead.
        stored.status.conditions?.some(one => ['Started', 'NoWorker'].includes(one.reason))
      );
    });
    await eventually(async () =>
      (await client.get(PIPELINE_SCHEDULES, { name, namespace })).status?.conditions?.some(
        one => one.reason === 'Scheduled',
      ),
    );
    await eventually(async () =>
      (await client.get(WORKER_POOLS, { name, namespace })).status?.conditions?.some(one => one.reason === 'Available'),
    );
    const id = backfillWorkflowID('ooni', namespace, name, backfill.metadata.uid);
    const runs = await eventually(async () => {
      const found = [];
      for await (const run of bed.temporal.workflow.list({ query: `WorkflowId = '${id}'` })) found.push(run);
      return found.length > 0 ? found : undefined;
    });
    expect(runs).toHaveLength(1);
    expect((await bed.temporal.schedule.getHandle(scheduleIDOf('ooni', namespace, name)).describe()).state.paused).toBe(
      false,
    );
    expect((await client.get(DEPLOYMENTS, { name: `ooni-worker-${name}`, namespace })).spec?.replicas).toBe(0);
    const stored = await client.get(BACKFILLS, { name, namespace });
    expect(stored.metadata.finalizers).toEqual(['pipeline.ooni.org/temporal']);
  } finally {
    await next.kill();
    for (const lease of await client.list(LEASES, { namespace })) await client.delete(LEASES, lease.metadata);
    for (const resource of [BACKFILLS, PIPELINE_SCHEDULES] as const) {
      // No operator runs that could remove the finalizer.
      await client.patch(resource as typeof BACKFILLS, { name, namespace }, { metadata: { finalizers: null } });
      await client.delete(resource, { name, namespace });
    }
    await client.delete(WORKER_POOLS, { name, namespace });
  }
});
