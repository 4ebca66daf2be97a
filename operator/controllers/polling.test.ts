import { expect, test } from 'vitest';
import { Polling } from './polling.ts';

test('a few resources are read as often as planned, and ten thousand take ten reads a second', () => {
  const polling = new Polling(100);
  for (let each = 0; each < 30; each++) polling.note(`few/${each}`, true);
  expect(polling.interval(3_000)).toBe(3_000);
  for (let each = 0; each < 10_000; each++) polling.note(`many/${each}`, true);
  expect((10_030 / polling.interval(3_000)) * 1000).toBeCloseTo(10);
  for (let each = 0; each < 10_000; each++) polling.note(`many/${each}`, false);
  expect(polling.interval(3_000)).toBe(3_000);
});

test('repeated reads of both kinds leave more than half of the calls for changes', () => {
  const callsPerSecond = 100;
  const passesPerSecond = (count: number) => {
    const polling = new Polling(callsPerSecond);
    for (let each = 0; each < count; each++) polling.note(`one/${each}`, true);
    return (count / polling.interval(3_000)) * 1000;
  };
  // A pass over a Backfill takes three calls, one over a PipelineSchedule with a running firing two.
  expect(3 * passesPerSecond(1_000) + 2 * passesPerSecond(1_000)).toBeLessThanOrEqual(callsPerSecond / 2);
});
