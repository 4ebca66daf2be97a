import { describe, expect, test } from 'vitest';
import { EVERYTHING, normaliseFilter } from '../filter.ts';
import { type Observed, planDays } from './days.ts';

const ITALY = normaliseFilter({ probeCC: ['IT'] });
const DAY = '2024-01-02';

/** The tasks as `selection: days`, with the filter's name where there is one. */
function plan(touched: readonly string[], observed: Partial<Observed>, present: readonly string[] = []): string[] {
  const tasks = planDays(touched, present, {
    bucket: DAY,
    filter: EVERYTHING,
    generation: 7,
    settled: true,
    last: false,
    ...observed,
  });
  return tasks.map(({ days, filter, selection }) => {
    const filtered = selection.of === 'evidence' && selection.filtered ? ' and filter' : '';
    return `${selection.of}${filtered}${filter.probeCC.map(cc => ` ${cc}`)}: ${days.join(' ')}`;
  });
}

describe('what is judged after the observations of', () => {
  test.each<[string, string[], Partial<Observed>, string[], string[]]>([
    ['a day', [DAY, '2024-01-01'], {}, [], ['day: 2024-01-01', 'day: 2024-01-02']],
    ['a day with nothing of the day before', [DAY], {}, ['2024-01-01'], ['day: 2024-01-02']],
    [
      'a day with late uploads and clocks that are ahead',
      ['2023-06-01', '2023-12-31', DAY, '2024-01-03'],
      {},
      [],
      ['evidence: 2023-06-01 2023-12-31', 'day: 2024-01-02', 'evidence: 2024-01-03'],
    ],
    ['an empty day', [], {}, [DAY], []],
    [
      'a country of a day',
      ['2023-06-01', '2024-01-01', DAY],
      { filter: ITALY },
      [],
      ['evidence: 2023-06-01', 'evidence and filter IT: 2024-01-01', 'evidence and filter IT: 2024-01-02'],
    ],
    [
      'an hour of a day that goes on',
      ['2023-06-01', '2024-01-01', DAY],
      { bucket: `${DAY}T05`, settled: false },
      [],
      ['evidence: 2023-06-01', 'bucket: 2024-01-01 2024-01-02'],
    ],
    [
      'an hour of a settled day',
      ['2023-06-01', DAY],
      { bucket: `${DAY}T05` },
      ['2024-01-01', DAY],
      ['evidence: 2023-06-01', 'day: 2024-01-01', 'day: 2024-01-02'],
    ],
    [
      'an empty hour that is run last',
      [],
      { bucket: `${DAY}T21`, last: true },
      ['2024-01-01', DAY],
      ['day: 2024-01-01', 'day: 2024-01-02'],
    ],
    ['another empty hour', [], { bucket: `${DAY}T22` }, ['2024-01-01', DAY], []],
    ['a country of an hour', [DAY], { bucket: `${DAY}T05`, filter: ITALY }, [DAY], ['evidence IT: 2024-01-02']],
  ])('%s', (_, touched, observed, present, tasks) => {
    expect(plan(touched, observed, present)).toEqual(tasks);
  });

  test('a bucket with late uploads of many days judges them with few statements', () => {
    const days = Array.from({ length: 900 }, (_, index) =>
      new Date(Date.UTC(2020, 0, 1 + index)).toISOString().slice(0, 10),
    );
    const tasks = planDays(days, [], { bucket: DAY, filter: EVERYTHING, generation: 7, settled: true, last: false });
    expect(tasks.map(each => each.days.length)).toEqual([400, 400, 100]);
    expect(tasks.flatMap(each => each.days)).toEqual(days);
  });
});
