import { SECRET_KEYS, SETTINGS } from '../pipeline/settings.ts';
import { LEASE_RULES, OPERATOR_RULES, workerSettingsRules } from './rbac.ts';

/** Namespace of the operator and its lease. */
export const OPERATOR_NAMESPACE = 'ooni-system';
/** Namespace of the examples, and so of the workers: the default of kubectl. */
export const WORK_NAMESPACE = 'default';

const NAME = 'ooni-pipeline';
/** Name of the operator's Deployment, and its label `app.kubernetes.io/name`. */
export const OPERATOR = 'ooni-operator';
const IMAGE = 'ooni-pipeline:dev';
const SELECTOR = { 'app.kubernetes.io/name': OPERATOR, 'app.kubernetes.io/part-of': NAME };
/** Labels of the Deployment and its pods: `kubectl ooni` finds the operator by them, here as in the chart. */
const LABELS = { ...SELECTOR, 'app.kubernetes.io/component': 'operator' };

/**
 * Returns the objects that a chart would install: the operator with its permissions, and the settings of the workers. `settings` by key, as
 * in SETTINGS.
 */
export function clusterObjects(settings: Readonly<Record<string, string>>): object[] {
  const environment = Object.entries(settings).map(([key, value]) => [key.toUpperCase(), value] as const);
  const secret = (key: string) => SECRET_KEYS.some(name => name.toUpperCase() === key);
  const select = (isSecret: boolean) => Object.fromEntries(environment.filter(([key]) => secret(key) === isSecret));
  const rbac = 'rbac.authorization.k8s.io/v1';
  const subjects = [{ kind: 'ServiceAccount', name: OPERATOR, namespace: OPERATOR_NAMESPACE }];
  const settingsIn = (namespace: string) => [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: NAME, namespace }, data: select(false) },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: NAME, namespace }, stringData: select(true) },
  ];
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: OPERATOR_NAMESPACE } },
    ...settingsIn(OPERATOR_NAMESPACE),
    ...settingsIn(WORK_NAMESPACE),
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: OPERATOR, namespace: OPERATOR_NAMESPACE } },
    {
      apiVersion: rbac,
      kind: 'ClusterRole',
      metadata: { name: OPERATOR },
      rules: [...OPERATOR_RULES, ...workerSettingsRules(NAME, NAME)],
    },
    {
      apiVersion: rbac,
      kind: 'ClusterRoleBinding',
      metadata: { name: OPERATOR },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: OPERATOR },
      subjects,
    },
    { apiVersion: rbac, kind: 'Role', metadata: { name: OPERATOR, namespace: OPERATOR_NAMESPACE }, rules: LEASE_RULES },
    {
      apiVersion: rbac,
      kind: 'RoleBinding',
      metadata: { name: OPERATOR, namespace: OPERATOR_NAMESPACE },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: OPERATOR },
      subjects,
    },
    operatorDeployment(),
  ];
}

function operatorDeployment(): object {
  const probe = (path: string) => ({ httpGet: { path, port: 'health' }, periodSeconds: 10, timeoutSeconds: 5 });
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: OPERATOR, namespace: OPERATOR_NAMESPACE, labels: LABELS },
    spec: {
      replicas: 1,
      selector: { matchLabels: SELECTOR },
      template: {
        metadata: { labels: LABELS },
        spec: {
          serviceAccountName: OPERATOR,
          containers: [
            {
              name: 'operator',
              image: IMAGE,
              args: ['operator/main.ts'],
              envFrom: [{ configMapRef: { name: NAME } }, { secretRef: { name: NAME } }],
              env: [
                { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
                { name: 'OPERATOR_HEALTH_ADDRESS', value: '$(POD_IP):8080' },
                { name: 'OPERATOR_LEASE_NAMESPACE', value: OPERATOR_NAMESPACE },
                // As the chart does: the tables are made while the first worker starts.
                { name: 'OPERATOR_MIGRATES', value: 'true' },
                { name: 'WORKER_IMAGE', value: IMAGE },
                { name: 'WORKER_CONFIG_MAP', value: NAME },
                { name: 'WORKER_SECRET', value: NAME },
              ],
              ports: [{ name: 'health', containerPort: 8080 }],
              readinessProbe: probe('/readyz'),
              livenessProbe: { ...probe('/healthz'), periodSeconds: 20, failureThreshold: 6 },
            },
          ],
        },
      },
    },
  };
}

/** Returns the settings in the environment of the user who starts the stack, by key. They apply to its pods. */
export function settingsFrom(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.keys(SETTINGS).flatMap(key => {
      const value = env[key.toUpperCase()];
      return value ? [[key, value]] : [];
    }),
  );
}
