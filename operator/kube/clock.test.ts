import { expect, it } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { jittered, linked, sleep } from './clock.ts';

it('spreads a duration evenly in both directions', () => {
  const clock = new ManualClock();
  const at = (chance: number) => {
    clock.chance = chance;
    return jittered(clock, 1000, 0.2);
  };
  expect([at(0), at(0.5)]).toEqual([800, 1000]);
  expect(at(0.999999)).toBeCloseTo(1200, 1);
});

it('sleeps until its time, and rejects with the reason of an abort without leaving a timer', async () => {
  const clock = new ManualClock();
  let woke = false;
  const slept = sleep(clock, 1000).then(() => {
    woke = true;
  });
  await clock.advance(999);
  expect(woke).toBe(false);
  await clock.advance(1);
  await slept;

  const stop = new AbortController();
  const reason = new Error('stop');
  const aborted = sleep(clock, 1000, stop.signal);
  stop.abort(reason);
  await expect(aborted).rejects.toBe(reason);
  await expect(sleep(clock, 1000, stop.signal)).rejects.toBe(reason);
  expect(clock.pending).toBe(0);
});

it('follows a parent until unlinked', () => {
  const parent = new AbortController();
  const followed = linked(parent.signal);
  const unlinked = linked(parent.signal);
  unlinked.unlink();
  parent.abort('over');
  expect(followed.controller.signal.reason).toBe('over');
  expect(unlinked.controller.signal.aborted).toBe(false);
  expect(linked(parent.signal).controller.signal.reason).toBe('over');
});
