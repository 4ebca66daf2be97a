import { describe, expect, test } from 'vitest';
import { EVERYTHING } from '../filter.ts';
import { type AnalysisOptions, FILLED_TABLES, makeStep, retireSteps } from './steps.ts';

const options = (more: Partial<AnalysisOptions> = {}): AnalysisOptions => ({
  days: ['2024-01-02'],
  filter: EVERYTHING,
  selection: { of: 'day' },
  rulesVersion: 3,
  generation: 1000,
  runID: 'run-1',
  ...more,
});
const ids = (more?: Partial<AnalysisOptions>) => FILLED_TABLES.map(table => makeStep(table, options(more)).id);

describe('the id of a statement', () => {
  test('is another one for each run, table, day and selection', () => {
    const all = [
      ...ids(),
      ...ids({ runID: 'run-2' }),
      ...ids({ days: ['2024-01-03'] }),
      ...ids({ days: ['2024-01-02', '2024-01-03'] }),
      ...ids({ selection: { of: 'bucket', bucket: '2024-02-01', generation: 1 } }),
    ];
    expect(new Set(all).size).toBe(all.length);
  });

  test('is the same for every attempt of a run, which takes a new generation', () => {
    expect(ids({ generation: 2000 })).toEqual(ids());
  });
});

test('a day judged in full retires older rows without asking a replica for rows that it may not have', () => {
  const [older] = retireSteps(options(), true);
  expect(older?.condition).toContain('run_generation < {generation:UInt64}');
  expect(older?.condition).not.toContain('SELECT');
});
