import { describe, expect, test } from 'vitest';
import { type Filter, filterIDOf, normaliseFilter } from '../filter.ts';
import type { PastRun, RunState } from './ledger.ts';
import { covers, overlappingBuckets, partitionOf, planRetirement } from './replaced-rows.ts';

const all = normaliseFilter({});
const italy = normaliseFilter({ probeCC: ['IT'] });
const signal = normaliseFilter({ testNames: ['signal'] });
const italySignal = normaliseFilter({ probeCC: ['it'], testNames: ['Signal'] });

function run(
  bucket: string,
  filter: Filter,
  generation: number,
  state: RunState = 'completed',
  times = [generation, generation + 5],
): PastRun {
  return {
    bucket,
    filter,
    filterID: filterIDOf(filter),
    stage: 'Observations',
    generation,
    state,
    reason: '',
    runID: `${bucket}${generation}`,
    openedAt: times[0]!,
    recordedAt: times[1]!,
    files: 1,
    bytes: 1,
  };
}

/** Returns the reach of a run over the rows of one older run. */
function reach(
  newer: PastRun,
  older: PastRun | { bucket: string; generation: number },
  complete = true,
): string | undefined {
  const past = 'state' in older ? [older] : [];
  return planRetirement(newer, [older], past, complete)[0]?.reach;
}

describe('older rows that a run replaces', () => {
  test('a filter covers the filters that admit a subset of its measurements', () => {
    expect([covers(all, italy), covers(italy, all), covers(italy, italySignal), covers(italySignal, italy)]).toEqual([
      true,
      false,
      true,
      false,
    ]);
    expect([covers(italy, signal), covers(signal, italy), covers(all, all), covers(italy, italy)]).toEqual([
      false,
      false,
      true,
      true,
    ]);
  });

  test('a day overlaps its hours, an hour its day', () => {
    expect(overlappingBuckets('2024-01-02T03')).toEqual(['2024-01-02', '2024-01-02T03']);
    expect(overlappingBuckets('2024-01-02')).toHaveLength(25);
    expect(overlappingBuckets('2024-01-02')).toContain('2024-01-02T23');
    expect([partitionOf('2024-01-02'), partitionOf('2023-12-02T03')]).toEqual(['202401', '202312']);
  });

  test.each([
    ['the same bucket and filter', run('2024-01-02', italy, 20), run('2024-01-02', italy, 10), 'everything'],
    ['no filter after a filter', run('2024-01-02', all, 20), run('2024-01-02', italySignal, 10), 'everything'],
    ['a filter after no filter', run('2024-01-02', italySignal, 20), run('2024-01-02', all, 10), 'matching'],
    ['two filters that overlap', run('2024-01-02', italy, 20), run('2024-01-02', signal, 10), 'matching'],
    ['the day after its hour', run('2024-01-02', all, 20), run('2024-01-02T03', all, 10), 'everything'],
    ['the hour after its day', run('2024-01-02T03', all, 20), run('2024-01-02', all, 10), 'matching'],
    [
      'the same bucket and filter, ended without a record',
      run('2024-01-02', italy, 20),
      run('2024-01-02', italy, 10, 'started'),
      'everything',
    ],
    [
      'another filter, ended without a record',
      run('2024-01-02', all, 20),
      run('2024-01-02', italy, 10, 'started'),
      'replaced',
    ],
    [
      'a run that was active at the same time',
      run('2024-01-02', all, 20),
      run('2024-01-02', italy, 10, 'completed', [10, 25]),
      'replaced',
    ],
    ['a failed run', run('2024-01-02', all, 20), run('2024-01-02', italy, 10, 'failed'), 'everything'],
  ])('%s', (_, newer, older, expected) => {
    expect(reach(newer, older)).toBe(expected);
  });

  test('rows without a ledger belong to the Python pipeline, which reads everything', () => {
    const python = { bucket: '2024-01-02', generation: 0 };
    expect(reach(run('2024-01-02', all, 20), python)).toBe('everything');
    expect(reach(run('2024-01-02', italy, 20), python)).toBe('replaced');
    expect(reach(run('2024-01-02T05', all, 20), python)).toBe('replaced');
    expect(reach(run('2024-01-02', all, 20), { ...python, bucket: '2024-01-02T05' })).toBe('everything');
  });

  test('a failed run replaces only measurements that it has written again', () => {
    expect(reach(run('2024-01-02', all, 20), run('2024-01-02', all, 10), false)).toBe('replaced');
  });

  test('a run does not replace rows of its own or a newer generation', () => {
    const self = run('2024-01-02', all, 20);
    expect(planRetirement(self, [self, { ...self, generation: 21 }], [self], true)).toEqual([]);
  });

  test('a generation that two filters share gets the narrower reach', () => {
    const newer = run('2024-01-02', italy, 20);
    const writers = [run('2024-01-02', italySignal, 10), run('2024-01-02', signal, 10)];
    expect(planRetirement(newer, [writers[0]!], writers, true)[0]?.reach).toBe('matching');
  });

  test('generations with the same reach are in one retirement', () => {
    const newer = run('2024-01-02', all, 20);
    const older = [run('2024-01-02', all, 10), run('2024-01-02', italy, 11), run('2024-01-02T03', all, 12)];
    expect(planRetirement(newer, older, older, true)).toEqual([
      { bucket: '2024-01-02', generations: [10, 11], reach: 'everything' },
      { bucket: '2024-01-02T03', generations: [12], reach: 'everything' },
    ]);
  });
});
