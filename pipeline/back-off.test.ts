import { expect, test } from 'vitest';
import { backOff, doubledWait } from './back-off.ts';

const waits = { initial: 100, longest: 1000 };

test('waits double up to the longest, however many failures there are', () => {
  expect([1, 2, 3, 4, 5, 9, 5000].map(n => doubledWait(n, waits))).toEqual([100, 200, 400, 800, 1000, 1000, 1000]);
});

test('clients spread over the upper half of a wait', () => {
  expect([1, 2, 3, 4, 5, 9].map(n => backOff(n, waits, 0))).toEqual([50, 100, 200, 400, 500, 500]);
  expect([1, 2, 3, 4, 5, 9].map(n => backOff(n, waits, 1))).toEqual([100, 200, 400, 800, 1000, 1000]);
});
