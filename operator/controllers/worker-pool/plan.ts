import { SpecError } from '../../../crds/resource.ts';
import { counted } from '../../../pipeline/counts.ts';
import type { EventNote } from '../../kube/events.ts';
import type { ReadySummary } from '../conditions.ts';
import { invalid, REFRESH } from '../plan-types.ts';
import { inForce } from './applied.ts';
import { autoscale, type Scaled } from './autoscale.ts';
import { costs } from './deletion-costs.ts';
import { APPLIED, desiredDeployment, type PodSettings, SETTINGS_HASH } from './deployment.ts';
import { planBudget } from './disruption-budget.ts';
import { notOurs } from './owner.ts';
import type { ObservedPool, PoolAction, PoolPlan } from './plan-types.ts';
import { rollout } from './rollout.ts';
import { templateProblems } from './template-limits.ts';
import { planVersions, type VersionPlan } from './version.ts';

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
  const forbidden = templateProblems(object, spec, settings);
  if (forbidden.length > 0) return invalid(forbidden);
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
    note: `Scaled from ${current} to ${counted(desired, 'pod')}: ${scaled?.why ?? `spec.replicas is ${desired}`}.`,
  };
}
