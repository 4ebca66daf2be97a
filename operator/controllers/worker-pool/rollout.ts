import { sentence } from '../../../pipeline/sentence.ts';
import type { Deployment } from '../../kube/builtin.ts';
import type { ReadySummary } from '../conditions.ts';
import { type Check, firstOf } from '../plan-types.ts';
import type { PoolPod } from './plan-types.ts';

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
export function rollout(
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
  if (failure?.status === 'True' && failure.message)
    return ` Kubernetes rejects its pods: ${sentence(failure.message)}`;
  const unready = pods.filter(pod => !pod.ready);
  const problem = unready.find(pod => pod.problem)?.problem;
  if (problem) return ` ${sentence(problem.replace(/^p/, 'P'))}`;
  const [first] = unready;
  return first ? ` Pod ${first.name} is not ready yet.` : '';
}
