import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { BatchStage } from './batch.ts';
import { PartSpans } from './part-spans.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'] });
});

afterEach(() => {
  vi.useRealTimers();
});

test('a wait for the archive is reported before it ends, and counts once', async () => {
  const seconds: Record<BatchStage, number[]> = { fetch: [], transform: [], insert: [] };
  const part = new PartSpans((stage, took) => seconds[stage].push(took));
  const { promise, resolve } = Promise.withResolvers<void>();
  const fetching = part.fetching(promise);
  vi.advanceTimersByTime(10_000);
  part.report();
  vi.advanceTimersByTime(5_000);
  part.report();
  expect(seconds).toEqual({ fetch: [10, 5], transform: [0, 0], insert: [] });
  vi.advanceTimersByTime(1_000);
  resolve();
  await fetching;
  vi.advanceTimersByTime(2_000);
  part.transformed();
  await part.flush({ files: 1, bytes: 1, read: 1 }, async () => {});
  expect(seconds).toEqual({ fetch: [10, 5, 1], transform: [0, 0, 2], insert: [] });
  // The next part begins with nothing.
  part.report();
  expect(seconds.fetch.at(-1)).toBe(0);
});
