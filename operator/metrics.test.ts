import { expect, test } from 'vitest';
import type { Backfill } from '../crds/backfill.ts';
import type { PipelineSchedule } from '../crds/pipeline-schedule.ts';
import type { WorkerPool } from '../crds/worker-pool.ts';
import { type Resources, resourceMetrics } from './metrics.ts';

async function textOf(resources: Resources): Promise<string> {
  let text = '';
  for await (const chunk of resourceMetrics(resources)) text += chunk;
  return text;
}

const metadata = { name: 'one', namespace: 'data' };
const ready = {
  type: 'Ready',
  status: 'True',
  reason: 'Started',
  message: 'm',
  observedGeneration: 1,
  lastTransitionTime: '2026-01-01T00:00:00Z',
};
const backfill = {
  metadata,
  status: {
    conditions: [ready],
    measurements: 700,
    progress: { total: 31, succeeded: 10, failed: 1, skipped: 2, active: 4, percent: 41, done: '13/31' },
  },
} as unknown as Backfill;
const schedule = {
  metadata,
  status: {
    lag: 2,
    buckets: { expected: 5, listed: 4, read: 3 },
    lastSuccessfulBucket: '2025-12-29',
    nextBuckets: [{ bucket: 'x', at: '2026-01-01T00:00:00Z' }],
  },
} as unknown as PipelineSchedule;
const pool = {
  metadata,
  status: {
    desiredReplicas: 3,
    readyReplicas: 2,
    queues: [
      { name: 'q', tasks: 'Activities', backlog: 7 },
      { name: 'r', tasks: 'Workflows' },
    ],
  },
} as unknown as WorkerPool;

test('metrics have samples of the existing resources only', async () => {
  let backfills = [backfill];
  const resources: Resources = {
    schedules: () => [schedule],
    backfills: () => backfills,
    pools: () => [pool],
    loadReadAt: new Map([['q', 1_767_225_600_000]]),
  };
  const lines = (await textOf(resources)).split('\n').filter(line => line && !line.startsWith('#'));
  expect(lines).toEqual([
    'ooni_resource_condition{kind="Backfill",namespace="data",name="one",type="Ready",status="True",reason="Started"} 1',
    'ooni_backfill_buckets{namespace="data",name="one",state="succeeded"} 10',
    'ooni_backfill_buckets{namespace="data",name="one",state="failed"} 1',
    'ooni_backfill_buckets{namespace="data",name="one",state="skipped"} 2',
    'ooni_backfill_buckets{namespace="data",name="one",state="active"} 4',
    'ooni_backfill_buckets{namespace="data",name="one",state="waiting"} 14',
    'ooni_backfill_measurements{namespace="data",name="one"} 700',
    'ooni_schedule_lag_buckets{namespace="data",name="one"} 2',
    'ooni_schedule_buckets{namespace="data",name="one",state="expected"} 5',
    'ooni_schedule_buckets{namespace="data",name="one",state="listed"} 4',
    'ooni_schedule_buckets{namespace="data",name="one",state="read"} 3',
    'ooni_schedule_newest_bucket_end_timestamp_seconds{namespace="data",name="one"} 1767052800',
    'ooni_schedule_next_firing_timestamp_seconds{namespace="data",name="one"} 1767225600',
    'ooni_workerpool_replicas{namespace="data",name="one",state="desired"} 3',
    'ooni_workerpool_replicas{namespace="data",name="one",state="ready"} 2',
    'ooni_queue_backlog{queue="q"} 7',
    'ooni_queue_observed_timestamp_seconds{queue="q"} 1767225600',
  ]);
  backfills = [];
  expect(await textOf(resources)).not.toContain('Backfill');
});

test('a scrape lets other work run between a few hundred samples', async () => {
  const many = Array.from(
    { length: 10_000 },
    (_, index) => ({ ...backfill, metadata: { name: `b${index}` } }) as Backfill,
  );
  let turns = 0;
  let scraping = true;
  const turn = () => {
    turns++;
    if (scraping) setImmediate(turn);
  };
  setImmediate(turn);
  let [lines, longest] = [0, 0];
  for await (const chunk of resourceMetrics({ schedules: () => [], backfills: () => many, pools: () => [] })) {
    const samples = chunk.split('\n').filter(line => line.startsWith('ooni_')).length;
    lines += samples;
    longest = Math.max(longest, samples);
  }
  scraping = false;
  expect(lines).toBe(70_000);
  expect(longest).toBeLessThanOrEqual(500);
  expect(turns).toBeGreaterThanOrEqual(70_000 / 500);
});

test('a label may hold quotes, backslashes and line breaks', async () => {
  const odd = { ...backfill, metadata: { name: 'a"b\\c\nd', namespace: 'data' } } as Backfill;
  const text = await textOf({ schedules: () => [], backfills: () => [odd], pools: () => [] });
  expect(text).toContain('ooni_backfill_measurements{namespace="data",name="a\\"b\\\\c\\nd"} 700\n');
});

test('the last answer of Temporal has no sample before the first one', async () => {
  const calls = { answered: 0, failed: 0 };
  const temporal = { namespace: 'default', answeredAt: undefined as number | undefined, calls };
  const none = { schedules: () => [], backfills: () => [], pools: () => [] };
  const sample = async () =>
    (await textOf({ ...none, temporal })).split('\n').filter(line => /^ooni_temporal_last_answer/.test(line));
  expect(await sample()).toEqual([]);
  temporal.answeredAt = 1_700_000_000_500;
  expect(await sample()).toEqual([
    'ooni_temporal_last_answer_timestamp_seconds{temporal_namespace="default"} 1700000000.5',
  ]);
  calls.answered = 7;
  calls.failed = 1;
  expect((await textOf({ ...none, temporal })).match(/^.*ooni_temporal_calls_total.*$/gm)).toEqual([
    expect.stringContaining('# HELP'),
    '# TYPE ooni_temporal_calls_total counter',
    'ooni_temporal_calls_total{temporal_namespace="default",result="answered"} 7',
    'ooni_temporal_calls_total{temporal_namespace="default",result="failed"} 1',
  ]);
});
