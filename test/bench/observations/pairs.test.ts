import { expect, test } from 'vitest';
import { estimate, quantile, timesOf } from './pairs.ts';

test('of each piece the lesser time of a way counts, so one disturbance counts for none', () => {
  // Without, with, again, again, with, without; the fifth time of the first piece was disturbed.
  const pieces = [
    [100, 110, 101, 102, 900, 103],
    [200, 230, 204, 200, 220, 201],
  ];
  expect(timesOf(pieces)).toEqual({ without: 300, with: 330, again: 301 });
});

test('a quantile lies between its neighbours', () => {
  expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
  expect(quantile([10, 20, 30], 0.25)).toBe(15);
  expect(quantile([7], 0.975)).toBe(7);
});

test('the interval contains the median, is narrow for equal values, and includes the difference between threads', () => {
  expect(estimate([[0.1, 0.1, 0.1]])).toEqual({ median: 0.1, low: 0.1, high: 0.1, quartiles: [0.1, 0.1] });
  const { median, low, high } = estimate([
    [0.05, 0.06, 0.07],
    [0.08, 0.09, 0.1],
    [0.11, 0.12, 0.13],
  ]);
  expect(median).toBe(0.09);
  expect(low).toBeLessThan(0.07);
  expect(high).toBeGreaterThan(0.11);
});
