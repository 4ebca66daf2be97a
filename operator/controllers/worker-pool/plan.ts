import { durationSeconds } from '../../../crds/fields.ts';
import { ANNOTATIONS, GROUP, SpecError } from '../../../crds/resource.ts';
import { type ScalingDecision, WORKER_POOL, type WorkerPool, type WorkerPoolSpec } from '../../../crds/worker-pool.ts';
import { DATASET_NAMES } from '../../../pipeline/reference/datasets.ts';
import { clause, sentence } from '../../../pipeline/sentence.ts';
import { canonical } from '../../hash.ts';
import type { Deployment, DisruptionBudget } from '../../kube/builtin.ts';
import type { EventNote } from '../../kube/events.ts';
import { controllerOf, type OwnerReference } from '../../kube/resource.ts';
import type { Observation } from '../../observation.ts';
import type { Load, WorkerLoad } from '../../temporal/load.ts';
import type { DesiredCondition, ReadySummary } from '../conditions.ts';
import { annotated, type Check, firstOf, invalid, type Plan, REFRESH } from '../plan-types.ts';
import { APPLIED, deploymentName, desiredDeployment, type PodSettings, SETTINGS_HASH } from './deployment.ts';
import { type BudgetAction, planBudget } from './disruption-budget.ts';
import { covers } from './overlay.ts';
import { type PoolCapacity, shareOf, slotsPerPod } from './queue-share.ts';
import { decide, freshMemory, hold, type Memory, type QueueSignal, type Scaling, type Signals } from './scaling.ts';
import { templateProblems } from './template-limits.ts';
import { type ObservedVersions, planVersions, type VersionAction, type VersionPlan } from './version.ts';

/** A pod of the pool. */
export interface PoolPod {
  readonly name: string;
  readonly ready: boolean;
  /** When the pod became ready, or else its creation, in milliseconds since 1970. */
  readonly since: number;
  /** pod-deletion-cost of the pod; undefined when it has none. */
  readonly cost?: string;
  /** Cause that keeps the pod from running, as a sentence. */
  readonly problem?: string;
}

/** All inputs of a decision about a WorkerPool. */
export interface ObservedPool {
  readonly object: WorkerPool;
  readonly spec: WorkerPoolSpec | SpecError;
  /** The Deployment with our name, of any owner. */
  readonly deployment: Deployment | undefined;
  /** The PodDisruptionBudget with our name, of any owner. */
  readonly budget: DisruptionBudget | undefined;
  readonly pods: readonly PoolPod[];
  readonly load: Observation<Load>;
  /** Whether a run of the installation is active, as far as the status of Backfills and PipelineSchedules says. */
  readonly activeRuns: boolean;
  readonly versions: ObservedVersions;
  /** Hash of the ConfigMap and the Secret of the pods; undefined while they cannot be read. */
  readonly settingsHash?: string;
  /** Other pools of the installation, which may serve the same queues. */
  readonly others: readonly PoolCapacity[];
  /** Milliseconds of a monotonic clock, for the memory. */
  readonly monotonic: number;
  /** Memory of autoscaling; undefined at first. */
  readonly memory: Memory | undefined;
  /** The last state that this process applied; undefined at first. */
  readonly applied: Applied | undefined;
}

/** An applied Deployment and the generation that the API server gave it. */
export interface Applied {
  readonly uid: string | undefined;
  readonly generation: number | undefined;
  readonly replicas: number;
  readonly hash: string | undefined;
}

/** Returns the record of an applied Deployment and of the answer of the API server. */
export function appliedOf(target: Deployment, answer: Deployment): Applied {
  return {
    uid: answer.metadata.uid,
    generation: answer.metadata.generation,
    replicas: target.spec?.replicas ?? 0,
    hash: target.metadata.annotations?.[APPLIED],
  };
}

/**
 * Returns whether the Deployment is as desired. The API server writes some values in another form (`cpu: 2` becomes "2", an empty value
 * is left out), so an applied Deployment is compared by hash and generation. Before the first apply it is compared by content.
 */
function inForce(live: Deployment, target: Deployment, applied: Applied | undefined): boolean {
  if (covers(live, target)) return true;
  if (!covers({ ...live, spec: undefined }, { ...target, spec: undefined })) return false;
  return applied !== undefined && canonical(applied) === canonical(appliedOf(target, live));
}

export type PoolAction =
  | VersionAction
  | BudgetAction
  /** Server-side apply; `force` takes fields back from other managers. */
  | { readonly do: 'apply'; readonly deployment: Deployment; readonly force: boolean }
  /** Sets the deletion cost of a pod. Kubernetes removes the pods with the lowest cost first. */
  | { readonly do: 'cost'; readonly pod: string; readonly cost: string };

export interface PoolPlan extends Plan<PoolAction> {
  readonly desired?: number;
  readonly decision?: ScalingDecision;
  readonly memory?: Memory;
  /** Former versions of the workflow code that still have pods. */
  readonly drainingVersions?: readonly string[];
}

/** Milliseconds after which a report does not count. A worker reports every few seconds, at most every minute. */
export const STALE = 150_000;
/** Milliseconds after the start of a pod during which a missing report is normal. */
const NEW = 90_000;

/**
 * Decides about one WorkerPool in this order: deletion, invalid spec, forbidden template, another owner, scaling and rollout. A pool has no
 * finalizer, because Kubernetes deletes the Deployment with its owner.
 */
export function planPool(observed: ObservedPool, settings: PodSettings, now: number): PoolPlan {
  const { object, spec, deployment } = observed;
  if (object.metadata.deletionTimestamp) {
    const message = 'Kubernetes deletes the Deployment with the pool; pods finish or checkpoint within drainTimeout.';
    return { actions: [], summary: { kind: 'working', reason: 'Deleting', message }, own: [] };
  }
  if (spec instanceof SpecError) return invalid(spec.problems);
  const refused = templateProblems(object, spec, settings);
  if (refused.length > 0) return invalid(refused);
  const foreign = deployment && notOurs(object, deployment);
  if (foreign) return foreign;
  const current = deployment?.spec?.replicas ?? 0;
  const scaled = spec.autoscaling ? autoscale(observed, spec, current, now) : undefined;
  // Without replicas and autoscaling in the spec, the pool keeps its number of pods, because another client scales it.
  const asked = scaled ? scaled.desired : (spec.replicas ?? deployment?.spec?.replicas ?? 1);
  // While the settings cannot be read, the pods keep what they have.
  const hash = observed.settingsHash ?? deployment?.spec?.template.metadata?.annotations?.[SETTINGS_HASH];
  const make = (replicas: number) => desiredDeployment(object, spec, replicas, settings, hash);
  const versions = planVersions(object, deployment, make(asked), observed.versions);
  const desired = scaled ? Math.max(asked, versions.least) : asked;
  const target = make(desired);
  const actions: PoolAction[] = [...versions.before];
  if (desired < current) actions.push(...costs(observed));
  if (!deployment || !inForce(deployment, target, observed.applied)) {
    actions.push({ do: 'apply', deployment: target, force: deployment !== undefined });
  }
  actions.push(...versions.after);
  actions.push(...planBudget(object, observed.budget, settings));
  // An apply without a change of the desired state undoes a change by somebody else, or changes nothing.
  const changing =
    deployment?.metadata.annotations?.[APPLIED] !== target.metadata.annotations?.[APPLIED] || desired !== current;
  return {
    actions,
    events: deployment && desired !== current ? [rescaled(current, desired, scaled)] : [],
    summary: routed(rollout(deployment, observed.pods, desired, changing), desired, versions),
    own: scaled?.own ?? [],
    after: versions.waits ? REFRESH.active : spec.autoscaling ? REFRESH.unavailable : REFRESH.idle,
    desired,
    drainingVersions: versions.drainingVersions,
    decision: scaled?.decision,
    memory: scaled?.memory,
  };
}

/** Returns the summary of the rollout, which has not ended while pods are ready and Temporal gives their version no work. */
function routed(summary: ReadySummary, desired: number, { waits }: VersionPlan): ReadySummary {
  if (summary.kind !== 'ready' || desired === 0 || !waits) return summary;
  return { kind: 'working', reason: 'RollingOut', message: `${summary.message} ${waits}` };
}

/** Returns the event for a changed number of pods with its cause, as the HorizontalPodAutoscaler does. */
function rescaled(current: number, desired: number, scaled: Scaled | undefined): EventNote {
  return {
    type: 'Normal',
    reason: 'Rescaled',
    action: 'Scale',
    note: `Scaled from ${current} to ${desired} pods: ${scaled?.why ?? `spec.replicas is ${desired}`}.`,
  };
}

/** A Deployment with the name that the pool gives its own, and its managing owner. */
interface Owned {
  readonly object: WorkerPool;
  readonly name: string;
  readonly owner: OwnerReference | undefined;
}

/** Returns the plan for a Deployment with our name that belongs to somebody else; undefined when it is ours or may be taken over. */
function notOurs(object: WorkerPool, deployment: Deployment): PoolPlan | undefined {
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

interface Scaled {
  readonly desired: number;
  readonly own: readonly DesiredCondition[];
  /** Why the number is the desired one, as the end of a sentence. */
  readonly why: string;
  readonly decision?: ScalingDecision;
  readonly memory?: Memory;
}

function autoscale(observed: ObservedPool, spec: WorkerPoolSpec, current: number, now: number): Scaled {
  const scaling = scalingOf(spec);
  const { activeRuns, memory: before, monotonic } = observed;
  const unknown = (reason: 'TemporalUnavailable' | 'SignalMissing', message: string): Scaled => {
    const { desired, memory } = hold({ scaling, current, now: monotonic, before, activeRuns });
    const lately = desired > Math.max(current, scaling.minReplicas);
    const text = lately
      ? `${clause(message)}; runs are active, so the pool gets ${desired} pods, as the load required lately.`
      : `${clause(message)}; the number of pods stays ${desired}.`;
    const why = `the load is not known, but ${lately ? 'runs are active' : 'minReplicas and maxReplicas still apply'}`;
    return { desired, own: [{ type: 'ScalingActive', status: 'Unknown', reason, message: text }], why, memory };
  };
  if (!observed.load.known) return unknown('TemporalUnavailable', observed.load.message);
  const signals = signalsOf(observed, observed.load.value, spec, now);
  if (typeof signals === 'string') return unknown('SignalMissing', signals);
  const { decision, memory } = decide({
    ...{ signals, scaling, current, before: before ?? freshMemory(current, monotonic), now: monotonic, at: now },
  });
  const { desired } = decision;
  const why = `${decision.message.charAt(0).toLowerCase()}${clause(decision.message.slice(1))}`;
  if (signals.incomplete) {
    const message = `${signals.incomplete}; the pool is not scaled below ${desired}.`;
    return {
      desired,
      own: [{ type: 'ScalingActive', status: 'Unknown', reason: 'SignalMissing', message }],
      ...{ why, decision, memory },
    };
  }
  const bound = decision.reason === 'MinReplicas' || decision.reason === 'MaxReplicas';
  const own: DesiredCondition = {
    type: 'ScalingActive',
    status: 'True',
    reason: bound ? 'AtBound' : 'FollowingLoad',
    message: decision.message,
  };
  return { desired, own: [own], why, decision, memory };
}

/** Returns the autoscaling of a spec in plain numbers. Throws TypeError without one. */
export function scalingOf(spec: WorkerPoolSpec): Scaling {
  const auto = spec.autoscaling;
  if (!auto) throw new TypeError('the pool has no autoscaling');
  const inSeconds = (text: string) => durationSeconds(text) ?? 0;
  const direction = ({ stabilization, podsPerMinute }: typeof auto.scaleUp) => ({
    stabilization: inSeconds(stabilization),
    podsPerMinute,
  });
  return {
    minReplicas: auto.minReplicas,
    maxReplicas: auto.maxReplicas,
    utilization: auto.targetUtilization / 100,
    drainWithin: inSeconds(auto.drainWithin),
    cooldown: inSeconds(auto.cooldown),
    scaleUp: direction(auto.scaleUp),
    scaleDown: direction(auto.scaleDown),
  };
}

/** Names a pod whose slots are not known; undefined when all are. A missing report does not mean an idle pod. */
function silentPod({ load, pods }: ObservedPool, spec: WorkerPoolSpec, now: number): string | undefined {
  if (!load.known) return load.message;
  const { workers } = load.value;
  for (const pod of pods) {
    const age = now - pod.since;
    if (!pod.ready || (age >= 0 && age < NEW)) continue;
    if (!workers.known) return `the slots of pod ${pod.name} are not known: ${workers.message}`;
    const reported = (tasks: string) =>
      workers.value.some(
        one => one.identity === pod.name && one.tasks === tasks && one.age < STALE && one.usedSlots !== undefined,
      );
    const missing = spec.tasks.find(tasks => !reported(tasks));
    if (missing) return `pod ${pod.name} has not reported its ${missing} slots to Temporal for ${STALE / 1000} s`;
  }
  return undefined;
}

/** Returns the current reports of workers; empty when they are not known. */
function reportsOf({ workers }: Load): readonly WorkerLoad[] {
  return workers.known ? workers.value.filter(({ age }) => age < STALE) : [];
}

const busySlots = (reports: readonly WorkerLoad[]) => reports.reduce((sum, { usedSlots = 0 }) => sum + usedSlots, 0);

/** Returns the load as seen from the pool, or a sentence that says which queue has no statistics. */
function signalsOf(observed: ObservedPool, load: Load, spec: WorkerPoolSpec, now: number): Signals | string {
  const names = new Set(observed.pods.map(pod => pod.name));
  const reports = reportsOf(load);
  const own = reports.filter(({ identity, tasks }) => names.has(identity) && spec.tasks.includes(tasks));
  const queues: QueueSignal[] = [];
  for (const { queue, tasks, stats } of load.queues) {
    if (!spec.tasks.includes(tasks)) continue;
    if (!stats) return `Temporal reports no statistics of task queue ${queue}`;
    // A refresh of reference data waits for the next worker; it alone does not start one.
    const onlyRefreshes =
      observed.deployment?.spec?.replicas === 0 && stats.backlog <= DATASET_NAMES.length && load.otherWorkflows === 0;
    queues.push({
      tasks,
      backlog: onlyRefreshes ? 0 : stats.backlog,
      share: shareOf(capacityOf(spec, observed.deployment?.spec?.replicas), observed.others, tasks),
      addRate: onlyRefreshes ? 0 : stats.addRate,
      dispatchRate: stats.dispatchRate,
      ownSlots: busySlots(own.filter(one => one.tasks === tasks)),
      allSlots: busySlots(reports.filter(one => one.tasks === tasks)),
      slotsPerPod: slotsPerPod(spec, tasks),
    });
  }
  const busyPods = new Set(own.filter(({ usedSlots = 0 }) => usedSlots > 0).map(({ identity }) => identity)).size;
  const incomplete = silentPod(observed, spec, now);
  return { queues, busyPods, ...(incomplete && { incomplete }) };
}

/** Returns the slots that a pool may have. `replicas`: its number of pods, for a pool that another client scales. */
export function capacityOf(spec: WorkerPoolSpec, replicas = 1): PoolCapacity {
  const { tasks, slots } = spec;
  return { tasks, slots, mostPods: spec.autoscaling?.maxReplicas ?? spec.replicas ?? replicas };
}

/** Returns the deletion costs to set before pods are removed: the lowest for idle pods, and for the others their slots in use. */
function costs({ load, pods }: ObservedPool): PoolAction[] {
  if (!load.known) return [];
  const workers = reportsOf(load.value);
  return pods.flatMap(pod => {
    const reports = workers.filter(one => one.identity === pod.name && one.usedSlots !== undefined);
    if (reports.length === 0) return [];
    const used = busySlots(reports);
    const cost = String(used === 0 ? -1 : used);
    return cost === pod.cost ? [] : [{ do: 'cost', pod: pod.name, cost } as const];
  });
}

/** A Deployment that has the desired state, or is being given it. */
interface Rollout {
  readonly deployment: Deployment;
  /** Figures of the pods, as the beginning of a sentence. */
  readonly figures: string;
  /** Cause that keeps a pod from being ready, as a sentence after a space; empty when there is none. */
  readonly cause: string;
  readonly desired: number;
  readonly ready: number;
}

/** Returns the summary of the rollout from the status of the Deployment. */
function rollout(
  deployment: Deployment | undefined,
  pods: readonly PoolPod[],
  desired: number,
  applying: boolean,
): ReadySummary {
  if (applying || !deployment) return rollingOut('The Deployment is being applied.');
  const { replicas = 0, updatedReplicas = 0, readyReplicas: ready = 0 } = deployment.status ?? {};
  // During a rollout the ready pods may be old ones, which show nothing about the new ones.
  const old = replicas - updatedReplicas;
  const figures =
    old > 0 && desired > 0
      ? `${updatedReplicas} of ${desired} new pods are started, and ${old} old ones still run`
      : `${ready} of ${desired} pods are ready`;
  const state = { deployment, figures, cause: unreadyCause(deployment, pods), desired, ready };
  return firstOf(ROLLOUT, state) ?? available(state);
}

/** Checks of a rollout, in order. */
const ROLLOUT: readonly Check<Rollout, ReadySummary>[] = [isNotObservedYet, isStuck, isIncomplete];

function isNotObservedYet({ deployment }: Rollout): ReadySummary | undefined {
  const observed = (deployment.status?.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0);
  return observed ? undefined : rollingOut('The Deployment is being rolled out.');
}

function isStuck({ deployment, figures, cause, desired, ready }: Rollout): ReadySummary | undefined {
  if (conditionOf(deployment, 'Progressing')?.status !== 'False' || ready >= desired) return undefined;
  const labels = Object.entries(deployment.spec?.selector.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  const command = `kubectl describe pods -n ${deployment.metadata.namespace} -l ${labels.join(',')}`;
  const message = `${figures}, and no more became ready in time.${cause} Look at: ${command}`;
  return { kind: 'working', reason: 'RolloutStuck', message };
}

function isIncomplete({ deployment, figures, cause, desired, ready }: Rollout): ReadySummary | undefined {
  const { replicas = 0, updatedReplicas = 0 } = deployment.status ?? {};
  const complete = replicas === desired && updatedReplicas === desired && ready === desired;
  return complete ? undefined : rollingOut(`${figures}.${cause}`);
}

function available({ figures, desired }: Rollout): ReadySummary {
  const message = desired === 0 ? 'No pods are desired, and none exist.' : `${figures}.`;
  return { kind: 'ready', reason: 'Available', message };
}

function rollingOut(message: string): ReadySummary {
  return { kind: 'working', reason: 'RollingOut', message };
}

function conditionOf(deployment: Deployment, type: string) {
  return deployment.status?.conditions?.find(condition => condition.type === type);
}

/** Returns the cause that keeps a pod from being ready, as a sentence after a space; empty when there is none. */
function unreadyCause(deployment: Deployment, pods: readonly PoolPod[]): string {
  const failure = conditionOf(deployment, 'ReplicaFailure');
  if (failure?.status === 'True' && failure.message) return ` Pods are refused: ${sentence(failure.message)}`;
  const unready = pods.filter(pod => !pod.ready);
  const problem = unready.find(pod => pod.problem)?.problem;
  if (problem) return ` ${sentence(problem.replace(/^p/, 'P'))}`;
  const [first] = unready;
  return first ? ` Pod ${first.name} is not ready yet.` : '';
}
