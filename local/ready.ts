import { setTimeout as sleep } from 'node:timers/promises';
import { BACKFILLS, PIPELINE_SCHEDULES, WORKER_POOLS } from '../operator/controllers/resources.ts';
import { podProblem } from '../operator/controllers/worker-pool/pod-problem.ts';
import { PODS, type Pod } from '../operator/kube/builtin.ts';
import type { Client } from '../operator/kube/client.ts';
import { KubeError } from '../operator/kube/errors.ts';
import type { Resource } from '../operator/kube/resource.ts';
import { OPERATOR, OPERATOR_NAMESPACE } from '../operator/manifests.ts';

/** The operator's controllers by their name in the metrics, and the kind of each. */
const CONTROLLERS: Readonly<Record<string, Resource>> = {
  backfill: BACKFILLS as Resource,
  pipelineschedule: PIPELINE_SCHEDULES as Resource,
  workerpool: WORKER_POOLS as Resource,
};

/** Milliseconds between two checks, and the number of checks after which a problem is reported. */
const POLL_INTERVAL = 200;
const REPORTED_AFTER = 25;

/**
 * Waits until the operator leads and has since reconciled every resource: before that, a status comes from an earlier start. `onProblem` gets a
 * message, once each, for every problem that keeps the operator's pod from running. Rejects when the signal aborts.
 */
export async function whenOperatorLeads(
  client: Client,
  signal: AbortSignal,
  onProblem: (problem: string) => void,
): Promise<void> {
  /** How often each problem was seen. A short problem is not reported. */
  const seen = new Map<string, number>();
  for (;;) {
    try {
      const pods = await client.list(PODS, {
        namespace: OPERATOR_NAMESPACE,
        labelSelector: `app.kubernetes.io/name=${OPERATOR}`,
        signal,
      });
      if (await isCurrent(client, pods, signal)) return;
      for (const problem of pods.flatMap(pod => podProblem(pod) ?? [])) {
        const times = (seen.get(problem) ?? 0) + 1;
        seen.set(problem, times);
        if (times === REPORTED_AFTER) onProblem(problem);
      }
    } catch (error) {
      signal.throwIfAborted();
      // The API server may be restarting.
      if (!(error instanceof KubeError)) throw error;
    }
    await sleep(POLL_INTERVAL, undefined, { signal });
  }
}

async function isCurrent(client: Client, pods: readonly Pod[], signal: AbortSignal): Promise<boolean> {
  for (const { metadata, status } of pods) {
    // The address is known before the process runs, and the status of a pod of an earlier start contains one.
    if (metadata.deletionTimestamp || !status?.podIP) continue;
    const metrics = await metricsOf(status.podIP, signal);
    if (metrics && metrics.value('leader_election_master_status') === 1) return haveAllPassed(client, metrics, signal);
  }
  return false;
}

/** Returns whether each controller has reconciled at least as often as there are resources, and has no work left. */
async function haveAllPassed(client: Client, metrics: Metrics, signal: AbortSignal): Promise<boolean> {
  for (const [controller, resource] of Object.entries(CONTROLLERS)) {
    const resources = await client.list(resource, { signal });
    const of = `controller="${controller}"`;
    if (metrics.value('controller_runtime_reconcile_total', of) < resources.length) return false;
    if (metrics.value('controller_runtime_active_workers', of) > 0) return false;
    if (metrics.value('workqueue_depth', of) > 0) return false;
  }
  return true;
}

interface Metrics {
  /** Returns the sum of a metric over the series that have a label, or 0 if there are none. */
  value(name: string, label?: string): number;
}

/** Returns the operator's metrics, or undefined while it does not answer. */
async function metricsOf(address: string, signal: AbortSignal): Promise<Metrics | undefined> {
  let text: string;
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(5_000)]);
    text = await (await fetch(`http://${address}:8080/metrics`, { signal: limit })).text();
  } catch (error) {
    signal.throwIfAborted();
    // It does not listen yet, or is too busy to answer.
    if (error instanceof Error) return undefined;
    throw error;
  }
  return { value: (name, label = '') => sum(text, name, label) };
}

/** Sums the series `name{...label...} value` in Prometheus' text format. */
function sum(text: string, name: string, label: string): number {
  return text
    .split('\n')
    .filter(line => line.startsWith(`${name}{`) && line.includes(label))
    .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' '))), 0);
}
