import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { RateLimit } from './rate-limit.ts';

test('passes a burst of one second, then the rate, in order', async () => {
  const clock = new ManualClock();
  const limit = new RateLimit(10, clock);
  await clock.advance(5_000);
  const passed: number[] = [];
  for (let each = 0; each < 40; each++) void limit.turn().then(() => passed.push(each));
  await clock.advance(0);
  expect(passed.length).toBeGreaterThanOrEqual(10);
  expect(passed.length).toBeLessThanOrEqual(11);
  await clock.advance(1_000);
  expect(passed.length).toBeLessThanOrEqual(21);
  await clock.advance(2_000);
  expect(passed).toEqual([...Array(40).keys()]);
});
