import { describe, expect, test } from 'vitest';
import { EVERYTHING, filterId } from '../filter.ts';
import { type BackfillRange, decide } from './backfill.ts';

const range: BackfillRange = {
  startAt: '2024-01-01',
  endAt: '2024-02-01',
  granularity: 'Day',
  filter: EVERYTHING,
  filterID: filterId(EVERYTHING),
  stages: ['Observations'],
  order: 'OldestFirst',
  reprocess: 'None',
  attempt: 1,
};
const never = { completed: false, failed: false, unfinished: false };
const done = { completed: true, failed: false, unfinished: false };
const failed = { completed: false, failed: true, unfinished: true };
const failedLater = { completed: true, failed: true, unfinished: true };
const brokenOff = { completed: false, failed: false, unfinished: true };
const late = Date.UTC(2025, 0);

describe('what a backfill does with a bucket', () => {
  test.each([
    ['None', never, 'run'],
    ['None', brokenOff, 'run'],
    ['None', done, 'Completed'],
    ['None', failed, 'FailedBefore'],
    ['None', failedLater, 'Completed'],
    ['Failed', never, 'run'],
    ['Failed', done, 'Completed'],
    ['Failed', failed, 'run'],
    ['Failed', failedLater, 'run'],
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

  test('a bucket that is not complete yet is not run', () => {
    const at = (time: string) => decide({ ...range, reprocess: 'All' }, '2024-01-05', never, Date.parse(time));
    expect(at('2024-01-05T23:59:59.999Z')).toBe('Incomplete');
    expect(at('2024-01-06T00:00:00Z')).toBe('run');
  });
});
