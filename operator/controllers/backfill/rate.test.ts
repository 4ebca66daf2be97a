import { expect, test } from 'vitest';
import { etaOf, keep, rateOf, type Sample } from './rate.ts';

const at = (minutes: number, ended: number, over: Partial<Sample> = {}): Sample => ({
  at: minutes * 60_000,
  attempt: 1,
  ended,
  left: 100 - ended,
  measurements: ended * 600,
  bytes: ended * 6_000_000,
  ...over,
});
const collect = (samples: Sample[]) => samples.reduce<Sample[]>(keep, []);

test('the rate is that of the last ten minutes', () => {
  // Five buckets a minute for an hour, then one a minute.
  const samples = collect([at(0, 0), at(60, 300, { left: 100 }), at(65, 305, { left: 95 }), at(70, 310, { left: 90 })]);
  expect(rateOf(samples)).toEqual({ bucketsPerHour: 60, measurementsPerSecond: 10, bytesPerSecond: 100_000 });
  expect(etaOf(samples)).toBe((70 + 90) * 60_000);
});

test('one sample gives no rate, and a standstill gives no end', () => {
  expect(rateOf(collect([at(0, 5)]))).toBeUndefined();
  expect(etaOf(collect([at(0, 5)]))).toBeUndefined();
  expect(etaOf(collect([at(0, 5), at(5, 5)]))).toBeUndefined();
});

test('another attempt starts without samples', () => {
  expect(collect([at(0, 50), at(1, 2, { attempt: 2 })])).toHaveLength(1);
});

test('old samples are dropped', () => {
  const many = Array.from({ length: 2000 }, (_, i) => at(i / 10, i));
  expect(collect(many).length).toBeLessThanOrEqual(102);
});
