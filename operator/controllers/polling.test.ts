import { expect, test } from 'vitest';
import { Polling } from './polling.ts';

test('a few resources are read as often as planned, and ten thousand take ten reads a second', () => {
  const polling = new Polling();
  for (let each = 0; each < 30; each++) polling.note(`few/${each}`, true);
  expect(polling.interval(3_000)).toBe(3_000);
  for (let each = 0; each < 10_000; each++) polling.note(`many/${each}`, true);
  expect((10_030 / polling.interval(3_000)) * 1000).toBeCloseTo(10);
  for (let each = 0; each < 10_000; each++) polling.note(`many/${each}`, false);
  expect(polling.interval(3_000)).toBe(3_000);
});
