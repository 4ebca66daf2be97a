import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { DirectoryArchive } from '../../pipeline/archive/directory.ts';
import { findBuckets } from '../../pipeline/archive/find-buckets.ts';
import { type Counts, sumCounts } from '../../pipeline/counts.ts';
import { EVERYTHING, filterIDOf, normaliseFilter } from '../../pipeline/filter.ts';
import { openIpMetadata } from '../../pipeline/reference/ip-metadata.ts';
import { observeBatch } from '../../pipeline/runs/batch.ts';
import { abandonBucket, finishBucket, planBucket } from '../../pipeline/runs/observations.ts';
import { type Verification, verifyBucket } from '../../pipeline/runs/verify.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { tarOf } from '../support/archive.ts';
import { makeDatabase, silent } from '../support/database.ts';
import { dayOfKey, expectedMeasurements, FIXTURES } from '../support/fixtures.ts';
import { lz4Blocks, storedFrame } from '../support/lz4.ts';

/** 134 measurements of web_connectivity in five objects of five hours. */
const DAY = '2023-11-27';
const SHARED = join(import.meta.dirname, '../../../shared/data/measurements');
const origin = { workflowID: 'test', backfill: '', codeVersion: '0', referenceVersions: {} };

let clickhouse: ClickHouse;
let root: string;
let keys: string[];
let runs = 0;

beforeEach(async () => {
  ({ clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'verify'));
  root = mkdtempSync(join(tmpdir(), 'ooni-archive-'));
  keys = [...new Set(expectedMeasurements().map(({ key }) => key))].filter(key => dayOfKey(key) === DAY).sort();
  for (const key of keys) put(key, readFileSync(join(FIXTURES, key)));
});
afterEach(async () => {
  rmSync(root, { recursive: true, force: true });
  await clickhouse.close();
});

function put(key: string, content: Uint8Array): void {
  mkdirSync(dirname(join(root, key)), { recursive: true });
  writeFileSync(join(root, key), content);
}

function tools(from = root) {
  return {
    archive: new DirectoryArchive(from),
    clickhouse,
    log: silent,
    maxFailedShare: 1,
    ipMetadata: openIpMetadata(undefined),
    maxMeasurementBytes: 32 * 1024 * 1024,
    writeBatchSize: 1000,
  };
}

async function run(bucket: string, filter = {}, end: 'finish' | 'abandon' | 'nothing' = 'finish', from = root) {
  const normal = normaliseFilter(filter);
  const key = { bucket, filter: normal, filterID: filterIDOf(normal) };
  const own = { ...origin, runID: `${++runs}` };
  const all = tools(from);
  const plan = await planBucket({ ...all, origin: own }, key, Date.now());
  const counts: Counts[] = [];
  for (const batch of plan.batches) counts.push(await observeBatch(all, { run: plan.run, batch }));
  if (end === 'finish') await finishBucket({ ...all, origin: own }, plan.run, sumCounts(counts));
  if (end === 'abandon') {
    await abandonBucket({ ...all, origin: own }, plan.run, {
      state: 'failed',
      counts: sumCounts(counts),
      reason: 'Test',
      message: 'broke',
    });
  }
  return plan.run.generation;
}

async function verify(bucket = DAY, filter = {}, from = root): Promise<Verification[]> {
  const normal = normaliseFilter(filter);
  return verifyBucket(tools(from), { bucket, filter: normal, filterID: filterIDOf(normal) });
}

/** Returns the problems without their messages. */
async function problems(bucket = DAY, filter = {}): Promise<object[]> {
  const found = (await verify(bucket, filter)).flatMap(each => each.problems);
  return found.map(({ problem, key, table }) => ({ problem, ...(key && { key }), ...(table && { table }) }));
}

/** Returns a measurement of an object with rows in a table. */
function measurementOf(key: string, table: string): { uid: string; rows: number } {
  const found = expectedMeasurements().find(each => each.key === key && (each.tables[table]?.length ?? 0) > 0)!;
  return { uid: found.measurement_uid, rows: found.tables[table]!.length };
}

describe('no problems', () => {
  test('for a completed run', async () => {
    const generation = await run(DAY);
    const [verified] = await verify();
    expect(verified).toMatchObject({ bucket: DAY, generation, files: 5, measurements: 134, problems: [] });
    const { obs_web } = verified!.rows;
    expect(obs_web?.stored).toBe(obs_web?.counted);
    expect(obs_web?.stored).toBeGreaterThan(0);
  });

  test('if one measurement is in two objects: its rows are stored once', async () => {
    put(keys[0]!.replace('.n', '.copy'), readFileSync(join(root, keys[0]!)));
    await run(DAY);
    const [verified] = await verify();
    expect(verified!.rows.obs_web!.stored).toBeLessThan(verified!.rows.obs_web!.counted);
    expect(verified!.problems).toEqual([]);
  });

  test('if hours, or a country, of a day were run again later', async () => {
    await run(DAY);
    const hour = /\/\d{8}\/(\d\d)\/([A-Z]{2})\//.exec(keys[1]!)!;
    await run(`${DAY}T${hour[1]}`);
    expect(await problems()).toEqual([]);
    expect(await problems(`${DAY}T${hour[1]}`)).toEqual([]);
    await run(DAY, { probeCC: [hour[2]] });
    expect(await problems()).toEqual([]);
    expect(await problems(DAY, { probeCC: [hour[2]] })).toEqual([]);
  });

  test('for a day that was run by the hour: each hour is reported', async () => {
    const hours = keys.map(key => `${DAY}T${key.split('/')[2]}`);
    for (const hour of new Set(hours)) await run(hour);
    const verified = await verify();
    expect(verified.map(({ bucket }) => bucket)).toEqual([...new Set(hours)].sort());
    expect(verified.flatMap(each => each.problems)).toEqual([]);
  });

  test('on days in two layouts: the post of a measurement replaces its copy in the can', async () => {
    const lines = gunzipSync(readFileSync(join(root, keys[0]!)))
      .toString()
      .trimEnd()
      .split('\n');
    const [first, second] = lines.map(line => ({ ...JSON.parse(line), measurement_uid: undefined, report_id: 'r1' }));
    const uid = '20201020140000.000001_IT_webconnectivity_0123456789abcdef';
    const post = [`2020102014_IT_webconnectivity.n0.0/${uid}.post`, JSON.stringify({ format: 'json', content: first })];
    put(
      'raw/20201020/14/IT/webconnectivity/2020102014_IT_webconnectivity.n0.0.tar.gz',
      gzipSync(await tarOf([post as [string, string]])),
    );
    const can = Buffer.from(`${JSON.stringify(first)}\n${JSON.stringify(second)}\n`);
    put(
      'canned/2020-10-20/20201019T235958Z-IT-AS30722-web_connectivity-r1-0.2.0-probe.json.lz4',
      storedFrame(lz4Blocks(can)),
    );
    await run('2020-10-20');
    const [verified] = await verify('2020-10-20');
    expect(verified!.rows.obs_web!.stored).toBeLessThan(verified!.rows.obs_web!.counted);
    expect(verified).toMatchObject({ measurements: 3, problems: [] });
    // A missing row of the remaining copy is reported.
    await clickhouse.command(`DELETE FROM obs_web WHERE measurement_uid = '${uid}'`);
    const table = { problem: 'RowsMissing', table: 'obs_web' };
    expect(await problems('2020-10-20')).toEqual([
      { ...table, key: expect.stringContaining('canned/') },
      { ...table, key: expect.stringContaining('raw/') },
    ]);
  });

  test('if ClickHouse rejected rows and the ledger records them', async () => {
    const { uid } = measurementOf(keys[0]!, 'obs_web');
    await clickhouse.command(`ALTER TABLE obs_web ADD CONSTRAINT test CHECK measurement_uid != '${uid}'`);
    await run(DAY);
    expect(await problems()).toEqual([]);
    // Also if the objects are read again because other rows are missing.
    const other = measurementOf(keys[1]!, 'obs_web').uid;
    await clickhouse.command(`DELETE FROM obs_web WHERE measurement_uid = '${other}'`);
    expect(await problems()).toEqual([{ problem: 'RowsMissing', key: keys[1], table: 'obs_web' }]);
  });
});

describe('missing data is reported', () => {
  test('rows, by key and measurement', async () => {
    await run(DAY);
    const web = measurementOf(keys[2]!, 'obs_web');
    const control = measurementOf(keys[4]!, 'obs_web_ctrl');
    await clickhouse.command(`DELETE FROM obs_web WHERE measurement_uid = '${web.uid}'`);
    await clickhouse.command(
      `DELETE FROM obs_web_ctrl WHERE measurement_uid = '${control.uid}' AND observation_idx = (SELECT min(observation_idx) FROM obs_web_ctrl WHERE measurement_uid = '${control.uid}')`,
    );
    const [verified] = await verify();
    expect(verified!.problems).toEqual([
      {
        problem: 'RowsMissing',
        key: keys[2],
        table: 'obs_web',
        message: `${web.rows} row${web.rows === 1 ? '' : 's'} of 1 measurement missing, such as ${web.uid}`,
      },
      {
        problem: 'RowsMissing',
        key: keys[4],
        table: 'obs_web_ctrl',
        message: `1 row of 1 measurement missing, such as ${control.uid}`,
      },
    ]);
  });

  test('a new, changed or removed object', async () => {
    await run(DAY);
    const added = keys[0]!.replace('.n', '.later');
    put(added, readFileSync(join(root, keys[0]!)));
    put(keys[1]!, gzipSync(gunzipSync(readFileSync(join(root, keys[1]!)))));
    rmSync(join(root, keys[3]!));
    expect(await problems()).toEqual(
      expect.arrayContaining([
        { problem: 'FileNotRead', key: added },
        { problem: 'FileChanged', key: keys[1] },
        { problem: 'FileGone', key: keys[3] },
      ]),
    );
    expect(await problems()).toHaveLength(3);
    await run(DAY);
    expect(await problems()).toEqual([]);
  });

  test('the record of a failure, and of a key with an unknown layout', async () => {
    const lines = gunzipSync(readFileSync(join(root, keys[0]!)));
    put(keys[0]!, gzipSync(Buffer.concat([lines, Buffer.from('{"broken\n{"test_keys": {"a": 1}}\n')])));
    const odd = keys[0]!.replace('.jsonl.gz', '.odd');
    put(odd, Buffer.from('x'));
    await run(DAY);
    expect(await problems()).toEqual([]);
    await clickhouse.command(`DELETE FROM pipeline_failures WHERE key = '${keys[0]}' AND message LIKE '%JSON%'`);
    expect(await problems()).toEqual([{ problem: 'FailuresDiffer', key: keys[0] }]);
    await clickhouse.command(`DELETE FROM pipeline_failures WHERE key = '${odd}'`);
    expect(await problems()).toEqual([
      { problem: 'KeyNotRecorded', key: odd },
      { problem: 'FailuresDiffer', key: keys[0] },
    ]);
  });

  test('the record of an object', async () => {
    await run(DAY);
    await clickhouse.command(`DELETE FROM pipeline_files WHERE key = '${keys[0]}'`);
    const found = await problems();
    expect(found).toContainEqual({ problem: 'FileNotRead', key: keys[0] });
    expect(found).toContainEqual({ problem: 'FilesAndRunDiffer' });
    expect(found).toContainEqual({ problem: 'RowsTooMany', table: 'obs_web' });
  });

  test('a run: missing, failed, interrupted, or of another filter', async () => {
    const message = async (bucket = DAY, filter = {}) => (await verify(bucket, filter))[0]!.problems[0]!.message;
    expect(await problems()).toEqual([{ problem: 'NotCompleted' }]);
    expect(await message()).toBe('it was never run under this filter; the archive has 5 objects of it');
    await run(DAY, {}, 'abandon');
    expect(await problems()).toEqual([{ problem: 'NotCompleted' }]);
    expect(await message()).toMatch(/failed: Test: broke$/);
    await run(DAY);
    expect(await problems()).toEqual([]);
    await run(DAY, {}, 'nothing');
    expect(await problems()).toContainEqual({ problem: 'NewerRun' });
    expect(await message()).toMatch(/is active, or ended without a record; run the bucket again$/);
    expect(await message(DAY, { probeCC: ['IT'] })).toMatch(
      /but 2023-11-27 was run under ALLCCS-ALLTNS; verify it under that filter$/,
    );
    await run(DAY);
    expect(await problems()).toEqual([]);
  });
});

describe('excess data is reported', () => {
  const copy = (table: string, changes: string) =>
    clickhouse.command(
      `INSERT INTO ${table} SELECT * REPLACE (${changes}) FROM ${table} WHERE bucket_date = '${DAY}' LIMIT 1`,
    );

  test('rows of the run that were not counted', async () => {
    await run(DAY);
    await copy('obs_web', "'invented' AS measurement_uid");
    const [verified] = await verify();
    expect(verified!.problems).toMatchObject([{ problem: 'RowsTooMany', table: 'obs_web' }]);
    expect(verified!.problems[0]!.message).toMatch(/that are in no object: invented$/);
  });

  test('rows that are stored twice', async () => {
    await run(DAY);
    await copy('obs_web_ctrl', 'port AS port');
    expect(await problems()).toEqual([{ problem: 'RowsTwice', table: 'obs_web_ctrl' }]);
  });

  test('rows of other runs over the same measurements, and of unknown runs', async () => {
    const older = await run(DAY);
    await run(DAY);
    await copy('obs_web', `${older} AS run_generation`);
    expect(await problems()).toEqual([
      { problem: 'MeasurementTwice', table: 'obs_web' },
      { problem: 'OlderRows', table: 'obs_web' },
    ]);
    await run(DAY);
    await copy('obs_web', "0 AS run_generation, 'python' AS measurement_uid");
    expect(await problems()).toEqual([{ problem: 'UnknownRows', table: 'obs_web' }]);
  });

  test('counts that do not add up', async () => {
    await run(DAY);
    await clickhouse.command(
      `INSERT INTO pipeline_runs SELECT * REPLACE (skipped + 1 AS skipped, revision + 1 AS revision) FROM pipeline_runs FINAL`,
    );
    expect(await problems()).toEqual([{ problem: 'CountsDoNotAddUp' }, { problem: 'FilesAndRunDiffer' }]);
  });
});

test.skipIf(!existsSync(SHARED))(
  'the ledger over all of shared/data/measurements adds up to the last line',
  async () => {
    const buckets = await findBuckets(new DirectoryArchive(SHARED), EVERYTHING, 'Day');
    for (const bucket of buckets) await run(bucket, {}, 'finish', SHARED);
    const verified: Verification[] = [];
    for (const bucket of buckets) verified.push(...(await verify(bucket, {}, SHARED)));
    expect(verified.flatMap(each => each.problems)).toEqual([]);
    const lines = readFileSync(join(SHARED, 'INDEX.tsv'), 'utf8').trimEnd().split('\n').length - 1;
    expect(verified.reduce((sum, each) => sum + each.measurements, 0)).toBe(lines);
  },
);
