import { expect, test } from 'vitest';
import { isAsDesired, type LedgerView, type StatusView, type TemporalView } from './observe.ts';

const unknown = { known: false, reason: 'no answer' } as const;
const blockedBy = { reason: 'NoWorker', message: 'no worker has taken it up' };
const failure = {
  bucket: '2024-01-30',
  filter: 'us-signal',
  stage: 'Observations',
  reason: 'TooManyFailures',
  message: 'm',
};

/** Everything is as desired; the run of a due bucket is active. */
const schedule = {
  missing: { known: true, value: { count: 1, buckets: ['2024-01-22'] } },
} as unknown as TemporalView['schedules'][number];
const backfill = { id: 'b', startedAt: '2024-01-23T00:00:00Z' };

function viewOf(temporal: Partial<TemporalView>, ledger: Partial<LedgerView>): StatusView {
  const work = { schedules: [schedule], backfills: [backfill], ...temporal };
  return {
    temporal: { known: true, value: work },
    clickhouse: { known: true, value: { lastFailures: [], ...ledger } },
  } as unknown as StatusView;
}

test('the status is 0 while all is as desired, also while a bucket is missing because its run is active', () => {
  expect(isAsDesired(viewOf({}, {}))).toBe(true);
});

test.each<[string, StatusView]>([
  ['Temporal is unknown', { ...viewOf({}, {}), temporal: { address: 'a', ...unknown } }],
  ['ClickHouse is unknown', { ...viewOf({}, {}), clickhouse: { name: 'c', ...unknown } }],
  ['the missing buckets are unknown', viewOf({ schedules: [{ ...schedule, missing: unknown }] }, {})],
  ['a run of a schedule is blocked', viewOf({ schedules: [{ ...schedule, blockedBy } as typeof schedule] }, {})],
  ['a run of a backfill is blocked', viewOf({ backfills: [{ ...backfill, blockedBy } as typeof backfill] }, {})],
  [
    'a bucket of a backfill failed',
    viewOf({ backfills: [{ ...backfill, progress: { failed: 1 } } as unknown as typeof backfill] }, {}),
  ],
  ['the last run of a bucket failed', viewOf({}, { lastFailures: [failure] })],
])('the status is 1 when %s', (_, view) => {
  expect(isAsDesired(view)).toBe(false);
});
