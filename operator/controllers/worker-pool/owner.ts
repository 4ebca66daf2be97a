import { ANNOTATIONS, GROUP } from '../../../crds/resource.ts';
import { WORKER_POOL, type WorkerPool } from '../../../crds/worker-pool.ts';
import type { Deployment } from '../../kube/builtin.ts';
import { controllerOf, type OwnerReference } from '../../kube/resource.ts';
import { annotated, type Check, firstOf, REFRESH } from '../plan-types.ts';
import { deploymentName } from './deployment.ts';
import type { PoolPlan } from './plan-types.ts';

/** A Deployment with the name that the pool gives its own, and its managing owner. */
interface Owned {
  readonly object: WorkerPool;
  readonly name: string;
  readonly owner: OwnerReference | undefined;
}

/** Returns the plan for a Deployment with our name that belongs to somebody else; undefined when it is ours or may be taken over. */
export function notOurs(object: WorkerPool, deployment: Deployment): PoolPlan | undefined {
  const owner = controllerOf(deployment);
  if (owner?.uid === object.metadata.uid) return undefined;
  return firstOf(OWNERS, { object, name: deploymentName(object.metadata.name), owner });
}

/** Checks of a Deployment that this pool does not manage, in order. */
const OWNERS: readonly Check<Owned, PoolPlan>[] = [belongsToFormerPool, hasAnotherOwner, isNotAdopted];

function belongsToFormerPool({ name, owner }: Owned): PoolPlan | undefined {
  if (owner?.kind !== WORKER_POOL.kind || !owner.apiVersion.startsWith(`${GROUP}/`)) return undefined;
  const message = `Deployment ${name} belongs to the former WorkerPool of this name and is being deleted by Kubernetes.`;
  return { actions: [], summary: { kind: 'working', reason: 'RollingOut', message }, own: [], after: REFRESH.active };
}

function hasAnotherOwner({ name, owner }: Owned): PoolPlan | undefined {
  return owner && refused(name, `It is managed by ${owner.kind} ${owner.name}; rename the WorkerPool.`);
}

function isNotAdopted({ object, name }: Owned): PoolPlan | undefined {
  if (annotated(object, ANNOTATIONS.adopt)) return undefined;
  return refused(name, `Delete it, or annotate the WorkerPool with ${ANNOTATIONS.adopt}: "true" to take it over.`);
}

function refused(name: string, remedy: string): PoolPlan {
  const message = `Deployment ${name} exists and was not made for this resource, so it is left alone. ${remedy}`;
  return {
    actions: [],
    summary: { kind: 'stalled', reason: 'AdoptionRefused', message },
    own: [],
    after: REFRESH.idle,
  };
}
