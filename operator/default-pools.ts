import { setTimeout } from 'node:timers/promises';
import { parse } from 'yaml';
import { GROUP, INSTALLATION_LABEL } from '../crds/resource.ts';
import type { WorkerPool } from '../crds/worker-pool.ts';
import type { Logger } from '../pipeline/telemetry/log.ts';
import { WORKER_POOLS } from './controllers/resources.ts';
import { hashOf } from './hash.ts';
import { CONFIG_MAPS, type ConfigMap } from './kube/builtin.ts';
import type { Client } from './kube/client.ts';
import type { Stored } from './kube/resource.ts';

/** Label of a pool that a ConfigMap contains; its value is the name of the ConfigMap. */
const DEFAULT_POOL = `${GROUP}/default-pools`;
/** Hash of the spec that was last taken from the ConfigMap. */
const DEFAULT_POOL_HASH = `${GROUP}/default-pool-hash`;
/** Milliseconds between checks. */
const CHECK_INTERVAL = 10_000;

interface PoolTools {
  readonly client: Client;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** The ConfigMap with the pools, and the installation that they belong to. */
export interface PoolsRef {
  readonly name: string;
  readonly namespace: string;
  readonly installation: string;
}

/** A pool of the ConfigMap. */
interface DefaultPool {
  readonly name: string;
  /** The spec as YAML. */
  readonly text: string;
  readonly installation: string;
  /** The existing WorkerPool of this name. */
  readonly found: Stored<WorkerPool> | undefined;
}

/**
 * Keeps the WorkerPools that a ConfigMap contains, until the signal aborts: one for each key, whose value is the spec as YAML. An
 * installation gets its workers from it in its first release, before the API server knows the kind WorkerPool.
 *
 * A pool is written when it is absent or when its value in the ConfigMap changes, so that `kubectl scale` and `kubectl edit` hold until
 * then. A pool whose key disappears is deleted. The ConfigMap owns the pools: when the release is uninstalled, Kubernetes deletes them.
 * A pool of the same name that somebody else created stays as it is, and a warning is logged.
 */
export async function keepDefaultPools(tools: PoolTools, ref: PoolsRef): Promise<void> {
  const { log, signal } = tools;
  let reported = '';
  while (!signal.aborted) {
    const problems = await keepPools(tools, ref).catch((error: Error) => [error.message]);
    if (signal.aborted) return;
    const sentence = problems.join('; ');
    if (sentence && sentence !== reported) log.warn(`default WorkerPools of ConfigMap ${ref.name}: ${sentence}`);
    reported = sentence;
    await setTimeout(CHECK_INTERVAL, undefined, { signal }).catch(() => {});
  }
}

/** Makes the pools equal to the ConfigMap once. Returns a sentence for each pool that could not be kept. */
async function keepPools(tools: PoolTools, ref: PoolsRef): Promise<string[]> {
  const { client, log, signal } = tools;
  const map = await client.find(CONFIG_MAPS, ref, { signal });
  // A release that is being uninstalled has no ConfigMap any more. Its pools are deleted by the garbage collector.
  if (!map) return ['it does not exist; create it, or unset operator_default_pools'];
  const problems: string[] = [];
  const existing = await client.list(WORKER_POOLS, { namespace: ref.namespace, signal });
  const desired = Object.entries(map.data ?? {});
  for (const [name, text] of desired) {
    const found = existing.find(pool => pool.metadata.name === name);
    const pool = { name, text, installation: ref.installation, found };
    const problem = await keepPool(tools, map, pool).catch((error: Error) => error.message);
    if (problem) problems.push(`${name}: ${problem}`);
  }
  for (const pool of existing) {
    const { name, namespace, uid, labels } = pool.metadata;
    if (labels?.[DEFAULT_POOL] !== ref.name || desired.some(([key]) => key === name)) continue;
    if (await client.delete(WORKER_POOLS, { name, namespace }, { uid }))
      log.info({ pool: name }, 'deleted a default WorkerPool');
  }
  return problems;
}

/** Creates or updates one pool. Returns a sentence when it must not be changed. */
async function keepPool(
  { client, log }: PoolTools,
  map: Stored<ConfigMap>,
  { name, text, installation, found }: DefaultPool,
): Promise<string | undefined> {
  const spec: unknown = parse(text);
  const hash = hashOf(spec);
  if (found && found.metadata.labels?.[DEFAULT_POOL] !== map.metadata.name) {
    return `a WorkerPool of this name exists that this ConfigMap did not make, so it is not changed; rename one of them, or set its label ${DEFAULT_POOL}=${map.metadata.name} to let the ConfigMap own it`;
  }
  const { uid } = map.metadata;
  const owned = found?.metadata.ownerReferences?.some(owner => owner.uid === uid);
  if (found?.metadata.deletionTimestamp || (owned && found?.metadata.annotations?.[DEFAULT_POOL_HASH] === hash)) {
    return undefined;
  }
  await client.apply(
    WORKER_POOLS,
    {
      metadata: {
        name,
        namespace: map.metadata.namespace,
        labels: {
          [DEFAULT_POOL]: map.metadata.name,
          [INSTALLATION_LABEL]: installation,
          'app.kubernetes.io/part-of': 'ooni-pipeline',
        },
        annotations: { [DEFAULT_POOL_HASH]: hash },
        ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name: map.metadata.name, uid }],
      },
      spec: spec as WorkerPool['spec'],
    },
    { force: true },
  );
  log.info({ pool: name }, found ? 'updated a default WorkerPool' : 'created a default WorkerPool');
  return undefined;
}
