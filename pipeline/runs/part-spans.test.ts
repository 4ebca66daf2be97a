import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Archive } from '../archive/archive.ts';
import { ArchiveWaits } from '../archive/archive-waits.ts';
import type { BatchStage } from './batch.ts';
import { PartSpans } from './part-spans.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'] });
});

afterEach(() => {
  vi.useRealTimers();
});

/** Returns an archive whose next listing ends when `answer` is called. */
function slowArchive(waits: ArchiveWaits) {
  const { promise, resolve } = Promise.withResolvers<void>();
  async function* list() {
    await promise;
    yield { key: 'raw/a', size: 1, etag: 'a' };
  }
  return { archive: waits.measured({ url: 's3://a', list } as unknown as Archive), answer: resolve };
}

test('a wait for the archive is reported before it ends, and counts once', async () => {
  const seconds: Record<BatchStage, number[]> = { fetch: [], unpack: [], transform: [], insert: [] };
  const waits = new ArchiveWaits();
  const part = new PartSpans(waits, (stage, took) => seconds[stage].push(took));
  const { archive, answer } = slowArchive(waits);
  const reading = part.unpacking(
    (async () => {
      for await (const _ of archive.list('raw/')) vi.advanceTimersByTime(3_000);
    })(),
  );
  vi.advanceTimersByTime(10_000);
  part.report();
  vi.advanceTimersByTime(5_000);
  part.report();
  expect(seconds).toEqual({ fetch: [10, 5], unpack: [0, 0], transform: [0, 0], insert: [] });
  vi.advanceTimersByTime(1_000);
  answer();
  await reading;
  vi.advanceTimersByTime(2_000);
  part.transformed();
  await part.flush({ files: 1, bytes: 1, read: 1 }, async () => {});
  expect(seconds).toEqual({ fetch: [10, 5, 1], unpack: [0, 0, 3], transform: [0, 0, 2], insert: [] });
  // The next part begins with nothing.
  part.report();
  expect([seconds.fetch.at(-1), seconds.unpack.at(-1), seconds.transform.at(-1)]).toEqual([0, 0, 0]);
});

test('a wait for a listing between two objects counts as fetch, not as transformation', async () => {
  const seconds: Record<BatchStage, number> = { fetch: 0, unpack: 0, transform: 0, insert: 0 };
  const waits = new ArchiveWaits();
  vi.advanceTimersByTime(60_000);
  const part = new PartSpans(waits, (stage, took) => {
    seconds[stage] += took;
  });
  const { archive, answer } = slowArchive(waits);
  const listing = archive.list('raw/')[Symbol.asyncIterator]().next();
  vi.advanceTimersByTime(7_000);
  answer();
  await listing;
  await part.flush({ files: 0, bytes: 0, read: 0 }, async () => {});
  expect(seconds).toEqual({ fetch: 7, unpack: 0, transform: 0, insert: 0 });
});
