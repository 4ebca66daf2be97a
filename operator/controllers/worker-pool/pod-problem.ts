import type { Pod } from '../../kube/builtin.ts';

/** Returns the cause that keeps a pod from running, as a sentence that says where to look; undefined when the status shows none. */
export function podProblem({ metadata, status }: Pod): string | undefined {
  const pod = `pod ${metadata.namespace}/${metadata.name}`;
  const unscheduled = status?.conditions?.find(({ type, status: is }) => type === 'PodScheduled' && is === 'False');
  // The scheduler ends its text with a full stop, and the caller makes a sentence.
  if (unscheduled?.message) return `${pod} waits: ${unscheduled.message.replace(/\.+$/, '')}`;
  for (const { state, lastState } of [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]) {
    const { reason, message } = state?.waiting ?? {};
    if (!reason || reason === 'ContainerCreating' || reason === 'PodInitializing') continue;
    if (reason !== 'CrashLoopBackOff') return `${pod}: ${reason}${message ? `: ${message}` : ''}`;
    const log = `kubectl logs -n ${metadata.namespace} ${metadata.name} --previous`;
    return `${pod} ended with status ${lastState?.terminated?.exitCode} and is started again and again; ${log}`;
  }
  return undefined;
}
