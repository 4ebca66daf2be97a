import type { ContainerState, ContainerStatus, PodCondition, PodStatus, StoredPod } from './resources.ts';

/** Formats a time as the API stores it, in whole seconds, so that a value read back equals the written one. */
export function wireTime(at = Date.now()): string {
  return new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** State of a pod as its node observes it. */
export interface Observed {
  readonly podIP: string;
  readonly hostIP: string;
  readonly startTime: string;
  readonly init: readonly ContainerStatus[];
  readonly containers: readonly ContainerStatus[];
}

/**
 * Returns the status that the node reports: phase, conditions, addresses, containers. Keeps conditions of others (PodScheduled, readiness
 * gates). A condition that has not changed keeps its time, so that equal states are equal objects.
 */
export function podStatus(pod: StoredPod, observed: Observed, now: string): PodStatus {
  const phase = podPhase(pod.spec?.restartPolicy ?? 'Always', observed);
  const initialised = observed.init.every(({ state }) => state?.terminated?.exitCode === 0);
  const unready = observed.containers.filter(({ ready }) => !ready).map(({ name }) => name);
  const ended = phase === 'Succeeded' || phase === 'Failed';
  const containersReady: Partial<PodCondition> = ended
    ? { status: 'False', reason: phase === 'Succeeded' ? 'PodCompleted' : 'PodFailed' }
    : unready.length === 0
      ? { status: 'True' }
      : {
          status: 'False',
          reason: 'ContainersNotReady',
          message: `containers with unready status: [${unready.join(' ')}]`,
        };
  const gates = (pod.spec?.readinessGates ?? []).map(({ conditionType }) => conditionType);
  const open = gates.filter(
    gate => !pod.status?.conditions?.some(({ type, status }) => type === gate && status === 'True'),
  );
  const ready: Partial<PodCondition> =
    containersReady.status === 'True' && open.length > 0
      ? { status: 'False', reason: 'ReadinessGatesNotReady', message: `conditions not true: [${open.join(' ')}]` }
      : containersReady;
  const own: Record<string, Partial<PodCondition>> = {
    PodReadyToStartContainers: { status: ended ? 'False' : 'True' },
    Initialized: initialised ? { status: 'True' } : { status: 'False', reason: 'ContainersNotInitialized' },
    Ready: ready,
    ContainersReady: containersReady,
  };
  const before = pod.status?.conditions ?? [];
  const conditions = Object.entries(own).map(([type, condition]) => {
    const known = before.find(entry => entry.type === type);
    const lastTransitionTime = known?.status === condition.status ? known?.lastTransitionTime : now;
    return { type, ...condition, lastTransitionTime: lastTransitionTime ?? now } as PodCondition;
  });
  return {
    phase,
    conditions: [...before.filter(({ type }) => !(type in own)), ...conditions],
    hostIP: observed.hostIP,
    hostIPs: [{ ip: observed.hostIP }],
    podIP: observed.podIP,
    podIPs: [{ ip: observed.podIP }],
    startTime: observed.startTime,
    initContainerStatuses: [...observed.init],
    containerStatuses: [...observed.containers],
  };
}

function podPhase(restartPolicy: string, { init, containers }: Observed): string {
  const failedInit = init.some(({ state }) => state?.terminated && state.terminated.exitCode !== 0);
  if (failedInit && restartPolicy === 'Never') return 'Failed';
  if (init.some(({ state }) => state?.terminated?.exitCode !== 0)) return 'Pending';
  const states = containers.map(({ state }) => state ?? {});
  const terminated = (state: ContainerState) => state.terminated !== undefined;
  if (states.some(state => state.running)) return 'Running';
  if (states.every(terminated) && restartPolicy !== 'Always') {
    const succeeded = states.every(state => state.terminated?.exitCode === 0);
    if (succeeded) return 'Succeeded';
    if (restartPolicy === 'Never') return 'Failed';
  }
  // A container that waits for its next start has run before. One that never ran is still pending.
  const ran = containers.some(
    ({ state, lastState, restartCount }) => state?.terminated || lastState?.terminated || restartCount > 0,
  );
  return ran ? 'Running' : 'Pending';
}
