import { KINDS } from '../crds/kinds.ts';
import { GROUP } from '../crds/resource.ts';

/** A rule in the form of rbac.authorization.k8s.io/v1. */
export interface PolicyRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

const OURS = KINDS.map(kind => kind.plural);

/**
 * Permissions of the operator in the namespaces that it watches: a ClusterRole, or a Role in each namespace of `operator_namespaces`. The
 * chart and the local stack are generated from them, and a test runs the operator with them.
 */
export const OPERATOR_RULES: readonly PolicyRule[] = [
  // patch: finalizers. delete: Backfills after their ttlAfterFinished.
  { apiGroups: [GROUP], resources: OURS, verbs: ['list', 'watch', 'patch'] },
  { apiGroups: [GROUP], resources: ['backfills'], verbs: ['delete'] },
  { apiGroups: [GROUP], resources: OURS.map(plural => `${plural}/status`), verbs: ['patch'] },
  // update: an API server with OwnerReferencesPermissionEnforcement requires it before a Deployment may name a WorkerPool as its owner.
  { apiGroups: [GROUP], resources: ['workerpools/finalizers'], verbs: ['update'] },
  // delete: the Deployment of a former version, after its last run.
  { apiGroups: ['apps'], resources: ['deployments'], verbs: ['get', 'list', 'watch', 'create', 'patch', 'delete'] },
  // patch: the deletion cost, before a pool scales down.
  { apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch', 'patch'] },
  // get: a budget without our labels. delete: after worker_disruption_budgets was set to false.
  {
    apiGroups: ['policy'],
    resources: ['poddisruptionbudgets'],
    verbs: ['get', 'list', 'watch', 'create', 'patch', 'delete'],
  },
  { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
];

/**
 * Returns the permissions of the operator for the ConfigMap and the Secret of the worker pods (`worker_config_map`, `worker_secret`), in the
 * namespaces that it watches. An empty name: none.
 */
export function workerSettingsRules(configMap: string, secret: string): PolicyRule[] {
  const rule = (resource: string, name: string): PolicyRule[] =>
    name ? [{ apiGroups: [''], resources: [resource], resourceNames: [name], verbs: ['list', 'watch'] }] : [];
  return [...rule('configmaps', configMap), ...rule('secrets', secret)];
}

/**
 * Permissions of the operator in the namespace of its lease if the setting `operator_default_pools` names a ConfigMap: a Role, beside OPERATOR_RULES,
 * because the operator also watches this namespace. The chart limits the second rule to that ConfigMap.
 */
export const DEFAULT_POOL_RULES: readonly PolicyRule[] = [
  { apiGroups: [GROUP], resources: ['workerpools'], verbs: ['create', 'delete'] },
  { apiGroups: [''], resources: ['configmaps'], verbs: ['get'] },
];

/** Permissions of the operator in the namespace of its lease (`operator_lease_namespace`): a Role. */
export const LEASE_RULES: readonly PolicyRule[] = [
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update'] },
];
