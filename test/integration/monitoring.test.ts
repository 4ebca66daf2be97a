import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { Backfill } from '../../crds/backfill.ts';
import { type JaegerServer, startJaeger } from '../../local/jaeger.ts';
import { findProgram, type ProgramName } from '../../local/programs.ts';
import { BACKFILLS, PIPELINE_SCHEDULES, WORKER_POOLS } from '../../operator/controllers/resources.ts';
import { freePort } from '../../pipeline/free-port.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { makeDatabase } from '../support/database.ts';
import { FIXTURES } from '../support/fixtures.ts';
import { eventually } from '../support/operator.ts';
import { OperatorBed } from '../support/operator-bed.ts';
import { Prometheus } from '../support/prometheus.ts';
import { WorkerProcess } from '../support/worker.ts';

/** Runs a Backfill and a PipelineSchedule with a real operator and worker, which a real Jaeger and a real Prometheus watch. */
const bed = new OperatorBed('monitoring');
const { client, namespace } = bed;
const CHART = join(import.meta.dirname, '../../helm/ooni-pipeline');
const RULES = join(CHART, 'alerts/ooni-pipeline.yaml');
/** 134 measurements of web_connectivity in five objects. */
const DAY = '2023-11-27';

/** Returns why tests with a program are skipped, or undefined if the program is there. */
const absent = (name: ProgramName) =>
  findProgram(name) ? undefined : `${name} is not on this machine; npx node local/obtain.ts ${name}`;
const noJaeger = absent('jaeger');
const noPrometheus = absent('prometheus');

let dir: string;
let jaeger: JaegerServer | undefined;
let prometheus: Prometheus;
let clickhouse: ClickHouse;
let worker: WorkerProcess;

beforeAll(async () => {
  if (noJaeger && noPrometheus) return;
  dir = mkdtempSync(join(tmpdir(), 'ooni-monitoring-'));
  if (!noJaeger) jaeger = await startJaeger({ dir: join(dir, 'jaeger') });
  const database = await makeDatabase(inject('clickhouseUrl'), 'monitoring');
  clickhouse = database.clickhouse;
  const targets = { operator: `127.0.0.1:${await freePort()}`, worker: `127.0.0.1:${await freePort()}` };
  if (!noPrometheus) prometheus = await Prometheus.start(dir, targets, RULES);
  const tracing = jaeger && { TELEMETRY_ENDPOINT: jaeger.endpoint };
  Object.assign(bed.env, {
    ...tracing,
    OPERATOR_HEALTH_ADDRESS: targets.operator,
    CLICKHOUSE_URL: database.url,
  });
  await bed.start();
  worker = new WorkerProcess({
    TEMPORAL_ADDRESS: bed.temporalAddress,
    TEMPORAL_NAMESPACE: namespace,
    INSTALLATION: 'ooni',
    ...tracing,
    PROMETHEUS_BIND_ADDRESS: targets.worker,
    ARCHIVE_URL: FIXTURES,
    CLICKHOUSE_URL: database.url,
    LOG_LEVEL: 'info',
  });
  await client.create(WORKER_POOLS, {
    metadata: { name: 'watched', namespace },
    // No node has this label: the worker above does the work.
    spec: { replicas: 1, template: { spec: { nodeSelector: { nowhere: 'true' } } } },
  } as never);
  await client.create(PIPELINE_SCHEDULES, {
    metadata: { name: 'watched', namespace },
    spec: { schedule: '* * * * *', probeCC: ['US'], testNames: ['signal'], granularity: 'Hour' },
  } as never);
  await client.create(BACKFILLS, {
    metadata: { name: 'watched', namespace },
    spec: { startAt: DAY, endAt: '2023-11-28' },
  } as Backfill);
});

afterAll(async () => {
  if (noJaeger && noPrometheus) return;
  await worker?.stop();
  await bed.stop();
  await prometheus?.stop();
  await jaeger?.stop();
  await clickhouse?.close();
  rmSync(dir, { recursive: true, force: true });
});

/** A span as Jaeger's query API returns it. */
interface JaegerSpan {
  readonly traceID: string;
  readonly spanID: string;
  readonly operationName: string;
  readonly processID: string;
  readonly references: readonly { readonly traceID: string; readonly spanID: string }[];
  readonly tags: readonly { readonly key: string; readonly value: unknown }[];
}

interface JaegerTrace {
  readonly traceID: string;
  readonly spans: readonly JaegerSpan[];
  readonly processes: Readonly<Record<string, { readonly serviceName: string }>>;
}

/** Returns the traces that Jaeger finds: `/api/traces` with a query, or `/api/traces/ID`. */
async function traces(path: string): Promise<JaegerTrace[]> {
  const answer = await fetch(`${jaeger!.url}/api/traces${path}`);
  return answer.ok ? ((await answer.json()) as { data: JaegerTrace[] }).data : [];
}

describe('Jaeger', () => {
  test('has a whole trace, from the reconcile to the INSERTs, and finds it by its bucket', async ({ skip }) => {
    if (noJaeger) skip(noJaeger);
    const query = new URLSearchParams({ service: 'ooni-worker', tags: JSON.stringify({ 'ooni.bucket': DAY }) });
    const found = await eventually(async () => (await traces(`?${query}`))[0], 300);
    // The span of a workflow arrives after all of its activities, that of the Backfill last.
    const trace = await eventually(async () => {
      const [whole] = await traces(`/${found.traceID}`);
      return whole?.spans.some(span => span.operationName === 'workflow BackfillWorkflow') ? whole : undefined;
    }, 300);
    const byID = new Map(trace.spans.map(span => [span.spanID, span]));
    const path = (span: JaegerSpan): string => {
      const [parent] = span.references;
      if (!parent) return span.operationName;
      const above = byID.get(parent.spanID);
      return `${above ? path(above) : 'absent span'} > ${span.operationName}`;
    };
    const paths = trace.spans.map(path);
    const root = 'reconcile Backfill > workflow BackfillWorkflow';
    const batch = `${root} > workflow BucketWorkflow > activity observeBatch`;
    expect(paths).toEqual(
      expect.arrayContaining([
        'reconcile Backfill',
        `${root} > activity planBackfill`,
        `${root} > workflow BucketWorkflow > activity planRun`,
        `${batch} > fetch`,
        `${batch} > transform`,
        `${batch} > insert obs_web`,
        `${batch} > insert obs_web_ctrl`,
        `${root} > workflow BucketWorkflow > activity finishRun`,
        `${root} > workflow BucketWorkflow > activity analyse > judge days`,
      ]),
    );
    // One tree: no other root, and no span without its parent.
    expect(paths.filter(each => !each.startsWith('reconcile Backfill'))).toEqual([]);
    const services = new Set(Object.values(trace.processes).map(({ serviceName }) => serviceName));
    expect([...services].sort()).toEqual(['ooni-operator', 'ooni-worker']);
    const insert = trace.spans.find(span => span.operationName === 'insert obs_web');
    const [stored] = await clickhouse.select<{ rows: number }>('SELECT count() AS rows FROM obs_web FINAL');
    expect(insert?.tags.find(({ key }) => key === 'ooni.rows')?.value).toBe(stored!.rows);
  });
});

/** A query of a panel with the pattern of its legend. */
interface Target {
  readonly expr: string;
  readonly legendFormat: string;
}

/** Returns the queries of the Grafana dashboard that the chart installs. */
function dashboardTargets(): Target[] {
  const { panels } = JSON.parse(readFileSync(join(CHART, 'files/dashboard.json'), 'utf8')) as {
    panels: { targets?: Target[] }[];
  };
  return panels.flatMap(({ targets = [] }) => targets);
}

/** Queries that have a result only after a failure, which this run does not have. */
const ONLY_AFTER_FAILURE = [/ooni_insert_errors_total/, /status!="True"/, /reason=~/];

describe('Prometheus', () => {
  test('has a result for each query of the dashboard, with the labels of its legend', async ({ skip }) => {
    if (noPrometheus) skip(noPrometheus);
    const targets = dashboardTargets();
    expect(targets.length).toBeGreaterThan(15);
    for (const { expr, legendFormat } of targets) {
      if (ONLY_AFTER_FAILURE.some(pattern => pattern.test(expr))) {
        await prometheus.query(expr);
        continue;
      }
      // The schedule fires at a full minute.
      const [first] = await eventually(async () => {
        const results = await prometheus.query(expr);
        return results.length > 0 ? results : undefined;
      }, 300);
      const labels = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!);
      expect(Object.keys(first!.metric).sort(), expr).toEqual(labels.sort());
    }
  });

  test('knows each metric of dashboard and alerts from the programs that it scrapes', async ({ skip }) => {
    if (noPrometheus) skip(noPrometheus);
    const known = await prometheus.metricNames();
    const expressions = [...dashboardTargets().map(({ expr }) => expr), readFileSync(RULES, 'utf8')];
    const used = new Set(expressions.flatMap(text => text.match(/\b(ooni|kube|leader|controller)_[a-z_]+/g) ?? []));
    expect(used.size).toBeGreaterThan(15);
    for (const name of used) expect(known).toContain(name.replace(/_bucket$/, ''));
  });

  test('evaluates each alert without an error', async ({ skip }) => {
    if (noPrometheus) skip(noPrometheus);
    const rules = await eventually(async () => {
      const found = await prometheus.rules();
      return found.every(({ health }) => health !== 'unknown') ? found : undefined;
    });
    expect(rules.length).toBeGreaterThan(5);
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([]);
  });

  test('has the figures of the run', async ({ skip }) => {
    if (noPrometheus) skip(noPrometheus);
    // The status of a resource, and a scrape, follow the run after some seconds.
    const becomes = (expression: string, value: number) =>
      eventually(async () => Number((await prometheus.query(expression))[0]?.value[1]) === value, 300);
    await becomes('sum(ooni_measurements_total{status="transformed"})', 134);
    await becomes('ooni_backfill_buckets{name="watched",state="succeeded"}', 1);
    // The schedule has completed the bucket of its first firing.
    const counts = await eventually(async () => {
      const [judged] = await prometheus.query('ooni_schedule_buckets{name="watched",state="judged"} >= 1');
      return judged && (await prometheus.query('ooni_schedule_buckets{name="watched"}'));
    }, 300);
    expect(counts.map(({ metric }) => metric.state).sort()).toEqual(['expected', 'judged', 'listed', 'read']);
  });
});

describe('Jaeger, while no worker is there', () => {
  test('finds what waits now, without its bucket or its name', async ({ skip }) => {
    if (noJaeger) skip(noJaeger);
    await worker.stop();
    await client.create(BACKFILLS, {
      metadata: { name: 'plans', namespace },
      spec: { startAt: DAY, endAt: '2023-11-28', reprocess: 'All' },
    } as Backfill);
    const query = new URLSearchParams({
      service: 'ooni-operator',
      tags: JSON.stringify({ 'ooni.state': 'waiting' }),
    });
    const waitOf = (kind: string, name: string) =>
      eventually(async () => {
        const spans = (await traces(`?${query}`)).flatMap(trace => trace.spans);
        const tags = spans.map(
          (span): Record<string, unknown> => ({
            span: span.operationName,
            ...Object.fromEntries(span.tags.map(({ key, value }) => [key, value])),
          }),
        );
        return tags.find(tag => tag['ooni.kind'] === kind && tag['ooni.name'] === name);
      }, 300);
    const plan = await waitOf('Backfill', 'plans');
    expect(plan).toMatchObject({
      span: 'wait NoWorker',
      'ooni.reason': 'NoWorker',
      'ooni.start_at': DAY,
      'ooni.end_at': '2023-11-28',
    });
    expect(plan).not.toHaveProperty('ooni.bucket');
    expect(await waitOf('PipelineSchedule', 'watched')).toMatchObject({
      span: 'wait NoWorker',
      'ooni.bucket': expect.stringMatching(/^\d{4}-\d{2}-\d{2}T\d{2}$/),
    });
  });
});
