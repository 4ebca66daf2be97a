import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { addsUp, sumCounts } from '../../pipeline/counts.ts';
import type { BucketEnd } from '../../pipeline/runs/observations.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { OBSERVATION_TABLES } from '../../pipeline/tables/schema.ts';
import { SHARED } from '../fidelity/expected.ts';
import { compareCorpus } from '../fidelity/suite.ts';
import { makeDatabase } from '../support/database.ts';
import {
  dayOfKey,
  type ExpectedMeasurement,
  expectedMeasurements,
  expectedRows,
  FIXTURES,
  readExpected,
  withDeviants,
} from '../support/fixtures.ts';
import { rowsByMeasurement, runTools, runWhole } from '../support/runs.ts';

let clickhouse: ClickHouse;

beforeEach(async () => {
  ({ clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'collections'));
});
afterEach(() => clickhouse.close());

/** Runs every day of a collection. Its ledger must account for every line. */
async function runCollection(archiveRoot: string, expected: readonly ExpectedMeasurement[]): Promise<void> {
  const days = [...new Set(expected.map(each => dayOfKey(each.key)))].sort();
  const ends: BucketEnd[] = [];
  for (const day of days) ends.push(await runWhole(runTools(clickhouse, archiveRoot, 1), day, {}));
  for (const { name } of OBSERVATION_TABLES)
    expect(await rowsByMeasurement(clickhouse, name)).toEqual(expectedRows(name, days, expected));
  const total = sumCounts(ends.map(end => end.counts));
  expect(addsUp(total)).toBe(true);
  expect(total.read).toBe(expected.length);
  expect(total.failed).toBe(expected.filter(each => each.status === 'lost').length);

  const [files] = await clickhouse.select<Record<string, number>>(
    `SELECT count() AS files, sum(size) AS bytes, sum(read) AS read, sum(transformed) AS transformed, sum(skipped) AS skipped,
            sum(failed) AS failed, sum(unsupported) AS unsupported, sumMap(rows) AS rows FROM pipeline_files FINAL`,
  );
  expect(files).toEqual(total);
  const [failures] = await clickhouse.select('SELECT count() AS n FROM pipeline_failures FINAL');
  expect(failures).toEqual({ n: total.failed });
  const states = await clickhouse.select(
    'SELECT state, count() AS n, sum(read) AS read, sumMap(rows_stored) AS stored FROM pipeline_runs FINAL GROUP BY state',
  );
  expect(states).toEqual([{ state: 'completed', n: days.length, read: total.read, stored: total.rows }]);
}

test('every day of the fixtures gives the expected rows, and all counts add up', { timeout: 600_000 }, () =>
  runCollection(FIXTURES, expectedMeasurements()),
);

const shared = join(import.meta.dirname, '../../../shared/data');
test.skipIf(!existsSync(shared))(
  'every day of the larger collection gives the expected rows, to its last line',
  { timeout: 600_000 },
  async () => {
    const { deviants } = await compareCorpus(SHARED);
    const expected = withDeviants(readExpected(join(shared, 'expected')), deviants);
    await runCollection(join(shared, 'measurements'), expected);
  },
);
