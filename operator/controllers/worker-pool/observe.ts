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

/** Where a pool's surroundings are read. The caches hold what bears our labels. */
export interface PoolSources {
  readonly client: Client;
  readonly deployments: Cache<Deployment>;
  readonly pods: Cache<Pod>;
  readonly load: () => Promise<Load>;
}

/** Looks at a WorkerPool, its Deployment and pods, and the load in Temporal. */
export async function observe(
  { client, deployments, pods, load }: PoolSources,
  object: WorkerPool,
  known: Pick<ObservedPool, 'memory' | 'applied'>,
  signal: AbortSignal,
): Promise<ObservedPool> {
  const { name, namespace } = object.metadata;
  const ref = { name: deploymentName(name), namespace };
  // A Deployment without our labels is in no cache of ours, and must not be taken for absent.
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

/** The pool that a pod belongs to. */
export function poolKeys({ metadata }: Pod): Key[] {
  const name = metadata.labels?.[POOL_LABEL];
  return name ? [keyOf({ name, namespace: metadata.namespace })] : [];
}

/** Which changes of a pod its pool speaks of: that it became ready or not, and what keeps it from that. */
export function podMatters(change: Change<Pod>): boolean {
  if (change.type !== 'modified') return true;
  const seen = (pod: Pod) => [podOf(pod).ready, podTrouble(pod)];
  return canonical(seen(change.object)) !== canonical(seen(change.previous));
}
