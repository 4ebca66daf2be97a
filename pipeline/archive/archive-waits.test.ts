import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Archive, ArchiveObject } from './archive.ts';
import { ArchiveWaits } from './archive-waits.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});

afterEach(() => {
  vi.useRealTimers();
});

const OBJECT: ArchiveObject = { key: 'raw/a', size: 2, etag: 'a' };

test('waits at the same time count once, and the work between them does not count', async () => {
  const answers = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const waits = new ArchiveWaits();
  async function* list(prefix: string) {
    await answers[Number(prefix)]!.promise;
    yield OBJECT;
  }
  const archive = waits.measured({ url: 's3://a', list } as unknown as Archive);
  const first = archive.list('0')[Symbol.asyncIterator]();
  const second = archive.list('1')[Symbol.asyncIterator]();
  const both = [first.next(), second.next()];
  vi.advanceTimersByTime(3_000);
  answers[0]!.resolve();
  expect(await both[0]).toEqual({ done: false, value: OBJECT });
  vi.advanceTimersByTime(2_000);
  expect(waits.milliseconds).toBe(5_000);
  answers[1]!.resolve();
  await both[1];
  vi.advanceTimersByTime(60_000);
  expect(waits.milliseconds).toBe(5_000);
});

test('a reader that leaves early closes the object', async () => {
  let closed = false;
  async function* open() {
    try {
      yield Buffer.from('a');
      yield Buffer.from('b');
    } finally {
      closed = true;
    }
  }
  const archive = new ArchiveWaits().measured({ url: 's3://a', open } as unknown as Archive);
  for await (const chunk of archive.open(OBJECT)) {
    expect(chunk.toString()).toBe('a');
    break;
  }
  expect(closed).toBe(true);
});

test('errors of the archive pass through, and their wait counts', async () => {
  const waits = new ArchiveWaits();
  const check = () =>
    Promise.resolve().then(() => {
      vi.advanceTimersByTime(1_000);
      throw new Error('there is no directory /archive');
    });
  const archive = waits.measured({ url: 's3://a', check } as unknown as Archive);
  await expect(archive.check()).rejects.toThrow('there is no directory /archive');
  expect(waits.milliseconds).toBe(1_000);
});
