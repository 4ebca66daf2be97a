import type { WorkerPool } from '../../../crds/worker-pool.ts';
import { canonical } from '../../hash.ts';
import type { DisruptionBudget } from '../../kube/builtin.ts';
import { controllerOf, controllerReference } from '../../kube/resource.ts';
import { WORKER_POOLS } from '../resources.ts';
import { deploymentName, MANAGED_BY, type PodSettings, selectorLabels } from './deployment.ts';

export type BudgetAction =
  /** Server-side apply of the PodDisruptionBudget of a pool; `force` takes fields back from other managers. */
  | { readonly do: 'protect'; readonly budget: DisruptionBudget; readonly force: boolean }
  /** Deletes the PodDisruptionBudget of a pool. */
  | { readonly do: 'unprotect'; readonly budget: string; readonly uid: string | undefined };

/**
 * Returns the PodDisruptionBudget of a pool. With it, a drain of several nodes evicts the pods one after the other. A single pod may be
 * evicted: it writes its checkpoint, and another pod continues.
 */
export function desiredBudget(pool: WorkerPool): DisruptionBudget {
  const { name, namespace } = pool.metadata;
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: {
      name: deploymentName(name),
      namespace,
      labels: { ...selectorLabels(name), ...MANAGED_BY, 'app.kubernetes.io/part-of': 'ooni-pipeline' },
      ownerReferences: [controllerReference(WORKER_POOLS, pool)],
    },
    spec: { maxUnavailable: 1 as never, selector: { matchLabels: selectorLabels(name) } },
  };
}

/**
 * Returns the action that makes the PodDisruptionBudget of a pool as desired; none if it is. A budget that another owner or a person made
 * stays as it is. Pure.
 *
 * @param live the PodDisruptionBudget with the name of ours; undefined when there is none
 */
export function planBudget(
  pool: WorkerPool,
  live: DisruptionBudget | undefined,
  { worker_disruption_budgets: enabled }: Pick<PodSettings, 'worker_disruption_budgets'>,
): BudgetAction[] {
  const budget = desiredBudget(pool);
  if (!live) return enabled ? [{ do: 'protect', budget, force: false }] : [];
  // Kubernetes deletes the budget of a former pool of this name; the next pass creates a new one.
  if (controllerOf(live)?.uid !== pool.metadata.uid || live.metadata.deletionTimestamp) return [];
  const { minAvailable, maxUnavailable, selector } = live.spec ?? {};
  // Kubernetes accepts one of the two fields. An apply cannot remove the one that somebody else set; the next pass creates the budget again.
  if (!enabled || minAvailable !== undefined) {
    return [{ do: 'unprotect', budget: live.metadata.name, uid: live.metadata.uid }];
  }
  const same = canonical({ maxUnavailable, selector }) === canonical({ ...budget.spec });
  return same ? [] : [{ do: 'protect', budget, force: true }];
}
