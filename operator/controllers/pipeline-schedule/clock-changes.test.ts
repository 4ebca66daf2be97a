import { expect, test } from 'vitest';
import { clockChanges } from './clock-changes.ts';

const NOW = Date.UTC(2026, 4, 6);

test.each([
  ['Etc/UTC', [0], []],
  ['Asia/Kolkata', [330], []],
  ['Europe/Rome', [60, 120], [{ from: 120, before: 180 }]],
  ['America/New_York', [-300, -240], [{ from: 120, before: 180 }]],
  // Half an hour, in the southern hemisphere.
  ['Australia/Lord_Howe', [660, 630], [{ from: 120, before: 150 }]],
  // At midnight.
  ['Africa/Cairo', [120, 180], [{ from: 0, before: 60 }]],
] as const)('the clock of %s', (zone, offsets, gaps) => {
  const found = clockChanges(zone, NOW);
  expect([...found.offsets].sort((a, b) => a - b)).toEqual([...offsets].sort((a, b) => a - b));
  expect(found.gaps).toEqual(gaps);
});
