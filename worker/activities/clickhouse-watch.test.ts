import { expect, test } from 'vitest';
import { reachedBefore } from './activity.ts';
import { ClickHouseWatch } from './clickhouse-watch.ts';
import { activityWait, noteRetry, WaitNote } from './waits.ts';

/** A watch over a server that answers while `up` is true. */
function watched() {
  const server = { up: true, now: 0 };
  const watch = new ClickHouseWatch(
    async () => {
      if (!server.up) throw new Error('ClickHouse at http://ch does not answer within 5 s');
    },
    () => server.now,
  );
  return { server, watch };
}

test('a ClickHouse that does not answer is the cause of a wait, and after two minutes frees the slots', async () => {
  const { server, watch } = watched();
  const held = watch.during(
    signal => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  );
  const failed = expect(held).rejects.toThrow('no answer for 120 s: ClickHouse at http://ch does not answer');
  await watch.check();
  expect(watch.waitsFor).toBeUndefined();
  server.up = false;
  await watch.check();
  expect(watch.waitsFor).toEqual({ reason: 'ClickHouseUnavailable', message: expect.stringContaining('http://ch') });
  server.now = 120_000;
  await watch.check();
  await failed;
  // A further attempt does not begin.
  await expect(watch.during(async () => 'worked')).rejects.toMatchObject({ name: 'ClickHouseUnavailableError' });
  server.up = true;
  await watch.check();
  expect(watch.waitsFor).toBeUndefined();
  expect(await watch.during(async () => 'worked')).toBe('worked');
});

test('a restart of the server interrupts nothing', async () => {
  const { server, watch } = watched();
  await watch.during(async signal => {
    server.up = false;
    await watch.check();
    server.now = 60_000;
    await watch.check();
    server.up = true;
    await watch.check();
    server.now = 180_000;
    server.up = false;
    await watch.check();
    expect(signal.aborted).toBe(false);
  });
});

test('a retried statement is the wait of its own activity, until the retry has had time to succeed', () => {
  const [one, other] = [new WaitNote(), new WaitNote()];
  const error = Object.assign(new Error('no space left on device'), { name: 'StatementError' });
  activityWait.run(one, () => noteRetry(error, 2_000));
  expect(one.current()).toEqual({ reason: 'Statement', message: 'no space left on device' });
  expect(one.current(Date.now() + 40_000)).toBeUndefined();
  expect(other.current()).toBeUndefined();
  expect(() => noteRetry(error, 2_000)).not.toThrow();
});

test('an attempt continues from the progress in the heartbeat of the one before, of any version', () => {
  const checkpoint = { key: 'raw/x', counts: {} };
  expect(reachedBefore(undefined)).toBeUndefined();
  expect(reachedBefore({ reached: null })).toBeUndefined();
  expect(reachedBefore({ reached: null, waitsFor: { reason: 'x', message: 'y' } })).toBeUndefined();
  expect(reachedBefore({ reached: checkpoint, waitsFor: { reason: 'x', message: 'y' } })).toEqual(checkpoint);
  expect(reachedBefore(checkpoint)).toEqual(checkpoint);
});
