import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { compareTables } from './compare.ts';
import { FIXTURES, SHARED, type Tables } from './expected.ts';
import { compareCorpus } from './suite.ts';

describe('rows equal those of the Python pipeline', () => {
  it('on the fixtures', async () => {
    const report = await compareCorpus(FIXTURES);
    expect(report.unexplained.slice(0, 20)).toEqual([]);
    expect(report.lost).toBeGreaterThan(0);
    expect(report.equal).toBe(report.compared);
  });

  it.skipIf(!existsSync(SHARED.expected))('on all measurements there are', async () => {
    const report = await compareCorpus(SHARED);
    expect(report.unexplained.slice(0, 20)).toEqual([]);
    // 2,836 lines and 30 scenarios.
    expect(report).toMatchObject({ measurements: 2866, ok: 2850, lost: 16 });
  });
});

describe('the comparison itself', () => {
  const place = { key: 'k', line: 1, testName: 't' };

  it('sees a column that differs, one that is missing, and a row too few', () => {
    const expected: Tables = { obs_web: [{ ip: '1.2.3.4', port: 443 }, { ip: '1.2.3.5' }] };
    const { compared, equal, unexplained } = compareTables(place, { obs_web: [{ ip: '1.2.3.9' }] }, expected);
    expect({ compared, equal }).toEqual({ compared: 2, equal: 0 });
    expect(unexplained.map(each => each.column)).toEqual(['ip', 'port', '*']);
  });

  it('takes control rows in any order, but not with an index out of order', () => {
    const expected = { obs_web_ctrl: [{ ip: 'b' }, { ip: 'a' }] };
    const rows = (first: number) => ({
      obs_web_ctrl: [
        { ip: 'a', observation_idx: first },
        { ip: 'b', observation_idx: 1 },
      ],
    });
    expect(compareTables(place, rows(0), expected).unexplained).toEqual([]);
    expect(compareTables(place, rows(5), expected).unexplained).not.toEqual([]);
  });
});
