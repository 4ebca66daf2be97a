import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { sumCounts } from '../../pipeline/counts.ts';
import { EVERYTHING, filterIDOf } from '../../pipeline/filter.ts';
import { migrate } from '../../pipeline/migrations/migrate.ts';
import { MIGRATIONS } from '../../pipeline/migrations/migrations.ts';
import { decideAll } from '../../pipeline/runs/backfill-plan.ts';
import { observeBatch } from '../../pipeline/runs/batch.ts';
import { finishBucket, planBucket, UnaccountedError } from '../../pipeline/runs/observations.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { TableSchemaError } from '../../pipeline/tables/errors.ts';
import { makeDatabase, silent } from '../support/database.ts';
import { expectedRows, FIXTURES } from '../support/fixtures.ts';
import { rowsByMeasurement, runTools, runWhole } from '../support/runs.ts';

const [DAY, OTHER] = ['2023-11-27', '2022-11-10'];
const key = { bucket: DAY, filter: EVERYTHING, filterID: filterIDOf(EVERYTHING) };
const origin = { workflowID: 'test', runID: 'lost', backfill: '', codeVersion: '0', referenceVersions: {} };
let clickhouse: ClickHouse;

beforeEach(async () => {
  ({ clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'lost'));
});
afterEach(() => clickhouse.close());

async function toRun(): Promise<string[]> {
  const tools = runTools(clickhouse, FIXTURES);
  const range = { ...key, stages: ['Observations'] as const, reprocess: 'None' as const, attempt: 1 };
  const found: string[] = [];
  for await (const { bucket, decision } of decideAll(tools, { range, buckets: [OTHER, DAY], now: Date.now() })) {
    if (decision === 'run') found.push(bucket);
  }
  return found;
}

test('a dropped table is created again, and the buckets with rows in it are run again', async () => {
  const tools = runTools(clickhouse, FIXTURES);
  await runWhole(tools, DAY);
  await runWhole(tools, OTHER);
  expect(await toRun()).toEqual([]);
  await clickhouse.command('DROP TABLE obs_web SYNC');
  await expect(runWhole(tools, DAY)).rejects.toThrow(/obs_web.*"oonipipeline migrate" creates it/s);
  expect(await migrate(clickhouse, silent)).toEqual([1]);
  expect(await toRun()).toEqual([OTHER, DAY]);
  const [said] = await clickhouse.select<{ reason: string; message: string }>(
    `SELECT reason, message FROM pipeline_runs FINAL WHERE bucket = '${OTHER}'`,
  );
  expect(said).toEqual({
    reason: 'TableLost',
    message: 'the table obs_web was dropped, and created again without rows',
  });
  for (const day of [DAY, OTHER]) await runWhole(tools, day);
  for (const table of ['obs_web', 'obs_web_ctrl'] as const) {
    expect(await rowsByMeasurement(clickhouse, table)).toEqual(expectedRows(table, [DAY, OTHER]));
  }
  expect(await toRun()).toEqual([]);
  expect(await migrate(clickhouse, silent)).toEqual([]);
});

test('a run during which a table is lost does not complete', async () => {
  const tools = runTools(clickhouse, FIXTURES);
  const plan = await planBucket({ ...tools, origin }, key, Date.now());
  const counts = [];
  for (const batch of plan.batches) counts.push(await observeBatch(tools, { run: plan.run, batch }));
  await clickhouse.command('DROP TABLE obs_web SYNC');
  await expect(finishBucket({ ...tools, origin }, plan.run, sumCounts(counts))).rejects.toThrow(TableSchemaError);
  await migrate(clickhouse, silent);
  await expect(finishBucket({ ...tools, origin }, plan.run, sumCounts(counts))).rejects.toThrow(UnaccountedError);
  expect(await toRun()).toContain(DAY);
  await runWhole(tools, DAY);
  expect(await rowsByMeasurement(clickhouse, 'obs_web')).toEqual(expectedRows('obs_web', [DAY]));
});

test('a dropped ledger is created again, and everything is run again', async () => {
  const tools = runTools(clickhouse, FIXTURES);
  await runWhole(tools, DAY);
  await clickhouse.command('DROP TABLE pipeline_runs SYNC');
  expect(await migrate(clickhouse, silent)).toEqual([3]);
  expect(await toRun()).toEqual([OTHER, DAY]);
  await runWhole(tools, DAY);
  expect(await rowsByMeasurement(clickhouse, 'obs_web')).toEqual(expectedRows('obs_web', [DAY]));
});

test('a run that is active while a later migration creates its tables completes', async () => {
  const { clickhouse: earlier } = await makeDatabase(inject('clickhouseUrl'), 'lost', { migrated: false });
  await migrate(earlier, silent, { migrations: MIGRATIONS.slice(0, 11) });
  const tools = runTools(earlier, FIXTURES);
  const plan = await planBucket({ ...tools, origin }, key, Date.now());
  const counts = [];
  for (const batch of plan.batches) counts.push(await observeBatch(tools, { run: plan.run, batch }));
  expect(await migrate(earlier, silent)).toEqual(MIGRATIONS.slice(11).map(each => each.number));
  await finishBucket({ ...tools, origin }, plan.run, sumCounts(counts));
  expect(await rowsByMeasurement(earlier, 'obs_web')).toEqual(expectedRows('obs_web', [DAY]));
  await earlier.close();
});

test('a dropped table of tunnels is created again, and only the buckets with rows in it are run again', async () => {
  const tools = runTools(clickhouse, FIXTURES);
  // A day with openvpn.
  const TUNNELS = '2022-09-14';
  await runWhole(tools, TUNNELS);
  await runWhole(tools, DAY);
  await clickhouse.command('DROP TABLE obs_tunnel SYNC');
  expect(await migrate(clickhouse, silent)).toEqual([12]);
  expect(
    await clickhouse.select(
      "SELECT bucket, state, reason FROM pipeline_runs FINAL WHERE stage = 'Observations' ORDER BY bucket",
    ),
  ).toEqual([
    { bucket: TUNNELS, state: 'cancelled', reason: 'TableLost' },
    { bucket: DAY, state: 'completed', reason: '' },
  ]);
});
