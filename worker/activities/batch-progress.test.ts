import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { noCounts } from '../../pipeline/counts.ts';
import type { Logger } from '../../pipeline/telemetry/log.ts';
import { BatchProgress } from './batch-progress.ts';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

test('a batch that lasts is logged every minute, with the system that it waited for', () => {
  const lines: string[] = [];
  const log = { info: (_: object, message: string) => lines.push(message) } as unknown as Logger;
  const progress = new BatchProgress(12, log);
  vi.advanceTimersByTime(59_999);
  expect(lines).toEqual([]);
  progress.reached({ ...noCounts(), files: 3 });
  for (let i = 0; i < 12; i++) progress.took('fetch', 4.9);
  progress.took('transform', 0.6);
  progress.took('unpack', 0.4);
  vi.advanceTimersByTime(1);
  expect(lines).toEqual([
    'batch in progress: 3 of 12 objects; the last 60 s: 59 s waiting for the archive, 1 s unpacking and transforming, 0 s waiting for ClickHouse or a processor',
  ]);
  vi.advanceTimersByTime(60_000);
  expect(lines[1]).toMatch(/0 s waiting for the archive, 0 s unpacking and transforming, 60 s waiting for ClickHouse/);
  progress.end();
  vi.advanceTimersByTime(120_000);
  expect(lines).toHaveLength(2);
});
