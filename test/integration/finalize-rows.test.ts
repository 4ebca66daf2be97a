import { beforeEach, describe, expect, inject, test } from 'vitest';
import { filterIDOf, normaliseFilter } from '../../pipeline/filter.ts';
import { type FinalizedRows, finalizeRows } from '../../pipeline/ledger/finalize-rows.ts';
import {
  type OpenedRun,
  openRun,
  type RunState,
  recordFailures,
  recordFiles,
  recordRun,
} from '../../pipeline/ledger/ledger.ts';
import { overlappingBuckets } from '../../pipeline/ledger/replaced-rows.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { makeDatabase, silent } from '../support/database.ts';

const DAY = '2024-01-02';
const HOUR = '2024-01-02T05';
let clickhouse: ClickHouse;
let clock: number;

beforeEach(async () => {
  ({ clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'finalizeRows'));
  clock = Date.parse('2024-01-03T02:00:00Z');
});

const origin = { workflowID: 'w', runID: '', backfill: '', codeVersion: 'test', referenceVersions: {} };

async function begin(bucket: string, filter: { probeCC?: string[]; testNames?: string[] } = {}): Promise<OpenedRun> {
  const normal = normaliseFilter(filter);
  const key = { bucket, filter: normal, filterID: filterIDOf(normal), stage: 'Observations' } as const;
  clock += 1000;
  return openRun({ clickhouse, origin: { ...origin, runID: `${clock}` } }, key, overlappingBuckets(bucket), clock);
}

interface Measurement {
  uid: string;
  cc?: string;
  test?: string;
  rows?: number;
  ctrl?: number;
}

/** Writes the rows of a run. */
async function write(run: OpenedRun, measurements: readonly Measurement[]): Promise<void> {
  const common = ({ uid, test = 'web_connectivity' }: Measurement) => ({
    measurement_uid: uid,
    test_name: test,
    measurement_start_time: '2024-01-01 12:00:00',
    bucket_date: run.bucket,
    run_generation: run.generation,
  });
  const each = (key: 'rows' | 'ctrl', more: (measurement: Measurement) => object) =>
    measurements.flatMap(measurement =>
      Array.from({ length: measurement[key] ?? 1 }, (_, index) => ({
        ...common(measurement),
        ...more(measurement),
        observation_idx: index,
      })),
    );
  await clickhouse.insert(
    'obs_web',
    each('rows', ({ cc = 'IT' }) => ({ probe_cc: cc })),
  );
  await clickhouse.insert(
    'obs_web_ctrl',
    each('ctrl', () => ({ hostname: 'example.org' })),
  );
}

async function end(run: OpenedRun, state: RunState = 'completed'): Promise<FinalizedRows> {
  await recordRun({ clickhouse, origin }, run, { state: state === 'completed' ? 'inserted' : state });
  const settled = await finalizeRows({ clickhouse, log: silent }, run, state === 'completed');
  await recordRun({ clickhouse, origin }, run, { state });
  return settled;
}

/** Returns the result of a plain read: `uid generation` of every row. */
async function shown(table = 'obs_web', suffix = ''): Promise<string[]> {
  const rows = await clickhouse.select<{ uid: string; generation: number }>(
    `SELECT measurement_uid AS uid, run_generation AS generation FROM ${table} ${suffix} ORDER BY uid, generation, observation_idx`,
  );
  return rows.map(row => `${row.uid}@${row.generation}`);
}
const rowsOf = (run: OpenedRun, ...uids: string[]) => uids.map(uid => `${uid}@${run.generation}`);

describe('repeat means replace', () => {
  test('a first run deletes nothing and reports the number of stored rows', async () => {
    const run = await begin(DAY);
    await write(run, [
      { uid: 'a', rows: 3 },
      { uid: 'b', ctrl: 0 },
    ]);
    expect(await end(run)).toEqual({ rowsStored: { obs_web: 4, obs_web_ctrl: 1 }, retired: 0, shared: false });
  });

  test('changed and smaller input: missing measurements are removed, fewer rows replace more', async () => {
    const first = await begin(DAY);
    await write(first, [{ uid: 'a', rows: 3 }, { uid: 'b', ctrl: 2 }, { uid: 'gone' }]);
    await end(first);
    const second = await begin(DAY);
    await write(second, [{ uid: 'a', rows: 2, ctrl: 0 }, { uid: 'b' }]);
    await end(second);
    expect(await shown()).toEqual(rowsOf(second, 'a', 'a', 'b'));
    expect(await shown('obs_web_ctrl')).toEqual(rowsOf(second, 'b'));
    expect(await shown('obs_web', 'FINAL')).toEqual(await shown());
  });

  test('rows of other buckets stay', async () => {
    const other = await begin('2024-01-03');
    await write(other, [{ uid: 'other' }]);
    await end(other);
    const run = await begin(DAY);
    await write(run, [{ uid: 'a' }]);
    await end(run);
    const again = await begin(DAY);
    await end(again);
    expect(await shown()).toEqual(rowsOf(other, 'other'));
  });

  test('a narrower filter replaces its part and keeps the rest', async () => {
    const everything = await begin(DAY);
    await write(everything, [
      { uid: 'it-web' },
      { uid: 'it-gone' },
      { uid: 'us-web', cc: 'US' },
      { uid: 'it-signal', test: 'signal' },
    ]);
    await end(everything);
    const italy = await begin(DAY, { probeCC: ['IT'], testNames: ['webconnectivity'] });
    await write(italy, [{ uid: 'it-web', rows: 2, ctrl: 0 }]);
    await end(italy);
    const expected = [
      ...rowsOf(everything, 'it-signal'),
      ...rowsOf(italy, 'it-web', 'it-web'),
      ...rowsOf(everything, 'us-web'),
    ];
    expect(await shown()).toEqual(expected);
    expect(await shown('obs_web_ctrl')).toEqual(rowsOf(everything, 'it-signal', 'us-web'));
  });

  test('a measurement that contradicts its key is not removed by a run that does not read it', async () => {
    const everything = await begin(DAY);
    await write(everything, [{ uid: 'it' }, { uid: 'italian-in-the-us-file' }]);
    const { key, size, etag, state, message, decompressed } = {
      key: 'raw/20240102/00/US/x.tar.gz',
      size: 1,
      etag: '',
      state: 'read' as const,
      message: '',
      decompressed: 1,
    };
    const counts = { files: 1, bytes: 1, read: 1, transformed: 1, skipped: 0, failed: 0, unsupported: 0, rows: {} };
    await recordFiles(clickhouse, everything, [
      { key, size, etag, state, message, decompressed, counts, strays: ['italian-in-the-us-file'] },
    ]);
    await end(everything);
    const italy = await begin(DAY, { probeCC: ['IT'] });
    await write(italy, []);
    await end(italy);
    expect(await shown()).toEqual(rowsOf(everything, 'italian-in-the-us-file'));
    expect(await shown('obs_web_ctrl')).toEqual(rowsOf(everything, 'italian-in-the-us-file'));
  });

  test('the day replaces its hours, and the hour its part of the day', async () => {
    const hour = await begin(HOUR);
    await write(hour, [{ uid: '20240102050000.1_IT_x' }]);
    await end(hour);
    const day = await begin(DAY);
    const uids = ['20240102040000.1_IT_x', '20240102050000.1_IT_x', '20240102050000.2_IT_x'];
    await write(day, [...uids.map(uid => ({ uid })), { uid: '0120240102aa' }]);
    await end(day);
    expect(await shown()).toEqual(rowsOf(day, '0120240102aa', ...uids));
    const again = await begin(HOUR);
    await write(again, [{ uid: uids[1]! }]);
    await end(again);
    expect(await shown()).toEqual([...rowsOf(day, '0120240102aa', uids[0]!), ...rowsOf(again, uids[1]!)]);
  });

  test('a failed run removes only rows of measurements that it wrote again', async () => {
    const good = await begin(DAY);
    await write(good, [{ uid: 'a' }, { uid: 'b', ctrl: 2 }]);
    await end(good);
    const failed = await begin(DAY);
    await write(failed, [{ uid: 'b', ctrl: 0, rows: 2 }]);
    await end(failed, 'failed');
    expect(await shown()).toEqual([...rowsOf(good, 'a'), ...rowsOf(failed, 'b', 'b')]);
    // It may have failed before the control rows of b, so the earlier ones are kept.
    expect(await shown('obs_web_ctrl')).toEqual(rowsOf(good, 'a', 'b', 'b'));
    const third = await begin(DAY);
    await write(third, [{ uid: 'b' }]);
    await end(third);
    expect(await shown()).toEqual(rowsOf(third, 'b'));
    expect(await shown('obs_web_ctrl')).toEqual(rowsOf(third, 'b'));
  });
});

describe('concurrent runs with overlapping filters', () => {
  test.each([
    ['the older ends first', ['older', 'newer']],
    ['the newer ends first', ['newer', 'older']],
  ] as const)('%s', async (_, order) => {
    const runs = { older: await begin(DAY), newer: await begin(DAY, { probeCC: ['IT'] }) };
    // The older run saw an object that came late. The newer one has a measurement that the older could not read.
    await write(runs.older, [{ uid: 'both' }, { uid: 'us', cc: 'US' }, { uid: 'late' }]);
    await write(runs.newer, [{ uid: 'both' }, { uid: 'new' }]);
    for (const name of order) await end(runs[name]);
    expect(await shown()).toEqual([
      ...rowsOf(runs.newer, 'both'),
      ...rowsOf(runs.older, 'late'),
      ...rowsOf(runs.newer, 'new'),
      ...rowsOf(runs.older, 'us'),
    ]);
    expect(await shown('obs_web_ctrl')).toEqual(await shown());
  });

  test('rows that the older run writes after the newer has retired are removed when the older ends', async () => {
    const older = await begin(DAY);
    const newer = await begin(DAY, { probeCC: ['IT'] });
    await write(newer, [{ uid: 'both' }]);
    await end(newer);
    await write(older, [{ uid: 'both' }, { uid: 'us', cc: 'US' }]);
    expect(await shown('obs_web', 'FINAL')).toEqual([...rowsOf(newer, 'both'), ...rowsOf(older, 'us')]);
    expect((await end(older)).rowsStored).toEqual({ obs_web: 1, obs_web_ctrl: 1 });
    expect(await shown()).toEqual([...rowsOf(newer, 'both'), ...rowsOf(older, 'us')]);
  });
});

test('rows that were inserted twice are shown once when the run ends', async () => {
  const run = await begin(DAY);
  const measurements = Array.from({ length: 200 }, (_, index) => ({ uid: `m${index}`, rows: 3 }));
  await write(run, measurements);
  await write(run, measurements.slice(50));
  await write(run, measurements.slice(150));
  expect((await end(run)).rowsStored).toEqual({ obs_web: 600, obs_web_ctrl: 200 });
  const [plain] = await clickhouse.select('SELECT count() AS n, uniqExact(measurement_uid) AS uids FROM obs_web');
  expect(plain).toEqual({ n: 600, uids: 200 });
});

test('rows of the Python pipeline are replaced by a run without filter, and kept where a filter cannot decide', async () => {
  const python = { ...(await begin(DAY)), generation: 0 };
  await clickhouse.command('TRUNCATE TABLE pipeline_runs');
  await write(python, [{ uid: 'a' }, { uid: 'b' }]);
  const italy = await begin(DAY, { probeCC: ['IT'] });
  await write(italy, [{ uid: 'a' }]);
  await end(italy);
  expect(await shown()).toEqual([...rowsOf(italy, 'a'), 'b@0']);
  const everything = await begin(DAY);
  await write(everything, [{ uid: 'a' }]);
  await end(everything);
  expect(await shown()).toEqual(rowsOf(everything, 'a'));
});

test('failures of an older run are removed with its rows', async () => {
  const failure = { key: 'k', line: 3, stage: 'decode', class: 'MissingKey', message: 'x' };
  const first = await begin(DAY);
  await recordFailures(clickhouse, first, [failure, failure, { ...failure, line: 4, message: '\ud800 lone' }]);
  await end(first);
  const narrow = await begin(DAY, { probeCC: ['IT'] });
  await end(narrow);
  const kept = await clickhouse.select('SELECT line FROM pipeline_failures FINAL ORDER BY line');
  expect(kept).toEqual([{ line: 3 }, { line: 4 }]);
  const second = await begin(DAY);
  await recordFailures(clickhouse, second, [failure]);
  await end(second);
  const left = await clickhouse.select('SELECT line, generation FROM pipeline_failures');
  expect(left).toEqual([{ line: 3, generation: second.generation }]);
});

test('a run opened twice is one run, and a slow clock does not create an older generation', async () => {
  const first = await begin(DAY);
  const { stage, bucket, filter, filterID } = first;
  const again = await openRun(
    { clickhouse, origin: { ...origin, runID: `${clock}` } },
    { stage, bucket, filter, filterID },
    overlappingBuckets(bucket),
    clock + 777,
  );
  expect(again).toEqual(first);
  const behind = await openRun(
    { clickhouse, origin: { ...origin, runID: 'other' } },
    { stage, bucket, filter, filterID },
    overlappingBuckets(bucket),
    clock - 60_000,
  );
  expect(behind.generation).toBe(first.generation + 1);
});
