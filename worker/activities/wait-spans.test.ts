import { beforeEach, expect, test } from 'vitest';
import { inWork } from '../../pipeline/work-context.ts';
import { WaitSpans } from './wait-spans.ts';

let recorded: unknown[];
let spans: WaitSpans;
const refused = { reason: 'ClickHouseUnavailable', message: 'the text of a measurement' };
const slow = { reason: 'ArchiveSlow', message: '' };

beforeEach(() => {
  recorded = [];
  spans = new WaitSpans((reason, start, end, attributes) => recorded.push([reason, start, end, attributes]));
});

test('a wait is recorded when it begins, each half minute while it lasts, and when it ends', () => {
  for (const now of [0, 5_000, 10_000]) spans.take(undefined, now);
  expect(recorded).toEqual([]);
  for (let now = 15_000; now <= 80_000; now += 5_000) spans.take(refused, now);
  spans.take(undefined, 82_000);
  spans.take(undefined, 90_000);
  const times = recorded.map(span => (span as unknown[]).slice(0, 3));
  const reason = 'ClickHouseUnavailable';
  expect(times).toEqual([
    [reason, 15_000, 15_000],
    [reason, 15_000, 45_000],
    [reason, 45_000, 75_000],
    [reason, 75_000, 82_000],
  ]);
});

test('another cause begins another wait', () => {
  spans.take(slow, 0);
  spans.take(refused, 7_000);
  const times = recorded.map(span => (span as unknown[]).slice(0, 3));
  expect(times).toEqual([
    ['ArchiveSlow', 0, 0],
    ['ArchiveSlow', 0, 7_000],
    ['ClickHouseUnavailable', 7_000, 7_000],
  ]);
});

test('it names the part of the run, and no message', () => {
  inWork({ bucket: '2024-01-22', filter: 'ALLCCS-ALLTNS', stage: 'Observations', run: 'w' }, () =>
    spans.take(refused, 0),
  );
  const named = {
    'ooni.bucket': '2024-01-22',
    'ooni.filter': 'ALLCCS-ALLTNS',
    'ooni.stage': 'Observations',
    'temporal.workflow_id': 'w',
  };
  expect(recorded).toEqual([['ClickHouseUnavailable', 0, 0, named]]);
});
