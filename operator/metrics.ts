import { setImmediate } from 'node:timers/promises';
import { Gauge, type Registry } from 'prom-client';
import type { Backfill } from '../crds/backfill.ts';
import type { Condition } from '../crds/conditions.ts';
import type { PipelineSchedule } from '../crds/pipeline-schedule.ts';
import type { WorkerPool } from '../crds/worker-pool.ts';
import { boundsOf } from '../pipeline/bucket.ts';

/** The existing resources of our kinds, as the caches hold them. */
export interface Resources {
  schedules(): Iterable<PipelineSchedule>;
  backfills(): Iterable<Backfill>;
  pools(): Iterable<WorkerPool>;
  /** Connection to Temporal. `answeredAt`: time of its last answer, in milliseconds since 1970; undefined before the first one. */
  readonly temporal?: { readonly namespace: string; readonly answeredAt: number | undefined };
  /** Time of the last statistics of each queue, in milliseconds since 1970. Only the leader reads them. */
  readonly loadReadAt?: ReadonlyMap<string, number>;
}

/** A value of a metric with its labels. */
export interface Sample {
  readonly metric: keyof typeof METRICS;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Metrics of the resources. The controllers and queues have their own. */
const METRICS = {
  ooni_resource_condition: {
    help: '1 for the current status and reason of each condition of a resource; alert when type="Ready",status!="True" persists',
    labels: ['kind', 'namespace', 'name', 'type', 'status', 'reason'],
  },
  ooni_backfill_buckets: {
    help: 'Buckets of a backfill by state (succeeded, failed, skipped, active, waiting)',
    labels: ['namespace', 'name', 'state'],
  },
  ooni_backfill_measurements: { help: 'Measurements that a backfill has read', labels: ['namespace', 'name'] },
  ooni_schedule_lag_buckets: {
    help: 'Buckets that became due since the last success of a schedule and are not done',
    labels: ['namespace', 'name'],
  },
  ooni_schedule_missing_buckets: {
    help: 'Due buckets of a schedule that the ledger does not have as completed; absent while unknown. Alert above 0',
    labels: ['namespace', 'name'],
  },
  ooni_schedule_buckets: {
    help: 'Due buckets of a schedule by progress in the ledger (expected, listed, read, judged); each contains the next one',
    labels: ['namespace', 'name', 'state'],
  },
  ooni_schedule_newest_bucket_end_timestamp_seconds: {
    help: 'End of the newest bucket that a schedule has completed, with its verdicts; time() minus it is the age of the newest data',
    labels: ['namespace', 'name'],
  },
  ooni_schedule_next_firing_timestamp_seconds: {
    help: 'Time of the next firing of a schedule',
    labels: ['namespace', 'name'],
  },
  ooni_workerpool_replicas: {
    help: 'Pods of a pool by state (desired, ready)',
    labels: ['namespace', 'name', 'state'],
  },
  ooni_temporal_last_answer_timestamp_seconds: {
    help: 'Time of the last request that Temporal answered; time() minus it is the age of the information that the operator has. Only the leader asks Temporal, every few minutes at least',
    // A metric without labels would be 0 before the first answer.
    labels: ['temporal_namespace'],
  },
  ooni_queue_backlog: { help: 'Tasks that wait in a task queue', labels: ['queue'] },
  ooni_queue_observed_timestamp_seconds: {
    help: 'Time at which Temporal reported the load of a task queue; time() minus it is the age of the signal by which pools scale',
    labels: ['queue'],
  },
} as const;

/** Returns the samples of all resources. An unknown value has no sample. Pure. */
function* samplesOf(resources: Resources): Generator<Sample> {
  const sample = (metric: Sample['metric'], labels: Record<string, string>, value: number | undefined): Sample[] =>
    value === undefined || Number.isNaN(value) ? [] : [{ metric, labels, value }];
  const { namespace = '', answeredAt } = resources.temporal ?? {};
  yield* sample(
    'ooni_temporal_last_answer_timestamp_seconds',
    { temporal_namespace: namespace },
    answeredAt === undefined ? undefined : answeredAt / 1000,
  );
  for (const { metadata, status } of resources.schedules()) {
    const labels = labelsOf(metadata);
    yield* conditionsOf('PipelineSchedule', labels, status?.conditions);
    yield* sample('ooni_schedule_lag_buckets', labels, status?.lag);
    yield* sample('ooni_schedule_missing_buckets', labels, status?.missing?.count);
    for (const state of ['expected', 'listed', 'read', 'judged'] as const) {
      yield* sample('ooni_schedule_buckets', { ...labels, state }, status?.buckets?.[state]);
    }
    const newest = status?.lastSuccessfulBucket;
    yield* sample(
      'ooni_schedule_newest_bucket_end_timestamp_seconds',
      labels,
      newest === undefined ? undefined : boundsOf(newest).end / 1000,
    );
    const next = status?.nextBuckets?.[0]?.at;
    yield* sample('ooni_schedule_next_firing_timestamp_seconds', labels, next ? Date.parse(next) / 1000 : undefined);
  }
  for (const { metadata, status } of resources.backfills()) {
    const labels = labelsOf(metadata);
    yield* conditionsOf('Backfill', labels, status?.conditions);
    yield* sample('ooni_backfill_measurements', labels, status?.measurements);
    if (!status?.progress) continue;
    const { total, succeeded, failed, skipped, active } = status.progress;
    const waiting = total - succeeded - failed - skipped - active;
    for (const [state, value] of Object.entries({ succeeded, failed, skipped, active, waiting })) {
      yield* sample('ooni_backfill_buckets', { ...labels, state }, value);
    }
  }
  const queues = new Map<string, number>();
  for (const { metadata, status } of resources.pools()) {
    const labels = labelsOf(metadata);
    yield* conditionsOf('WorkerPool', labels, status?.conditions);
    yield* sample('ooni_workerpool_replicas', { ...labels, state: 'desired' }, status?.desiredReplicas);
    yield* sample('ooni_workerpool_replicas', { ...labels, state: 'ready' }, status?.readyReplicas);
    for (const { name, backlog } of status?.queues ?? []) if (backlog !== undefined) queues.set(name, backlog);
  }
  for (const [queue, backlog] of queues) yield* sample('ooni_queue_backlog', { queue }, backlog);
  for (const [queue, at] of resources.loadReadAt ?? []) {
    yield* sample('ooni_queue_observed_timestamp_seconds', { queue }, at / 1000);
  }
}

function labelsOf({ namespace = '', name }: { namespace?: string; name: string }): Record<string, string> {
  return { namespace, name };
}

function* conditionsOf(
  kind: string,
  labels: Record<string, string>,
  conditions: readonly Condition[] | undefined,
): Generator<Sample> {
  for (const { type, status, reason } of conditions ?? []) {
    yield { metric: 'ooni_resource_condition', labels: { kind, ...labels, type, status, reason }, value: 1 };
  }
}

/** Number of samples after which a scrape lets other work run. 10,000 resources have more than 100,000 samples. */
const CHUNK = 2_000;

/**
 * Registers the metrics. Each scrape computes them, so that a deleted resource disappears from them. The samples are made once a scrape,
 * for all metrics, in chunks between which other work of the process runs.
 */
export function registerMetrics(registry: Registry, resources: Resources): void {
  const gauges = new Map<string, Gauge<string>>();
  let filling: Promise<void> | undefined;
  const fill = async () => {
    for (const gauge of gauges.values()) gauge.reset();
    let made = 0;
    for (const { metric, labels, value } of samplesOf(resources)) {
      gauges.get(metric)?.set(labels, value);
      if (++made % CHUNK === 0) await setImmediate();
    }
  };
  const collect = () => {
    filling ??= fill().finally(() => {
      filling = undefined;
    });
    return filling;
  };
  for (const [name, { help, labels }] of Object.entries(METRICS)) {
    gauges.set(name, new Gauge({ name, help, labelNames: [...labels], registers: [registry], collect }));
  }
}
