import type { WorkerPool } from '../../../crds/worker-pool.ts';
import { hashOf } from '../../hash.ts';
import type { Deployment } from '../../kube/builtin.ts';
import type { Observation } from '../../observation.ts';
import type { Versions } from '../../temporal/versions.ts';
import { BUILD_ID, DRAINING_LABEL, deploymentName, drainingLabels, POOL_LABEL } from './deployment.ts';
import { overlay } from './overlay.ts';

/** Inputs of decisions about the versions of a pool. */
export interface ObservedVersions {
  readonly versions: Observation<Versions>;
  /** Deployments that keep former versions of this pool. */
  readonly draining: readonly Deployment[];
  /** Build ids of other pools of the installation that have ready pods, with the names of the pools. */
  readonly elsewhere: ReadonlyMap<string, string>;
}

export type VersionAction =
  /** Keeps the pods of the former version beside those of the new one. */
  | { readonly do: 'keep'; readonly deployment: Deployment }
  /** Deletes the Deployment of a former version. */
  | { readonly do: 'release'; readonly deployment: string; readonly uid: string | undefined }
  /** Makes the version of the pool the current one in Temporal. */
  | { readonly do: 'route'; readonly buildID: string };

export interface VersionPlan {
  /** Actions before the Deployment of the pool is applied, and after it. */
  readonly before: readonly VersionAction[];
  readonly after: readonly VersionAction[];
  /** Cause for which the version of the pool gets no work yet, as a sentence. */
  readonly waits?: string;
  /** Least number of pods: without one, Temporal never learns of the new version. */
  readonly least: number;
  /** Former versions that still have pods, oldest first. */
  readonly drainingVersions: readonly string[];
}

const versionOf = (deployment: Deployment) => deployment.metadata.annotations?.[BUILD_ID];

/**
 * Decides about the versions of a pool that takes workflow tasks. A run is pinned to the version that it began with, so the pods of a
 * version stay until Temporal reports it as drained; an unknown state holds them. Pure.
 *
 * @param live the Deployment of the pool; undefined when there is none
 * @param target the desired Deployment
 */
export function planVersions(
  pool: WorkerPool,
  live: Deployment | undefined,
  target: Deployment,
  { versions, draining, elsewhere }: ObservedVersions,
): VersionPlan {
  const desired = versionOf(target);
  const running = live && versionOf(live);
  const states = versions.known ? versions.value.states : undefined;
  const done = (buildID: string) => ['drained', 'inactive'].includes(states?.get(buildID) ?? 'unknown');
  const before: VersionAction[] = [];
  const kept = new Set(draining.map(versionOf));
  if (live && running && running !== desired && !kept.has(running) && !done(running)) {
    before.push({ do: 'keep', deployment: drainingDeployment(pool, live, running) });
    kept.add(running);
  }
  const rolledOut = live !== undefined && running === desired && hasReadyPods(live);
  const after: VersionAction[] = draining.flatMap(deployment => {
    const buildID = versionOf(deployment) ?? '';
    const back = buildID === desired && rolledOut;
    if (!back && !(buildID !== desired && done(buildID))) return [];
    kept.delete(buildID);
    const { name, uid } = deployment.metadata;
    return [{ do: 'release', deployment: name, uid } as const];
  });
  const drainingVersions = [...kept].flatMap(buildID => (buildID && buildID !== desired ? [buildID] : []));
  const common = { before, after, drainingVersions };
  if (desired === undefined || !versions.known || versions.value.current === desired) return { ...common, least: 0 };
  const { current } = versions.value;
  const holder = current === undefined ? undefined : elsewhere.get(current);
  const waits = holder
    ? `Temporal gives workflow tasks to version ${current} of WorkerPool ${holder}, not to version ${desired} of this pool. All pools that take Workflows need the same image.`
    : `Temporal does not give workflow tasks to version ${desired} yet.`;
  if (rolledOut && !holder && states?.has(desired)) after.push({ do: 'route', buildID: desired });
  return { ...common, waits, least: current === undefined || holder ? 0 : 1 };
}

/** Returns whether Kubernetes has seen the last change of a Deployment, and at least one of its pods is ready. */
export function hasReadyPods({ metadata, status }: Deployment): boolean {
  return (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0) && (status?.readyReplicas ?? 0) > 0;
}

/** Returns a Deployment with one pod of the former version, which takes workflow tasks only. Any worker can continue its activities. */
function drainingDeployment(pool: WorkerPool, live: Deployment, buildID: string): Deployment {
  const labels = drainingLabels(pool.metadata.name, buildID);
  const template = overlay(live.spec?.template, {
    metadata: { labels: { ...labels, [POOL_LABEL]: null } },
    spec: { containers: [{ name: 'worker', env: [{ name: 'WORKER_TASKS', value: 'Workflows' }] }] },
  });
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: `${deploymentName(pool.metadata.name)}-${hashOf(buildID).slice(0, 8)}`,
      namespace: pool.metadata.namespace,
      labels: { ...live.metadata.labels, ...labels, [POOL_LABEL]: undefined } as never,
      annotations: { [BUILD_ID]: buildID },
      ownerReferences: live.metadata.ownerReferences,
    },
    spec: { replicas: 1, selector: { matchLabels: labels }, template, revisionHistoryLimit: 1 } as Deployment['spec'],
  };
}

/** Returns the Deployments among `all` that keep former versions of a pool. */
export function drainingOf(pool: WorkerPool, all: Iterable<Deployment>): Deployment[] {
  const { name, namespace, uid } = pool.metadata;
  return [...all].filter(
    ({ metadata }) =>
      metadata.namespace === namespace &&
      metadata.labels?.[DRAINING_LABEL] === name &&
      metadata.ownerReferences?.some(owner => owner.uid === uid) &&
      !metadata.deletionTimestamp,
  );
}
