import { describe, expect, test } from 'vitest';
import { etaOf, keep, rateOf, restored, type Sample } from './rate.ts';

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

describe('a new leader', () => {
  const rate = { bucketsPerHour: 60.3, measurementsPerSecond: 9.7, bytesPerSecond: 100_001 };
  const status = { attempt: 1, rate, startedAt: new Date(0).toISOString() };

  test('continues with the rate and the end in the status', () => {
    const first = keep(restored(status, at(60, 40)), at(60, 40));
    expect(rateOf(first)).toEqual(rate);
    // 60 buckets at 60.3 an hour
    expect(etaOf(first)).toBeCloseTo((60 + (60 * 60) / 60.3) * 60_000, 0);
  });

  test('lets its own samples replace it within ten minutes', () => {
    const samples = [at(65, 40), at(70, 40)].reduce(keep, keep(restored(status, at(60, 40)), at(60, 40)));
    expect(rateOf(samples)).toEqual({ bucketsPerHour: 0, measurementsPerSecond: 0, bytesPerSecond: 0 });
  });

  test('does not look further back than the start', () => {
    const [before] = restored({ ...status, startedAt: new Date(58 * 60_000).toISOString() }, at(60, 40));
    expect(before).toMatchObject({ at: 58 * 60_000, ended: 40 - (2 * 60.3) / 60 });
  });

  test('takes no rate of another attempt', () => {
    expect(restored({ ...status, attempt: 2 }, at(60, 40))).toEqual([]);
    expect(restored({ attempt: 1, startedAt: status.startedAt }, at(60, 40))).toEqual([]);
  });
});
