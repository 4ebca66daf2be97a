import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

/** A queue as its metrics see it. */
export interface MeasuredQueue {
  readonly labels: { readonly name: string; readonly controller: string };
  /** Returns the seconds for which each key that is processed now has been processed. */
  running(): number[];
  /** Returns the number of keys that are ready. */
  depth(): number;
}

/**
 * Metrics of the library, with the names and labels of controller-runtime and client-go where those exist, so that dashboards and alerts
 * for Go operators work unchanged.
 */
export type Metrics = ReturnType<typeof createMetrics>;

/** Registers all metrics, including those of the process (memory, CPU, event-loop lag), in the given registry or a new one. */
export function createMetrics(registry: Registry = new Registry()) {
  collectDefaultMetrics({ register: registry });
  return {
    registry,
    ...queueMetrics(registry),
    ...reconcileMetrics(registry),
    ...cacheMetrics(registry),
    requests: counter(
      registry,
      'rest_client_requests_total',
      'Requests to the API server, by method and status code; "<error>" means no answer',
      ['method', 'code'],
    ),
    eventsFailed: counter(registry, 'kube_events_failed_total', 'Kubernetes Events that could not be written'),
    leader: gauge(registry, 'leader_election_master_status', '1 while this process holds the lease', ['name']),
  };
}

function queueMetrics(registry: Registry) {
  const labels = ['name', 'controller'] as const;
  /** Queues, which are measured at each scrape. */
  const queues = new Set<MeasuredQueue>();
  const ofQueues = (name: string, help: string, value: (queue: MeasuredQueue) => number) =>
    new Gauge({
      ...{ name, help, labelNames: labels, registers: [registry] },
      collect() {
        for (const queue of queues) this.set(queue.labels, value(queue));
      },
    });
  return {
    queues,
    queueUnfinished: ofQueues(
      'workqueue_unfinished_work_seconds',
      'Seconds since the start of each key that is processed now, added up; a value that grows shows stuck workers',
      queue => queue.running().reduce((sum, one) => sum + one, 0),
    ),
    queueLongest: ofQueues(
      'workqueue_longest_running_processor_seconds',
      'Seconds since the start of the key that has been processed for the longest time',
      queue => Math.max(0, ...queue.running()),
    ),
    queueWork: duration(registry, 'workqueue_work_duration_seconds', 'How long a key was processed', labels),
    queueDepth: ofQueues('workqueue_depth', 'Keys ready for a worker', queue => queue.depth()),
    queueAdds: counter(registry, 'workqueue_adds_total', 'Keys that became ready', labels),
    queueDuration: duration(
      registry,
      'workqueue_queue_duration_seconds',
      'How long a ready key waited for a worker',
      labels,
    ),
    queueRetries: counter(registry, 'workqueue_retries_total', 'Keys put back with back-off', labels),
  };
}

function reconcileMetrics(registry: Registry) {
  const labels = ['controller'] as const;
  return {
    reconciles: counter(
      registry,
      'controller_runtime_reconcile_total',
      'Reconciliations by controller and result (success, error, requeue, requeue_after)',
      ['controller', 'result'],
    ),
    reconcileErrors: counter(
      registry,
      'controller_runtime_reconcile_errors_total',
      'Reconciliations that failed',
      labels,
    ),
    terminalErrors: counter(
      registry,
      'controller_runtime_terminal_reconcile_errors_total',
      'Reconciliations that failed and are not retried until the object changes',
      labels,
    ),
    reconcileTime: duration(
      registry,
      'controller_runtime_reconcile_time_seconds',
      'Length of a reconciliation',
      labels,
    ),
    reconcilesActive: gauge(registry, 'controller_runtime_active_workers', 'Active reconciliations', labels),
    reconcilesMax: gauge(
      registry,
      'controller_runtime_max_concurrent_reconciles',
      'Reconciliations allowed at a time',
      labels,
    ),
    reconcilesHeld: counter(
      registry,
      'kube_reconciles_held_total',
      'Reconciliations postponed because the cache had not seen our own write yet',
      labels,
    ),
  };
}

function cacheMetrics(registry: Registry) {
  return {
    cached: gauge(registry, 'kube_cache_objects', 'Objects in a cache', ['resource']),
    relists: counter(registry, 'kube_list_watch_relists_total', 'Full lists by reason (start, gone, failures, audit)', [
      'resource',
      'reason',
    ]),
    watchErrors: counter(
      registry,
      'kube_list_watch_errors_total',
      'Lists and watches that failed, by class of error; each is retried',
      ['resource', 'error'],
    ),
    divergence: counter(
      registry,
      'kube_audit_divergence_total',
      'Objects of an audit list that differed from the cache. Above 0, a watch has lost an event',
      ['resource'],
    ),
  };
}

function counter<const Label extends string = never>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly Label[] = [],
): Counter<Label> {
  return new Counter({ name, help, labelNames, registers: [registry] });
}

function gauge<const Label extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly Label[],
): Gauge<Label> {
  return new Gauge({ name, help, labelNames, registers: [registry] });
}

function duration<const Label extends string>(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly Label[],
): Histogram<Label> {
  return new Histogram({ name, help, labelNames, buckets: SECONDS, registers: [registry] });
}
