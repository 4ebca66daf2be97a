import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Backfill } from '../../crds/backfill.ts';
import type { WorkerPool, WorkerPoolSpecInput } from '../../crds/worker-pool.ts';
import { BACKFILLS, WORKER_POOLS } from '../../operator/controllers/resources.ts';
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  type Deployment,
  DISRUPTION_BUDGETS,
  type DisruptionBudget,
  SECRETS,
  type Secret,
} from '../../operator/kube/builtin.ts';
import { queuesOf, WORKFLOWS } from '../../worker/contract.ts';
import { eventually, kubectl, NAMESPACES } from '../support/operator.ts';
import { OperatorBed } from '../support/operator-bed.ts';

const bed = new OperatorBed('operator-pool', {
  ...{ WORKER_IMAGE: 'ooni-pipeline:test', WORKER_CONFIG_MAP: 'settings', WORKER_SECRET: 'credentials' },
});
const { cable, client, kubeconfig, namespace } = bed;

beforeAll(() => bed.start());
afterAll(() => bed.stop());

/** No node has this label, so no pod of these tests ever runs, whatever nodes other tests simulate. */
const NOWHERE = { spec: { nodeSelector: { nowhere: 'true' } } };
const create = (name: string, spec: Partial<WorkerPoolSpecInput>, annotations = {}) =>
  client.create(WORKER_POOLS, {
    metadata: { name, namespace, annotations },
    spec: { template: NOWHERE, ...spec },
  } as WorkerPool);
const change = (name: string, spec: object) => client.patch(WORKER_POOLS, { name, namespace }, { spec });
const deployment = (name: string) => client.find(DEPLOYMENTS, { name: `ooni-worker-${name}`, namespace });
const deployed = (name: string, matches: (spec: NonNullable<Deployment['spec']>) => boolean = () => true) =>
  eventually(async () => {
    const found = await deployment(name);
    return found?.spec && matches(found.spec) ? found : undefined;
  });
const ready = (name: string, reason: string) =>
  eventually(async () => {
    const object = await client.get(WORKER_POOLS, { name, namespace });
    const condition = object.status?.conditions?.find(one => one.type === 'Ready');
    if (condition?.reason !== reason) throw new Error(`${name} is ${condition?.reason}: ${condition?.message}`);
    return { object, message: condition.message };
  });
const run = (...args: string[]) => kubectl(kubeconfig, [...args, '--namespace', namespace]);
const imageOf = (found: Deployment) => found.spec?.template.spec?.containers[0]?.image;

/** Creates a Deployment under our name, as a person might. */
const foreign = (name: string) =>
  client.create(DEPLOYMENTS, {
    metadata: { name: `ooni-worker-${name}`, namespace },
    spec: {
      replicas: 0,
      selector: { matchLabels: { 'app.kubernetes.io/name': 'ooni-worker', 'pipeline.ooni.org/pool': name } },
      template: {
        metadata: { labels: { 'app.kubernetes.io/name': 'ooni-worker', 'pipeline.ooni.org/pool': name } },
        spec: { containers: [{ name: 'theirs', image: 'theirs:1' }] },
      },
    },
  } as Deployment);

describe('a pool', () => {
  test('becomes a Deployment that it owns, of restricted worker pods with probes', async () => {
    const pool = await create('made', { replicas: 2, slots: 3, tasks: ['Activities'] });
    const found = await deployed('made');
    expect(found.metadata.ownerReferences).toMatchObject([
      { kind: 'WorkerPool', name: 'made', uid: pool.metadata.uid, controller: true },
    ]);
    expect(found.spec?.replicas).toBe(2);
    const container = found.spec?.template.spec?.containers[0];
    expect(container).toMatchObject({
      image: 'ooni-pipeline:test',
      args: ['worker/main.ts'],
      envFrom: [{ configMapRef: { name: 'settings' } }, { secretRef: { name: 'credentials' } }],
    });
    expect(container?.env).toContainEqual({ name: 'WORKER_SLOTS', value: '3' });
    const { object } = await ready('made', 'RollingOut');
    expect(object.status).toMatchObject({
      desiredReplicas: 2,
      selector: 'app.kubernetes.io/name=ooni-worker,pipeline.ooni.org/pool=made',
    });
    expect(await run('get', 'wpool', 'made')).toMatch(/made +2 +0 +RollingOut .* Activities /);
  });

  test('runs under the restricted pod security standard', async () => {
    const strict = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    await client.patch(NAMESPACES, { name: namespace }, { metadata: { labels: strict } });
    try {
      await create('strict', { replicas: 1 });
      const seen = await eventually(async () => {
        const { status } = (await deployment('strict')) ?? {};
        return (status?.replicas ?? 0) > 0 || status?.conditions?.some(one => one.type === 'ReplicaFailure')
          ? status
          : undefined;
      });
      expect(seen?.conditions?.filter(one => one.type === 'ReplicaFailure')).toEqual([]);
    } finally {
      await client.patch(
        NAMESPACES,
        { name: namespace },
        { metadata: { labels: { 'pod-security.kubernetes.io/enforce': null } } },
      );
    }
  });

  test('follows kubectl scale, down to none', async () => {
    await create('scaled', { replicas: 1 });
    await deployed('scaled');
    await run('scale', 'workerpool', 'scaled', '--replicas=4');
    await deployed('scaled', spec => spec.replicas === 4);
    await eventually(async () =>
      /Normal +Rescaled .*Scaled from 1 to 4 pods: spec\.replicas is 4\./.test(
        await run('describe', 'wpool', 'scaled'),
      ),
    );
    await run('scale', 'wpool', 'scaled', '--replicas=0');
    await deployed('scaled', spec => spec.replicas === 0);
    await ready('scaled', 'Available');
    expect(await run('wait', '--for=condition=Ready', 'wpool/scaled', '--timeout=30s')).toContain('condition met');
  });

  test('repairs changes by others, and leaves their own fields unchanged', async () => {
    await create('drifting', { replicas: 1 });
    await deployed('drifting');
    await run('rollout', 'restart', 'deployment', 'ooni-worker-drifting');
    await run('set', 'image', 'deployment/ooni-worker-drifting', 'worker=somebody:else');
    await run('scale', 'deployment', 'ooni-worker-drifting', '--replicas=7');
    const repaired = await deployed(
      'drifting',
      spec => spec.replicas === 1 && spec.template.spec?.containers[0]?.image === 'ooni-pipeline:test',
    );
    expect(repaired.spec?.template.metadata?.annotations).toHaveProperty(['kubectl.kubernetes.io/restartedAt']);
  });

  test('keeps a PodDisruptionBudget that lets one pod be evicted at a time, whatever others write into it', async () => {
    const pool = await create('kept', { replicas: 2 });
    const name = 'ooni-worker-kept';
    const budget = (matches: (spec: NonNullable<DisruptionBudget['spec']>) => boolean) =>
      eventually(async () => {
        const found = await client.find(DISRUPTION_BUDGETS, { name, namespace });
        return found?.spec && matches(found.spec) ? found : undefined;
      });
    const asDesired = ({ maxUnavailable, minAvailable }: NonNullable<DisruptionBudget['spec']>) =>
      maxUnavailable === (1 as never) && minAvailable === undefined;
    const first = await budget(asDesired);
    expect(first.metadata.ownerReferences).toMatchObject([{ uid: pool.metadata.uid, controller: true }]);
    expect(first.spec?.selector).toEqual((await deployed('kept')).spec?.selector);
    await client.patch(DISRUPTION_BUDGETS, { name, namespace }, { spec: { maxUnavailable: '100%' } });
    expect((await budget(asDesired)).metadata.uid).toBe(first.metadata.uid);
    const other = { maxUnavailable: null, minAvailable: 2 };
    await client.patch(DISRUPTION_BUDGETS, { name, namespace }, { spec: other });
    expect((await budget(asDesired)).metadata.uid).not.toBe(first.metadata.uid);
  });

  test('leaves a PodDisruptionBudget of this name that somebody else made', async () => {
    const metadata = { name: 'ooni-worker-guarded', namespace };
    const spec = { minAvailable: 1 as never, selector: { matchLabels: { 'pipeline.ooni.org/pool': 'guarded' } } };
    const theirs = await client.create(DISRUPTION_BUDGETS, { metadata, spec });
    await create('guarded', { replicas: 0 });
    await ready('guarded', 'Available');
    const { metadata: now, spec: kept } = await client.get(DISRUPTION_BUDGETS, metadata);
    expect([now.uid, now.ownerReferences, kept]).toEqual([theirs.metadata.uid, undefined, spec]);
  });

  test('replaces its pods when the ConfigMap or the Secret of their environment changes', async () => {
    const settings = { name: 'settings', namespace };
    const credentials = { name: 'credentials', namespace };
    await client.create(CONFIG_MAPS, { metadata: settings, data: { LOG_LEVEL: 'info' } });
    await client.create(SECRETS, { metadata: credentials, stringData: { CLICKHOUSE_URL: 'http://a:b@c' } } as Secret);
    await create('reading', { replicas: 0 });
    const hashOf = (found: Deployment) =>
      found.spec?.template.metadata?.annotations?.['pipeline.ooni.org/settings-hash'];
    const other = async (seen: readonly (string | undefined)[]) =>
      hashOf(await deployed('reading', ({ template }) => !seen.includes(hashOf({ spec: { template } } as Deployment))));
    const first = await other([undefined]);
    await client.patch(CONFIG_MAPS, settings, { data: { LOG_LEVEL: 'debug' } });
    const second = await other([first]);
    await client.patch(SECRETS, credentials, { stringData: { CLICKHOUSE_URL: 'http://a:rotated@c' } });
    const third = await other([first, second]);
    await client.patch(CONFIG_MAPS, settings, { metadata: { annotations: { note: 'nothing that pods read' } } });
    await change('reading', { slots: 3 });
    await deployed('reading', ({ template }) =>
      Boolean(template.spec?.containers[0]?.env?.some(({ name, value }) => name === 'WORKER_SLOTS' && value === '3')),
    );
    expect(hashOf(await deployed('reading'))).toBe(third);
    await client.delete(CONFIG_MAPS, settings);
    await client.delete(SECRETS, credentials);
  });

  test('applies the template, and removes fields that left it', async () => {
    await create('styled', {
      replicas: 0,
      template: {
        spec: {
          ...NOWHERE.spec,
          priorityClassName: 'system-node-critical',
          containers: [{ name: 'worker', image: 'mine:1' }],
        },
      },
    });
    expect(imageOf(await deployed('styled'))).toBe('mine:1');
    await change('styled', { template: { spec: { priorityClassName: null, containers: null } } });
    const found = await deployed('styled', spec => spec.template.spec?.priorityClassName === undefined);
    expect(imageOf(found)).toBe('ooni-pipeline:test');
  });

  test('with a template that Kubernetes rejects is stalled with its message, until it is corrected', async () => {
    await create('refused', {
      replicas: 0,
      template: { spec: { containers: [{ name: 'worker', imagePullPolicy: 'Sometimes' }] } },
    });
    const { object, message } = await ready('refused', 'Rejected');
    expect(message).toContain('imagePullPolicy');
    expect(object.status?.conditions?.map(one => one.type)).toContain('Stalled');
    await change('refused', { template: { spec: { containers: null } } });
    await ready('refused', 'Available');
  });

  test.each([
    [
      'a field that no pod has',
      { nonsense: { a: 1 } },
      'spec.template.spec.nonsense: Kubernetes does not have this field',
    ],
    [
      'a number as image',
      { containers: [{ name: 'worker', image: 5 }] },
      'spec.template.spec.containers[name="worker"].image: must be a string, and is 5',
    ],
    ['an integer as nodeSelector', { nodeSelector: 5 }, 'spec.template.spec.nodeSelector: must be an object, and is 5'],
    [
      'a misspelled container',
      { containers: [{ name: 'wroker' }] },
      'spec.template.spec.containers[0].name "wroker": has no image',
      'InvalidSpec',
    ],
    [
      'a word as quantity',
      { containers: [{ name: 'worker', resources: { requests: { cpu: 'lots' } } }] },
      'spec.template.spec.containers[0].resources.requests.cpu "lots": must be a quantity',
      'InvalidSpec',
    ],
  ])('is stalled by a template with %s', async (what, spec, expected, reason = 'Rejected') => {
    const name = what.split(' ')[1]!;
    await create(name, { replicas: 0, template: { spec } });
    const { object, message } = await ready(name, reason);
    expect(message).toContain(expected);
    expect(object.status?.conditions?.map(one => one.type)).toContain('Stalled');
  });

  test('with quantities in another form than that of Kubernetes is ready, and is not applied again', async () => {
    const containers = [{ name: 'worker', resources: { requests: { cpu: 2, memory: '1024Mi' } } }];
    await create('quantities', { replicas: 0, template: { spec: { ...NOWHERE.spec, containers } } });
    await ready('quantities', 'Available');
    expect((await deployed('quantities')).spec?.template.spec?.containers[0]?.resources?.requests).toMatchObject({
      cpu: '2',
      memory: '1Gi',
    });
  });

  test('reports the cause that keeps its pods from running', async () => {
    await create('nowhere', { replicas: 1 });
    await eventually(async () => {
      const { message } = await ready('nowhere', 'RollingOut');
      return /0 of 1 pods are ready\. Pod .* waits: .*node/.test(message);
    });
  });

  test('refuses a Deployment that is not its own, and adopts it with the annotation', async () => {
    await foreign('taken');
    await create('taken', { replicas: 0 });
    const { message } = await ready('taken', 'AdoptionRefused');
    expect(message).toContain('pipeline.ooni.org/adopt: "true"');
    expect(imageOf((await deployment('taken'))!)).toBe('theirs:1');
    await run('annotate', 'wpool', 'taken', 'pipeline.ooni.org/adopt=true');
    await ready('taken', 'Available');
    const found = await deployed('taken');
    expect(found.spec?.template.spec?.containers.map(one => one.name)).toContain('worker');
    expect(found.metadata.ownerReferences).toMatchObject([{ kind: 'WorkerPool', name: 'taken' }]);
  });

  test('is deleted together with its Deployment', async () => {
    await create('brief', { replicas: 0 });
    await deployed('brief');
    await client.delete(WORKER_POOLS, { name: 'brief', namespace });
    await eventually(async () => (await deployment('brief')) === undefined);
  });
});

describe('autoscaling', () => {
  // No worker runs, so the first refreshes of reference data wait: a load for one pod.
  test('the number of pods follows the load, and the status shows the calculation', async () => {
    await create('auto', { autoscaling: { minReplicas: 0, maxReplicas: 3 } });
    await deployed('auto', spec => spec.replicas === 1);
    const { object } = await ready('auto', 'RollingOut');
    expect(object.status?.lastDecision).toMatchObject({ needed: 1, desired: 1 });
    expect(object.status?.queues?.map(queue => queue.name)).toEqual([
      'oonipipeline-ooni-workflows',
      'oonipipeline-ooni-activities',
    ]);
  });

  test('a pool at zero is started by a task of a run, not by refreshes of reference data', async () => {
    await create('asleep', { replicas: 0 });
    await deployed('asleep');
    await change('asleep', { replicas: null, autoscaling: { minReplicas: 0, maxReplicas: 3 } });
    const { status } = await eventually(async () => {
      const object = await client.get(WORKER_POOLS, { name: 'asleep', namespace });
      const waiting = (object.status?.queues ?? []).some(queue => (queue.backlog ?? 0) > 0);
      return waiting && object.status?.lastDecision ? object : undefined;
    });
    expect(status?.lastDecision).toMatchObject({ needed: 0, desired: 0 });
    const { workflows } = queuesOf('ooni');
    const started = await bed.temporal.workflow.start(WORKFLOWS.bucket, { taskQueue: workflows, workflowId: 'a-run' });
    await deployed('asleep', spec => (spec.replicas ?? 0) > 0);
    await started.terminate();
  });

  test('holds the replicas while Temporal is unavailable', async () => {
    await create('held', { autoscaling: { maxReplicas: 3 } });
    await deployed('held', spec => spec.replicas === 1);
    cable.cut();
    try {
      const seen = await eventually(async () => {
        const { status } = await client.get(WORKER_POOLS, { name: 'held', namespace });
        return status?.conditions?.find(one => one.type === 'ScalingActive' && one.status === 'Unknown') && status;
      });
      expect(seen.conditions?.find(one => one.type === 'ScalingActive')?.reason).toBe('TemporalUnavailable');
      expect(seen.backlog).toBeUndefined();
      expect((await deployment('held'))?.spec?.replicas).toBe(1);
    } finally {
      cable.mend();
    }
  });

  test('a new leader without Temporal gives active runs the pods that the load required lately', async () => {
    const name = 'waves';
    await create(name, { autoscaling: { maxReplicas: 3 } });
    await deployed(name);
    await client.create(BACKFILLS, {
      metadata: { name, namespace },
      spec: { startAt: '2024-01-01', endAt: '2024-01-04' },
    } as Backfill);
    await eventually(async () => (await client.get(BACKFILLS, { name, namespace })).status?.workflowID);
    cable.cut();
    try {
      expect(await bed.operator.stop()).toBe(0);
      // The last leader saw two buckets running, and nothing that waits for a pod since a minute.
      const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString().replace(/\.\d+/, '');
      const recommendations = [
        { since: ago(120), replicas: 2 },
        { since: ago(60), replicas: 0 },
      ];
      const scalingMemory = { recommendations, changes: [] };
      const status = { subresource: 'status' } as const;
      await client.patch(WORKER_POOLS, { name, namespace }, { status: { scalingMemory } }, status);
      await client.patch(DEPLOYMENTS, { name: `ooni-worker-${name}`, namespace }, { spec: { replicas: 0 } });
      const progress = { total: 3, succeeded: 1, failed: 0, skipped: 0, active: 2, percent: 33, done: '1/3' };
      await client.patch(BACKFILLS, { name, namespace }, { status: { progress } }, status);
      bed.startOperator();
      await deployed(name, spec => spec.replicas === 2);
    } finally {
      cable.mend();
    }
  });
});
