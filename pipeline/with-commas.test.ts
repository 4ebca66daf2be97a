import { expect, test } from 'vitest';
import { withCommas } from './with-commas.ts';

test.each([
  0, 1, 999, 1000, 1001, 12_345, 999_999, 1_000_000, 1_234_567.8, 0.1, 0.04, 999.96, 1234.5, 41.25,
  9_007_199_254_740_991,
])('%d is written as in English', value => {
  expect(withCommas(value)).toBe(value.toLocaleString('en', { maximumFractionDigits: 1 }));
});
