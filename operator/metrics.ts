import { setImmediate } from 'node:timers/promises';
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
  readonly temporal?: TemporalConnection;
  /** Time of the last statistics of each queue, in milliseconds since 1970. Only the leader reads them. */
  readonly loadReadAt?: ReadonlyMap<string, number>;
}

/** Connection to Temporal, as its metrics see it. */
export interface TemporalConnection {
  readonly namespace: string;
  /** Time of the last answer, in milliseconds since 1970; undefined before the first one. */
  readonly answeredAt: number | undefined;
  /** Number of calls that were answered and of those that failed. */
  readonly calls: { readonly answered: number; readonly failed: number };
}

/** Values of the labels of a sample, in the order of the labels, and its value. A sample whose value is undefined or NaN is left out. */
type Sample = readonly [labels: readonly string[], value: number | undefined];

/** A metric whose samples are computed from the resources. */
interface ResourceMetric {
  readonly name: string;
  /** Default gauge. */
  readonly type?: 'counter';
  readonly help: string;
  readonly labels: readonly string[];
  /** Pure. An unknown value has no sample. */
  samples(resources: Resources): Iterable<Sample>;
}

/** Metrics of the resources. The controllers and queues have their own. */
const METRICS: readonly ResourceMetric[] = [
  {
    name: 'ooni_resource_condition',
    help: '1 for the current status and reason of each condition of a resource; alert when type="Ready",status!="True" persists',
    labels: ['kind', 'namespace', 'name', 'type', 'status', 'reason'],
    *samples({ schedules, backfills, pools }) {
      yield* conditionsOf('PipelineSchedule', schedules());
      yield* conditionsOf('Backfill', backfills());
      yield* conditionsOf('WorkerPool', pools());
    },
  },
  {
    name: 'ooni_backfill_buckets',
    help: 'Buckets of a backfill by state (succeeded, failed, skipped, active, waiting)',
    labels: ['namespace', 'name', 'state'],
    *samples({ backfills }) {
      for (const { metadata, status } of backfills()) {
        if (!status?.progress) continue;
        const { total, succeeded, failed, skipped, active } = status.progress;
        const waiting = total - succeeded - failed - skipped - active;
        for (const [state, value] of Object.entries({ succeeded, failed, skipped, active, waiting })) {
          yield [[...idOf(metadata), state], value];
        }
      }
    },
  },
  {
    name: 'ooni_backfill_measurements',
    help: 'Measurements that a backfill has read',
    labels: ['namespace', 'name'],
    *samples({ backfills }) {
      for (const { metadata, status } of backfills()) yield [idOf(metadata), status?.measurements];
    },
  },
  {
    name: 'ooni_schedule_lag_buckets',
    help: 'Due buckets of a schedule after the latest one that it completed, including those that are active and those that another run has completed',
    labels: ['namespace', 'name'],
    *samples({ schedules }) {
      for (const { metadata, status } of schedules()) yield [idOf(metadata), status?.lag];
    },
  },
  {
    name: 'ooni_schedule_missing_buckets',
    help: 'Due buckets of a schedule that the ledger does not have as completed; absent while unknown. Alert above 0',
    labels: ['namespace', 'name'],
    *samples({ schedules }) {
      for (const { metadata, status } of schedules()) yield [idOf(metadata), status?.missing?.count];
    },
  },
  {
    name: 'ooni_schedule_buckets',
    help: 'Due buckets of a schedule by progress in the ledger (expected, listed, read, judged); each contains the next one',
    labels: ['namespace', 'name', 'state'],
    *samples({ schedules }) {
      for (const { metadata, status } of schedules()) {
        for (const state of ['expected', 'listed', 'read', 'judged'] as const) {
          yield [[...idOf(metadata), state], status?.buckets?.[state]];
        }
      }
    },
  },
  {
    name: 'ooni_schedule_newest_bucket_end_timestamp_seconds',
    help: 'End of the newest bucket that a schedule has completed, with its verdicts; time() minus it is the age of the newest data',
    labels: ['namespace', 'name'],
    *samples({ schedules }) {
      for (const { metadata, status } of schedules()) {
        const newest = status?.lastSuccessfulBucket;
        yield [idOf(metadata), newest === undefined ? undefined : boundsOf(newest).end / 1000];
      }
    },
  },
  {
    name: 'ooni_schedule_next_firing_timestamp_seconds',
    help: 'Time of the next firing of a schedule',
    labels: ['namespace', 'name'],
    *samples({ schedules }) {
      for (const { metadata, status } of schedules()) {
        const next = status?.nextBuckets?.[0]?.at;
        yield [idOf(metadata), next ? Date.parse(next) / 1000 : undefined];
      }
    },
  },
  {
    name: 'ooni_workerpool_replicas',
    help: 'Pods of a pool by state (desired, ready)',
    labels: ['namespace', 'name', 'state'],
    *samples({ pools }) {
      for (const { metadata, status } of pools()) {
        yield [[...idOf(metadata), 'desired'], status?.desiredReplicas];
        yield [[...idOf(metadata), 'ready'], status?.readyReplicas];
      }
    },
  },
  {
    name: 'ooni_temporal_last_answer_timestamp_seconds',
    help: 'Time of the last request that Temporal answered; time() minus it is the age of the information that the operator has. Only the leader asks Temporal, every few minutes at least',
    labels: ['temporal_namespace'],
    *samples({ temporal }) {
      const { namespace = '', answeredAt } = temporal ?? {};
      yield [[namespace], answeredAt === undefined ? undefined : answeredAt / 1000];
    },
  },
  {
    name: 'ooni_temporal_calls_total',
    help: 'Calls of the operator to Temporal, by result (answered, failed); each makes one to three requests. The setting operator_temporal_calls_per_second limits them',
    type: 'counter',
    labels: ['temporal_namespace', 'result'],
    *samples({ temporal }) {
      if (!temporal) return;
      yield [[temporal.namespace, 'answered'], temporal.calls.answered];
      yield [[temporal.namespace, 'failed'], temporal.calls.failed];
    },
  },
  {
    name: 'ooni_queue_backlog',
    help: 'Tasks that wait in a task queue',
    labels: ['queue'],
    *samples({ pools }) {
      // Pools that share a queue report the same backlog.
      const queues = new Map<string, number>();
      for (const { status } of pools()) {
        for (const { name, backlog } of status?.queues ?? []) if (backlog !== undefined) queues.set(name, backlog);
      }
      for (const [queue, backlog] of queues) yield [[queue], backlog];
    },
  },
  {
    name: 'ooni_queue_observed_timestamp_seconds',
    help: 'Time at which Temporal reported the load of a task queue; time() minus it is the age of the signal by which pools scale',
    labels: ['queue'],
    *samples({ loadReadAt }) {
      for (const [queue, at] of loadReadAt ?? []) yield [[queue], at / 1000];
    },
  },
];

function idOf({ namespace = '', name }: { namespace?: string; name: string }): string[] {
  return [namespace, name];
}

type Conditioned = PipelineSchedule | Backfill | WorkerPool;

function* conditionsOf(kind: string, objects: Iterable<Conditioned>): Generator<Sample> {
  for (const { metadata, status } of objects) {
    for (const { type, status: state, reason } of (status?.conditions ?? []) as readonly Condition[]) {
      yield [[kind, ...idOf(metadata), type, state, reason], 1];
    }
  }
}

/** Descriptions of the metrics, for the reference page and the tests of alerts. */
export const RESOURCE_METRICS = METRICS.map(({ name, help, type = 'gauge', labels }) => ({
  ...{ name, help, type, labelNames: labels },
}));

/** Number of samples in a chunk of text. 10,000 resources have about 100,000 samples. The parts of a larger chunk would outlive the young heap. */
const CHUNK = 100;

/**
 * Returns the metrics of the resources as text for Prometheus, in chunks between which other work of the process runs. Each call computes them,
 * so that a deleted resource disappears from them, and keeps none of them in memory.
 */
export async function* resourceMetrics(resources: Resources): AsyncGenerator<string, void, void> {
  // The lists stay the same during the scrape: an object that is created again meanwhile would appear twice.
  const [schedules, backfills, pools] = [
    [...resources.schedules()],
    [...resources.backfills()],
    [...resources.pools()],
  ];
  const now: Resources = {
    ...{ schedules: () => schedules, backfills: () => backfills, pools: () => pools },
    ...{ temporal: resources.temporal, loadReadAt: resources.loadReadAt },
  };
  for (const { name, help, type = 'gauge', labels, samples } of METRICS) {
    let text = `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
    /** Text before the value of each label. */
    const before = labels.map((label, index) => `${index === 0 ? `${name}{` : '",'}${label}="`);
    let made = 0;
    for (const [values, value] of samples(now)) {
      if (value === undefined || Number.isNaN(value)) continue;
      for (const [index, part] of before.entries()) text += part + escaped(values[index]);
      text += `"} ${value}\n`;
      if (++made % CHUNK > 0) continue;
      yield text;
      text = '';
      await setImmediate();
    }
    yield text;
  }
}

/** Returns a value of a label as the text format requires it. */
function escaped(value = ''): string {
  return /[\\\n"]/.test(value) ? value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"') : value;
}
