import { expect, test } from 'vitest';
import { firingBeyond, type Launch } from './launches.ts';

const launch = (day: string): Launch => ({
  workflowID: `ooni/launch/data/daily-${day}T02:00:00Z`,
  ...{ runID: day, scheduleID: 'ooni/schedule/data/daily', state: 'Failed', startedAt: 0 },
});
const recent = ['2026-01-01', '2026-01-02'].map(day => ({ at: Date.parse(day), workflowID: launch(day).workflowID }));

test('the newest firing is looked up if newer launches of other schedules fill the list', () => {
  expect(firingBeyond([], false, recent)).toBe(launch('2026-01-02').workflowID);
  expect(firingBeyond([launch('2026-01-01')], false, recent)).toBe(launch('2026-01-02').workflowID);
});

test('no firing is looked up if the list has it, if the list is complete, or if nothing has fired', () => {
  expect(firingBeyond([launch('2026-01-02')], false, recent)).toBeUndefined();
  // A list of workflows lags by seconds behind a firing.
  expect(firingBeyond([launch('2026-01-01')], true, recent)).toBeUndefined();
  expect(firingBeyond([], false, [])).toBeUndefined();
});
