import type { Backfill } from '../../../crds/backfill.ts';
import type { PipelineSchedule } from '../../../crds/pipeline-schedule.ts';
import { SpecError } from '../../../crds/resource.ts';
import { WORKER_POOL, type WorkerPool } from '../../../crds/worker-pool.ts';
import { canonical } from '../../hash.ts';
import {
  DEPLOYMENTS,
  type Deployment,
  DISRUPTION_BUDGETS,
  type DisruptionBudget,
  PODS,
  type Pod,
} from '../../kube/builtin.ts';
import type { Cache, Change } from '../../kube/cache.ts';
import type { Client } from '../../kube/client.ts';
import { NotFoundError } from '../../kube/errors.ts';
import { type Key, keyOf } from '../../kube/resource.ts';
import type { Observation } from '../../observation.ts';
import type { Temporal } from '../../temporal/connection.ts';
import type { Load } from '../../temporal/load.ts';
import { setCurrentVersion, type Versions } from '../../temporal/versions.ts';
import type { TemporalUI } from '../links.ts';
import { ask, type Context, reconciler, specOf } from '../reconcile.ts';
import { WORKER_POOLS } from '../resources.ts';
import { type Applied, appliedOf } from './applied.ts';
import { BUILD_ID, deploymentName, POOL_LABEL, type PodSettings } from './deployment.ts';
import { restoredMemory } from './memory.ts';
import { planPool } from './plan.ts';
import type { PoolAction, PoolPod } from './plan-types.ts';
import { podProblem } from './pod-problem.ts';
import type { PoolCapacity } from './queue-share.ts';
import type { Memory } from './scaling.ts';
import { capacityOf } from './signals.ts';
import { poolStatus } from './status.ts';
import { drainingOf, hasReadyPods } from './version.ts';
import type { WorkerSettings } from './worker-settings.ts';

const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost';

/** Sources of the state around a pool. The caches hold the objects with our labels. */
export interface PoolSources {
  readonly temporal: Temporal;
  readonly ui: TemporalUI;
  readonly pools: Cache<WorkerPool>;
  readonly backfills: Cache<Backfill>;
  readonly schedules: Cache<PipelineSchedule>;
  readonly deployments: Cache<Deployment>;
  readonly pods: Cache<Pod>;
  readonly budgets: Cache<DisruptionBudget>;
  readonly load: () => Promise<Load>;
  readonly workerSettings: WorkerSettings;
  /** Versions of the workflow code in Temporal. */
  readonly versions: () => Promise<Observation<Versions>>;
}

/** Reconciles WorkerPools. */
export function poolReconciler(context: Context, sources: PoolSources, settings: PodSettings) {
  const { client, clock } = context;
  const { temporal, ui, pools, backfills, schedules, deployments, pods, budgets, load, versions, workerSettings } =
    sources;
  const memories = new Map<string, Memory>();
  const applied = new Map<string, Applied>();
  /** Returns the version of another pool with its name; empty when none of its pods is ready. */
  const versionIn = (pool: WorkerPool): [string, string][] => {
    const { name, namespace } = pool.metadata;
    const deployment = deployments.get(keyOf({ name: deploymentName(name), namespace }));
    const buildID = deployment?.metadata.annotations?.[BUILD_ID];
    return deployment && buildID && hasReadyPods(deployment) ? [[buildID, name]] : [];
  };
  const hasActiveRuns = () =>
    [...backfills.list()].some(({ status }) => (status?.progress?.active ?? 0) > 0) ||
    [...schedules.list()].some(({ status }) => (status?.active ?? 0) > 0);
  const moment = (wall: number) => ({ wall, monotonic: clock.monotonic() });
  return reconciler(context, {
    resource: WORKER_POOLS,
    async observe(object, now, signal) {
      const { name, namespace } = object.metadata;
      const key = keyOf(object);
      const ref = { name: deploymentName(name), namespace };
      return {
        object,
        spec: specOf(WORKER_POOL, object),
        // An object with the name but without our labels is not in the caches. It must not count as absent.
        deployment: deployments.get(keyOf(ref)) ?? (await client.find(DEPLOYMENTS, ref, { signal })),
        budget: budgets.get(keyOf(ref)) ?? (await client.find(DISRUPTION_BUDGETS, ref, { signal })),
        pods: [...pods.list()].filter(pod => poolKeys(pod).includes(key) && !pod.metadata.deletionTimestamp).map(podOf),
        load: await ask(load()),
        activeRuns: hasActiveRuns(),
        settingsHash: workerSettings.hashIn(namespace ?? '', settings),
        versions: {
          versions: settings.worker_versioning ? flat(await ask(versions())) : NO_VERSIONS,
          draining: drainingOf(object, deployments.list()),
          elsewhere: new Map([...pools.list()].flatMap(other => (keyOf(other) === key ? [] : versionIn(other)))),
        },
        others: [...pools.list()].flatMap(other => (other.metadata.uid === object.metadata.uid ? [] : capacity(other))),
        monotonic: clock.monotonic(),
        memory: memories.get(key) ?? restoredMemory(object.status?.scalingMemory, moment(now)),
        applied: applied.get(key),
      };
    },
    plan(observed, now) {
      const plan = planPool(observed, settings, now);
      const key = keyOf(observed.object);
      if (plan.memory) memories.set(key, plan.memory);
      else memories.delete(key);
      return plan;
    },
    apply: (object, action, signal) =>
      apply(
        {
          client,
          temporal,
          signal,
          installation: settings.installation,
          remember: one => applied.set(keyOf(object), one),
        },
        object,
        action,
      ),
    status: (observed, plan, now) => poolStatus(observed, plan, ui, now),
    forget(key) {
      memories.delete(key);
      applied.delete(key);
    },
  });
}

/** With versioning off, no version has to be kept or routed. */
const NO_VERSIONS: Observation<Versions> = { known: false, message: 'worker_versioning is off' };

function flat<T>(observed: Observation<Observation<T>>): Observation<T> {
  return observed.known ? observed.value : observed;
}

/** Returns the slots that a pool may have; empty for an invalid pool. */
function capacity(pool: WorkerPool): PoolCapacity[] {
  const spec = specOf(WORKER_POOL, pool);
  return spec instanceof SpecError ? [] : [capacityOf(spec, pool.status?.desiredReplicas)];
}

/** Systems in which a plan is carried out. */
interface Systems {
  readonly client: Client;
  readonly temporal: Temporal;
  readonly installation: string;
  readonly signal: AbortSignal;
  /** Receives the applied state. */
  readonly remember: (applied: Applied) => void;
}

/** Carries out one action of a plan. Returns true when the resource may be gone afterwards. */
async function apply(
  { client, temporal, installation, signal, remember }: Systems,
  object: WorkerPool,
  action: PoolAction,
): Promise<boolean> {
  switch (action.do) {
    case 'apply': {
      // Without force when no Deployment was seen: if somebody creates one meanwhile, that is a conflict, and it is not taken over.
      const { deployment, force } = action;
      remember(appliedOf(deployment, await client.apply(DEPLOYMENTS, deployment, { force, signal })));
      return false;
    }
    case 'keep':
      await client.apply(DEPLOYMENTS, action.deployment, { force: true, signal });
      return false;
    case 'release':
      await client.delete(
        DEPLOYMENTS,
        { name: action.deployment, namespace: object.metadata.namespace },
        { uid: action.uid, signal },
      );
      return false;
    case 'protect':
      await client.apply(DISRUPTION_BUDGETS, action.budget, { force: action.force, signal });
      return false;
    case 'unprotect':
      await client.delete(
        DISRUPTION_BUDGETS,
        { name: action.budget, namespace: object.metadata.namespace },
        { uid: action.uid, signal },
      );
      return false;
    case 'route':
      // Without a worker that asks for work yet, the next pass tries again.
      await setCurrentVersion(temporal, installation, action.buildID);
      return false;
    case 'cost': {
      const pod = { name: action.pod, namespace: object.metadata.namespace };
      const patch = { metadata: { annotations: { [DELETION_COST]: action.cost } } };
      try {
        await client.patch(PODS, pod, patch, { signal });
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error;
      }
      return false;
    }
  }
}

function podOf(pod: Pod): PoolPod {
  const ready = pod.status?.conditions?.find(condition => condition.type === 'Ready');
  return {
    name: pod.metadata.name,
    ready: ready?.status === 'True',
    since: Date.parse(ready?.lastTransitionTime ?? pod.metadata.creationTimestamp ?? ''),
    cost: pod.metadata.annotations?.[DELETION_COST],
    problem: podProblem(pod),
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
  const seen = (pod: Pod) => [podOf(pod).ready, podProblem(pod)];
  return canonical(seen(change.object)) !== canonical(seen(change.previous));
}

/** Returns whether a change of a PodDisruptionBudget needs a pass. Kubernetes counts pods in its status all the time. */
export function budgetMatters(change: Change<DisruptionBudget>): boolean {
  if (change.type !== 'modified') return true;
  return canonical(change.object.spec) !== canonical(change.previous.spec);
}
