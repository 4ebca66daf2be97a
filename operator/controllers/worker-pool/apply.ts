import type { WorkerPool } from '../../../crds/worker-pool.ts';
import { DEPLOYMENTS, PODS } from '../../kube/builtin.ts';
import type { Client } from '../../kube/client.ts';
import { NotFoundError } from '../../kube/errors.ts';
import { DELETION_COST } from './observe.ts';
import { type Applied, appliedOf, type PoolAction } from './plan.ts';

/** Carries out one action of a plan. `remember` receives the applied state. */
export async function apply(
  client: Client,
  object: WorkerPool,
  action: PoolAction,
  signal: AbortSignal,
  remember: (applied: Applied) => void,
): Promise<boolean> {
  switch (action.do) {
    case 'apply':
      // Without force when no Deployment was seen: if somebody creates one meanwhile, that is a conflict, and it is not taken over.
      remember(
        appliedOf(
          action.deployment,
          await client.apply(DEPLOYMENTS, action.deployment, { force: action.force, signal }),
        ),
      );
      return false;
    case 'cost':
      try {
        const annotations = { [DELETION_COST]: action.cost };
        await client.patch(
          PODS,
          { name: action.pod, namespace: object.metadata.namespace },
          { metadata: { annotations } },
          { signal },
        );
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error;
      }
      return false;
  }
}
