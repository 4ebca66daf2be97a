import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { type Archive, ArchiveMissingError } from '../../pipeline/archive/archive.ts';
import { DirectoryArchive } from '../../pipeline/archive/directory.ts';
import { S3Archive } from '../../pipeline/archive/s3.ts';
import { EVERYTHING, filterIDOf, normaliseFilter } from '../../pipeline/filter.ts';
import type { RunStage } from '../../pipeline/ledger/ledger.ts';
import { abandonAnalysis, analyseBucket } from '../../pipeline/runs/analysis.ts';
import { type BucketDecision, decideAll } from '../../pipeline/runs/backfill-plan.ts';
import { planBucket } from '../../pipeline/runs/observations.ts';
import { ArchiveShrankError } from '../../pipeline/runs/shrink.ts';
import { verifyBucket } from '../../pipeline/runs/verify.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { makeDatabase, silent } from '../support/database.ts';
import { dayOfKey, expectedMeasurements, FIXTURES } from '../support/fixtures.ts';
import { runTools, runWhole } from '../support/runs.ts';
import { S3_REGION, type S3Server, startS3 } from '../support/s3.ts';
import { type FaultyProxy, startFaultyProxy } from '../support/s3-proxy.ts';

/** 134 measurements in five objects of five hours. */
const DAY = '2023-11-27';
const OTHER = '2023-12-01';
const KEYS = [...new Set(expectedMeasurements().map(({ key }) => key))].filter(key =>
  [DAY, OTHER].includes(dayOfKey(key)),
);
const OF_DAY = KEYS.filter(key => dayOfKey(key) === DAY).sort();
const STAGES: readonly RunStage[] = ['Observations', 'Analysis'];
const key = { bucket: DAY, filter: EVERYTHING, filterID: filterIDOf(EVERYTHING) };

let dir: string;
let server: S3Server;
let proxy: FaultyProxy;
let clickhouse: ClickHouse;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'shrank-'));
  server = await startS3(dir);
  await server.createBucket('archive', 'public');
  await server.createBucket('empty', 'public');
  for (const each of KEYS) await server.put('archive', each, readFileSync(join(FIXTURES, each)));
}, 900_000);
afterAll(async () => {
  await server?.stop();
  rmSync(dir, { recursive: true, force: true });
});
beforeEach(async () => {
  ({ clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'shrank'));
  proxy = await startFaultyProxy(server.port);
  return async () => {
    await proxy.close();
    await clickhouse.close();
  };
});

function makeRoot(): string {
  const root = mkdtempSync(join(dir, 'archive-'));
  for (const each of KEYS) {
    mkdirSync(dirname(join(root, each)), { recursive: true });
    cpSync(join(FIXTURES, each), join(root, each));
  }
  return root;
}

function s3(over: { bucket?: string; prefix?: string } = {}): S3Archive {
  return new S3Archive({
    ...{ bucket: 'archive', region: S3_REGION, endpoint: proxy.endpoint, pathStyle: true, attempts: 1 },
    ...over,
  });
}

const tools = (archive: Archive) => ({ ...runTools(clickhouse, ''), archive });
let runs = 0;

/** Runs both stages of the day. */
async function runDay(archive: Archive, allowShrink = false): Promise<void> {
  await runWhole({ ...tools(archive), allowShrink }, DAY);
  const [run] = await clickhouse.select<{ generation: number }>(
    `SELECT max(generation) AS generation FROM pipeline_runs WHERE bucket = '${DAY}' AND stage = 'Observations'`,
  );
  const origin = {
    workflowID: 'test',
    runID: `analysis ${++runs}`,
    backfill: '',
    codeVersion: '0',
    referenceVersions: {},
  };
  const task = { bucket: key, observations: run!.generation, startedAt: Date.now() };
  await analyseBucket({ clickhouse, log: silent, rulesVersion: 2 }, task, origin);
}

async function countAll(): Promise<Record<string, number>> {
  const tables = ['obs_web', 'obs_web_ctrl', 'analysis_web_measurement', 'measurement_experiment_result'];
  const rows = await clickhouse.select<{ name: string; n: number }>(
    tables.map(name => `SELECT '${name}' AS name, count() AS n FROM ${name}`).join(' UNION ALL '),
  );
  return Object.fromEntries(rows.map(({ name, n }) => [name, n]));
}

async function decided(archive: Archive, buckets: readonly string[], reprocess: 'None' | 'Failed' | 'All' = 'None') {
  const found: Record<string, BucketDecision> = {};
  const range = { filter: EVERYTHING, filterID: filterIDOf(EVERYTHING), stages: STAGES, reprocess, attempt: 1 };
  for await (const { bucket, decision } of decideAll({ archive, clickhouse }, { range, buckets, now: Date.now() })) {
    found[bucket] = decision;
  }
  return found;
}

const problems = async (archive: Archive) =>
  (await verifyBucket({ archive, clickhouse, maxMeasurementBytes: 1e6 }, key)).flatMap(each => each.problems);

/** Returns a page of S3 that ends too early but claims to be the last. */
function truncatedPage(objects: readonly string[]): string {
  const contents = objects.map(each => `<Contents><Key>${each}</Key><Size>100</Size><ETag>"x"</ETag></Contents>`);
  return `<?xml version="1.0"?><ListBucketResult><Name>archive</Name><IsTruncated>false</IsTruncated>${contents.join('')}</ListBucketResult>`;
}
const isList = (url: string | undefined) => url?.includes('list-type') === true;

describe('an unavailable archive does not count as empty', () => {
  const faults: Record<string, () => Archive> = {
    'directory: the root is away': () => new DirectoryArchive(join(dir, 'nowhere')),
    'directory: the root is empty': () => new DirectoryArchive(mkdtempSync(join(dir, 'empty-'))),
    'directory: the root has other folders': () => new DirectoryArchive(join(makeRoot(), 'raw')),
    's3: the bucket is away': () => s3({ bucket: 'nowhere' }),
    's3: the bucket is empty': () => s3({ bucket: 'empty' }),
    's3: the prefix is wrong': () => s3({ prefix: 'mirror' }),
    's3: a list is forbidden': () => {
      const body = '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>';
      proxy.fault = ({ url }) => (isList(url) ? { kind: 'answer', status: 403, body } : undefined);
      return s3();
    },
  };
  test.each(Object.keys(faults))('%s', async name => {
    await runDay(new DirectoryArchive(makeRoot()));
    const before = await countAll();
    const archive = faults[name]!();
    await expect(runDay(archive, true)).rejects.toThrow(ArchiveMissingError);
    await expect(archive.check()).rejects.toThrow(ArchiveMissingError);
    await expect(problems(archive)).rejects.toThrow(ArchiveMissingError);
    expect(await countAll()).toEqual(before);
  });
});

describe('a bucket of which the archive lists far less than before', () => {
  const faults: Record<string, () => { archive: Archive; mended: Archive }> = {
    'directory: the day is away': () => {
      const root = makeRoot();
      rmSync(join(root, 'raw/20231127'), { recursive: true });
      return { archive: new DirectoryArchive(root), mended: new DirectoryArchive(makeRoot()) };
    },
    'directory: one of five objects is left': () => {
      const root = makeRoot();
      for (const each of OF_DAY.slice(1)) rmSync(join(root, each));
      return { archive: new DirectoryArchive(root), mended: new DirectoryArchive(makeRoot()) };
    },
    's3: the listing is empty': () => {
      proxy.fault = ({ url }) =>
        isList(url) && url?.includes('20231127') ? { kind: 'answer', status: 200, body: truncatedPage([]) } : undefined;
      return { archive: s3(), mended: new DirectoryArchive(makeRoot()) };
    },
    's3: the listing is truncated': () => {
      proxy.fault = ({ url }) =>
        isList(url) && url?.includes('20231127')
          ? { kind: 'answer', status: 200, body: truncatedPage(OF_DAY.slice(0, 1)) }
          : undefined;
      return { archive: s3(), mended: new DirectoryArchive(makeRoot()) };
    },
  };
  test.each(Object.keys(faults))('keeps its rows: %s', async name => {
    const { archive, mended } = faults[name]!();
    await runDay(mended);
    const before = await countAll();
    await expect(runDay(archive)).rejects.toThrow(ArchiveShrankError);
    await expect(runDay(archive)).rejects.toThrow(/read 5 objects .*its rows are kept.*--allow-shrink/);
    expect(await countAll()).toEqual(before);
    const runs = await clickhouse.select(
      "SELECT state, reason, count() AS n FROM pipeline_runs FINAL WHERE stage = 'Observations' GROUP BY ALL ORDER BY state",
    );
    expect(runs).toEqual([
      { state: 'completed', reason: '', n: 1 },
      { state: 'failed', reason: 'ArchiveShrank', n: 2 },
    ]);
    // The bucket is not done: `None` skips a failed bucket and reports it, `Failed` runs it.
    expect(await decided(mended, [DAY])).toEqual({ [DAY]: 'FailedBefore' });
    expect(await decided(mended, [DAY], 'Failed')).toEqual({ [DAY]: 'run' });
    proxy.fault = () => undefined;
    await runDay(mended);
    expect(await countAll()).toEqual(before);
    expect(await problems(mended)).toEqual([]);
  });

  test('loses rows and verdicts together when that is allowed', async () => {
    const root = makeRoot();
    const archive = new DirectoryArchive(root);
    await runDay(archive);
    await runWhole(tools(archive), OTHER);
    const before = await countAll();
    renameSync(join(root, 'raw/20231127'), join(root, '20231127'));
    await runDay(archive, true);
    const left = await countAll();
    expect(left).toMatchObject({ analysis_web_measurement: 0, measurement_experiment_result: 0 });
    expect(left.obs_web).toBeLessThan(before.obs_web!);
    expect(await clickhouse.select(`SELECT 1 FROM obs_web WHERE bucket_date = '${DAY}'`)).toEqual([]);
    expect(await problems(archive)).toEqual([]);
    // An empty run does not block the next one, which restores everything.
    await runDay(archive);
    renameSync(join(root, '20231127'), join(root, 'raw/20231127'));
    expect(await decided(archive, [DAY])).toEqual({ [DAY]: 'run' });
    await runDay(archive);
    expect(await countAll()).toEqual(before);
  });

  test('keeps the verdicts of measurements that another bucket also has', async () => {
    const root = makeRoot();
    const archive = new DirectoryArchive(root);
    const copy = join(root, OF_DAY[0]!.replaceAll('20231127', '20231202'));
    mkdirSync(dirname(copy), { recursive: true });
    cpSync(join(root, OF_DAY[0]!), copy);
    await runWhole(tools(archive), '2023-12-02');
    await runDay(archive);
    rmSync(join(root, 'raw/20231127'), { recursive: true });
    await runDay(archive, true);
    const [left] = await clickhouse.select<{ n: number }>('SELECT uniqExact(measurement_uid) AS n FROM obs_web');
    expect(left!.n).toBeGreaterThan(0);
    expect(await countAll()).toMatchObject({
      analysis_web_measurement: left!.n,
      measurement_experiment_result: left!.n,
    });
  });

  test('keeps rows of the day that a run of an hour, or of a country, would remove', async () => {
    const root = makeRoot();
    const archive = new DirectoryArchive(root);
    await runDay(archive);
    const before = await countAll();
    const [, , hour, cc] = OF_DAY[0]!.split('/');
    rmSync(join(root, OF_DAY[0]!));
    await expect(runWhole(tools(archive), `${DAY}T${hour}`)).rejects.toThrow(ArchiveShrankError);
    for (const each of OF_DAY) rmSync(join(root, each), { force: true });
    await expect(runWhole(tools(archive), DAY, { probeCC: [cc] })).rejects.toThrow(ArchiveShrankError);
    expect(await countAll()).toEqual(before);
    // An hour in which the day never had an object may be empty.
    expect((await runWhole(tools(archive), `${DAY}T${hour === '01' ? '02' : '01'}`)).counts.files).toBe(0);
    expect(await countAll()).toEqual(before);
  });

  test('keeps rows without a record in the ledger', async () => {
    const root = makeRoot();
    const archive = new DirectoryArchive(root);
    await runDay(archive);
    for (const table of ['pipeline_runs', 'pipeline_files']) await clickhouse.command(`TRUNCATE TABLE ${table}`);
    const before = await countAll();
    rmSync(join(root, 'raw/20231127'), { recursive: true });
    await expect(runDay(archive)).rejects.toThrow(/the tables have rows of it/);
    expect(await countAll()).toEqual(before);
  });

  test('an archive that fails after the plan ends no run as empty', async () => {
    const root = makeRoot();
    const archive = new DirectoryArchive(root);
    await runDay(archive);
    const before = await countAll();
    const origin = { workflowID: 'test', runID: 'away', backfill: '', codeVersion: '0', referenceVersions: {} };
    const { observeBatch } = await import('../../pipeline/runs/batch.ts');
    const plan = await planBucket({ ...tools(archive), origin }, key, Date.now());
    renameSync(root, `${root}-away`);
    mkdirSync(join(root, 'raw'), { recursive: true });
    await expect(observeBatch(tools(archive), { run: plan.run, batch: plan.batches[0]! })).rejects.toThrow(
      /5 objects were listed .* 0 were there to be read/,
    );
    expect(await countAll()).toEqual(before);
  });
});

describe('which buckets are done', () => {
  test('a bucket with a cancelled analysis is not done, and verify reports it', async () => {
    const archive = new DirectoryArchive(makeRoot());
    await runDay(archive);
    expect(await problems(archive)).toEqual([]);
    await runWhole(tools(archive), DAY);
    expect(await decided(archive, [DAY])).toEqual({ [DAY]: 'run' });
    expect(await problems(archive)).toMatchObject([{ problem: 'NotAnalysed' }]);
    await runDay(archive);
    expect(await decided(archive, [DAY])).toEqual({ [DAY]: 'Completed' });
    const origin = { workflowID: 'test', runID: 'stopped', backfill: '', codeVersion: '0', referenceVersions: {} };
    const task = { bucket: key, startedAt: Date.now() };
    await abandonAnalysis({ clickhouse, origin }, task, {
      state: 'cancelled',
      reason: 'Cancelled',
      message: 'stopped',
    });
    expect(await decided(archive, [DAY])).toEqual({ [DAY]: 'run' });
    expect(await problems(archive)).toMatchObject([{ problem: 'NotAnalysed' }]);
  });

  test('a new object, or one with another size, makes a bucket run again; a removed one does not', async () => {
    const root = makeRoot();
    const archive = new DirectoryArchive(root);
    await runDay(archive);
    expect(await decided(archive, [DAY, '2023-11-28'])).toEqual({ [DAY]: 'Completed', '2023-11-28': 'Empty' });
    const [first] = OF_DAY;
    const copy = join(root, first!.replace('.n', '.late'));
    cpSync(join(root, first!), copy);
    expect(await decided(archive, [DAY])).toEqual({ [DAY]: 'run' });
    rmSync(copy);
    rmSync(join(root, first!));
    expect(await decided(archive, [DAY])).toEqual({ [DAY]: 'Completed' });
    cpSync(join(root, OF_DAY[1]!), join(root, first!));
    expect(await decided(archive, [DAY])).toEqual({ [DAY]: 'run' });
  });

  test('under a narrower filter and in hours, only their own objects count', async () => {
    const root = makeRoot();
    const archive = new DirectoryArchive(root);
    await runDay(archive);
    const [first] = OF_DAY;
    const [, , hour, cc] = first!.split('/');
    cpSync(join(root, first!), join(root, first!.replace('.n', '.late')));
    const of = async (bucket: string, filter: object) => {
      const normal = normaliseFilter(filter);
      const range = { filter: normal, filterID: filterIDOf(normal), stages: ['Observations'] as const };
      const all = { ...range, reprocess: 'None' as const, attempt: 1 };
      for await (const { decision } of decideAll(
        { archive, clickhouse },
        { range: all, buckets: [bucket], now: Date.now() },
      ))
        return decision;
      return undefined;
    };
    expect(await of(DAY, { probeCC: [cc] })).toBe('run');
    expect(await of(DAY, { probeCC: ['ZZ'] })).toBe('Completed');
    expect(await of(`${DAY}T${hour}`, {})).toBe('run');
    const another = OF_DAY.map(each => each.split('/')[2]).find(each => each !== hour);
    expect(await of(`${DAY}T${another}`, {})).toBe('Completed');
  });

  test('a run without a recorded end is replaced, and its rows appear once', async () => {
    const archive = new DirectoryArchive(makeRoot());
    await runDay(archive);
    const before = await countAll();
    const origin = { workflowID: 'lost', runID: 'lost', backfill: 'b', codeVersion: '0', referenceVersions: {} };
    const { observeBatch } = await import('../../pipeline/runs/batch.ts');
    const lost = await planBucket({ ...tools(archive), origin }, key, Date.now());
    for (const batch of lost.batches) await observeBatch(tools(archive), { run: lost.run, batch });
    expect((await countAll()).obs_web).toBeGreaterThan(before.obs_web!);
    expect(await decided(archive, [DAY])).toEqual({ [DAY]: 'run' });
    const next = await planBucket({ ...tools(archive), origin: { ...origin, runID: 'next' } }, key, Date.now());
    expect((await countAll()).obs_web).toBe(before.obs_web);
    const [gone] = await clickhouse.select(
      `SELECT state, reason, workflow_id, run_id FROM pipeline_runs FINAL WHERE generation = ${lost.run.generation}`,
    );
    expect(gone).toEqual({ state: 'cancelled', reason: 'EndNotRecorded', workflow_id: 'lost', run_id: 'lost' });
    // A repeated attempt finds its own record, not the one that it closed.
    expect(
      (await planBucket({ ...tools(archive), origin: { ...origin, runID: 'next' } }, key, Date.now())).run,
    ).toEqual(next.run);
  });
});
