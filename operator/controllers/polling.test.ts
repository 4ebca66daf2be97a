import { expect, test } from 'vitest';
import { Polling } from './polling.ts';

test('a few resources are read as often as planned, and of ten thousand so many that the calls keep the limit', () => {
  const polling = new Polling(30);
  for (let each = 0; each < 30; each++) polling.note(`few/${each}`, 3);
  expect(polling.interval(3_000)).toBe(3_000);
  for (let each = 0; each < 10_000; each++) polling.note(`many/${each}`, 3);
  expect((10_030 / polling.interval(3_000)) * 1000).toBeCloseTo(10);
  for (let each = 0; each < 10_000; each++) polling.note(`many/${each}`, 0);
  expect(polling.interval(3_000)).toBe(3_000);
});

test('a resource whose read takes more calls counts for more', () => {
  const polling = new Polling(20);
  for (let each = 0; each < 1_000; each++) polling.note(`one/${each}`, 1);
  expect(polling.interval(15_000)).toBe(50_000);
  for (let each = 0; each < 1_000; each++) polling.note(`one/${each}`, 3);
  expect(polling.interval(15_000)).toBe(150_000);
});
