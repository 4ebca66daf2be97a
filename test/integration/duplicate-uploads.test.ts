import { expect, inject, test } from 'vitest';
import { EVERYTHING, filterIDOf } from '../../pipeline/filter.ts';
import { finalizeRows } from '../../pipeline/ledger/finalize-rows.ts';
import { openRun, recordRun } from '../../pipeline/ledger/ledger.ts';
import { overlappingBuckets } from '../../pipeline/ledger/replaced-rows.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { makeDatabase, silent } from '../support/database.ts';

const CAN_A = '0120201019aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa';
const CAN_B = '0120201019bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb';
const CAN_C = '0120201019cccccccccccccccccccccccccccccc';
const POST_A = '20201020140000.000001_IT_webconnectivity_0123456789abcdef';
const POST_D = '20201020140000.000002_IT_webconnectivity_0123456789abcdef';
const origin = { workflowID: 'w', runID: 'r', backfill: '', codeVersion: 'test', referenceVersions: {} };

let now = Date.parse('2026-01-01T00:00:00Z');

async function run(
  clickhouse: ClickHouse,
  bucket: string,
  measurements: [uid: string, report: string, input: string | null][],
) {
  const key = { bucket, filter: EVERYTHING, filterID: filterIDOf(EVERYTHING), stage: 'Observations' } as const;
  const opened = await openRun({ clickhouse, origin }, key, overlappingBuckets(bucket), now++);
  for (const table of ['obs_web', 'obs_web_ctrl'] as const) {
    const rows = measurements.flatMap(([uid, report, input]) =>
      [0, 1].map(index => ({
        measurement_uid: uid,
        report_id: report,
        input,
        test_name: 'web_connectivity',
        measurement_start_time: '2020-10-19 23:59:58',
        bucket_date: bucket,
        run_generation: opened.generation,
        hostname: 'example.org',
        observation_idx: index,
      })),
    );
    if (rows.length > 0) await clickhouse.insert(table, rows);
  }
  await recordRun({ clickhouse, origin }, opened, { state: 'inserted' });
  return finalizeRows({ clickhouse, log: silent }, opened, true);
}

async function uids(clickhouse: ClickHouse, table: string): Promise<string[]> {
  const rows = await clickhouse.select<{ uid: string }>(
    `SELECT measurement_uid AS uid FROM ${table} GROUP BY uid HAVING count() = 2 ORDER BY uid`,
  );
  return rows.map(({ uid }) => uid);
}

test('a measurement in a can is removed if its post exists, for any order of the runs', async () => {
  for (const order of [
    [0, 1],
    [1, 0],
  ]) {
    const { clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'copies');
    const runs = [
      () =>
        run(clickhouse, '2020-10-20T00', [
          [CAN_A, 'report', 'a'],
          [CAN_B, 'report', null],
          [CAN_C, '', 'c'],
        ]),
      () =>
        run(clickhouse, '2020-10-20T14', [
          [POST_A, 'report', 'a'],
          [POST_D, '', 'c'],
        ]),
    ];
    for (const index of order) await runs[index]!();
    for (const table of ['obs_web', 'obs_web_ctrl'])
      expect(await uids(clickhouse, table)).toEqual([CAN_B, CAN_C, POST_A, POST_D]);
  }
});

test('the remaining rows are counted', async () => {
  const { clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'copies');
  const settled = await run(clickhouse, '2020-10-20', [
    [CAN_A, 'report', 'a'],
    [CAN_B, 'report', 'b'],
    [POST_A, 'report', 'a'],
  ]);
  expect(settled.rowsStored).toEqual({ obs_web: 4, obs_web_ctrl: 4 });
});

test('other days stay unchanged', async () => {
  const { clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'copies');
  await run(clickhouse, '2020-10-22', [
    [CAN_A, 'report', 'a'],
    [POST_A, 'report', 'a'],
  ]);
  expect(await uids(clickhouse, 'obs_web')).toEqual([CAN_A, POST_A]);
});
