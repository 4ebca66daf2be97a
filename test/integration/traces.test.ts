import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { Backfill } from '../../crds/backfill.ts';
import { BACKFILLS, PIPELINE_SCHEDULES } from '../../operator/controllers/resources.ts';
import { freePort } from '../../pipeline/free-port.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { inWork } from '../../pipeline/telemetry/work-context.ts';
import { startProxy } from '../support/clickhouse-proxy.ts';
import { makeDatabase } from '../support/database.ts';
import { FINGERPRINTS, FIXTURES } from '../support/fixtures.ts';
import { eventually } from '../support/operator.ts';
import { OperatorBed } from '../support/operator-bed.ts';
import { type CollectedSpan, OtlpCollector } from '../support/otlp-collector.ts';
import { PROGRAM_ENV } from '../support/program.ts';
import { WorkerProcess } from '../support/worker.ts';

/** Runs a Backfill and a PipelineSchedule with a real operator and worker, which send their spans to a collector. */
const bed = new OperatorBed('traces');
const { client, namespace } = bed;
/** 134 measurements of web_connectivity in five objects. */
const DAY = '2023-11-27';
const CLI = join(import.meta.dirname, '../../cli/main.ts');
const SECRET = 'hunter2hunter2';

let collector: OtlpCollector;
/** ClickHouse of the worker. */
let proxy: { url: string; close(): void };
/** Statements of the worker. */
const statements: { readonly statement: string; readonly comment: string }[] = [];
let clickhouse: ClickHouse;
let worker: WorkerProcess;
let clickhouseUrl: string;
let metricsUrl: string;

beforeAll(async () => {
  collector = await OtlpCollector.start();
  const database = await makeDatabase(inject('clickhouseUrl'), 'traces');
  clickhouse = database.clickhouse;
  clickhouseUrl = database.url;
  proxy = await startProxy(clickhouseUrl, async passing => {
    statements.push({ statement: passing.statement, comment: passing.comment });
    await passing.answer(await passing.forward());
  });
  const metrics = `127.0.0.1:${await freePort()}`;
  metricsUrl = `http://${metrics}/metrics`;
  bed.env.TELEMETRY_ENDPOINT = collector.endpoint;
  await bed.start();
  worker = new WorkerProcess({
    TEMPORAL_ADDRESS: bed.temporalAddress,
    TEMPORAL_NAMESPACE: namespace,
    INSTALLATION: 'ooni',
    TELEMETRY_ENDPOINT: collector.endpoint,
    PROMETHEUS_BIND_ADDRESS: metrics,
    ARCHIVE_URL: FIXTURES,
    ARCHIVE_ACCESS_KEY_ID: 'traces',
    ARCHIVE_SECRET_ACCESS_KEY: SECRET,
    CLICKHOUSE_URL: proxy.url,
    LOG_LEVEL: 'info',
  });
});

afterAll(async () => {
  await worker?.stop();
  await bed.stop();
  proxy?.close();
  await clickhouse?.close();
  collector?.stop();
});

/** Returns the path from the root of a trace to a span, as names. */
function path(span: CollectedSpan): string {
  const parent = collector.spans.find(each => each.traceID === span.traceID && each.spanID === span.parentID);
  return parent ? `${path(parent)} > ${span.name}` : span.name;
}

const named = (name: string) => collector.spans.filter(span => span.name === name);

test('a trace leads from the reconcile of a Backfill to its INSERTs and its analysis', async () => {
  await client.create(BACKFILLS, {
    metadata: { name: 'traced', namespace },
    spec: { startAt: DAY, endAt: '2023-11-28' },
  } as Backfill);
  const workflow = await eventually(async () => named('workflow BackfillWorkflow')[0], 300);
  const start = await eventually(async () => collector.spans.find(span => span.spanID === workflow.parentID));
  expect(start.service).toBe('ooni-operator');
  expect(start.name).toBe('reconcile Backfill');
  expect(start.attributes).toMatchObject({ 'ooni.name': 'traced', 'ooni.namespace': namespace });
  const trace = collector.spans.filter(span => span.traceID === workflow.traceID);
  const bucket = `${start.name} > workflow BackfillWorkflow > workflow BucketWorkflow`;
  const batch = `${bucket} > activity observeBatch`;
  const paths = [...new Set(trace.map(path))];
  expect(paths).toEqual(
    expect.arrayContaining([
      `${start.name} > workflow BackfillWorkflow > activity planBackfill`,
      `${bucket} > activity planRun`,
      `${batch} > fetch`,
      `${batch} > unpack`,
      `${batch} > transform`,
      `${batch} > insert obs_web`,
      `${batch} > insert obs_web_ctrl`,
      `${bucket} > activity finishRun`,
      `${bucket} > activity analyse > judge days`,
    ]),
  );
  // No span is outside the tree.
  expect(paths.filter(each => !each.startsWith(start.name))).toEqual([]);

  // One search finds every step, by the resource or by the bucket.
  const resource = { 'ooni.kind': 'Backfill', 'ooni.namespace': namespace, 'ooni.name': 'traced' };
  for (const span of trace) expect(span.attributes, path(span)).toMatchObject(resource);
  const ofBucket = trace.filter(span => path(span).startsWith(bucket));
  expect(ofBucket.length).toBeGreaterThan(8);
  for (const span of ofBucket) {
    expect(span.attributes, path(span)).toMatchObject({ 'ooni.bucket': DAY, 'ooni.filter': 'ALLCCS-ALLTNS' });
  }
  const range = { 'ooni.start_at': DAY, 'ooni.end_at': '2023-11-28' };
  expect(trace.find(({ name }) => name === 'activity planBackfill')!.attributes).toMatchObject(range);

  const one = (name: string) => trace.find(span => span.name === name)!.attributes;
  expect(one('activity observeBatch')).toMatchObject({ 'ooni.bucket': DAY, 'ooni.transformed': 134 });
  const [stored] = await clickhouse.select<{ rows: number; verdicts: number }>(
    `SELECT (SELECT count() FROM obs_web FINAL) AS rows, (SELECT count() FROM analysis_web_measurement FINAL) AS verdicts`,
  );
  expect(one('insert obs_web')).toMatchObject({ 'ooni.rows': stored!.rows });
  expect(one('judge days')).toMatchObject({ 'ooni.verdicts': stored!.verdicts });
  expect(JSON.stringify(trace)).not.toContain(SECRET);
});

test('the end of a bucket is one log line with its counts, its run and its trace', async () => {
  const lines = worker.output.split('\n').filter(each => each.includes(`bucket ${DAY} completed`));
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0]!)).toMatchObject({
    level: 'info',
    resource: { kind: 'Backfill', namespace, name: 'traced' },
    bucket: DAY,
    filter: 'ALLCCS-ALLTNS',
    run: `ooni/ALLCCS-ALLTNS/${DAY}`,
    transformed: 134,
    seconds: expect.any(Number),
    trace_id: named('workflow BackfillWorkflow')[0]!.traceID,
  });
});

test('the worker serves the metrics of the run with those of the SDK of Temporal', async () => {
  const answer = await fetch(metricsUrl);
  const samples = (await answer.text()).split('\n').filter(line => line !== '' && !line.startsWith('#'));
  const sum = (name: string) =>
    samples
      .filter(sample => sample.startsWith(name))
      .reduce((total, sample) => total + Number(sample.split(' ').at(-1)), 0);
  expect(sum('ooni_measurements_total{status="transformed"}')).toBe(134);
  expect(sum('ooni_verdicts_total{')).toBe(134);
  for (const stage of ['fetch', 'unpack', 'transform', 'insert', 'analyse']) {
    expect(sum(`ooni_stage_seconds_total{stage="${stage}"}`), stage).toBeGreaterThan(0);
  }
  expect(sum('ooni_runs_total{stage="Analysis",state="completed"}')).toBe(1);
  expect(sum('process_resident_memory_bytes')).toBeGreaterThan(0);
  expect(sum('temporal_workflow_completed')).toBeGreaterThan(0);
  // A metric has one block of samples, also where two sources are joined.
  const types = (await (await fetch(metricsUrl)).text()).match(/^# TYPE \S+/gm) ?? [];
  expect(new Set(types).size).toBe(types.length);
});

/** Kinds of statements of a run, with the stage that the query log names. */
const STATEMENTS: readonly (readonly [kind: RegExp, stage: string])[] = [
  [/^INSERT INTO `?obs_web`? /, 'Observations'],
  [/^INSERT INTO `?obs_web_ctrl`? /, 'Observations'],
  [/^INSERT INTO pipeline_files /, 'Observations'],
  [/^SELECT count\(\) AS files/, 'Observations'],
  [/^INSERT INTO analysis_web_measurement /, 'Analysis'],
  [/^INSERT INTO measurement_experiment_result /, 'Analysis'],
];

test('statements of a run carry its bucket, stage, run and trace into the query log', async () => {
  const trace = named('workflow BackfillWorkflow')[0]!.traceID;
  const resource = { kind: 'Backfill', namespace, name: 'traced' };
  const run = { resource, bucket: DAY, filter: 'ALLCCS-ALLTNS', run: `ooni/ALLCCS-ALLTNS/${DAY}`, trace };
  for (const [kind, stage] of STATEMENTS) {
    const found = statements.filter(({ statement }) => kind.test(statement.trimStart()));
    expect(found.length, String(kind)).toBeGreaterThan(0);
    for (const { comment } of found) expect(JSON.parse(comment || '{}'), String(kind)).toEqual({ ...run, stage });
  }
  const ledger = statements.filter(({ statement }) => statement.startsWith('INSERT INTO pipeline_runs'));
  const stages = new Set(ledger.map(({ comment }) => JSON.parse(comment || '{}').stage));
  expect(stages).toEqual(new Set(['Observations', 'Analysis']));
});

test('ClickHouse receives the comment as a setting of the statement', async () => {
  const work = { bucket: DAY, filter: 'ALLCCS-ALLTNS', stage: 'Analysis', run: 'r' };
  const [sent] = await inWork(work, () =>
    clickhouse.select<{ comment: string }>(`SELECT getSetting('log_comment') AS comment`),
  );
  expect(JSON.parse(sent!.comment)).toEqual(work);
});

/** Processes the day again with the command. Rejects if the command fails. */
function runCommand(database: string, env: Record<string, string>) {
  const args = ['--archive', FIXTURES, '--clickhouse', database, '--start-at', DAY, '--end-at', '2023-11-28'];
  return promisify(execFile)(
    process.execPath,
    [CLI, 'run', ...args, '--reprocess', 'All', '--fingerprints', FINGERPRINTS],
    { env: { ...PROGRAM_ENV, ...env } },
  );
}

test('the command traces each bucket', async () => {
  await runCommand(clickhouseUrl, { TELEMETRY_ENDPOINT: collector.endpoint });
  const root = named('run bucket')[0]!;
  expect(root).toMatchObject({ service: 'oonipipeline', attributes: { 'ooni.bucket': DAY, 'ooni.transformed': 134 } });
  const paths = collector.spans.filter(span => span.traceID === root.traceID).map(path);
  expect(paths).toEqual(
    expect.arrayContaining([
      'run bucket > plan run',
      'run bucket > observe batch > fetch',
      'run bucket > observe batch > unpack',
      'run bucket > observe batch > transform',
      'run bucket > observe batch > insert obs_web',
      'run bucket > finish run',
      'run bucket > analyse > judge days',
    ]),
  );
  for (const span of collector.spans.filter(({ traceID }) => traceID === root.traceID)) {
    expect(span.attributes, path(span)).toMatchObject({ 'ooni.bucket': DAY, 'ooni.filter': 'ALLCCS-ALLTNS' });
  }
});

test('the command serves the metrics of its runs until it ends', async () => {
  const address = `127.0.0.1:${await freePort()}`;
  let served = '';
  // The command serves its metrics while it runs, so they are read before the answer to its last record.
  const proxy = await startProxy(clickhouseUrl, async passing => {
    const answer = await passing.forward();
    if (/INSERT INTO pipeline_runs/.test(passing.statement) && /Analysis.*completed/s.test(passing.data)) {
      served = await (await fetch(`http://${address}/metrics`)).text();
    }
    await passing.answer(answer);
  });
  try {
    await runCommand(proxy.url, { PROMETHEUS_BIND_ADDRESS: address });
  } finally {
    proxy.close();
  }
  const samples = served.split('\n').filter(line => line !== '' && !line.startsWith('#'));
  const sum = (name: string) =>
    samples
      .filter(sample => sample.startsWith(name))
      .reduce((total, sample) => total + Number(sample.split(' ').at(-1)), 0);
  const [stored] = await clickhouse.select<{ web: number; control: number }>(
    'SELECT (SELECT count() FROM obs_web FINAL) AS web, (SELECT count() FROM obs_web_ctrl FINAL) AS control',
  );
  expect(sum('ooni_measurements_total{status="transformed"}')).toBe(134);
  expect(sum('ooni_archive_files_total')).toBe(5);
  expect(sum('ooni_rows_total{table="obs_web"}')).toBe(stored!.web);
  expect(sum('ooni_rows_total{table="obs_web_ctrl"}')).toBe(stored!.control);
  expect(sum('ooni_verdicts_total{')).toBe(134);
  expect(sum('ooni_runs_total{stage="Observations",state="completed"}')).toBe(1);
  for (const stage of ['fetch', 'unpack', 'transform', 'insert']) {
    expect(sum(`ooni_stage_seconds_total{stage="${stage}"}`), stage).toBeGreaterThan(0);
  }
  expect(sum('process_resident_memory_bytes')).toBeGreaterThan(0);
  await expect(fetch(`http://${address}/metrics`)).rejects.toThrow();
});

test('a run that a schedule starts begins a trace', async () => {
  await client.create(PIPELINE_SCHEDULES, {
    metadata: { name: 'traced', namespace },
    spec: { schedule: '* * * * *', probeCC: ['US'], testNames: ['signal'], granularity: 'Hour' },
  } as never);
  const run = await eventually(async () => named('workflow ScheduledRunWorkflow')[0], 300);
  expect(run.parentID).toBe('');
  const paths = collector.spans.filter(span => span.traceID === run.traceID).map(path);
  expect(paths).toContain('workflow ScheduledRunWorkflow > workflow BucketWorkflow > activity planRun');
  const resource = { 'ooni.kind': 'PipelineSchedule', 'ooni.namespace': namespace, 'ooni.name': 'traced' };
  for (const span of collector.spans.filter(({ traceID }) => traceID === run.traceID)) {
    expect(span.attributes, path(span)).toMatchObject(resource);
  }
  // The run has its metric, too: it belongs to no backfill.
  expect(await (await fetch(metricsUrl)).text()).toMatch(/^ooni_bucket_delay_seconds_count [1-9]/m);
});

test('the operator traces a run without a worker', async () => {
  await worker.stop();
  await client.create(BACKFILLS, {
    metadata: { name: 'alone', namespace },
    spec: { startAt: DAY, endAt: '2023-11-28', reprocess: 'All' },
  } as Backfill);
  const isOfRun = ({ name, attributes }: CollectedSpan) =>
    name === 'wait NoWorker' && attributes['ooni.name'] === 'alone';
  const wait = await eventually(async () => collector.spans.find(isOfRun), 300);
  const range = { 'ooni.start_at': DAY, 'ooni.end_at': '2023-11-28' };
  expect(wait).toMatchObject({ service: 'ooni-operator', parentID: '', failed: true, attributes: range });
});
