import { context } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { beforeEach, expect, test } from 'vitest';
import { currentTraceParent } from './spans.ts';
import { formatTraceParent } from './trace-parent.ts';
import { WaitSpans } from './wait-spans.ts';

let recorded: unknown[];
let spans: WaitSpans;
const refused = { reason: 'ClickHouseUnavailable' };
const slow = { reason: 'ArchiveSlow' };

beforeEach(() => {
  recorded = [];
  spans = new WaitSpans(30_000, (reason, start, end) => {
    recorded.push([reason, start, end]);
    return undefined;
  });
});

test('a wait is recorded when it begins, each half minute while it lasts, and when it ends', () => {
  for (const now of [0, 5_000, 10_000]) spans.take(undefined, now);
  expect(recorded).toEqual([]);
  for (let now = 15_000; now <= 80_000; now += 5_000) spans.take(refused, now);
  spans.take(undefined, 82_000);
  spans.take(undefined, 90_000);
  const reason = 'ClickHouseUnavailable';
  expect(recorded).toEqual([
    [reason, 15_000, 15_000],
    [reason, 15_000, 45_000],
    [reason, 45_000, 75_000],
    [reason, 75_000, 82_000],
  ]);
});

test('another cause begins another wait, and so does another bucket', () => {
  const of = (bucket: string) => ({ ...refused, attributes: { 'ooni.bucket': bucket } });
  spans.take(slow, 0);
  spans.take(of('2024-01-22'), 7_000);
  spans.take(of('2024-01-22'), 8_000);
  spans.take(of('2024-01-23'), 9_000);
  expect(recorded).toEqual([
    ['ArchiveSlow', 0, 0],
    ['ArchiveSlow', 0, 7_000],
    ['ClickHouseUnavailable', 7_000, 7_000],
    ['ClickHouseUnavailable', 7_000, 9_000],
    ['ClickHouseUnavailable', 9_000, 9_000],
  ]);
});

test('the spans of a wait are one trace, also where no span is active', () => {
  // Positions pass through the context alone. A provider of spans would stay for the other files of this process.
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const position = formatTraceParent({ traceID: '1'.repeat(32), spanID: '2'.repeat(16) });
  const parents: unknown[] = [];
  const waits = new WaitSpans(30_000, () => {
    parents.push(currentTraceParent());
    return position;
  });
  for (const now of [0, 30_000, 60_000]) waits.take(refused, now);
  expect(parents).toEqual([undefined, position, position]);
  // The end of the wait belongs to its trace; another wait begins one.
  waits.take(slow, 61_000);
  expect(parents.slice(3)).toEqual([position, undefined]);
});
