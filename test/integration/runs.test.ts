import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { addsUp, type Counts, sumCounts } from '../../pipeline/counts.ts';
import { filterIDOf, normaliseFilter } from '../../pipeline/filter.ts';
import { type Checkpoint, observeBatch } from '../../pipeline/runs/batch.ts';
import { finishBucket, planBucket, UnaccountedError } from '../../pipeline/runs/observations.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { OBSERVATION_TABLES } from '../../pipeline/tables/schema.ts';
import { makeDatabase } from '../support/database.ts';
import { dayOfKey, expectedMeasurements, expectedRows, FIXTURES } from '../support/fixtures.ts';
import { rowsByMeasurement, runTools, runWhole } from '../support/runs.ts';

/** 134 measurements of web_connectivity in five objects of five hours. */
const DAY = '2023-11-27';
let clickhouse: ClickHouse;
let root: string;

beforeEach(async () => {
  ({ clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'runs'));
  root = mkdtempSync(join(tmpdir(), 'ooni-archive-'));
});
afterEach(async () => {
  rmSync(root, { recursive: true, force: true });
  await clickhouse.close();
});

const tools = (archiveRoot: string, maxFailedShare?: number) => runTools(clickhouse, archiveRoot, maxFailedShare);
const runBucket = (archiveRoot: string, bucket: string, filter = {}, maxFailedShare?: number) =>
  runWhole(tools(archiveRoot, maxFailedShare), bucket, filter);
const rowsOf = (table: string) => rowsByMeasurement(clickhouse, table);

/** Copies the objects of a day, so that a test can change them. */
function copyDay(day: string): string[] {
  const keys = [...new Set(expectedMeasurements().map(each => each.key))].filter(key => dayOfKey(key) === day);
  for (const key of keys) {
    mkdirSync(dirname(join(root, key)), { recursive: true });
    cpSync(join(FIXTURES, key), join(root, key));
  }
  return keys.sort();
}

describe('the observations of a bucket', () => {
  test('a filter selects its country and test, from key and document', async () => {
    const signal = expectedMeasurements().find(
      each => /\/IT\/signal\//.test(each.key) && (each.tables?.obs_web?.length ?? 0) > 0,
    )!;
    const day = dayOfKey(signal.key);
    copyDay(day);
    const [other] = copyDay(DAY);
    const beside = join(
      root,
      dirname(dirname(signal.key)),
      'webconnectivity',
      `${day.replaceAll('-', '')}00_IT_webconnectivity.n0.0.jsonl.gz`,
    );
    mkdirSync(dirname(beside), { recursive: true });
    cpSync(join(root, other!), beside);
    await runBucket(root, day, { probeCC: ['it'], testNames: ['Signal'] });
    const selected = expectedMeasurements().filter(
      each => dayOfKey(each.key) === day && /\/IT\/signal\//.test(each.key) && (each.tables?.obs_web?.length ?? 0) > 0,
    );
    expect(selected.length).toBeGreaterThan(0);
    expect(new Set((await rowsOf('obs_web')).keys())).toEqual(new Set(selected.map(each => each.measurement_uid)));
  });

  test('changed and smaller input replaces the earlier rows', async () => {
    const keys = copyDay(DAY);
    await runBucket(root, DAY);
    const before = await rowsOf('obs_web');
    const [gone, shortened] = [keys[0]!, keys[1]!];
    rmSync(join(root, gone));
    const lines = gunzipSync(readFileSync(join(root, shortened)))
      .toString()
      .split('\n')
      .filter(Boolean);
    writeFileSync(join(root, shortened), gzipSync(`${lines.slice(1).join('\n')}\n`));
    await runBucket(root, DAY);
    const lost = expectedMeasurements().filter(
      each => each.key === gone || (each.key === shortened && each.line === 1),
    );
    for (const { name } of OBSERVATION_TABLES) {
      const expected = expectedRows(name, [DAY]);
      for (const { measurement_uid } of lost) expected.delete(measurement_uid);
      expect(await rowsOf(name)).toEqual(expected);
    }
    expect((await rowsOf('obs_web')).size).toBeLessThan(before.size);
  });

  test('two concurrent runs with overlapping filters leave every row once, for any order of their ends', async () => {
    // Seven measurements of six tests from three countries.
    const day = '2022-11-10';
    await runBucket(FIXTURES, day);
    for (const last of [0, 1]) {
      const clock = Date.now();
      const all = tools(FIXTURES);
      const begun = await Promise.all(
        [{}, { probeCC: ['US'] }].map(async (filter, index) => {
          const normal = normaliseFilter(filter);
          const key = { bucket: day, filter: normal, filterID: filterIDOf(normal) };
          const runID = `overlap ${last} ${index}`;
          const origin = { workflowID: 'test', runID, backfill: '', codeVersion: '0', referenceVersions: {} };
          // The first time, both begin in the same millisecond.
          const plan = await planBucket({ ...all, origin }, key, clock + last * index);
          const counts = await Promise.all(plan.batches.map(batch => observeBatch(all, { run: plan.run, batch })));
          return () => finishBucket({ ...all, origin }, plan.run, sumCounts(counts));
        }),
      );
      await begun[1 - last]!();
      await Promise.all([begun[last]!(), begun[1 - last]!()]);
      for (const { name } of OBSERVATION_TABLES) expect(await rowsOf(name)).toEqual(expectedRows(name, [day]));
      // The next round opens new runs, for any clock.
      await runBucket(FIXTURES, day);
    }
    const states = await clickhouse.select('SELECT state, count() AS n FROM pipeline_runs FINAL GROUP BY state');
    expect(states).toEqual([{ state: 'completed', n: 7 }]);
  });

  test('an empty bucket is a completed run without rows', async () => {
    copyDay(DAY);
    const end = await runBucket(root, '2023-11-28');
    expect(end.counts.read).toBe(0);
    const runs = await clickhouse.select('SELECT bucket, state, files FROM pipeline_runs FINAL');
    expect(runs).toEqual([{ bucket: '2023-11-28', state: 'completed', files: 0 }]);
  });

  test('neither one failure of five nor one unreadable object of five fails a bucket', async () => {
    const key = 'raw/20231127/00/ZZ/signal/2023112700_ZZ_signal.n0.0.jsonl.gz';
    const [from] = copyDay(DAY);
    const lines = gunzipSync(readFileSync(join(root, from!)))
      .toString()
      .split('\n')
      .slice(0, 4);
    rmSync(join(root, 'raw'), { recursive: true });
    mkdirSync(dirname(join(root, key)), { recursive: true });
    writeFileSync(join(root, key), gzipSync(`${lines.join('\n')}\n{broken\n`));
    const hour = await runBucket(root, `${DAY}T00`, {}, 0.1);
    expect(hour.counts).toMatchObject({ read: 5, transformed: 4, failed: 1 });
    expect(hour.tooManyFailures).toBeUndefined();
    for (const other of copyDay(DAY).slice(0, 1)) writeFileSync(join(root, other), '<html>log in first</html>');
    const ofDay = await runBucket(root, DAY, {}, 0.1);
    expect(ofDay.counts.files).toBe(6);
    expect(ofDay.tooManyFailures).toBeUndefined();
  });

  test('a batch that is interrupted after each checkpoint and continues there counts everything once', async () => {
    const whole = await runBucket(FIXTURES, DAY);
    const all = tools(FIXTURES);
    const everything = normaliseFilter({});
    const key = { bucket: DAY, filter: everything, filterID: filterIDOf(everything) };
    const origin = { workflowID: 'test', runID: 'cut', backfill: '', codeVersion: '0', referenceVersions: {} };
    const plan = await planBucket({ ...all, origin }, key, Date.now());
    // Each attempt handles one file, writes a checkpoint, and is killed during the next file. One attempt loses its checkpoint.
    const [batch] = plan.batches;
    let resume: Checkpoint | undefined;
    let counts: Counts | undefined;
    let attempts = 0;
    while (!counts) {
      const stop = new AbortController();
      let files = 0;
      const last: { checkpoint?: Checkpoint } = {};
      attempts++;
      const attempt = observeBatch(
        all,
        { run: plan.run, batch: batch!, resume },
        {
          signal: stop.signal,
          onCheckpoint: checkpoint => {
            last.checkpoint = checkpoint;
          },
          onProgress: progress => {
            if (progress.read > (resume?.counts.read ?? 0) + 30 && ++files > 0) stop.abort(new Error('killed'));
          },
        },
      );
      counts = await attempt.catch(error => {
        expect(error.message).toBe('killed');
        return undefined;
      });
      if (!counts) resume = last.checkpoint ?? resume;
      if (attempts > 3) resume = undefined;
      if (attempts > 3 && !counts) counts = await observeBatch(all, { run: plan.run, batch: batch!, resume });
    }
    expect(attempts).toBeGreaterThan(1);
    expect(counts).toEqual(whole.counts);
    await finishBucket({ ...all, origin }, plan.run, counts);
    for (const { name } of OBSERVATION_TABLES) expect(await rowsOf(name)).toEqual(expectedRows(name, [DAY]));
  });

  test('too many failures are reported and recorded, and no earlier rows are lost', async () => {
    const keys = copyDay(DAY);
    await runBucket(root, DAY);
    const before = await rowsOf('obs_web');
    const key = keys.find(each => /webconnectivity/.test(each))!;
    const lines = gunzipSync(readFileSync(join(root, key)))
      .toString()
      .split('\n')
      .filter(Boolean);
    for (const other of keys) if (other !== key) rmSync(join(root, other));
    writeFileSync(join(root, key), gzipSync(`${lines[0]}\n${'{broken\n'.repeat(10)}`));
    const end = await runWhole({ ...tools(root), allowShrink: true }, DAY);
    expect(end.tooManyFailures).toMatch(
      /^10 of 11 measurements of 2023-11-27 failed, 90.9 %; max_failed_share allows 50.0 %/,
    );
    expect(end.counts).toMatchObject({ read: 11, failed: 10, transformed: 1 });
    expect(await rowsOf('obs_web')).toEqual(before);
    const failures = await clickhouse.select(
      `SELECT line, stage FROM pipeline_failures FINAL WHERE key = '${key}' ORDER BY line`,
    );
    expect(failures).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11].map(line => ({ line, stage: 'decode' })));
    const [last] = await clickhouse.select<{ state: string; reason: string; read: number }>(
      'SELECT state, reason, read FROM pipeline_runs FINAL ORDER BY generation DESC LIMIT 1',
    );
    expect(last).toEqual({ state: 'failed', reason: 'TooManyFailures', read: 11 });
  });

  test('unreadable objects count as failures: a bucket of them does not complete as an empty one', async () => {
    const keys = copyDay(DAY);
    for (const key of keys.slice(0, 3)) writeFileSync(join(root, key), '<html>log in first</html>');
    const end = await runBucket(root, DAY);
    expect(end.tooManyFailures).toMatch(
      /^3 of 5 objects of 2023-11-27 could not be read, 60.0 %; max_failed_share allows 50.0 %/,
    );
    const states = await clickhouse.select(
      'SELECT state, count() AS n FROM pipeline_files FINAL GROUP BY state ORDER BY state',
    );
    expect(states).toEqual([
      { state: 'read', n: 2 },
      { state: 'truncated', n: 3 },
    ]);
    // A part of a truncated object is readable, so it is reported and does not end the run.
    for (const key of keys.slice(0, 3)) {
      const whole = readFileSync(join(FIXTURES, key));
      writeFileSync(join(root, key), whole.subarray(0, whole.length - 9));
    }
    const again = await runBucket(root, DAY);
    expect(again.tooManyFailures).toBeUndefined();
    const failures = await clickhouse.select(
      "SELECT count() AS n FROM pipeline_failures FINAL WHERE class = 'Truncated' AND stage = 'read' AND line = 0",
    );
    expect(failures).toEqual([{ n: 3 }]);
  });

  test('a change of an object between two attempts is detected by its rows and by its record; the next run is correct', async () => {
    const keys = copyDay(DAY);
    const all = tools(root);
    const everything = normaliseFilter({});
    const key = { bucket: DAY, filter: everything, filterID: filterIDOf(everything) };
    for (const change of ['shrunk', 'gone'] as const) {
      copyDay(DAY);
      const origin = { workflowID: 'test', runID: change, backfill: '', codeVersion: '0', referenceVersions: {} };
      const plan = await planBucket({ ...all, origin }, key, Date.now());
      const [batch] = plan.batches;
      // The first attempt stores everything, and dies before it reports.
      await observeBatch(all, { run: plan.run, batch: batch! });
      if (change === 'shrunk') {
        const lines = gunzipSync(readFileSync(join(root, keys[1]!)))
          .toString()
          .split('\n');
        writeFileSync(join(root, keys[1]!), gzipSync(lines.slice(1).join('\n')));
      } else {
        rmSync(join(root, keys[1]!));
      }
      const counts = await observeBatch(all, { run: plan.run, batch: batch! });
      await expect(finishBucket({ ...all, origin }, plan.run, counts)).rejects.toThrow(UnaccountedError);
      await runBucket(root, DAY);
      const lost = expectedMeasurements().filter(
        each => each.key === keys[1] && (change === 'gone' || each.line === 1),
      );
      for (const { name } of OBSERVATION_TABLES) {
        const expected = expectedRows(name, [DAY]);
        for (const { measurement_uid } of lost) expected.delete(measurement_uid);
        expect(await rowsOf(name)).toEqual(expected);
      }
    }
  });

  test('a row that ClickHouse rejects is set aside with the reason, and its measurement counts as failed', async () => {
    await clickhouse.command('ALTER TABLE obs_web ADD CONSTRAINT sane CHECK observation_idx != 7');
    const end = await runBucket(FIXTURES, DAY);
    const refused = await clickhouse.select<{ uid: string; table: string; class: string }>(
      "SELECT measurement_uid AS uid, table, class FROM pipeline_failures FINAL WHERE stage = 'insert' ORDER BY uid",
    );
    const hit = expectedMeasurements().filter(
      each => dayOfKey(each.key) === DAY && each.tables?.obs_web?.some(row => row.observation_idx === 7),
    );
    expect(hit.length).toBeGreaterThan(0);
    expect(refused.map(each => each.uid)).toEqual(hit.map(each => each.measurement_uid).sort());
    expect(new Set(refused.map(each => `${each.table} ${each.class}`))).toEqual(new Set(['obs_web RowRefused']));
    expect(addsUp(end.counts)).toBe(true);
    expect(end.counts.rows.obs_web).toBe(end.rowsStored.obs_web);
    const expected = expectedRows('obs_web', [DAY]);
    for (const { measurement_uid } of hit) expected.set(measurement_uid, expected.get(measurement_uid)! - 1);
    expect(await rowsOf('obs_web')).toEqual(expected);
  });
});
