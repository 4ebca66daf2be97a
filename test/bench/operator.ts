/**
 * Cost of the operator with many resources, on a real API server and a real Temporal server, which are started for it.
 *
 *     npm run bench -- operator [--ended N] [--backfills N] [--schedules N] [--idle SECONDS]
 *
 * N `ended` Backfills (9000) have a status with their end. The operator starts with them, with `backfills` new ones (1000) whose runs wait for the end of the
 * benchmark, and with `schedules` new PipelineSchedules (1000). The benchmark measures
 *
 * - the time until each new resource has its workflow or schedule in Temporal and this is in its status, with requests and reconciliations;
 * - the requests and the processor time of SECONDS (60) without changes;
 * - a second start with all resources: the time until each has been reconciled, as after the loss of all watches;
 * - a scrape of the metrics with all resources.
 *
 * Prints readable lines and, last, one line of JSON. Stalls are those of the event loop of the operator, as it measures them itself.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Backfill } from '../../crds/backfill.ts';
import type { PipelineSchedule } from '../../crds/pipeline-schedule.ts';
import { FINALIZER } from '../../crds/resource.ts';
import { startControlPlane } from '../../local/control-plane.ts';
import { startTemporal } from '../../local/temporal.ts';
import { BACKFILLS, PIPELINE_SCHEDULES } from '../../operator/controllers/resources.ts';
import { freePort } from '../../pipeline/free-port.ts';
import { backfillId } from '../../worker/contract.ts';
import {
  adminClient,
  installCrds,
  makeOperatorAccount,
  makeTemporalNamespace,
  OperatorProcess,
} from '../support/operator.ts';
import { emptyBuckets, StubWorker } from '../support/stub-worker.ts';
import { TemporalProxy } from '../support/temporal-proxy.ts';
import { processorTime } from './processor-time.ts';

const NAMESPACE = 'bench-operator';
/** Label of the new resources. A list of all resources would burden the API server more than the operator does. */
const NEW: Record<string, string> = { bench: 'new' };
const { values } = parseArgs({
  options: {
    ended: { type: 'string', default: '9000' },
    backfills: { type: 'string', default: '1000' },
    schedules: { type: 'string', default: '1000' },
    idle: { type: 'string', default: '60' },
  },
});
const [ended, backfills, schedules] = [Number(values.ended), Number(values.backfills), Number(values.schedules)];
const idleSeconds = Number(values.idle);

const dir = mkdtempSync(join(tmpdir(), 'ooni-bench-'));
const [kubernetes, temporal] = await Promise.all([
  startControlPlane({ dir: join(dir, 'kubernetes') }),
  startTemporal({ dir: join(dir, 'temporal') }),
]);
const client = adminClient(kubernetes.kubeconfig);
const proxy = new TemporalProxy(temporal.address);
let operator: OperatorProcess | undefined;
let worker: StubWorker | undefined;
/** Whether the runs wait. */
let held = true;
try {
  await installCrds(client);
  await makeTemporalNamespace(temporal.address, NAMESPACE);
  const port = await freePort();
  const env = {
    KUBECONFIG: await makeOperatorAccount(client, kubernetes.kubeconfig, NAMESPACE),
    TEMPORAL_ADDRESS: await proxy.start(),
    TEMPORAL_NAMESPACE: NAMESPACE,
    OPERATOR_NAMESPACES: NAMESPACE,
    OPERATOR_LEASE_NAMESPACE: NAMESPACE,
    OPERATOR_HEALTH_ADDRESS: `127.0.0.1:${port}`,
    LOG_LEVEL: 'error',
  };
  const activities = emptyBuckets(['2024-01-01', '2024-01-02'], () => held);
  worker = await StubWorker.start({
    ...{ address: temporal.address, namespace: NAMESPACE, installation: 'ooni', activities },
  });
  await inParallel(ended, makeEnded);
  await inParallel(backfills, n =>
    client.create(BACKFILLS, {
      metadata: { name: `new-${n}`, namespace: NAMESPACE, labels: NEW },
      // A filter of its own, so that its runs do not wait for those of others.
      spec: { startAt: '2024-01-01', endAt: '2024-01-03', testNames: [`test_${n}`] },
    } as Backfill),
  );
  await inParallel(schedules, n =>
    client.create(PIPELINE_SCHEDULES, {
      metadata: { name: `daily-${n}`, namespace: NAMESPACE, labels: NEW },
      spec: { schedule: `${n % 60} 2 * * *` },
    } as PipelineSchedule),
  );
  console.log(`${ended} ended and ${backfills} new Backfills, ${schedules} new PipelineSchedules`);

  const changed = backfills + schedules;
  operator = new OperatorProcess(env);
  const first = await watchOperator(operator, port, async () => (await converged()) >= changed);
  const converge = {
    seconds: first.seconds,
    reconciles: first.reconciles,
    reconcilesPerSecond: round(first.reconciles / first.seconds),
    requestsPerObject: round(first.requests / changed),
    writesPerObject: round(first.writes / changed),
    temporalCallsPerObject: round(first.temporalCalls / changed),
    processorSeconds: first.processorSeconds,
    rssMB: first.rssMB,
    longestStallMs: first.stallMs,
  };
  print('converge', converge);

  // The first passes after the start follow one another; wait until they have ended.
  await sleep(20_000);
  const before = await scrape(port);
  const [calls, cpu] = [proxy.seen.length, processorTime(operator.child.pid as number)];
  await sleep(idleSeconds * 1000);
  const after = await scrape(port);
  const idle = {
    seconds: idleSeconds,
    requests: Object.fromEntries(
      ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].map(method => [
        method,
        sum(after, 'rest_client_requests_total', `method="${method}"`) -
          sum(before, 'rest_client_requests_total', `method="${method}"`),
      ]),
    ),
    temporalCallsPerSecond: round((proxy.seen.length - calls) / idleSeconds),
    processorPercent: round(((processorTime(operator.child.pid as number) - cpu) / idleSeconds) * 100),
    rssMB: megabytes(after),
    longestStallMs: stall(after),
  };
  print('idle', idle);

  await operator.stop();
  const all = ended + changed;
  operator = new OperatorProcess(env);
  const second = await watchOperator(
    operator,
    port,
    async text => sum(text, 'controller_runtime_reconcile_total') >= all,
  );
  const restart = {
    seconds: second.seconds,
    reconciles: second.reconciles,
    requests: second.requests,
    writes: second.writes,
    temporalCalls: second.temporalCalls,
    processorSeconds: second.processorSeconds,
    rssMB: second.rssMB,
    longestStallMs: second.stallMs,
  };
  print('start with all resources', restart);

  const began = performance.now();
  const text = await scrape(port);
  const scraped = { ms: Math.round(performance.now() - began), kilobytes: Math.round(text.length / 1000) };
  const stallMs = stall(await scrape(port));
  print('scrape', { ...scraped, longestStallMs: stallMs });
  console.log(
    JSON.stringify({
      ...{ bench: 'operator', cores: availableParallelism(), ended, backfills, schedules },
      ...{ converge, idle, restart, scrape: { ...scraped, longestStallMs: stallMs } },
    }),
  );
} finally {
  held = false;
  await operator?.kill();
  await worker?.stop();
  proxy.stop();
  await client.http.close();
  await Promise.all([kubernetes.stop(), temporal.stop()]);
  rmSync(dir, { recursive: true, force: true });
}

function print(what: string, figures: object): void {
  console.log(`${what}: ${JSON.stringify(figures)}`);
}

async function inParallel(count: number, work: (n: number) => Promise<unknown>): Promise<void> {
  const numbers = Array.from({ length: count }, (_, n) => n).values();
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      for (const n of numbers) await work(n);
    }),
  );
}

/** Creates a Backfill with the status that an operator wrote when it ended. */
async function makeEnded(n: number): Promise<void> {
  const name = `ended-${n}`;
  const { metadata } = await client.create(BACKFILLS, {
    metadata: { name, namespace: NAMESPACE, finalizers: [FINALIZER] },
    spec: { startAt: '2024-01-01', endAt: '2024-02-01' },
  } as Backfill);
  const time = '2026-01-01T00:00:00Z';
  const condition = (type: string, reason: string, message: string) => ({
    ...{ type, status: 'True', reason, message, observedGeneration: 1, lastTransitionTime: time },
  });
  const status = {
    observedGeneration: 1,
    conditions: [
      condition('Ready', 'Started', 'The workflow ran.'),
      condition('Complete', 'AllBucketsDone', 'All buckets are done.'),
    ],
    phase: 'Complete',
    plan: { buckets: 31, toRun: 31, first: '2024-01-01', last: '2024-01-31', skipped: {} },
    progress: { total: 31, succeeded: 31, failed: 0, skipped: 0, active: 0, percent: 100, done: '31/31' },
    ...{ bytes: 1, measurements: 1, workflowID: backfillId('ooni', NAMESPACE, name, metadata.uid) },
    ...{ startedAt: time, finishedAt: time },
  };
  await client.patch(BACKFILLS, { name, namespace: NAMESPACE }, { status }, { subresource: 'status' });
}

/** Returns the number of new resources whose workflow or schedule is in their status. */
async function converged(): Promise<number> {
  let count = 0;
  const selected = { namespace: NAMESPACE, labelSelector: 'bench=new' };
  for (const { status } of await client.list(BACKFILLS, selected)) {
    if (status?.workflowID && status.startedAt && !status.finishedAt) count++;
  }
  for (const { status } of await client.list(PIPELINE_SCHEDULES, selected)) {
    if (status?.conditions?.some(({ reason }) => reason === 'Scheduled')) count++;
  }
  return count;
}

/** Measures the operator until a condition on its metrics holds. */
async function watchOperator(process: OperatorProcess, port: number, done: (metrics: string) => Promise<boolean>) {
  const started = performance.now();
  const calls = proxy.seen.length;
  let [rssMB, stallMs] = [0, 0];
  for (;;) {
    await sleep(2000);
    if (!process.running) throw new Error(`the operator has ended: ${process.output.slice(-2000)}`);
    const text = await scrape(port).catch(() => '');
    if (!text) continue;
    rssMB = Math.max(rssMB, megabytes(text));
    stallMs = Math.max(stallMs, stall(text));
    if (!(await done(text))) continue;
    const requests = sum(text, 'rest_client_requests_total');
    return {
      ...{ seconds: round((performance.now() - started) / 1000), rssMB, stallMs, requests },
      writes: requests - sum(text, 'rest_client_requests_total', 'method="GET"'),
      reconciles: sum(text, 'controller_runtime_reconcile_total'),
      temporalCalls: proxy.seen.length - calls,
      processorSeconds: round(processorTime(process.child.pid as number)),
    };
  }
}

async function scrape(port: number): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
}

/** Returns the sum of the samples of a metric whose labels contain a text. */
function sum(text: string, metric: string, labels = ''): number {
  return text
    .split('\n')
    .filter(line => (line.startsWith(`${metric}{`) || line.startsWith(`${metric} `)) && line.includes(labels))
    .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

function megabytes(text: string): number {
  return Math.round(sum(text, 'process_resident_memory_bytes') / 1e6);
}
/** Returns the longest delay of the event loop since the last scrape, in milliseconds. */
function stall(text: string): number {
  return Math.round(sum(text, 'nodejs_eventloop_lag_max_seconds') * 1000);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
