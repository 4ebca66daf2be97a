import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { filterIDOf, normaliseFilter } from '../../pipeline/filter.ts';
import { readHistory } from '../../pipeline/ledger/history.ts';
import { type RunStage, type RunState, recordRun } from '../../pipeline/ledger/ledger.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { makeDatabase } from '../support/database.ts';

const DAY = '2024-01-05';
const BOTH: readonly RunStage[] = ['Observations', 'Analysis'];
let clickhouse: ClickHouse;

beforeEach(async () => {
  ({ clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'history'));
});
afterEach(() => clickhouse.close());

/**
 * Records runs: `O2 failed` stands for the observations of generation 2, `O3 IT started` for those of Italy, `O4 T05 completed` for those
 * of an hour.
 */
async function record(...runs: string[]): Promise<void> {
  for (const text of runs) {
    const [, letter, generation, cc, hour, state] = /^([OA])(\d+)(?: ([A-Z]{2}))?(?: (T\d\d))? (\w+)$/.exec(text)!;
    const filter = normaliseFilter({ probeCC: cc ? [cc] : [] });
    const run = {
      bucket: `${DAY}${hour ?? ''}`,
      filter,
      filterID: filterIDOf(filter),
      stage: letter === 'O' ? 'Observations' : 'Analysis',
      generation: Number(generation),
      openedAt: Number(generation),
    } as const;
    const origin = { workflowID: 'w', runID: text, backfill: '', codeVersion: '0', referenceVersions: {} };
    await recordRun({ clickhouse, origin }, run, { state: state as RunState });
  }
}

async function historyOf(bucket: string, cc?: string, stages = BOTH) {
  const filter = normaliseFilter({ probeCC: cc ? [cc] : [] });
  const query = { filter, filterID: filterIDOf(filter), stages, from: bucket, before: '2024-01-06' };
  return (await readHistory(clickhouse, query)).of(bucket);
}

describe("the ledger's history of a bucket", () => {
  test.each<[string, string[], object]>([
    ['was never run', [], { completed: false, failed: false, unfinished: false, touched: false, pending: BOTH }],
    [
      'was completed',
      ['O1 completed', 'A1 completed'],
      { completed: true, failed: false, unfinished: false, pending: [] },
    ],
    ['has a failed analysis', ['O1 completed', 'A1 failed'], { completed: false, failed: true, pending: ['Analysis'] }],
    [
      'was cancelled in its analysis',
      ['O1 completed', 'A1 completed', 'O2 completed', 'A2 cancelled'],
      { completed: false, failed: false, unfinished: true, pending: ['Analysis'] },
    ],
    [
      'ended between its stages',
      ['O1 completed', 'A1 completed', 'O2 completed'],
      { completed: false, failed: false, unfinished: true, pending: ['Analysis'] },
    ],
    [
      'was cancelled after it was completed',
      ['O1 completed', 'A1 completed', 'O2 cancelled'],
      { completed: false, failed: false, unfinished: true },
    ],
    [
      'ended without a record after it was completed',
      ['O1 completed', 'A1 completed', 'O2 started'],
      { completed: false, failed: false, unfinished: true },
    ],
    [
      'ended without a record after its last row',
      ['O1 completed', 'A1 completed', 'O2 inserted'],
      { completed: false, failed: false, unfinished: true },
    ],
    [
      'failed after it was completed',
      ['O1 completed', 'A1 completed', 'O2 failed'],
      { completed: false, failed: true },
    ],
    [
      'was cancelled after it had failed',
      ['O1 completed', 'A1 failed', 'O2 cancelled'],
      { completed: false, failed: false },
    ],
    ['failed, and then completed', ['O1 failed', 'O2 completed', 'A2 completed'], { completed: true, failed: false }],
  ])('%s', async (_, runs, expected) => {
    await record(...runs);
    expect(await historyOf(DAY)).toMatchObject(expected);
  });

  test('a later run of a wider filter completes a bucket, an earlier one does not', async () => {
    await record('O1 IT failed', 'O2 completed');
    expect(await historyOf(DAY, 'IT', ['Observations'])).toMatchObject({ completed: true, failed: false });
    await record('O3 IT cancelled');
    expect(await historyOf(DAY, 'IT', ['Observations'])).toMatchObject({ completed: false, unfinished: true });
    expect(await historyOf(DAY, undefined, ['Observations'])).toMatchObject({
      completed: true,
      done: { bucket: DAY, filterID: 'ALLCCS-ALLTNS', generation: 2 },
    });
  });

  test('a day completes its hours, unless a later run of the hour is not complete', async () => {
    await record('O1 T05 failed', 'O2 completed');
    const hour = `${DAY}T05`;
    expect(await historyOf(hour, undefined, ['Observations'])).toMatchObject({
      completed: true,
      done: { bucket: DAY },
    });
    await record('O3 T05 started');
    expect(await historyOf(hour, undefined, ['Observations'])).toMatchObject({ completed: false });
    expect(await historyOf(`${DAY}T06`, undefined, ['Observations'])).toMatchObject({ completed: true });
  });
});
