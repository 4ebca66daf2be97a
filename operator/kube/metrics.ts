import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

/** A queue as its metrics see it. */
export interface MeasuredQueue {
  readonly labels: { readonly name: string; readonly controller: string };
  /** Returns the seconds for which each key that is processed now has been processed. */
  running(): number[];
}

/**
 * Metrics of the library, with the names and labels of controller-runtime and client-go where those exist, so that dashboards and alerts
 * for Go operators work unchanged.
 */
export type Metrics = ReturnType<typeof createMetrics>;

/** Registers all metrics, including those of the process (memory, CPU, event-loop lag), in the given registry or a new one. */
export function createMetrics(registry: Registry = new Registry()) {
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  /** Queues, whose running work is measured at each scrape. */
  const queues = new Set<MeasuredQueue>();
  const ofQueues = (name: string, help: string, value: (seconds: readonly number[]) => number) =>
    new Gauge({
      ...{ name, help, labelNames: ['name', 'controller'], registers },
      collect() {
        for (const queue of queues) this.set(queue.labels, value(queue.running()));
      },
    });
  return {
    registry,
    queues,
    queueUnfinished: ofQueues(
      'workqueue_unfinished_work_seconds',
      'Seconds since the start of each key that is processed now, added up; a value that grows shows stuck workers',
      seconds => seconds.reduce((sum, one) => sum + one, 0),
    ),
    queueLongest: ofQueues(
      'workqueue_longest_running_processor_seconds',
      'Seconds since the start of the key that has been processed for the longest time',
      seconds => Math.max(0, ...seconds),
    ),
    queueWork: new Histogram({
      name: 'workqueue_work_duration_seconds',
      help: 'How long a key was processed',
      labelNames: ['name', 'controller'],
      buckets: SECONDS,
      registers,
    }),
    requests: new Counter({
      name: 'rest_client_requests_total',
      help: 'Requests to the API server, by method and status code; "<error>" means no answer',
      labelNames: ['method', 'code'],
      registers,
    }),
    reconciles: new Counter({
      name: 'controller_runtime_reconcile_total',
      help: 'Reconciliations by controller and result (success, error, requeue, requeue_after)',
      labelNames: ['controller', 'result'],
      registers,
    }),
    reconcileErrors: new Counter({
      name: 'controller_runtime_reconcile_errors_total',
      help: 'Reconciliations that failed',
      labelNames: ['controller'],
      registers,
    }),
    terminalErrors: new Counter({
      name: 'controller_runtime_terminal_reconcile_errors_total',
      help: 'Reconciliations that failed and are not retried until the object changes',
      labelNames: ['controller'],
      registers,
    }),
    reconcileTime: new Histogram({
      name: 'controller_runtime_reconcile_time_seconds',
      help: 'Length of a reconciliation',
      labelNames: ['controller'],
      buckets: SECONDS,
      registers,
    }),
    reconcilesActive: new Gauge({
      name: 'controller_runtime_active_workers',
      help: 'Reconciliations under way',
      labelNames: ['controller'],
      registers,
    }),
    reconcilesMax: new Gauge({
      name: 'controller_runtime_max_concurrent_reconciles',
      help: 'Reconciliations allowed at a time',
      labelNames: ['controller'],
      registers,
    }),
    reconcilesHeld: new Counter({
      name: 'kube_reconciles_held_total',
      help: 'Reconciliations postponed because the cache had not seen our own write yet',
      labelNames: ['controller'],
      registers,
    }),
    queueDepth: new Gauge({
      name: 'workqueue_depth',
      help: 'Keys ready for a worker',
      labelNames: ['name', 'controller'],
      registers,
    }),
    queueAdds: new Counter({
      name: 'workqueue_adds_total',
      help: 'Keys that became ready',
      labelNames: ['name', 'controller'],
      registers,
    }),
    queueDuration: new Histogram({
      name: 'workqueue_queue_duration_seconds',
      help: 'How long a ready key waited for a worker',
      labelNames: ['name', 'controller'],
      buckets: SECONDS,
      registers,
    }),
    queueRetries: new Counter({
      name: 'workqueue_retries_total',
      help: 'Keys put back with back-off',
      labelNames: ['name', 'controller'],
      registers,
    }),
    leader: new Gauge({
      name: 'leader_election_master_status',
      help: '1 while this process holds the lease',
      labelNames: ['name'],
      registers,
    }),
    cached: new Gauge({
      name: 'kube_cache_objects',
      help: 'Objects in a cache',
      labelNames: ['resource'],
      registers,
    }),
    relists: new Counter({
      name: 'kube_list_watch_relists_total',
      help: 'Full lists by reason (start, gone, failures, audit)',
      labelNames: ['resource', 'reason'],
      registers,
    }),
    watchErrors: new Counter({
      name: 'kube_list_watch_errors_total',
      help: 'Lists and watches that failed, by class of error; each is retried',
      labelNames: ['resource', 'error'],
      registers,
    }),
    divergence: new Counter({
      name: 'kube_audit_divergence_total',
      help: 'Objects of an audit list that differed from the cache. Above 0, a watch has lost an event',
      labelNames: ['resource'],
      registers,
    }),
    eventsFailed: new Counter({
      name: 'kube_events_failed_total',
      help: 'Kubernetes Events that could not be written',
      registers,
    }),
  };
}
