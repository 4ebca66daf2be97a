import { expect, test } from 'vitest';
import type { BackfillProgress } from '../../worker/contract.ts';
import { KnownProgress } from './backfills.ts';

const progress = { succeeded: 1 } as BackfillProgress;

test('a progress is used again while the history of the same run has not grown, and for 15 seconds at most', () => {
  const known = new KnownProgress();
  expect(known.get('one', 'run-1 20', 0)).toBeUndefined();
  known.note('one', 'run-1 20', 0, progress);
  expect(known.get('one', 'run-1 20', 14_999)).toBe(progress);
  expect(known.get('one', 'run-1 20', 15_000)).toBeUndefined();
  // The wall clock may jump.
  expect(known.get('one', 'run-1 20', -15_000)).toBeUndefined();
  expect(known.get('one', 'run-1 21', 3_000)).toBeUndefined();
  expect(known.get('one', 'run-2 20', 3_000)).toBeUndefined();
  expect(known.get('two', 'run-1 20', 3_000)).toBeUndefined();
  known.forget('one');
  expect(known.get('one', 'run-1 20', 3_000)).toBeUndefined();
});

test('the progress of ten thousand backfills is remembered, and of no more', () => {
  const known = new KnownProgress();
  for (let each = 0; each <= 10_000; each++) known.note(`b${each}`, 'v', 0, progress);
  expect(known.get('b0', 'v', 0)).toBeUndefined();
  expect(known.get('b1', 'v', 0)).toBe(progress);
  expect(known.get('b10000', 'v', 0)).toBe(progress);
});
