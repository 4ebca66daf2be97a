import { expect, test } from 'vitest';
import { ReportAges, reportOf, statsOf } from './load.ts';

const QUEUE = 'oonipipeline-ooni-activities';

test('a queue without statistics and a worker without slots are unknown, not zero', () => {
  expect(statsOf(undefined)).toBeUndefined();
  expect(statsOf({})).toEqual({ backlog: 0, backlogAge: 0, addRate: 0, dispatchRate: 0 });
  const heartbeat = { workerIdentity: 'pod-1', taskQueue: QUEUE };
  expect(reportOf(heartbeat, QUEUE, 'Activities').usedSlots).toBeUndefined();
  expect(reportOf({ ...heartbeat, activityTaskSlotsInfo: {} }, QUEUE, 'Activities').usedSlots).toBe(0);
});

test('a report ages by the clock of this process, whatever the clock of the worker shows', () => {
  const ages = new ReportAges();
  const report = (at: number) => ({ identity: 'pod-1', queue: QUEUE, tasks: 'Activities' as const, usedSlots: 1, at });
  const ageOf = (at: number, now: number) => ages.add([report(at)], now)[0]?.age;
  expect(ageOf(1, 1_000)).toBe(0);
  expect(ageOf(1, 61_000)).toBe(60_000);
  expect(ageOf(9_999_999_999_999, 62_000)).toBe(0);
  expect(ageOf(9_999_999_999_999, 72_000)).toBe(10_000);
});
