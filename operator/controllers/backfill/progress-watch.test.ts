import { expect, test } from 'vitest';
import type { BackfillState } from '../../temporal/backfills.ts';
import { ProgressWatch } from './progress-watch.ts';

const state = (over: object, pulse = 'p'): BackfillState =>
  ({
    state: 'running',
    startedAt: 0,
    attempt: 1,
    pulse,
    progress: { succeeded: 1, failed: 0, skipped: 0, active: 2, counts: { read: 5, bytes: 7 }, ...over },
  }) as unknown as BackfillState;

const START = Date.parse('2026-05-06T07:00:00Z');
/** A moment so many minutes after the start, by two clocks that have nothing in common. */
const at = (minutes: number) => ({ wall: START + minutes * 60_000, monotonic: 5_000 + minutes * 60_000 });
const wall = (minutes: number) => at(minutes).wall;

test('a backfill does not progress when neither its counters nor its oldest run have changed for five minutes', () => {
  const watch = new ProgressWatch();
  const look = (key: string, seen: BackfillState, minutes: number) => watch.look(key, seen, {}, at(minutes)).stillSince;
  expect(look('a', state({}), 0)).toBeUndefined();
  expect(look('a', state({}), 4.9)).toBeUndefined();
  expect(look('a', state({}), 5)).toBe(wall(0));
  expect(look('a', state({}), 50)).toBe(wall(0));
  expect(look('a', state({}, 'q'), 51)).toBeUndefined();
  expect(look('a', state({ succeeded: 2 }, 'q'), 52)).toBeUndefined();
  expect(look('b', state({}), 52)).toBeUndefined();
  expect(look('a', state({ succeeded: 2 }, 'q'), 57)).toBe(wall(52));
});

test('a backfill without active runs, or with unknown progress, has no time without progress', () => {
  const watch = new ProgressWatch();
  watch.look('a', state({}), {}, at(0));
  expect(watch.look('a', state({ active: 0 }), {}, at(15))).toEqual({});
  expect(watch.look('a', { state: 'running', startedAt: 0, attempt: 1 }, {}, at(15))).toEqual({});
  expect(watch.look('a', state({}), {}, at(15))).toEqual({ stillFor: 0 });
  expect(watch.look('a', state({}), {}, at(16))).toEqual({ stillFor: 60_000 });
});

test('another process continues the time without progress in the status, unless the figures have changed since', () => {
  const before = {
    noProgressSince: '2026-05-06T06:20:00Z',
    progress: { total: 9, succeeded: 1, failed: 0, skipped: 0, active: 2, percent: 11, done: '1/9' },
    ...{ measurements: 5, bytes: 7 },
  };
  const look = (seen: BackfillState, status: object) => new ProgressWatch().look('a', seen, status, at(0)).stillSince;
  expect(look(state({}), before)).toBe(wall(-40));
  expect(look(state({ counts: { read: 6, bytes: 7 } }), before)).toBeUndefined();
  expect(look(state({ succeeded: 2 }), before)).toBeUndefined();
  expect(look(state({}), { ...before, noProgressSince: undefined })).toBeUndefined();
});
