import { describe, expect, test } from 'vitest';
import { WORKER_POOL, type WorkerPool, type WorkerPoolSpecInput } from '../../../crds/worker-pool.ts';
import { POOL_SETTINGS } from '../../../test/support/pool-settings.ts';
import type { Deployment } from '../../kube/builtin.ts';
import type { Load, WorkerLoad } from '../../temporal/load.ts';
import { desiredConditions, lint, merge } from '../conditions.ts';
import { specOf } from '../reconcile.ts';
import { type Applied, appliedOf } from './applied.ts';
import { APPLIED, desiredDeployment, podSelector } from './deployment.ts';
import { desiredBudget } from './disruption-budget.ts';
import { restoredMemory } from './memory.ts';
import { planPool } from './plan.ts';
import type { ObservedPool, PoolAction, PoolPlan, PoolPod } from './plan-types.ts';
import type { Memory } from './scaling.ts';
import { poolStatus } from './status.ts';

const NOW = Date.parse('2026-05-06T07:08:09Z');
/** Of a process that runs for an hour. */
const MONOTONIC = 3_600_000;
const AUTO: WorkerPoolSpecInput = { autoscaling: { maxReplicas: 10 }, tasks: ['Activities'] };

interface Given {
  readonly spec?: WorkerPoolSpecInput;
  readonly metadata?: object;
  /** 'inForce': as the operator would apply it with `replicas`, all pods ready. */
  readonly deployment?: 'inForce' | 'absent' | Deployment;
  readonly replicas?: number;
  readonly load?:
    | 'away'
    | {
        readonly queues?: Load['queues'];
        readonly otherWorkflows?: number;
        readonly workers?: Load['workers'] | WorkerLoad[];
      };
  readonly activeRuns?: boolean;
  readonly others?: ObservedPool['others'];
  readonly pods?: readonly PoolPod[];
  readonly memory?: Memory;
  readonly applied?: Applied;
}

function pool(spec: object, metadata: object = {}): WorkerPool {
  return {
    apiVersion: 'pipeline.ooni.org/v1alpha1',
    kind: 'WorkerPool',
    metadata: { name: 'main', namespace: 'data', uid: 'uid-1', generation: 1, ...metadata },
    spec,
  } as WorkerPool;
}

function deploymentOf(object: WorkerPool, replicas: number): Deployment {
  const spec = specOf(WORKER_POOL, object);
  if (spec instanceof Error) throw spec;
  const made = desiredDeployment(object, spec, replicas, POOL_SETTINGS);
  return {
    ...made,
    metadata: { ...made.metadata, generation: 4 },
    status: { observedGeneration: 4, replicas, readyReplicas: replicas, updatedReplicas: replicas },
  };
}

function given(what: Given): ObservedPool {
  const {
    spec = { replicas: 2 },
    metadata,
    deployment = 'inForce',
    replicas = spec.replicas ?? 2,
    load = {},
    pods = [],
    memory,
    applied,
    others = [],
    activeRuns = false,
  } = what;
  const object = pool(spec, metadata);
  return {
    object,
    spec: specOf(WORKER_POOL, object),
    deployment:
      deployment === 'absent' ? undefined : deployment === 'inForce' ? deploymentOf(object, replicas) : deployment,
    budget: desiredBudget(object),
    pods,
    load:
      load === 'away'
        ? { known: false, message: 'no connection' }
        : {
            known: true,
            value: {
              at: NOW,
              queues: load.queues ?? [],
              ...(load.otherWorkflows !== undefined && { otherWorkflows: load.otherWorkflows }),
              workers: Array.isArray(load.workers ?? [])
                ? { known: true, value: (load.workers ?? []) as WorkerLoad[] }
                : (load.workers as Load['workers']),
            },
          },
    versions: { versions: { known: false, message: 'off' }, draining: [], elsewhere: new Map() },
    activeRuns,
    others,
    monotonic: MONOTONIC,
    memory,
    applied,
  };
}

function plan(what: Given): PoolPlan {
  const observed = given(what);
  const result = planPool(observed, POOL_SETTINGS, NOW);
  const conditions = merge(undefined, desiredConditions(result.summary, result.own), 1, NOW);
  expect(lint({ observedGeneration: 1, conditions })).toEqual([]);
  return result;
}
const applied = (result: PoolPlan): Deployment => {
  const action = result.actions.find((one): one is Extract<PoolAction, { do: 'apply' }> => one.do === 'apply');
  if (!action) throw new Error('nothing is applied');
  return action.deployment;
};
const activities = (backlog: number) => ({
  queue: 'oonipipeline-ooni-activities',
  tasks: 'Activities' as const,
  stats: { backlog, backlogAge: 0, addRate: 0, dispatchRate: 0 },
});
const worker = (identity: string, usedSlots: number, over: Partial<WorkerLoad> = {}): WorkerLoad => ({
  identity,
  queue: 'oonipipeline-ooni-activities',
  tasks: 'Activities',
  usedSlots,
  age: 5_000,
  ...over,
});
const pod = (name: string, over: Partial<PoolPod> = {}): PoolPod => ({
  name,
  ready: true,
  since: NOW - 600_000,
  ...over,
});

describe('a pool of fixed size', () => {
  test('an absent Deployment is applied without force', () => {
    const result = plan({ deployment: 'absent' });
    expect(result.actions).toMatchObject([{ do: 'apply', force: false }]);
    expect(result.summary).toMatchObject({ kind: 'working', reason: 'RollingOut' });
  });

  test('a Deployment as desired is not changed', () => {
    expect(plan({})).toMatchObject({ actions: [], desired: 2, summary: { kind: 'ready', reason: 'Available' } });
  });

  test('replicas of the spec are applied, up and down', () => {
    expect(applied(plan({ spec: { replicas: 5 }, replicas: 2 })).spec?.replicas).toBe(5);
    expect(applied(plan({ spec: { replicas: 0 }, replicas: 2 })).spec?.replicas).toBe(0);
  });

  test('drift is repaired, additions by others stay', () => {
    const object = pool({ replicas: 2 });
    const live = structuredClone(deploymentOf(object, 2)) as Deployment;
    const template = live.spec?.template as NonNullable<Deployment['spec']>['template'];
    template.metadata = { ...template.metadata, annotations: { 'kubectl.kubernetes.io/restartedAt': 'now' } };
    expect(plan({ deployment: live }).actions).toEqual([]);
    const container = template.spec?.containers[0];
    if (!container) throw new Error('no container');
    container.image = 'other';
    const repair = plan({ deployment: live });
    expect(repair.actions).toMatchObject([{ do: 'apply', force: true }]);
    expect(JSON.stringify(applied(repair))).not.toContain('restartedAt');
  });

  test('the hash shows that a field was removed from the template', () => {
    const before = deploymentOf(pool({ replicas: 2, template: { spec: { priorityClassName: 'high' } } }), 2);
    expect(plan({ deployment: before }).actions).toHaveLength(1);
  });

  test('the load does not matter, and Temporal may be unavailable', () => {
    expect(plan({ load: 'away' })).toMatchObject({ actions: [], summary: { reason: 'Available' }, own: [] });
  });
});

describe('the pod', () => {
  const spec = (over: object = {}) => {
    const template = applied(
      plan({ deployment: 'absent', spec: { replicas: 1, drainTimeout: '5m', slots: 3, ...over } }),
    ).spec?.template;
    return template as NonNullable<typeof template>;
  };

  test('is restricted, has probes, gets its slots, and ends after its drain time', () => {
    const { spec: pod, metadata } = spec();
    expect(metadata?.labels).toMatchObject({ 'pipeline.ooni.org/pool': 'main' });
    expect(pod).toMatchObject({
      terminationGracePeriodSeconds: 330,
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    });
    expect(pod?.containers[0]).toMatchObject({
      name: 'worker',
      image: 'registry/ooni:1',
      args: ['worker/main.ts'],
      envFrom: [{ configMapRef: { name: 'ooni-settings' } }, { secretRef: { name: 'ooni-secret' } }],
      securityContext: {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      },
    });
    const env = Object.fromEntries((pod?.containers[0]?.env ?? []).map(({ name, value }) => [name, value]));
    expect(env).toMatchObject({
      WORKER_TASKS: 'Workflows,Activities',
      WORKER_SLOTS: '3',
      WORKER_DRAIN_TIMEOUT: '300',
      WORKER_HEALTH_ADDRESS: '$(POD_IP):8080',
    });
    const names = Object.keys(env);
    expect(names.indexOf('POD_IP')).toBeLessThan(names.indexOf('WORKER_HEALTH_ADDRESS'));
  });

  test('has the fields of the template, except those that would break the pool', () => {
    const { spec: pod, metadata } = spec({
      template: {
        metadata: { labels: { team: 'x', 'pipeline.ooni.org/pool': 'other' } },
        spec: {
          containers: [
            {
              name: 'worker',
              image: 'mine',
              env: [
                { name: 'WORKER_SLOTS', value: '99' },
                { name: 'LOG_LEVEL', value: 'debug' },
              ],
            },
          ],
        },
      },
    });
    expect(metadata?.labels).toMatchObject({ team: 'x', 'pipeline.ooni.org/pool': 'main' });
    expect(pod?.containers[0]?.image).toBe('mine');
    const env = Object.fromEntries((pod?.containers[0]?.env ?? []).map(({ name, value }) => [name, value]));
    expect(env).toMatchObject({ WORKER_SLOTS: '3', LOG_LEVEL: 'debug' });
  });

  test('the selector of the scale subresource selects exactly its labels', () => {
    const labels = spec().metadata?.labels ?? {};
    for (const term of podSelector('main').split(',')) {
      const [key, value] = term.split('=') as [string, string];
      expect(labels[key]).toBe(value);
    }
  });
});

describe("somebody else's Deployment", () => {
  const foreign = (ownerReferences?: object[]): Deployment => {
    const made = deploymentOf(pool({ replicas: 2 }), 2);
    return { ...made, metadata: { ...made.metadata, ownerReferences } } as Deployment;
  };

  test('without an owner is refused, and adopted with the annotation', () => {
    const refused = plan({ deployment: foreign() });
    expect(refused).toMatchObject({ actions: [], summary: { kind: 'stalled', reason: 'AdoptionRefused' } });
    expect(refused.summary.message).toContain('pipeline.ooni.org/adopt: "true"');
    const metadata = { annotations: { 'pipeline.ooni.org/adopt': 'true' } };
    expect(plan({ deployment: foreign(), metadata }).actions).toMatchObject([{ do: 'apply', force: true }]);
  });

  test('of another controller is refused even with the annotation', () => {
    const owner = { apiVersion: 'apps.example/v1', kind: 'App', name: 'app', uid: 'uid-9', controller: true };
    const metadata = { annotations: { 'pipeline.ooni.org/adopt': 'true' } };
    expect(plan({ deployment: foreign([owner]), metadata }).summary.reason).toBe('AdoptionRefused');
  });

  test('of a former pool of the same name is waited for', () => {
    const owner = {
      apiVersion: 'pipeline.ooni.org/v1alpha1',
      kind: 'WorkerPool',
      name: 'main',
      uid: 'uid-0',
      controller: true,
    };
    expect(plan({ deployment: foreign([owner]) })).toMatchObject({ actions: [], summary: { kind: 'working' } });
  });
});

describe('autoscaling', () => {
  test('follows the load and reports each step', () => {
    const result = plan({ spec: AUTO, replicas: 1, load: { queues: [activities(8)] } });
    expect(result.desired).toBe(4);
    expect(result.decision).toMatchObject({ needed: 4, desired: 4 });
    expect(result.own).toMatchObject([{ type: 'ScalingActive', status: 'True', reason: 'FollowingLoad' }]);
    expect(applied(result).spec?.replicas).toBe(4);
  });

  test('holds the replicas while Temporal is unavailable', () => {
    const result = plan({ spec: AUTO, replicas: 7, load: 'away' });
    expect(result).toMatchObject({ actions: [], desired: 7 });
    expect(result.own).toMatchObject([{ status: 'Unknown', reason: 'TemporalUnavailable' }]);
  });

  test('gives active runs the pods that the load required lately, while Temporal is unavailable for longer', () => {
    const memory: Memory = {
      recommendations: [
        { since: MONOTONIC - 120_000, replicas: 6 },
        { since: MONOTONIC - 60_000, replicas: 0 },
      ],
      changes: [],
      unknownSince: MONOTONIC - 40_000,
    };
    const result = plan({ spec: AUTO, replicas: 0, load: 'away', memory, activeRuns: true });
    expect(result.desired).toBe(6);
    expect(result.own).toMatchObject([
      {
        ...{ status: 'Unknown', reason: 'TemporalUnavailable' },
        message: 'no connection; runs are active, so the pool gets 6 pods, as the load required lately.',
      },
    ]);
    expect(result.events).toMatchObject([
      { note: 'Scaled from 0 to 6 pods: the load is not known, but runs are active.' },
    ]);
  });

  test.each([
    ['silent', []],
    ['without a report of its slots', [worker('main-1', 0, { usedSlots: undefined })]],
    ['stale', [worker('main-1', 0, { age: 200_000 })]],
  ])('a pod whose worker is %s does not count as idle', (_, workers) => {
    const result = plan({ spec: AUTO, replicas: 1, load: { queues: [activities(0)], workers }, pods: [pod('main-1')] });
    expect(result.desired).toBe(1);
    expect(result.own).toMatchObject([{ status: 'Unknown', reason: 'SignalMissing' }]);
  });

  test('a silent pod prevents scaling down, not scaling up', () => {
    const pods = [pod('main-1'), pod('main-2')];
    const workers = [worker('main-1', 2)];
    const up = plan({ spec: AUTO, replicas: 2, load: { queues: [activities(8)], workers }, pods });
    // (8 + 2) / 2
    expect(up.desired).toBe(5);
    expect(up.own).toMatchObject([{ type: 'ScalingActive', status: 'Unknown', reason: 'SignalMissing' }]);
    const memory: Memory = { recommendations: [], changes: [] };
    const down = plan({ spec: AUTO, replicas: 2, load: { queues: [activities(0)], workers }, pods, memory });
    expect(down.desired).toBe(2);
    expect(down.memory?.idleSince).toBeUndefined();
  });

  test('a queue without statistics is unknown, not empty', () => {
    const memory: Memory = { recommendations: [], changes: [], idleSince: 0 };
    const queues = [{ ...activities(0), stats: undefined }];
    const result = plan({ spec: AUTO, replicas: 4, load: { queues }, memory });
    expect(result).toMatchObject({ actions: [], desired: 4 });
    expect(result.own).toMatchObject([{ status: 'Unknown', reason: 'SignalMissing' }]);
    expect(result.own[0]?.message).toContain('oonipipeline-ooni-activities');
  });

  test('with a server that cannot list workers, a pool grows with the backlog and does not shrink', () => {
    const workers = { known: false, message: 'unknown method ListWorkers' } as const;
    const pods = [pod('main-1')];
    expect(plan({ spec: AUTO, replicas: 1, load: { queues: [activities(8)], workers }, pods }).desired).toBe(4);
    const idle = plan({ spec: AUTO, replicas: 1, load: { queues: [activities(0)], workers }, pods });
    expect(idle).toMatchObject({ actions: [], desired: 1 });
    expect(idle.own[0]?.message).toContain('ListWorkers');
  });

  test('of ten pods with one busy slot each, none is removed', () => {
    const names = Array.from({ length: 10 }, (_, index) => `main-${index}`);
    const memory: Memory = { recommendations: [], changes: [] };
    const load = { queues: [activities(0)], workers: names.map(name => worker(name, 1)) };
    const result = plan({ spec: AUTO, replicas: 10, load, pods: names.map(name => pod(name)), memory });
    expect(result.desired).toBe(10);
    expect(result.decision).toMatchObject({ occupied: 10 });
  });

  test('pools that serve one queue share its backlog', () => {
    const other = { tasks: ['Activities'] as const, slots: 2, mostPods: 10 };
    const load = { queues: [activities(16)] };
    // 16 / 2 = 8 pods in all.
    expect(plan({ spec: AUTO, replicas: 1, load }).desired).toBe(8);
    expect(plan({ spec: AUTO, replicas: 1, load, others: [other] }).desired).toBe(4);
    expect(plan({ spec: AUTO, replicas: 1, load, others: [{ ...other, tasks: ['Workflows'] }] }).desired).toBe(8);
  });

  test('the status holds the memory, by which another process continues the windows', () => {
    const memory: Memory = {
      recommendations: [{ since: MONOTONIC - 60_000, replicas: 7 }],
      changes: [{ at: MONOTONIC - 1_000, delta: 2 }],
    };
    const observed = given({ spec: AUTO, replicas: 7, load: { queues: [activities(0)] }, memory });
    const result = planPool(observed, POOL_SETTINGS, NOW);
    const status = poolStatus(observed, result, { url: '', namespace: '' }, NOW);
    // Another process has another monotonic clock, and a wall clock that is 2 s behind.
    const restored = restoredMemory(status.scalingMemory, { wall: NOW - 2_000, monotonic: 5 });
    expect(restored?.recommendations).toEqual([
      { since: 5 - 58_000, replicas: 7 },
      { since: 5, replicas: 0 },
    ]);
    expect(restored?.changes).toEqual([{ at: 5, delta: 2 }]);
    expect(restored?.idleSince).toBe(5);
    expect(restoredMemory(undefined, { wall: NOW, monotonic: 5 })).toBeUndefined();
  });

  test('does not expect a report of a pod that has just started', () => {
    const pods = [pod('main-1', { since: NOW - 10_000 })];
    expect(plan({ spec: AUTO, replicas: 1, load: { queues: [activities(8)] }, pods }).desired).toBe(4);
  });

  test('workers of other pools do not count as ours', () => {
    const load = { queues: [activities(0)], workers: [worker('main-1', 2), worker('other-1', 20)] };
    const result = plan({ spec: AUTO, replicas: 1, load, pods: [pod('main-1')] });
    expect(result.decision).toMatchObject({ occupied: 1 });
  });

  test('before scaling down, idle pods get the lowest deletion cost', () => {
    const memory: Memory = { recommendations: [], changes: [], idleSince: 0 };
    const result = plan({
      spec: AUTO,
      replicas: 3,
      memory,
      load: { queues: [activities(0)], workers: [worker('main-1', 2), worker('main-2', 0), worker('main-3', 1)] },
      pods: [pod('main-1'), pod('main-2'), pod('main-3', { cost: '1' })],
    });
    expect(result.desired).toBeLessThan(3);
    expect(result.actions.map(action => (action.do === 'cost' ? [action.pod, action.cost] : action.do))).toEqual([
      ['main-1', '2'],
      ['main-2', '-1'],
      'apply',
    ]);
  });
});

describe('rollout', () => {
  const withStatus = (status: object) => ({ ...deploymentOf(pool({ replicas: 2 }), 2), status }) as Deployment;
  test.each([
    [
      'not yet seen by Kubernetes',
      { observedGeneration: 3, replicas: 2, readyReplicas: 2, updatedReplicas: 2 },
      'RollingOut',
    ],
    ['old pods are left', { observedGeneration: 4, replicas: 3, readyReplicas: 2, updatedReplicas: 2 }, 'RollingOut'],
    ['pods are not ready', { observedGeneration: 4, replicas: 2, readyReplicas: 1, updatedReplicas: 2 }, 'RollingOut'],
    [
      'pods do not become ready',
      {
        observedGeneration: 4,
        replicas: 2,
        readyReplicas: 1,
        updatedReplicas: 2,
        conditions: [{ type: 'Progressing', status: 'False' }],
      },
      'RolloutStuck',
    ],
    ['all there', { observedGeneration: 4, replicas: 2, readyReplicas: 2, updatedReplicas: 2 }, 'Available'],
  ])('%s', (_, status, reason) => {
    expect(plan({ deployment: withStatus(status) }).summary.reason).toBe(reason);
  });

  test('the message names a new pod that cannot start, with its reason, while the old one is ready', () => {
    const status = { observedGeneration: 4, replicas: 2, readyReplicas: 1, updatedReplicas: 1 };
    const deployment = { ...deploymentOf(pool({ replicas: 1 }), 1), status } as Deployment;
    const problem = 'pod data/new: ErrImagePull: no such image';
    const pods = [pod('old', { ready: true }), pod('new', { ready: false, problem })];
    expect(plan({ spec: { replicas: 1 }, deployment, pods }).summary).toMatchObject({
      reason: 'RollingOut',
      message: '1 of 1 new pods are started, and 1 old ones still run. Pod data/new: ErrImagePull: no such image.',
    });
    const starting = [pod('old', { ready: true }), pod('new', { ready: false })];
    expect(plan({ spec: { replicas: 1 }, deployment, pods: starting }).summary.message).toContain(
      'Pod new is not ready yet.',
    );
  });

  test('the message names pods that Kubernetes rejects', () => {
    const conditions = [{ type: 'ReplicaFailure', status: 'True', message: 'exceeded quota' }];
    expect(plan({ deployment: withStatus({ observedGeneration: 4, conditions }) }).summary.message).toContain(
      'exceeded quota',
    );
  });
});

test('a pool without replicas and autoscaling starts with one pod, and keeps the number that others set', () => {
  expect(applied(plan({ spec: {}, deployment: 'absent' })).spec?.replicas).toBe(1);
  expect(plan({ spec: {}, replicas: 7 })).toMatchObject({ actions: [], desired: 7, summary: { reason: 'Available' } });
});

describe('a value that the API server writes in another form', () => {
  const spec: WorkerPoolSpecInput = {
    replicas: 2,
    template: {
      spec: {
        containers: [{ name: 'worker', resources: { requests: { cpu: 2 } }, env: [{ name: 'EMPTY', value: '' }] }],
      },
    },
  };
  const desired = deploymentOf(pool(spec), 2);
  const live = JSON.parse(
    JSON.stringify(desired)
      .replace('"cpu":2,', '"cpu":"2",')
      .replace('{"name":"EMPTY","value":""}', '{"name":"EMPTY"}'),
  ) as Deployment;

  test('is applied once, and the pool is ready', () => {
    expect(JSON.stringify(live)).not.toBe(JSON.stringify(desired));
    const first = plan({ spec, deployment: live });
    expect(first.actions).toHaveLength(1);
    expect(first.summary.reason).toBe('Available');
    const applied = appliedOf(desired, live);
    expect(plan({ spec, deployment: live, applied })).toMatchObject({ actions: [], summary: { reason: 'Available' } });
  });

  test('does not hide a change by somebody else', () => {
    const applied = appliedOf(desired, live);
    const { metadata } = live;
    const drifted = { ...live, metadata: { ...metadata, generation: 5 } };
    expect(plan({ spec, deployment: drifted, applied }).actions).toHaveLength(1);
    const disowned = { ...live, metadata: { ...metadata, labels: {} } };
    expect(plan({ spec, deployment: disowned, applied }).actions).toHaveLength(1);
    expect(plan({ spec: { ...spec, replicas: 3 }, deployment: live, applied }).actions).toHaveLength(1);
    expect(plan({ spec: { ...spec, slots: 7 }, deployment: live, applied }).actions).toHaveLength(1);
  });
});

describe('a change of size has one event, with its reason', () => {
  test.each([
    ['by hand', { spec: { replicas: 3 }, replicas: 1 }, 'Scaled from 1 to 3 pods: spec.replicas is 3.'],
    ['to one pod', { spec: { replicas: 1 }, replicas: 0 }, 'Scaled from 0 to 1 pod: spec.replicas is 1.'],
    [
      'by the load',
      { spec: AUTO, replicas: 1, load: { queues: [activities(3)] } },
      'Scaled from 1 to 2 pods: the load needs this number of pods (Activities: 3 waiting, 0 slots busy, 0.00 new/s).',
    ],
    [
      'by its bounds, the load unknown',
      { spec: { autoscaling: { minReplicas: 3, maxReplicas: 5 } }, replicas: 1, load: 'away' as const },
      'Scaled from 1 to 3 pods: the load is not known, but minReplicas and maxReplicas still apply.',
    ],
  ])('%s', (_, what, note) => {
    expect(plan(what).events).toEqual([{ type: 'Normal', reason: 'Rescaled', action: 'Scale', note }]);
  });

  test('a new pool and a constant size have no event', () => {
    expect(plan({ deployment: 'absent' }).events ?? []).toEqual([]);
    expect(plan({}).events ?? []).toEqual([]);
  });
});

test('deleted and invalid pools cause no action', () => {
  expect(plan({ metadata: { deletionTimestamp: 'x' } })).toMatchObject({
    actions: [],
    summary: { reason: 'Deleting' },
  });
  expect(plan({ spec: { slots: 0 }, deployment: 'absent' })).toMatchObject({
    actions: [],
    summary: { kind: 'stalled', reason: 'InvalidSpec' },
  });
});

describe('status', () => {
  const statusOf = (what: Given) => {
    const observed = given(what);
    return poolStatus(observed, planPool(observed, POOL_SETTINGS, NOW), { url: '', namespace: 'default' }, NOW);
  };

  test('an unknown load is left out, not zero', () => {
    const status = statusOf({ load: 'away' });
    expect(status).toMatchObject({ replicas: 2, readyReplicas: 2, desiredReplicas: 2, selector: podSelector('main') });
    expect(status.tasks).toBe('Workflows, Activities');
    expect(status.backlog).toBeUndefined();
    expect(status.queues).toBeUndefined();
  });

  test('the backlog counts only the queues of the pool', () => {
    const workflows = { ...activities(3), queue: 'oonipipeline-ooni-workflows', tasks: 'Workflows' as const };
    const status = statusOf({
      spec: { replicas: 2, tasks: ['Activities'] },
      load: { queues: [activities(8), workflows] },
    });
    expect(status.backlog).toBe(8);
    expect(status.queues).toMatchObject([{ name: 'oonipipeline-ooni-activities', backlog: 8, usedSlots: 0 }]);
  });

  test('a backlog and slots that are not known are left out', () => {
    const workers = { known: false, message: 'unknown method' } as const;
    const status = statusOf({
      load: { queues: [{ ...activities(0), stats: undefined }], workers },
      spec: { replicas: 2, tasks: ['Activities'] },
    });
    expect(status.backlog).toBeUndefined();
    expect(Object.keys(status.queues?.[0] ?? {})).toEqual(['name', 'tasks', 'observedAt']);
  });
});

test('the hash does not depend on the replicas', () => {
  const object = pool({ replicas: 2 });
  expect(deploymentOf(object, 1).metadata.annotations?.[APPLIED]).toBe(
    deploymentOf(object, 9).metadata.annotations?.[APPLIED],
  );
});

describe('a pool at zero', () => {
  const at = (replicas: number, backlog: number, otherWorkflows?: number) =>
    plan({
      spec: AUTO,
      replicas,
      load: { queues: [activities(backlog)], ...(otherWorkflows !== undefined && { otherWorkflows }) },
    }).desired;

  test('is not started by refreshes of reference data alone', () => {
    expect(at(0, 4, 0)).toBe(0);
    expect(at(0, 1, 0)).toBe(0);
  });

  // Refreshes between two attempts have no waiting task, so their number says nothing about the tasks that wait.
  test('is started by each task that may be of another workflow', () => {
    expect(at(0, 1, 1)).toBeGreaterThan(0);
    expect(at(0, 2, 1)).toBeGreaterThan(0);
    expect(at(0, 5, 0)).toBeGreaterThan(0);
    expect(at(0, 4)).toBeGreaterThan(0);
  });

  test('that has pods counts every task', () => {
    expect(at(1, 40, 0)).toBeGreaterThan(1);
  });
});

test('a template that its namespace may not use stalls the pool, and nothing is applied', () => {
  const spec = { template: { spec: { serviceAccountName: 'admin' } } };
  expect(plan({ spec, deployment: 'absent' }).actions).toMatchObject([{ do: 'apply' }]);
  const refused = plan({ spec, deployment: 'absent', metadata: { namespace: 'elsewhere' } });
  expect(refused).toMatchObject({ actions: [], summary: { kind: 'stalled', reason: 'InvalidSpec' } });
  expect(refused.summary.message).toContain('spec.template.spec.serviceAccountName: ');
});
