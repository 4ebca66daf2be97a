import { WORKER_POOL, type WorkerPool } from '../../../crds/worker-pool.ts';
import { canonical } from '../../hash.ts';
import { DEPLOYMENTS, type Deployment, type Pod } from '../../kube/builtin.ts';
import type { Cache, Change } from '../../kube/cache.ts';
import type { Client } from '../../kube/client.ts';
import { type Key, keyOf } from '../../kube/resource.ts';
import type { Load } from '../../temporal/load.ts';
import { ask, specOf } from '../reconcile.ts';
import { deploymentName, POOL_LABEL } from './deployment.ts';
import type { ObservedPool, PoolPod } from './plan.ts';
import { podTrouble } from './pod-trouble.ts';

export const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost';

/** Sources of the state around a pool. The caches hold the objects with our labels. */
export interface PoolSources {
  readonly client: Client;
  readonly deployments: Cache<Deployment>;
  readonly pods: Cache<Pod>;
  readonly load: () => Promise<Load>;
}

/** Reads a WorkerPool, its Deployment and pods, and the load in Temporal. */
export async function observe(
  { client, deployments, pods, load }: PoolSources,
  object: WorkerPool,
  known: Pick<ObservedPool, 'memory' | 'applied'>,
  signal: AbortSignal,
): Promise<ObservedPool> {
  const { name, namespace } = object.metadata;
  const ref = { name: deploymentName(name), namespace };
  // A Deployment without our labels is not in the cache. It must not count as absent.
  const deployment = deployments.get(keyOf(ref)) ?? (await client.find(DEPLOYMENTS, ref, { signal }));
  return {
    object,
    spec: specOf(WORKER_POOL, object),
    deployment,
    pods: [...pods.list()]
      .filter(pod => pod.metadata.namespace === namespace && pod.metadata.labels?.[POOL_LABEL] === name)
      .filter(pod => !pod.metadata.deletionTimestamp)
      .map(podOf),
    load: await ask(load()),
    ...known,
  };
}

function podOf(pod: Pod): PoolPod {
  const ready = pod.status?.conditions?.find(condition => condition.type === 'Ready');
  return {
    name: pod.metadata.name,
    ready: ready?.status === 'True',
    since: Date.parse(ready?.lastTransitionTime ?? pod.metadata.creationTimestamp ?? ''),
    cost: pod.metadata.annotations?.[DELETION_COST],
    trouble: podTrouble(pod),
  };
}

/** Returns the key of the pool that a pod belongs to. */
export function poolKeys({ metadata }: Pod): Key[] {
  const name = metadata.labels?.[POOL_LABEL];
  return name ? [keyOf({ name, namespace: metadata.namespace })] : [];
}

/** Returns whether a change of a pod affects the status of its pool: readiness, and the cause that keeps it from running. */
export function podMatters(change: Change<Pod>): boolean {
  if (change.type !== 'modified') return true;
  const seen = (pod: Pod) => [podOf(pod).ready, podTrouble(pod)];
  return canonical(seen(change.object)) !== canonical(seen(change.previous));
}
