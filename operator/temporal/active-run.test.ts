import { expect, test } from 'vitest';
import { activeRunOf } from './active-run.ts';
import type { Launch } from './launches.ts';

test('the active run of the oldest firing is the one that is looked at', () => {
  const launch = (date: string, state: Launch['state']) => ({
    workflowID: `ooni/launch/data/daily-${date}T02:00:00Z`,
    state,
  });
  const launches = [
    launch('2026-05-06', 'Running'),
    launch('2026-05-05', 'Running'),
    launch('2026-05-04', 'Succeeded'),
  ];
  const schedule = { installation: 'ooni', granularity: 'Day', filterID: 'it-ALLTNS' } as const;
  expect(activeRunOf(schedule, launches)).toEqual({
    bucket: '2026-05-04',
    launchID: 'ooni/launch/data/daily-2026-05-05T02:00:00Z',
    workflowID: 'ooni/it-ALLTNS/2026-05-04',
  });
  expect(activeRunOf(schedule, launches.slice(2))).toBeUndefined();
});
