import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { EVERYTHING } from '../../pipeline/filter.ts';
import { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { parseClickHouseUrl } from '../../pipeline/tables/clickhouse-url.ts';
import { analyseDay } from '../support/analyse-day.ts';
import { makeDatabase, silent } from '../support/database.ts';

/*
 * Replicated tables drop a block that equals an earlier one, without an error. A MergeTree table with a deduplication window does the same,
 * so it behaves like a cluster.
 */
const DAY = '2024-03-05';
const TABLES = [
  'obs_web',
  'obs_web_ctrl',
  'analysis_web_measurement',
  'measurement_experiment_result',
  'pipeline_runs',
];
let url: string;
let clickhouse: ClickHouse;

beforeAll(async () => {
  ({ url, clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'window'));
  for (const table of TABLES)
    await clickhouse.command(`ALTER TABLE ${table} MODIFY SETTING non_replicated_deduplication_window = 1000`);
});
afterAll(() => clickhouse?.close());
beforeEach(async () => {
  for (const table of TABLES) await clickhouse.command(`TRUNCATE TABLE ${table}`);
});

const row = (index: number) => ({
  measurement_uid: `20240305100000.${index}_IT_x`,
  measurement_start_time: `${DAY} 10:00:00.000`,
  bucket_date: DAY,
  probe_cc: 'IT',
  test_name: 'web_connectivity',
  observation_idx: 0,
  hostname: 'x.example',
  run_generation: 1,
});
const options = { day: DAY, filter: EVERYTHING, selection: { of: 'day' }, rulesVersion: 3 } as const;

async function count(table: string): Promise<number> {
  const [found] = await clickhouse.select<{ n: number }>(`SELECT count() AS n FROM ${table}`);
  return found?.n ?? -1;
}

test('the window drops a repeated block of any other client', async () => {
  const block = `INSERT INTO obs_web (measurement_uid, measurement_start_time, run_generation) VALUES ('a', '${DAY} 10:00:00', 1)`;
  await clickhouse.command(block);
  await clickhouse.command('DELETE FROM obs_web WHERE run_generation = 1');
  await clickhouse.command(block);
  expect(await count('obs_web')).toBe(0);
});

test('rows that are deleted and inserted again are stored', async () => {
  for (const table of ['obs_web', 'pipeline_runs']) {
    const rows = table === 'obs_web' ? [row(1)] : [{ bucket: DAY, stage: 'Analysis', generation: 1, recorded_at: 0 }];
    await clickhouse.insert(table, rows);
    await clickhouse.command(`DELETE FROM ${table} WHERE 1`);
    await clickhouse.insert(table, rows);
    expect([table, await count(table)]).toEqual([table, 1]);
  }
  const csv = `INSERT INTO obs_web (measurement_uid, measurement_start_time, run_generation) FORMAT CSV`;
  const bytes = [Buffer.from(`b,${DAY} 10:00:00,1\n`)];
  await clickhouse.insertBytes(csv, bytes);
  await clickhouse.command('DELETE FROM obs_web WHERE 1');
  await clickhouse.insertBytes(csv, bytes);
  expect(await count('obs_web')).toBe(1);
});

test('a repeated analysis keeps its verdicts', async () => {
  await clickhouse.insert('obs_web', [row(1), row(2)]);
  for (let attempt = 1; attempt <= 2; attempt++) {
    expect(await analyseDay(clickhouse, { ...options, generation: 5 }, silent)).toMatchObject({ verdicts: 2 });
    for (const table of ['analysis_web_measurement', 'measurement_experiment_result']) {
      expect([table, await count(table)]).toEqual([table, 2]);
      if (attempt === 1) await clickhouse.command(`DELETE FROM ${table} WHERE 1`);
    }
  }
});

/** A client that skips the n-th statement without retries and reports success, like a server that dropped a block. */
class Dropping extends ClickHouse {
  #left: number;

  constructor(nth: number) {
    super(parseClickHouseUrl(url), '');
    this.#left = nth;
  }

  override async commandOnce(...args: Parameters<ClickHouse['commandOnce']>): Promise<void> {
    if (--this.#left !== 0) await super.commandOnce(...args);
  }
}

test.each([
  ['verdicts', 1, '2 measurements have no verdict'],
  ['results', 2, '2 verdicts have no result'],
])('an analysis with %s that were not stored reports that, and older ones stay', async (_, nth, message) => {
  await clickhouse.insert('obs_web', [row(1), row(2)]);
  await analyseDay(clickhouse, { ...options, generation: 5 }, silent);
  const dropping = new Dropping(nth);
  await expect(analyseDay(dropping, { ...options, generation: 6 }, silent)).rejects.toThrow(message);
  await dropping.close();
  const kept = await clickhouse.select(
    'SELECT run_generation AS g, count() AS n FROM measurement_experiment_result GROUP BY g',
  );
  expect(kept).toEqual([{ g: 5, n: 2 }]);
});

test('measurements of an incomplete run are left to the analysis of that run', async () => {
  await clickhouse.insert('obs_web', [row(1)]);
  const run = { bucket: DAY, stage: 'Observations', generation: 1, state: 'inserted', revision: 2 };
  await clickhouse.insert('pipeline_runs', [run]);
  const dropping = new Dropping(1);
  expect(await analyseDay(dropping, { ...options, generation: 5 }, silent)).toMatchObject({ verdicts: 0 });
  await dropping.close();
});
