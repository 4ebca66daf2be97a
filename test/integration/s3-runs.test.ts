import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { ObjectChangedError } from '../../pipeline/archive/archive.ts';
import { S3Archive } from '../../pipeline/archive/s3.ts';
import { EVERYTHING, filterIDOf } from '../../pipeline/filter.ts';
import { observeBatch } from '../../pipeline/runs/batch.ts';
import { abandonBucket, planBucket } from '../../pipeline/runs/observations.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { OBSERVATION_TABLES } from '../../pipeline/tables/schema.ts';
import { makeDatabase } from '../support/database.ts';
import { dayOfKey, expectedMeasurements, expectedRows, FIXTURES } from '../support/fixtures.ts';
import { rowsByMeasurement, runTools, runWhole } from '../support/runs.ts';
import { S3_REGION, type S3Server, startS3 } from '../support/s3.ts';
import { type FaultyProxy, startFaultyProxy } from '../support/s3-proxy.ts';

/** 134 measurements in five objects. */
const DAY = '2023-11-27';
const KEYS = [...new Set(expectedMeasurements().map(({ key }) => key))].filter(key => dayOfKey(key) === DAY).sort();
const LAST = KEYS.at(-1)!;

let dir: string;
let server: S3Server;
let proxy: FaultyProxy;
let clickhouse: ClickHouse;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 's3-runs-'));
  server = await startS3(dir);
  await server.createBucket('archive', 'public');
}, 900_000);
afterAll(async () => {
  await server?.stop();
  rmSync(dir, { recursive: true, force: true });
});
beforeEach(async () => {
  ({ clickhouse } = await makeDatabase(inject('clickhouseUrl'), 's3runs'));
  proxy = await startFaultyProxy(server.port);
  for (const key of KEYS) await server.put('archive', key, readFileSync(join(FIXTURES, key)));
  return async () => {
    await proxy.close();
    await clickhouse.close();
  };
});

function tools() {
  const archive = new S3Archive({ bucket: 'archive', region: S3_REGION, endpoint: proxy.endpoint, pathStyle: true });
  // Few rows per INSERT: the rows that an interrupted attempt has read are in the tables.
  return { ...runTools(clickhouse, ''), archive, writeBatchSize: 20 };
}
const isGet = (url: string | undefined) => url?.includes('.jsonl.gz') && !url.includes('list-type');

test('a bucket is counted completely and once through an archive that answers SlowDown and keeps breaking connections', async () => {
  let number = 0;
  proxy.fault = message => {
    number++;
    if (number % 3 === 0) return { kind: 'slow-down' };
    return isGet(message.url) ? { kind: 'reset', after: 10_000 * number } : undefined;
  };
  const end = await runWhole(tools(), DAY);
  expect(proxy.requests.filter(request => / bytes=\d+-$/.test(request)).length).toBeGreaterThan(0);
  expect(end.counts).toMatchObject({ files: KEYS.length, read: 134, transformed: 134, failed: 0 });
  expect(end.rowsStored).toEqual(end.counts.rows);
  for (const { name } of OBSERVATION_TABLES) {
    expect(await rowsByMeasurement(clickhouse, name)).toEqual(expectedRows(name, [DAY]));
  }
});

test('an object overwritten during a run does not count: the run fails, and the next one reads the current content', async () => {
  const all = tools();
  const lines = gunzipSync(readFileSync(join(FIXTURES, LAST)))
    .toString()
    .trimEnd()
    .split('\n');
  let changing: Promise<void> | undefined;
  let changed = false;
  proxy.fault = message => {
    if (!isGet(message.url) || !message.url?.includes(LAST.split('/').at(-1)!)) return undefined;
    // The connection breaks within the object. When the rest is requested, the object has changed.
    if (!message.headers.range) return { kind: 'reset', after: 50_000 };
    changing ??= server.put('archive', LAST, gzipSync(`${lines.slice(1).join('\n')}\n`)).then(() => {
      changed = true;
    });
    return changed ? undefined : { kind: 'slow-down' };
  };
  const key = { bucket: DAY, filter: EVERYTHING, filterID: filterIDOf(EVERYTHING) };
  const origin = { workflowID: 'test', runID: 'first', backfill: '', codeVersion: '0', referenceVersions: {} };
  const plan = await planBucket({ ...all, origin }, key, Date.now());
  const [batch] = plan.batches;
  const failure = await observeBatch(all, { run: plan.run, batch: batch! }).catch((error: unknown) => error);
  await changing;
  expect(failure).toBeInstanceOf(ObjectChangedError);
  const reason = { reason: 'ArchiveChanged', message: (failure as Error).message };
  await abandonBucket({ ...all, origin }, plan.run, { state: 'failed', ...reason });
  proxy.fault = () => undefined;
  const end = await runWhole(all, DAY);
  expect(end.counts).toMatchObject({ files: KEYS.length, read: 133 });
  const gone = expectedMeasurements().find(({ key: of, line }) => of === LAST && line === 1)!;
  for (const { name } of OBSERVATION_TABLES) {
    const expected = expectedRows(name, [DAY]);
    expected.delete(gone.measurement_uid);
    expect(await rowsByMeasurement(clickhouse, name)).toEqual(expected);
  }
  const runs = await clickhouse.select('SELECT state, reason, read FROM pipeline_runs FINAL ORDER BY generation');
  expect(runs).toEqual([
    { state: 'failed', reason: 'ArchiveChanged', read: 0 },
    { state: 'completed', reason: '', read: 133 },
  ]);
});
