import { durationSeconds } from '../../../crds/fields.ts';
import { GROUP } from '../../../crds/resource.ts';
import type { WorkerPool, WorkerPoolSpec } from '../../../crds/worker-pool.ts';
import type { Settings } from '../../../pipeline/settings.ts';
import { hashOf } from '../../hash.ts';
import type { Deployment } from '../../kube/builtin.ts';
import { controllerReference } from '../../kube/resource.ts';
import { WORKER_POOLS } from '../resources.ts';
import { overlay } from './overlay.ts';

/** Settings of the operator about worker pods. */
export type PodSettings = Pick<
  Settings,
  | 'installation'
  | 'worker_image'
  | 'worker_versioning'
  | 'worker_template_namespaces'
  | 'worker_disruption_budgets'
  | 'worker_config_map'
  | 'worker_secret'
>;

/** Label of every Deployment and pod of ours. Its value is the name of the pool. */
export const POOL_LABEL = `${GROUP}/pool`;
export const MANAGED_BY = { 'app.kubernetes.io/managed-by': 'ooni-operator' } as const;
/** Hash of the last applied Deployment without its replicas. It shows that a field was removed from the template since. */
export const APPLIED = `${GROUP}/applied`;

/** Version of the workflow code in the pods of a Deployment; absent when they take no workflow tasks or have no version. */
export const BUILD_ID = `${GROUP}/build-id`;

/** Annotation of the pods: a hash of the ConfigMap and the Secret of their environment. */
export const SETTINGS_HASH = `${GROUP}/settings-hash`;

/** Seconds after drainTimeout before Kubernetes kills a pod: time to close connections, and a margin for a busy node. */
const MARGIN = 30;
const HEALTH_PORT = 8080;

/** Label of the Deployments and pods that keep a former version of a pool. Its value is the name of the pool. */
export const DRAINING_LABEL = `${GROUP}/draining-pool`;
const VERSION_LABEL = `${GROUP}/version`;

/** Returns the labels of the pods that keep a former version. They do not match the selector of the pool's own Deployment. */
export function drainingLabels(pool: string, buildID: string): Record<string, string> {
  return { 'app.kubernetes.io/name': 'ooni-worker', [DRAINING_LABEL]: pool, [VERSION_LABEL]: buildID };
}

/**
 * Returns the version of the workflow code in an image: its digest, or else its tag with a hash of the whole reference. It is valid as
 * a label and as a build id in Temporal.
 */
export function buildIDOf(image: string): string {
  const digest = /@sha256:([0-9a-f]{16})/.exec(image)?.[1];
  if (digest) return `sha256-${digest}`;
  const tag = /:([^/:]+)$/.exec(image)?.[1] ?? 'latest';
  return `${tag
    .replaceAll(/[^A-Za-z0-9]+/g, '-')
    .replace(/^-/, '')
    .slice(0, 40)}-${hashOf(image).slice(0, 8)}`;
}

/** Returns the name of the Deployment of a pool. */
export function deploymentName(pool: string): string {
  return `ooni-worker-${pool}`;
}

/** Returns the labels by which the Deployment of a pool selects its pods. */
export function selectorLabels(pool: string): Record<string, string> {
  return { 'app.kubernetes.io/name': 'ooni-worker', [POOL_LABEL]: pool };
}

/** Returns the label selector of a pool's pods as text, for the scale subresource and for `kubectl get pods -l`. */
export function podSelector(pool: string): string {
  return Object.entries(selectorLabels(pool))
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

/**
 * Returns the Deployment to apply for a pool: the operator's own pod, overlaid by the template of the spec, overlaid by the fields that
 * would break the pool if they differed (the pool's label, the installation, the number of slots, the kinds of tasks, the drain time).
 *
 * @param settingsHash hash of the ConfigMap and the Secret of the pods; a change replaces them
 */
export function desiredDeployment(
  pool: WorkerPool,
  spec: WorkerPoolSpec,
  replicas: number,
  settings: PodSettings,
  settingsHash?: string,
): Deployment {
  const { name, namespace } = pool.metadata;
  const labels = { ...selectorLabels(name), ...MANAGED_BY, 'app.kubernetes.io/part-of': 'ooni-pipeline' };
  const drain = durationSeconds(spec.drainTimeout) ?? 0;
  const own = overlay(ownTemplate(drain, settings), spec.template);
  const buildID = settings.worker_versioning && spec.tasks.includes('Workflows') ? buildIDOf(imageOf(own)) : undefined;
  const fixed = {
    metadata: { labels, ...(settingsHash && { annotations: { [SETTINGS_HASH]: settingsHash } }) },
    spec: {
      containers: [
        {
          name: 'worker',
          env: [
            { name: 'INSTALLATION', value: settings.installation },
            { name: 'WORKER_TASKS', value: spec.tasks.join(',') },
            { name: 'WORKER_SLOTS', value: String(spec.slots) },
            { name: 'WORKER_DRAIN_TIMEOUT', value: String(drain) },
            ...(buildID ? [{ name: 'WORKER_BUILD_ID', value: buildID }] : []),
          ],
        },
      ],
    },
  };
  const template = overlay(own, fixed) as Record<string, unknown>;
  const selector = { matchLabels: selectorLabels(name) };
  const desired = { selector, template, revisionHistoryLimit: 3 };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: deploymentName(name),
      namespace,
      labels,
      annotations: { [APPLIED]: hashOf(desired), ...(buildID && { [BUILD_ID]: buildID }) },
      ownerReferences: [controllerReference(WORKER_POOLS, pool)],
    },
    spec: { replicas, ...desired } as Deployment['spec'],
  };
}

function imageOf(template: unknown): string {
  const { spec } = template as { spec?: { containers?: { name?: string; image?: string }[] } };
  return spec?.containers?.find(({ name }) => name === 'worker')?.image ?? '';
}

function ownTemplate(drain: number, settings: PodSettings): unknown {
  const from = [
    ...(settings.worker_config_map ? [{ configMapRef: { name: settings.worker_config_map } }] : []),
    ...(settings.worker_secret ? [{ secretRef: { name: settings.worker_secret } }] : []),
  ];
  const probe = (path: string) => ({ httpGet: { path, port: 'health' }, periodSeconds: 10, timeoutSeconds: 5 });
  return {
    spec: {
      terminationGracePeriodSeconds: drain + MARGIN,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      volumes: [{ name: 'tmp', emptyDir: {} }],
      containers: [
        {
          name: 'worker',
          image: settings.worker_image,
          args: ['worker/main.ts'],
          env: [
            { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
            { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
            { name: 'WORKER_HEALTH_ADDRESS', value: `$(POD_IP):${HEALTH_PORT}` },
          ],
          ...(from.length > 0 && { envFrom: from }),
          ports: [{ name: 'health', containerPort: HEALTH_PORT }],
          readinessProbe: probe('/readyz'),
          // A worker busy with a large object may answer late. Kubernetes restarts it only after minutes without an answer.
          livenessProbe: { ...probe('/healthz'), periodSeconds: 20, failureThreshold: 6 },
          resources: { requests: { cpu: '100m', memory: '256Mi' } },
          volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
        },
      ],
    },
  };
}
