import { cpSync, globSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { makeDatabase } from '../support/database.ts';
import { dayOfKey, expectedMeasurements, FIXTURES } from '../support/fixtures.ts';
import { makeNamespace, runInput, startRun, WorkerProcess } from '../support/worker.ts';

/* A day of real measurements. One of its objects was uploaded three weeks after it was measured. */
const DAY = '2023-11-27';
const LATE = '2023-12-18';
const FILLED = ['analysis_web_measurement', 'measurement_experiment_result'];

let root: string;
/** The late object: its original key and its new key. */
let moved: { key: string; to: string };
let client: Client;
let clickhouse: ClickHouse;
let worker: WorkerProcess;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'ooni-late-'));
  const digits = DAY.replaceAll('-', '');
  cpSync(join(FIXTURES, 'raw', digits), join(root, 'raw', digits), { recursive: true });
  const keys = globSync('raw/*/*/*/webconnectivity/*.jsonl.gz', { cwd: root }).sort();
  const key = keys[0]!;
  moved = { key, to: key.replaceAll(digits, LATE.replaceAll('-', '')) };
  mkdirSync(dirname(join(root, moved.to)), { recursive: true });
  renameSync(join(root, key), join(root, moved.to));

  const database = await makeDatabase(inject('clickhouseUrl'), 'late');
  clickhouse = database.clickhouse;
  const made = await makeNamespace(inject('temporalAddress'), 'late');
  client = made.client;
  worker = new WorkerProcess({
    TEMPORAL_ADDRESS: inject('temporalAddress'),
    TEMPORAL_NAMESPACE: made.namespace,
    CLICKHOUSE_URL: database.url,
    ARCHIVE_URL: root,
  });
  await worker.says(/working for Temporal/);
});
afterAll(async () => {
  await worker?.kill();
  await client?.connection.close();
  await clickhouse?.close();
  rmSync(root, { recursive: true, force: true });
});

interface BucketDecision {
  readonly uid: string;
  readonly day: string;
  readonly generation: number;
}

/** Returns the verdicts of a plain read. */
function verdicts(): Promise<BucketDecision[]> {
  return clickhouse.select<BucketDecision>(
    `SELECT measurement_uid AS uid, toString(toDate(measurement_start_time, 'UTC')) AS day,
       run_generation AS generation
     FROM analysis_web_measurement ORDER BY uid`,
  );
}

/** Returns the uids of DAY that have a host of the control or of a valid certificate, or a report, in common with the late object. */
function affected(): Set<string> {
  const day = expectedMeasurements().filter(({ key }) => dayOfKey(key) === DAY);
  const rows = (of: typeof day, table: string) => of.flatMap(({ tables }) => tables?.[table] ?? []);
  const late = day.filter(({ key }) => key === moved.key);
  const certified = rows(late, 'obs_web').filter(row => row.tls_is_certificate_valid === 1);
  const hosts = new Set([...rows(late, 'obs_web_ctrl'), ...certified].map(row => row.hostname));
  const reports = new Set(rows(late, 'obs_web').map(row => row.report_id));
  const shares = (row: Readonly<Record<string, unknown>>) => hosts.has(row.hostname) || reports.has(row.report_id);
  return new Set(day.filter(each => rows([each], 'obs_web').some(shares)).map(each => each.measurement_uid));
}

test('a measurement uploaded three weeks late gets a verdict, and changes those that depend on it and no others', async () => {
  await (await startRun(client, runInput(DAY, ['Observations', 'Analysis']))).result();
  const before = await verdicts();
  const expected = expectedMeasurements()
    .filter(({ key, tables }) => key === moved.key && (tables?.obs_web?.length ?? 0) > 0)
    .map(each => each.measurement_uid);
  expect(expected.length).toBeGreaterThan(0);
  expect(before.length).toBeGreaterThan(0);
  expect(before.filter(({ uid }) => expected.includes(uid))).toEqual([]);

  const { analysedDays } = await (await startRun(client, runInput(LATE, ['Observations', 'Analysis']))).result();
  expect(analysedDays).toEqual([DAY]);
  const after = await verdicts();
  const late = after.filter(({ uid }) => expected.includes(uid));
  expect(late.map(({ uid }) => uid)).toEqual(expected.sort());
  expect(new Set(late.map(({ day }) => day))).toEqual(new Set([DAY]));
  const onTime = after.filter(each => !late.includes(each));
  expect(onTime.map(({ uid }) => uid)).toEqual(before.map(({ uid }) => uid));
  const again = onTime.filter((each, index) => each.generation > before[index]!.generation).map(({ uid }) => uid);
  const judged = new Set(before.map(({ uid }) => uid));
  expect(again).toEqual([...affected()].filter(uid => judged.has(uid)).sort());
  expect(again.length).toBeGreaterThan(0);
  expect(again.length).toBeLessThan(before.length);
});

test('a repeated bucket replaces its verdicts: FINAL never shows two or none for a measurement, and a plain read then shows one', async () => {
  const before = await verdicts();
  const samples: { rows: number; measurements: number }[] = [];
  let over = false;
  const watching = (async () => {
    while (!over) {
      for (const table of FILLED) {
        samples.push(
          ...(await clickhouse.select<(typeof samples)[number]>(
            `SELECT count() AS rows, uniqExact(measurement_uid) AS measurements FROM ${table} FINAL`,
          )),
        );
      }
      await sleep(20);
    }
  })();
  await (await startRun(client, runInput(DAY, ['Observations', 'Analysis']))).result();
  over = true;
  await watching;
  expect(samples.length).toBeGreaterThan(5);
  expect(samples.filter(({ rows, measurements }) => rows !== before.length || measurements !== rows)).toEqual([]);

  const after = await verdicts();
  expect(after.map(({ uid }) => uid)).toEqual(before.map(({ uid }) => uid));
  const repeated = (each: BucketDecision, index: number) => each.generation > before[index]!.generation;
  // The day is the bucket itself, so all of it was judged again, with the late measurements.
  expect(after.every(repeated)).toBe(true);
  for (const table of FILLED) {
    const [plain] = await clickhouse.select(
      `SELECT count() AS rows, uniqExact(measurement_uid) AS measurements, uniqExact(run_generation) AS generations FROM ${table}`,
    );
    expect([table, plain]).toEqual([table, { rows: before.length, measurements: before.length, generations: 1 }]);
  }
});
