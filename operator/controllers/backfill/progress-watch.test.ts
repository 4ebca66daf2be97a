import { expect, test } from 'vitest';
import type { BackfillState } from '../../temporal/backfills.ts';
import { ProgressWatch } from './progress-watch.ts';

const state = (over: object, pulse = 'p'): BackfillState =>
  ({
    state: 'running',
    startedAt: 0,
    attempt: 1,
    pulse,
    progress: { succeeded: 1, failed: 0, skipped: 0, active: 2, counts: { read: 5 }, ...over },
  }) as unknown as BackfillState;

test('a backfill does not progress while neither its counters nor its oldest run change', () => {
  const watch = new ProgressWatch();
  expect(watch.stillFor('a', state({}), 1_000)).toBe(0);
  expect(watch.stillFor('a', state({}), 61_000)).toBe(60_000);
  expect(watch.stillFor('a', state({}, 'q'), 62_000)).toBe(0);
  expect(watch.stillFor('a', state({ succeeded: 2 }, 'q'), 90_000)).toBe(0);
  expect(watch.stillFor('b', state({}), 90_000)).toBe(0);
  expect(watch.stillFor('a', state({ succeeded: 2 }, 'q'), 100_000)).toBe(10_000);
});

test('a backfill without active runs, or with unknown progress, has no time without progress', () => {
  const watch = new ProgressWatch();
  watch.stillFor('a', state({}), 0);
  expect(watch.stillFor('a', state({ active: 0 }), 900_000)).toBeUndefined();
  expect(watch.stillFor('a', { state: 'running', startedAt: 0, attempt: 1 }, 900_000)).toBeUndefined();
  expect(watch.stillFor('a', state({}), 900_000)).toBe(0);
});
