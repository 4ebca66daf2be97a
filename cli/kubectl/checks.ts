import { z } from 'zod';
import { KINDS } from '../../crds/kinds.ts';
import { GROUP, VERSION } from '../../crds/resource.ts';
import { CONFIG_MAPS, CRDS, DEPLOYMENTS, type Deployment, LEASES, NAMESPACES } from '../../operator/kube/builtin.ts';
import type { Client } from '../../operator/kube/client.ts';
import { ForbiddenError, KubeError } from '../../operator/kube/errors.ts';
import { defineResource, type KubeObject } from '../../operator/kube/resource.ts';
import { OPERATOR_RULES, workerSettingsRules } from '../../operator/rbac.ts';
import { bad, type Check, checker, ok } from './check.ts';
import { OPERATOR_SELECTOR } from './operator-selector.ts';

const check = checker(KubeError);

/** Seconds of difference between two clocks from which leases and timestamps mislead. */
const SKEW = 5;

/** Runs the checks of a cluster whose API server answers. `now` returns milliseconds since 1970. */
export async function clusterChecks(client: Client, namespace: string, now: () => number): Promise<Check[]> {
  const [kinds, permissions, clock, operator] = await Promise.all([
    Promise.all(KINDS.map(kind => checkKind(client, kind.plural, fieldsOf(kind.spec)))),
    checkPermissions(client, namespace),
    checkClock(client, namespace, now),
    checkOperators(client),
  ]);
  return [...kinds, permissions, clock, ...operator];
}

/** Checks whether the API server answers. If it does not, nothing in its cluster can be checked. */
export async function checkServer(client: Client): Promise<Check> {
  const remedy = 'check the cluster with kubectl cluster-info, or choose another one with --context or KUBECONFIG';
  const result = await check('API server', remedy, async signal => {
    const { gitVersion } = await client.http.request<{ gitVersion?: string }>({
      method: 'GET',
      path: '/version',
      signal,
    });
    return ok(`answers; Kubernetes ${gitVersion ?? 'of an unknown version'}`);
  });
  return result.state === 'unknown' ? { ...result, state: 'failed' } : result;
}

/** Returns the names of the fields of a spec. */
function fieldsOf(spec: z.ZodType): string[] {
  return spec instanceof z.ZodObject ? Object.keys(spec.shape) : [];
}

function checkKind(client: Client, plural: string, fields: readonly string[]): Promise<Check> {
  const remedy =
    'apply the CRDs of this version: kubectl apply --server-side -f crds/yaml, or upgrade the chart ooni-pipeline-crds';
  return check(`CRD ${plural}`, remedy, async () => {
    const found = await client.find(CRDS, { name: `${plural}.${GROUP}` });
    if (!found) return bad('failed', 'is not installed', remedy);
    const version = found.spec?.versions?.find(({ name }) => name === VERSION);
    if (!version?.served) return bad('failed', `does not serve ${VERSION}`, remedy);
    const has = Object.keys(version.schema?.openAPIV3Schema?.properties?.spec?.properties ?? {});
    const missing = fields.filter(field => !has.includes(field));
    if (missing.length > 0) return bad('warning', `is of an older version: it lacks ${missing.join(', ')}`, remedy);
    return ok(`serves ${VERSION}`);
  });
}

interface AccessReview extends KubeObject {
  spec: object;
  status?: { allowed?: boolean };
}
const SELF_REVIEWS = defineResource<AccessReview>({
  group: 'authorization.k8s.io',
  version: 'v1',
  plural: 'selfsubjectaccessreviews',
  kind: 'SelfSubjectAccessReview',
  namespaced: false,
});
const REVIEWS = defineResource<AccessReview>({
  group: 'authorization.k8s.io',
  version: 'v1',
  plural: 'subjectaccessreviews',
  kind: 'SubjectAccessReview',
  namespaced: false,
});

function checkPermissions(client: Client, namespace: string): Promise<Check> {
  const remedy = `ask an administrator for get, list, create and patch of backfills, pipelineschedules and workerpools in the namespace ${namespace}`;
  return check('your permissions', remedy, async () => {
    const found = await client.find(NAMESPACES, { name: namespace }).catch((error: unknown) => {
      if (error instanceof ForbiddenError) return 'unknown';
      throw error;
    });
    if (!found) {
      return bad('failed', `the namespace ${namespace} does not exist`, 'choose another one of kubectl get namespaces');
    }
    const denied: string[] = [];
    for (const { plural } of KINDS) {
      for (const verb of ['get', 'list', 'create', 'patch']) {
        const resourceAttributes = { group: GROUP, resource: plural, verb, namespace };
        const { status } = await client.create(SELF_REVIEWS, { metadata: { name: '' }, spec: { resourceAttributes } });
        if (!status?.allowed) denied.push(`${verb} ${plural}`);
      }
    }
    return denied.length === 0
      ? ok(`you may use the kinds in ${namespace}`)
      : bad('warning', `you may not ${denied.join(', ')}`, remedy);
  });
}

function checkClock(client: Client, namespace: string, now: () => number): Promise<Check> {
  const remedy = 'synchronise the clocks (NTP) of this machine and of the control plane';
  return check('clock', remedy, async () => {
    const before = now();
    const object = { metadata: { name: 'ooni-doctor', namespace }, data: {} };
    const { metadata } = await client.create(CONFIG_MAPS, object, { dryRun: true });
    const server = Date.parse(metadata.creationTimestamp ?? '');
    if (Number.isNaN(server)) return bad('unknown', 'the API server gave no time', remedy);
    // The server cuts its time to seconds.
    const skew = Math.max(0, before - server - 1000, server - now()) / 1000;
    return skew > SKEW
      ? bad('warning', `differs from that of the API server by ${Math.round(skew)} s`, remedy)
      : ok('agrees with that of the API server');
  });
}

const OPERATOR_REMEDY = 'install the chart ooni-pipeline, and look at: kubectl ooni logs';

/** Checks the operators of all installations in the cluster. */
async function checkOperators(client: Client): Promise<Check[]> {
  const deployments = await client
    .list(DEPLOYMENTS, { labelSelector: OPERATOR_SELECTOR })
    .catch((error: unknown) => error as Error);
  if (deployments instanceof Error) {
    if (!(deployments instanceof KubeError)) throw deployments;
    const unknown =
      deployments instanceof ForbiddenError
        ? bad('unknown', 'you may not list Deployments', 'ask an administrator')
        : bad('unknown', deployments.message, 'check the cluster with kubectl cluster-info');
    return [{ check: 'operator', ...unknown }];
  }
  if (deployments.length === 0)
    return [{ check: 'operator', ...bad('failed', 'no Deployment has its labels', OPERATOR_REMEDY) }];
  return (await Promise.all(deployments.map(each => checkDeployment(client, each)))).flat();
}

/** Checks the operator of one installation: its pods, its lease, its image and its permissions. */
async function checkDeployment(client: Client, { metadata, spec, status }: Deployment): Promise<Check[]> {
  const { namespace = '', name } = metadata;
  const pod = spec?.template.spec;
  const environment = Object.fromEntries(
    (pod?.containers[0]?.env ?? []).map(({ name: key, value }) => [key, value ?? '']),
  );
  const available = status?.availableReplicas ?? 0;
  const account = pod?.serviceAccountName ?? 'default';
  return [
    {
      check: 'operator',
      ...(available > 0
        ? ok(`${namespace}/${name} is available`)
        : bad('failed', `${namespace}/${name} has no available pod`, OPERATOR_REMEDY)),
    },
    await checkLease(client, environment.OPERATOR_LEASE_NAMESPACE || namespace),
    imageCheck(environment, pod?.containers[0]?.image),
    await checkOperatorPermissions(client, { namespace, account, environment }),
  ];
}

function checkLease(client: Client, namespace: string): Promise<Check> {
  const remedy = 'look at: kubectl ooni logs; the operator needs get, create and update of leases in its namespace';
  return check('leader', remedy, async () => {
    const leases = await client.list(LEASES, { namespace });
    const held = leases.filter(({ metadata, spec }) => metadata.name.includes('ooni') && spec?.holderIdentity);
    const [lease] = held;
    if (!lease) return bad('failed', `no process of the operator holds a lease in ${namespace}`, remedy);
    return ok(`${lease.spec?.holderIdentity} leads`);
  });
}

function imageCheck(environment: Readonly<Record<string, string>>, image: string | undefined): Check {
  const { WORKER_IMAGE: workers } = environment;
  const remedy =
    'set the environment variable WORKER_IMAGE of the operator to its own image, so that both have one version';
  if (!workers) return { check: 'image', ...bad('failed', 'WORKER_IMAGE of the operator is empty', remedy) };
  if (image !== undefined && workers !== image) {
    return { check: 'image', ...bad('warning', `workers run ${workers}, the operator runs ${image}`, remedy) };
  }
  return { check: 'image', ...ok(workers) };
}

interface OperatorPod {
  readonly namespace: string;
  /** Name of its ServiceAccount. */
  readonly account: string;
  readonly environment: Readonly<Record<string, string>>;
}

function checkOperatorPermissions(client: Client, { namespace, account, environment }: OperatorPod): Promise<Check> {
  const remedy = 'upgrade the chart ooni-pipeline, which has the rules of this version';
  return check('RBAC of the operator', remedy, async () => {
    const { WORKER_CONFIG_MAP: configMap = '', WORKER_SECRET: secret = '' } = environment;
    const denied: string[] = [];
    for (const { apiGroups, resources, verbs, resourceNames } of [
      ...OPERATOR_RULES,
      ...workerSettingsRules(configMap, secret),
    ]) {
      const [name] = resourceNames ?? [];
      for (const resource of resources) {
        for (const verb of verbs) {
          const [plural = '', subresource] = resource.split('/');
          const resourceAttributes = { group: apiGroups[0], resource: plural, subresource, verb, name };
          const spec = { user: `system:serviceaccount:${namespace}:${account}`, resourceAttributes };
          const { status } = await client.create(REVIEWS, { metadata: { name: '' }, spec });
          if (!status?.allowed) denied.push(`${verb} ${resource}${name === undefined ? '' : ` ${name}`}`);
        }
      }
    }
    if (denied.length === 0) return ok(`${namespace}/${account} has all permissions in all namespaces`);
    return bad(
      'warning',
      `${namespace}/${account} may not, in all namespaces: ${denied.join(', ')}`,
      `${remedy}; an operator of listed namespaces needs them there only`,
    );
  });
}
