import { NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { Backfill } from '../../crds/backfill.ts';
import type { PipelineSchedule } from '../../crds/pipeline-schedule.ts';
import type { WorkerPool } from '../../crds/worker-pool.ts';
import { BACKFILLS, PIPELINE_SCHEDULES, WORKER_POOLS } from '../../operator/controllers/resources.ts';
import {
  BUILD_ID,
  DRAINING_LABEL,
  desiredDeployment,
  MANAGED_BY,
  POOL_LABEL,
} from '../../operator/controllers/worker-pool/deployment.ts';
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  type Deployment,
  DISRUPTION_BUDGETS,
  PODS,
  SECRETS,
} from '../../operator/kube/builtin.ts';
import { Client } from '../../operator/kube/client.ts';
import { connectionSource } from '../../operator/kube/config.ts';
import { ForbiddenError } from '../../operator/kube/errors.ts';
import { Http } from '../../operator/kube/http.ts';
import { controllerReference, defineResource, type KubeObject } from '../../operator/kube/resource.ts';
import {
  DEFAULT_POOL_RULES,
  LEASE_RULES,
  OPERATOR_RULES,
  type PolicyRule,
  workerSettingsRules,
} from '../../operator/rbac.ts';
import { queuesOf, workerDeploymentOf } from '../../worker/contract.ts';
import { workflowCode } from '../../worker/workflow-bundle.ts';
import { ApiProxy, kubeconfigFor } from '../support/kubeconfig-proxies.ts';
import { eventually } from '../support/operator.ts';
import { OperatorBed } from '../support/operator-bed.ts';
import { emptyBuckets, StubWorker } from '../support/stub-worker.ts';

/* The operator does everything that it can do, behind a proxy. Its permissions and its requests are compared in both directions. */
const bed = new OperatorBed('operator-permissions', {
  ...{ WORKER_CONFIG_MAP: 'settings', WORKER_SECRET: 'credentials', OPERATOR_DEFAULT_POOLS: 'pools' },
  ...{ WORKER_VERSIONING: 'true', WORKER_IMAGE: 'ooni-pipeline:new' },
});
const { client, namespace } = bed;
const OLD_VERSION = 'old';
/** No node has this label, so no pod of this test ever runs. */
const NOWHERE = { spec: { nodeSelector: { nowhere: 'true' } } };
const ROLES = defineResource<KubeObject & { rules: readonly PolicyRule[] }>({
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  plural: 'roles',
  kind: 'Role',
  namespaced: true,
});

const REVIEWS = defineResource<KubeObject & { spec: object; status?: { allowed: boolean } }>({
  group: 'authorization.k8s.io',
  version: 'v1',
  plural: 'selfsubjectaccessreviews',
  kind: 'SelfSubjectAccessReview',
  namespaced: false,
});

/**
 * This permission appears in no request: the API server looks for it while it creates a Deployment that a WorkerPool owns. The last test
 * shows that it is needed.
 */
const WITHOUT_REQUEST = 'update pipeline.ooni.org/workerpools/finalizers';

const rules = [
  ...OPERATOR_RULES,
  ...LEASE_RULES,
  ...DEFAULT_POOL_RULES,
  ...workerSettingsRules('settings', 'credentials'),
];
let account: string;
let proxy: ApiProxy;
let config: Awaited<ReturnType<typeof kubeconfigFor>>;
let stub: StubWorker;
const connections: NativeConnection[] = [];
const workers: { readonly worker: Worker; readonly done: Promise<void> }[] = [];

beforeAll(async () => {
  // By default a worker reports its slots once a minute.
  Runtime.install({ workerHeartbeatInterval: '1s' });
  await bed.prepare();
  account = bed.env.KUBECONFIG as string;
  proxy = new ApiProxy(account);
  config = await kubeconfigFor(await proxy.start());
  bed.env.KUBECONFIG = config.path;
  const address = inject('temporalAddress');
  stub = await StubWorker.start({ address, namespace, installation: 'ooni', activities: emptyBuckets(['2024-01-01']) });
});

afterAll(async () => {
  for (const { worker } of workers) worker.shutdown();
  await Promise.all(workers.map(({ done }) => done));
  await stub?.stop();
  for (const connection of connections) await connection.close();
  await bed.stop();
  await proxy?.stop();
  await config?.remove();
});

/** Each worker needs a connection of its own, because one connection has at most one worker for a queue. */
async function connect(): Promise<NativeConnection> {
  const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  connections.push(connection);
  return connection;
}

function run(worker: Worker): void {
  workers.push({ worker, done: worker.run() });
}

const apply = (resource: typeof CONFIG_MAPS, name: string, data: Record<string, string>) =>
  client.apply(resource, { metadata: { name, namespace }, data } as never, { force: true });
const poolSpec = JSON.stringify({ replicas: 0, template: NOWHERE });

/** A permission as the API server looks for it, and in one line. */
interface Permission {
  readonly attributes: {
    readonly group: string;
    readonly resource: string;
    readonly subresource?: string;
    readonly verb: string;
    readonly name?: string;
    readonly namespace: string;
  };
  readonly text: string;
}

/** Returns the permissions that a request needs. */
function permissionsOf({ method, url, status }: ApiProxy['seen'][number]): Permission[] {
  const { pathname, searchParams } = new URL(url, 'http://proxy');
  const found = /^\/(?:api\/v1|apis\/([^/]+)\/[^/]+)\/namespaces\/([^/]+)\/([^/]+)(?:\/([^/]+)(?:\/([^/]+))?)?$/.exec(
    pathname,
  );
  if (!found) throw new Error(`request of an unknown form: ${method} ${url}`);
  const [, group = '', namespace = '', resource = '', inPath, subresource] = found;
  // The API server takes the name of a list from its field selector.
  const name = inPath ?? /^metadata\.name=(.+)$/.exec(searchParams.get('fieldSelector') ?? '')?.[1];
  const read = inPath ? 'get' : searchParams.get('watch') === 'true' ? 'watch' : 'list';
  const first = { GET: read, POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }[method] ?? method;
  // A server-side apply of an absent object needs both permissions.
  const verbs = method === 'PATCH' && status === 201 ? [first, 'create'] : [first];
  return verbs.map(verb => ({
    attributes: { group, resource, namespace, verb, ...(subresource && { subresource }), ...(name && { name }) },
    text: `${verb} ${group}/${resource}${subresource ? `/${subresource}` : ''}`,
  }));
}

const observed = () => new Set(proxy.seen.flatMap(permissionsOf).map(({ text }) => text));
const denied = () => proxy.seen.filter(({ status }) => status === 403);

/** Waits as `eventually` does, but fails at once with the requests that the API server denied. */
async function reached(look: () => Promise<boolean>, seconds?: number): Promise<void> {
  await eventually(async () => denied().length > 0 || (await look()), seconds);
  expect(denied()).toEqual([]);
}
const seen = (permission: string) => reached(async () => observed().has(permission));

/** Returns the permissions of some rules, each in one line. */
const granted = (some: readonly PolicyRule[]) =>
  some.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap(group => resources.flatMap(resource => verbs.map(verb => `${verb} ${group}/${resource}`))),
  );

test('the operator uses each of its permissions, and no request is denied', async () => {
  await apply(CONFIG_MAPS, 'settings', { LOG_LEVEL: 'info' });
  await apply(SECRETS as never, 'credentials', {});
  await apply(CONFIG_MAPS, 'pools', { base: poolSpec });
  bed.startOperator();

  // A default pool is created, and deleted.
  await seen('create pipeline.ooni.org/workerpools');
  await apply(CONFIG_MAPS, 'pools', {});
  await seen('delete pipeline.ooni.org/workerpools');

  const spec = { startAt: '2024-01-01', endAt: '2024-01-02', ttlAfterFinished: '1s' };
  await client.create(BACKFILLS, { metadata: { name: 'brief', namespace }, spec } as Backfill);
  const schedule = { schedule: '0 2 29 2 *' };
  await client.create(PIPELINE_SCHEDULES, {
    metadata: { name: 'never', namespace },
    spec: schedule,
  } as PipelineSchedule);

  // Scaling down a pool whose pods report their slots sets the cost of deletion; the event of the second time is added to the first.
  const pool = { metadata: { name: 'scaled', namespace }, spec: { replicas: 2, template: NOWHERE } };
  await client.create(WORKER_POOLS, pool as unknown as WorkerPool);
  let pods: readonly KubeObject[] = [];
  await reached(async () => {
    pods = await client.list(PODS, { namespace, labelSelector: `${POOL_LABEL}=scaled` });
    return pods.length === 2;
  });
  for (const { metadata } of pods) {
    const taskQueue = queuesOf('ooni').activities;
    run(
      await Worker.create({
        connection: await connect(),
        namespace,
        taskQueue,
        activities: emptyBuckets([]),
        identity: metadata.name,
      }),
    );
  }
  const scale = async (replicas: number) => {
    await client.patch(WORKER_POOLS, { name: 'scaled', namespace }, { spec: { replicas } });
    await reached(async () => {
      const found = await client.get(DEPLOYMENTS, { name: 'ooni-worker-scaled', namespace });
      return found.spec?.replicas === replicas;
    });
  };
  await reached(async () => {
    await scale(1);
    await scale(2);
    return observed().has('patch /pods') && observed().has('patch /events');
  }, 300);

  // The Deployment of a former version is deleted when Temporal knows that the version has no work.
  const owner = await client.get(WORKER_POOLS, { name: 'scaled', namespace });
  const version = { buildId: OLD_VERSION, deploymentName: workerDeploymentOf('ooni') };
  const workerDeploymentOptions = { version, useWorkerVersioning: true, defaultVersioningBehavior: 'PINNED' } as const;
  const taskQueue = queuesOf('ooni').workflows;
  run(
    await Worker.create({
      connection: await connect(),
      namespace,
      taskQueue,
      workerDeploymentOptions,
      ...workflowCode(),
    }),
  );
  const labels = { ...MANAGED_BY, [DRAINING_LABEL]: 'scaled', 'app.kubernetes.io/name': 'former' };
  await client.create(DEPLOYMENTS, {
    metadata: {
      ...{ name: 'former', namespace, labels, annotations: { [BUILD_ID]: OLD_VERSION } },
      ownerReferences: [controllerReference(WORKER_POOLS, owner)],
    },
    spec: {
      ...{ replicas: 0, selector: { matchLabels: labels } },
      template: { metadata: { labels }, spec: { containers: [{ name: 'worker', image: 'none' }] } },
    },
  } as unknown as Deployment);
  await reached(async () => {
    await client.patch(
      WORKER_POOLS,
      { name: 'scaled', namespace },
      { metadata: { annotations: { look: String(Date.now()) } } },
    );
    return observed().has('delete apps/deployments');
  }, 300);
  await seen('delete pipeline.ooni.org/backfills');

  // With worker_disruption_budgets off, the budgets of the pools are deleted.
  expect(await bed.operator.stop()).toBe(0);
  bed.env.WORKER_DISRUPTION_BUDGETS = 'false';
  bed.startOperator();
  await reached(async () => (await client.list(DISRUPTION_BUDGETS, { namespace })).length === 0);

  const all = granted(rules).filter(permission => permission !== WITHOUT_REQUEST);
  await eventually(async () => all.every(permission => observed().has(permission))).catch(() => {});
  expect([...observed()].sort()).toEqual(all.sort());
  expect(denied()).toEqual([]);
});

/** Returns the rules without one permission. */
const without = (permission: string): PolicyRule[] =>
  rules.flatMap(({ apiGroups, resources, verbs, ...names }) =>
    apiGroups.flatMap(group =>
      resources.flatMap(resource => {
        const left = verbs.filter(verb => `${verb} ${group}/${resource}` !== permission);
        // A rule without verbs is invalid.
        return left.length === 0 ? [] : [{ apiGroups: [group], resources: [resource], verbs: left, ...names }];
      }),
    ),
  );

test('without any one of its permissions, a request that the operator has made is denied', async () => {
  const http = new Http(connectionSource({ kubeconfig: account }));
  const operator = new Client(http, { fieldManager: 'ooni-operator' });
  const allows = async ({ attributes }: Permission) => {
    const { status } = await operator.create(REVIEWS, {
      metadata: { name: '' },
      spec: { resourceAttributes: attributes },
    });
    return status?.allowed === true;
  };
  const role = { name: 'ooni-operator', namespace };
  const requests = new Map(proxy.seen.flatMap(permissionsOf).map(one => [one.text, one]));
  try {
    for (const [permission, request] of requests) {
      expect([permission, await allows(request)]).toEqual([permission, true]);
      await client.patch(ROLES, role, { rules: without(permission) });
      await eventually(async () => !(await allows(request)), 20).catch(() => {
        throw new Error(`without "${permission}" the request is still allowed`);
      });
      await client.patch(ROLES, role, { rules });
      await eventually(() => allows(request));
    }
  } finally {
    await client.patch(ROLES, role, { rules });
    await http.close();
  }
});

test('without the permission for finalizers of a WorkerPool, its Deployment is forbidden', async () => {
  const http = new Http(connectionSource({ kubeconfig: account }));
  const operator = new Client(http, { fieldManager: 'ooni-operator' });
  const pool = await client.get(WORKER_POOLS, { name: 'scaled', namespace });
  const settings = { installation: 'ooni', worker_image: 'none', worker_versioning: false };
  const none = { worker_template_namespaces: [], worker_config_map: '', worker_secret: '' };
  const deployment = desiredDeployment(
    { ...pool, metadata: { ...pool.metadata, name: 'other' } },
    { ...pool.spec, tasks: ['Workflows'], slots: 1, drainTimeout: '1s', template: {} } as never,
    0,
    { ...settings, ...none } as never,
  );
  // The owner exists; only the name of the Deployment is new.
  const target = {
    ...deployment,
    metadata: { ...deployment.metadata, ownerReferences: [controllerReference(WORKER_POOLS, pool)] },
  };
  const attempt = () =>
    operator.apply(DEPLOYMENTS, target as never, { dryRun: true }).then(
      () => 'allowed',
      error => (error instanceof ForbiddenError ? 'forbidden' : Promise.reject(error)),
    );
  try {
    expect(await attempt()).toBe('allowed');
    await client.patch(ROLES, { name: 'ooni-operator', namespace }, { rules: without(WITHOUT_REQUEST) });
    await eventually(async () => (await attempt()) === 'forbidden');
  } finally {
    await client.patch(ROLES, { name: 'ooni-operator', namespace }, { rules });
    await http.close();
  }
});
