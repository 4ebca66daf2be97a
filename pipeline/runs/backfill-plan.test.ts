import { describe, expect, test } from 'vitest';
import { EVERYTHING, filterIDOf } from '../filter.ts';
import { type BackfillRange, decide } from './backfill-plan.ts';

const range: BackfillRange = {
  startAt: '2024-01-01',
  endAt: '2024-02-01',
  granularity: 'Day',
  filter: EVERYTHING,
  filterID: filterIDOf(EVERYTHING),
  stages: ['Observations'],
  order: 'OldestFirst',
  reprocess: 'None',
  attempt: 1,
};
const pending = ['Observations'] as const;
const begun = pending;
const never = { completed: false, pending, begun: [], failed: false, unfinished: false, touched: false };
const done = { completed: true, pending: [], begun, failed: false, unfinished: false, touched: true };
const failed = { completed: false, pending, begun, failed: true, unfinished: true, touched: true };
const brokenOff = { completed: false, pending, begun, failed: false, unfinished: true, touched: true };
const late = Date.UTC(2025, 0);

describe('decision of a backfill about a bucket', () => {
  test.each([
    ['None', never, 'run'],
    ['None', brokenOff, 'run'],
    ['None', done, 'Completed'],
    ['None', failed, 'FailedBefore'],
    ['Failed', never, 'run'],
    ['Failed', done, 'Completed'],
    ['Failed', failed, 'run'],
    ['Failed', brokenOff, 'run'],
    ['All', done, 'run'],
    ['All', failed, 'run'],
  ] as const)('reprocess %s, %j: %s', (reprocess, history, verdict) => {
    expect(decide({ ...range, reprocess }, '2024-01-05', history, late)).toBe(verdict);
  });

  test.each([
    [never, 'NotFailed'],
    [done, 'NotFailed'],
    [failed, 'run'],
    [brokenOff, 'run'],
  ] as const)('a further attempt, %j: %s', (history, verdict) => {
    expect(decide({ ...range, reprocess: 'All', attempt: 2 }, '2024-01-05', history, late)).toBe(verdict);
  });

  test('a bucket that is not complete is not run', () => {
    const at = (time: string) => decide({ ...range, reprocess: 'All' }, '2024-01-05', never, Date.parse(time));
    expect(at('2024-01-05T23:59:59.999Z')).toBe('Incomplete');
    expect(at('2024-01-06T00:00:00Z')).toBe('run');
  });
});
