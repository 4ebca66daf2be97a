import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Client } from '@temporalio/client';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { PRIORITIES, queuesOf, WORKFLOWS } from '../../worker/contract.ts';
import { makeDatabase } from '../support/database.ts';
import { FIXTURES } from '../support/fixtures.ts';
import { makeNamespace, runInput, startRun, WorkerProcess } from '../support/worker.ts';

const DAY = '2023-11-27';
let client: Client;
let clickhouse: ClickHouse;
let worker: WorkerProcess;
let environment: Record<string, string>;

beforeAll(async () => {
  const database = await makeDatabase(inject('clickhouseUrl'), 'stage');
  clickhouse = database.clickhouse;
  const made = await makeNamespace(inject('temporalAddress'), 'stage');
  client = made.client;
  environment = {
    TEMPORAL_ADDRESS: inject('temporalAddress'),
    TEMPORAL_NAMESPACE: made.namespace,
    CLICKHOUSE_URL: database.url,
    ARCHIVE_URL: FIXTURES,
  };
  worker = new WorkerProcess(environment);
  await worker.says(/working for Temporal/);
});
afterAll(async () => {
  await worker?.kill();
  await client?.connection.close();
  await clickhouse?.close();
});

/** Returns measurements with a verdict, by the day of measurement. */
async function verdicts(): Promise<Map<string, string[]>> {
  const rows = await clickhouse.select<{ day: string; uids: string[] }>(
    `SELECT toString(toDate(measurement_start_time, 'UTC')) AS day, arraySort(groupArray(measurement_uid)) AS uids
     FROM analysis_web_measurement GROUP BY day ORDER BY day`,
  );
  return new Map(rows.map(({ day, uids }) => [day, uids]));
}

function expected(): Map<string, string[]> {
  const days = new Map<string, string[]>();
  for (const line of gunzipSync(readFileSync(join(FIXTURES, '../expected/analysis.jsonl.gz')))
    .toString()
    .split('\n')) {
    if (!line) continue;
    const { window, measurement_uid } = JSON.parse(line) as { window: string; measurement_uid: string };
    days.set(window, [...(days.get(window) ?? []), measurement_uid].sort());
  }
  return days;
}

test('after its observations, a run judges the days with new rows; a repetition replaces the verdicts', async () => {
  const run = runInput(DAY, ['Observations', 'Analysis']);
  const result = await (await startRun(client, run)).result();
  const found = await verdicts();
  expect(result.analysedDays).toEqual([...found.keys()]);
  expect(found.get(DAY)).toEqual(expected().get(DAY));
  const again = await (await startRun(client, run)).result();
  expect(again.analysedDays).toEqual(result.analysedDays);
  expect(await verdicts()).toEqual(found);
  const [made] = await clickhouse.select<{ fingerprints: string; rules: string }>(
    `SELECT reference_versions['fingerprints_dns'] AS fingerprints, reference_versions['rules'] AS rules
     FROM pipeline_runs FINAL WHERE stage = 'Analysis' LIMIT 1`,
  );
  // The run and each verdict record the versions. Reference data that a new installation lacks was loaded first.
  expect(made).toEqual({ fingerprints: expect.stringMatching(/^\d{4}-\d\d-\d\d-[0-9a-f]{12}$/), rules: '3' });
  const versions = await clickhouse.select('SELECT DISTINCT fingerprints_version AS v FROM analysis_web_measurement');
  expect(versions).toEqual([{ v: made?.fingerprints }]);
  const states = await clickhouse.select(
    'SELECT stage, state, count() AS n FROM pipeline_runs FINAL GROUP BY ALL ORDER BY stage',
  );
  expect(states).toEqual([
    { stage: 'Analysis', state: 'completed', n: 2 },
    { stage: 'Observations', state: 'completed', n: 2 },
  ]);
});

test('a backfill of the analysis alone judges measurement days, and the ledger records it as such', async () => {
  await clickhouse.command('TRUNCATE TABLE analysis_web_measurement');
  const { installation, filter, filterID } = runInput(DAY);
  const input = {
    installation,
    filter,
    filterID,
    stages: ['Analysis'],
    startAt: '2023-11-26',
    endAt: '2023-11-29',
    granularity: 'Day',
  };
  const more = {
    order: 'OldestFirst',
    reprocess: 'None',
    maxActiveRuns: 2,
    suspended: false,
    dryRun: false,
    attempt: 1,
  };
  const start = (workflowId: string, reprocess: string) =>
    client.workflow.execute(WORKFLOWS.backfill, {
      workflowId,
      taskQueue: queuesOf('test').workflows,
      args: [{ ...input, ...more, reprocess }],
      priority: { priorityKey: PRIORITIES.backfill },
    });
  expect(await start('analysis-all', 'All')).toMatchObject({ phase: 'Complete', succeeded: 3, total: 3 });
  expect((await verdicts()).get(DAY)).toEqual(expected().get(DAY));
  expect(await start('analysis-again', 'None')).toMatchObject({ phase: 'Complete', succeeded: 0, skipped: 3 });
});

test('a failed analysis fails its run with a message, and the observations stay', async () => {
  await clickhouse.command('RENAME TABLE fingerprints_dns TO hidden');
  try {
    const handle = await startRun(client, runInput('2023-11-29', ['Observations', 'Analysis']));
    await expect(handle.result()).rejects.toMatchObject({
      cause: { type: 'Analysis', message: expect.stringMatching(/fingerprints_dns/) },
    });
    const states = await clickhouse.select(
      "SELECT stage, state, reason FROM pipeline_runs FINAL WHERE bucket = '2023-11-29' ORDER BY stage",
    );
    expect(states).toEqual([
      { stage: 'Analysis', state: 'failed', reason: 'Analysis' },
      { stage: 'Observations', state: 'completed', reason: '' },
    ]);
  } finally {
    await clickhouse.command('RENAME TABLE hidden TO fingerprints_dns');
  }
  // A retry judges it, without reading the archive again.
  const { installation, filter, filterID } = runInput('2023-11-29');
  const input = {
    ...{ installation, filter, filterID, stages: ['Observations', 'Analysis'], granularity: 'Day' },
    ...{ startAt: '2023-11-29', endAt: '2023-11-30', order: 'OldestFirst', reprocess: 'Failed' },
    ...{ maxActiveRuns: 1, suspended: false, dryRun: false, attempt: 1 },
  };
  const again = await client.workflow.execute(WORKFLOWS.backfill, {
    workflowId: 'failed-verdicts',
    taskQueue: queuesOf('test').workflows,
    args: [input],
    priority: { priorityKey: PRIORITIES.backfill },
  });
  expect(again).toMatchObject({ phase: 'Complete', succeeded: 1, counts: { read: 0 } });
  const [ledger] = await clickhouse.select(
    `SELECT countIf(stage = 'Observations') AS observations, argMax(state, generation) AS last
     FROM pipeline_runs FINAL WHERE bucket = '2023-11-29'`,
  );
  expect(ledger).toEqual({ observations: 1, last: 'completed' });
});

test('a new installation without the configured block pages makes no verdict, and gives the reason', async () => {
  await worker.kill();
  const fresh = await makeDatabase(inject('clickhouseUrl'), 'blind');
  const source = '/nowhere/fingerprints.csv';
  worker = new WorkerProcess({ ...environment, CLICKHOUSE_URL: fresh.url, FINGERPRINTS_DNS_SOURCE: source });
  try {
    await worker.says(/working for Temporal/);
    const handle = await startRun(client, runInput(DAY, ['Observations', 'Analysis']));
    await expect(handle.result()).rejects.toMatchObject({
      cause: { type: 'ReferenceData', message: expect.stringContaining(`cannot read ${source}`) },
    });
    const [counted] = await fresh.clickhouse.select(
      'SELECT (SELECT count() > 0 FROM obs_web) AS observed, (SELECT count() FROM analysis_web_measurement) AS verdicts',
    );
    expect(counted).toEqual({ observed: 1, verdicts: 0 });
  } finally {
    await fresh.clickhouse.close();
  }
});
