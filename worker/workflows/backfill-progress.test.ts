import { describe, expect, test } from 'vitest';
import type { BackfillInput } from '../contract.ts';
import {
  type BackfillState,
  countRest,
  currentPhase,
  finalPhase,
  initialState,
  progressOf,
  recordEnd,
  recordRetry,
  waitingOf,
} from './backfill-progress.ts';

const input: BackfillInput = {
  installation: 'test',
  startAt: '2024-01-01',
  endAt: '2024-01-21',
  granularity: 'Day',
  filter: { probeCC: [], testNames: [] },
  filterID: 'ALLCCS-ALLTNS',
  stages: ['Observations'],
  order: 'OldestFirst',
  reprocess: 'None',
  maxActiveRuns: 4,
  suspended: false,
  dryRun: false,
  attempt: 1,
};
const plan = { asOf: 1, now: 2, buckets: 20, toRun: 20, first: '2024-01-01', last: '2024-01-20', skipped: {} };
const startedAt = Date.UTC(2024, 1, 1);
const counts = (read: number) => ({
  ...{ files: 1, bytes: 10, read, transformed: read, skipped: 0, failed: 0, unsupported: 0 },
  rows: { obs_web: read },
});

function stateWith(over: Partial<BackfillState> = {}): BackfillState {
  return { ...initialState(input, startedAt), ...over };
}

function failure(bucket: string) {
  return { end: 'failed', failure: { bucket, reason: 'X', message: 'y', workflowID: 'z' }, counts: counts(1) } as const;
}

describe('the progress of a backfill', () => {
  test('adds up for every result of a run', () => {
    const state = stateWith({ skipped: { Completed: 3 } });
    expect(waitingOf(input, state, 2)).toBe(15);
    recordEnd(state, { end: 'succeeded', counts: counts(5) });
    recordEnd(state, failure('2024-01-02'));
    recordEnd(state, { end: 'inFlight' });
    recordEnd(state, { end: 'stopped' });
    expect(waitingOf(input, state, 0)).toBe(14);
    expect(progressOf(input, state, 0, 'Running')).toMatchObject({
      ...{ total: 20, succeeded: 1, failed: 1, skipped: 4, active: 0 },
      counts: { read: 6, rows: { obs_web: 6 } },
    });
  });

  test('has the last ten failures, without one that is retried', () => {
    const state = stateWith();
    for (let day = 1; day <= 12; day++) recordEnd(state, failure(`2024-01-${String(day).padStart(2, '0')}`));
    const shown = () => progressOf(input, state, 0, 'Running').failures.map(each => each.bucket.slice(8));
    expect(shown()).toEqual(['03', '04', '05', '06', '07', '08', '09', '10', '11', '12']);
    recordRetry(state, '2024-01-05');
    expect(shown()).toEqual(['03', '04', '06', '07', '08', '09', '10', '11', '12']);
    expect(state.failed).toBe(11);
  });

  test('is a copy: later changes do not change it', () => {
    const state = stateWith();
    const before = structuredClone(progressOf(input, state, 0, 'Running'));
    recordEnd(state, failure('2024-01-02'));
    expect(before).toMatchObject({ failed: 0, failures: [] });
  });

  test.each([
    [{}, 'Planning'],
    [{ suspended: true }, 'Planning'],
    [{ plan }, 'Running'],
    [{ plan, suspended: true }, 'Suspended'],
    [{ plan, suspended: true, cancel: 'Drain' as const }, 'Draining'],
    [{ cancel: 'Now' as const }, 'Cancelling'],
  ])('%j is in phase %s', (over, phase) => {
    expect(currentPhase(stateWith(over))).toBe(phase);
  });

  test.each([
    ['all done', { succeeded: 20 }, {}, 'Complete'],
    ['some failed', { succeeded: 19, failed: 1 }, {}, 'Failed'],
    ['cancelled with buckets left', { succeeded: 3, cancel: 'Drain' as const }, {}, 'Cancelled'],
    ['cancelled when all was done', { succeeded: 20, cancel: 'Now' as const }, {}, 'Complete'],
    ['cancelled when all was done, with failures', { succeeded: 10, failed: 10, cancel: 'Now' as const }, {}, 'Failed'],
    ['a dry run', {}, { dryRun: true }, 'Planned'],
    ['a dry run that was cancelled', { cancel: 'Now' as const }, { dryRun: true }, 'Cancelled'],
  ])('%s has the right final phase', (_, over, asked, phase) => {
    expect(finalPhase({ ...input, ...asked }, stateWith(over))).toBe(phase);
  });

  test('the numbers of the plan include buckets skipped later', () => {
    const two = { ...input, startAt: '2024-01-01', endAt: '2024-01-03' };
    const state = stateWith({
      plan: { ...plan, buckets: 2, toRun: 1, skipped: { Completed: 1 } },
      skipped: { Completed: 1, InFlight: 1 },
    });
    expect(progressOf(two, state, 0, 'Complete').plan).toMatchObject({
      buckets: 2,
      toRun: 0,
      skipped: { Completed: 1, InFlight: 1 },
    });
  });

  test('buckets that others completed between plan and page count as completed', () => {
    const state = stateWith({ succeeded: 15, failed: 2, skipped: { InFlight: 1 } });
    countRest(input, state);
    expect(state.skipped).toEqual({ InFlight: 1, Completed: 2 });
    expect(waitingOf(input, state, 0)).toBe(0);
  });

  test('an hourly range counts hours', () => {
    const hourly = { ...input, granularity: 'Hour' as const, endAt: '2024-01-01T05' };
    expect(progressOf(hourly, stateWith(), 0, 'Planning').total).toBe(5);
  });
});
