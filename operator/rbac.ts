import { KINDS } from '../crds/kinds.ts';
import { GROUP } from '../crds/resource.ts';

/** A rule as rbac.authorization.k8s.io/v1 writes it. */
export interface PolicyRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

const OURS = KINDS.map(kind => kind.plural);

/**
 * What the operator may do in the namespaces it watches, and no more: a ClusterRole, or a Role in each namespace of
 * `operator_namespaces`. The chart and the local stack are made from it, and a test runs the operator with it.
 */
export const OPERATOR_RULES: readonly PolicyRule[] = [
  // patch: finalizers. delete: Backfills whose ttlAfterFinished is over.
  { apiGroups: [GROUP], resources: OURS, verbs: ['get', 'list', 'watch', 'patch'] },
  { apiGroups: [GROUP], resources: ['backfills'], verbs: ['delete'] },
  { apiGroups: [GROUP], resources: OURS.map(plural => `${plural}/status`), verbs: ['patch'] },
  // update: an API server with OwnerReferencesPermissionEnforcement asks for it before a Deployment may name a WorkerPool its owner.
  { apiGroups: [GROUP], resources: ['workerpools/finalizers'], verbs: ['update'] },
  { apiGroups: ['apps'], resources: ['deployments'], verbs: ['get', 'list', 'watch', 'create', 'patch'] },
  // patch: the deletion cost, before a pool shrinks.
  { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch', 'patch'] },
  { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
];

/** What it may do in the namespace of its lease (`operator_lease_namespace`): a Role there. */
export const LEASE_RULES: readonly PolicyRule[] = [
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update'] },
];
