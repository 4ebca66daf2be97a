import { expect, test } from 'vitest';
import { differenceOf, estimate, quantile } from './pairs.ts';

test('a machine that gets slower at an even rate changes no difference', () => {
  const pass = [100, 110, 120, 130];
  expect(differenceOf(pass)).toBeCloseTo(0);
  // The second and third pass take 10 % longer.
  expect(differenceOf([100, 121, 132, 130])).toBeCloseTo(0.1);
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
