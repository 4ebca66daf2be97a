import { expect, test } from 'vitest';
import { PLAIN, paletteFor } from '../colour.ts';
import { widthOf } from '../width.ts';
import type { StatusView } from './observe.ts';
import { statusLines } from './text.ts';

const many = 123_456_789_012;
const progress = { phase: 'Running', total: 5478, succeeded: 1000, failed: 2000, skipped: 3 };
const away = {
  reason: 'ClickHouseUnavailableError',
  message: `ClickHouse does not answer: ${'r'.repeat(300)}`,
};
const view = {
  at: '2026-11-28T06:50:15Z',
  installation: 'a'.repeat(40),
  temporal: {
    address: 'temporal.example.org:7233',
    known: true,
    value: {
      schedules: [
        {
          filter: `it.us-${'signal.web_connectivity.'.repeat(10)}`,
          paused: true,
          note: 'paused '.repeat(40),
          last: '2026-11-27T23',
          missing: { known: true, value: { count: 400, buckets: ['2026-01-01T00'] } },
          late: { known: true, value: 10_000_000 },
          blockedBy: { ...away, bucket: '2026-11-27T23' },
        },
      ],
      runs: { count: 12_345, oldest: [] },
      backfills: [
        {
          id: `ooni/backfill/${'b'.repeat(253)}`,
          startedAt: '2026-11-01T00:00:00Z',
          progress,
          blockedBy: away,
        },
      ],
      queues: [{ tasks: 'Workflows', backlog: 1_000_000, waiting: 100_000 }, { tasks: 'Activities' }],
      workers: { known: false, reason: 'unknown' },
    },
  },
  clickhouse: {
    name: 'https://clickhouse.example.org:8443/ooni',
    known: true,
    value: {
      runs: { completed: many, failed: many, running: many, cancelled: many, abandoned: many },
      buckets: 130_000,
      objects: 100_000_000,
      measurements: 10_000_000_000,
      failedMeasurements: 1_000_000_000,
      rows: { obs_web: many, obs_web_ctrl: many, obs_http_middlebox: many, obs_tunnel: many },
      lastFailures: [
        {
          bucket: '2024-01-30T05',
          filter: 'f'.repeat(200),
          stage: 'Observations',
          reason: 'r'.repeat(30),
          message: 'm'.repeat(300),
        },
      ],
    },
  },
} as unknown as StatusView;

test('no line of status is wider than 100 columns, in colours and without', () => {
  const plain = statusLines(view, PLAIN, 100);
  expect(plain.filter(line => widthOf(line) > 100)).toEqual([]);
  expect(statusLines(view, paletteFor({ isTTY: true }, {}), 100).map(widthOf)).toEqual(plain.map(widthOf));
  expect(plain.join('\n')).toContain('obs_tunnel 123,456,789,012');
});

test('schedules and backfills that wait for the same server share a line, which has the whole message', () => {
  const { temporal } = view as unknown as { temporal: { value: { schedules: [object]; backfills: object[] } } };
  const [schedule] = temporal.value.schedules;
  const short = { ...schedule, filter: 'us-signal' };
  const waits = { reason: 'NoWorker', message: 'no worker has taken it', bucket: '2026-11-26' };
  const value = {
    ...temporal.value,
    schedules: [short, { ...short, filter: 'it-signal', blockedBy: waits }],
    backfills: [...temporal.value.backfills, { id: 'ooni/backfill/idle', startedAt: '2026-11-01T00:00:00Z' }],
  };
  const lines = statusLines({ ...view, temporal: { ...temporal, value } } as unknown as StatusView, PLAIN, 1000);
  const at = lines.indexOf('Blocked');
  expect(lines.slice(at + 1, at + 4)).toEqual([
    `  us-signal for 2026-11-27T23 and 1 more: ClickHouseUnavailableError: ${away.message}`,
    '  it-signal for 2026-11-26: NoWorker: no worker has taken it',
    '',
  ]);
});
