import { expect, test } from 'vitest';
import { mismatches } from './mismatch.ts';

const NOW = Date.UTC(2026, 4, 6);
const messageOf = (granularity: 'Day' | 'Hour', schedule: string) =>
  mismatches({ granularity, schedule, timeZone: 'Etc/UTC' }, NOW)
    .map(({ message }) => message)
    .join(' ');

test.each([
  ['Day', '0 2 * * *'],
  ['Day', '30 23 1-31 jan-dec 0-6'],
  ['Day', '0 2 1-31 * 1'],
  ['Hour', '5 * * * *'],
  ['Hour', '59 0-23 * * *'],
] as const)('granularity %s fits %j', (granularity, schedule) => {
  expect(mismatches({ granularity, schedule, timeZone: 'Etc/UTC' }, NOW)).toEqual([]);
});

test.each([
  ['Hour', '0 2 * * *', 'handles 1 of the 24 hours'],
  ['Hour', '* * * * *', 'fires 60 times an hour'],
  ['Hour', '5 * * * mon-fri', 'does not fire every day'],
  ['Hour', '5 * 1-15 * 1', 'does not fire every day'],
  ['Day', '* * * * *', 'fires 1440 times a day'],
  ['Day', '0 2,14 * * *', 'fires 2 times a day'],
  ['Day', '0 2 * * 1', 'does not fire every day'],
  ['Day', '0 2 */2 * *', 'does not fire every day'],
  ['Day', '0 2 * 1-11 *', 'does not fire every day'],
] as const)('granularity %s does not fit %j', (granularity, schedule, why) => {
  expect(messageOf(granularity, schedule)).toContain(why);
  expect(mismatches({ granularity, schedule, timeZone: 'Etc/UTC' }, NOW)[0]?.reason).toBe('ScheduleMismatch');
});

test.each([
  ['0 4 * * *', 'Europe/Rome', ''],
  ['30 2 * * *', 'Europe/Rome', 'does not fire on the day on which the clock is set forward'],
  ['0 3 * * *', 'Europe/Rome', ''],
  // 00:30 UTC in winter, 23:30 UTC of the day before in summer.
  ['30 1 * * *', 'Europe/Rome', 'is on another day in UTC in summer than in winter'],
  ['30 19 * * *', 'America/New_York', 'is on another day in UTC'],
  ['30 1 * * *', 'Asia/Kolkata', ''],
])('the daily line %j in %s: %j', (schedule, timeZone, why) => {
  const [warning] = mismatches({ granularity: 'Day', schedule, timeZone }, NOW);
  if (why === '') expect(warning).toBeUndefined();
  else expect(warning?.message).toContain(why);
});
