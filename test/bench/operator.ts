/**
 * Cost of the operator with many resources, on a real API server and a real Temporal server, which are started for it.
 *
 *     npm run bench -- operator [--ended N] [--running N] [--schedules N] [--idle SECONDS] [--memory MB] [--apart] [--profile DIR]
 *
 * N `ended` Backfills (9700) have the status that an operator wrote at their end, and belong to its installation. The operator starts with
 * them, with `running` new Backfills (300) whose runs wait for the end of the benchmark, and with `schedules` new PipelineSchedules (1000). It gets
 * the limits of the heap that Node chooses in a container of `memory` MB (512, as in the chart). The benchmark measures
 *
 * - the time until each new resource has its workflow or schedule in Temporal and its status says so, with requests and reconciliations;
 * - the requests and the processor time of SECONDS (60) without changes, once each new schedule has been described;
 * - a second start with all resources, as at a change of the leader: the time until each has been reconciled;
 * - a relist: all watches end, and the API server does not have their version any more;
 * - a scrape of the metrics with all resources.
 *
 * Prints readable lines and, last, one line of JSON. Stalls are those of the event loop of the operator, as it measures them itself: the longest by the
 * clock, and the longest by the processor time of the thread and of all threads in it. The first, and all times, depend on other load of the machine. With
 * `--apart`, which needs the program `taskset`, the operator has a processor of its own, and the servers and the benchmark have the others. `--profile
 * DIR` writes processor profiles of the operator there; they take memory and time.
 */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Context } from '@temporalio/activity';
import type { Backfill, BackfillStatus } from '../../crds/backfill.ts';
import type { PipelineSchedule } from '../../crds/pipeline-schedule.ts';
import { FINALIZER, INSTALLATION_LABEL } from '../../crds/resource.ts';
import { startControlPlane } from '../../local/control-plane.ts';
import { startTemporal } from '../../local/temporal.ts';
import { BACKFILLS, PIPELINE_SCHEDULES } from '../../operator/controllers/resources.ts';
import { Cache } from '../../operator/kube/cache.ts';
import { Client } from '../../operator/kube/client.ts';
import { type ConnectionSource, connectionSource } from '../../operator/kube/config.ts';
import { Http } from '../../operator/kube/http.ts';
import type { KubeObject, Resource } from '../../operator/kube/resource.ts';
import { freePort } from '../../pipeline/free-port.ts';
import { backfillWorkflowID } from '../../worker/contract.ts';
import { instruments } from '../support/kube.ts';
import { ApiProxy } from '../support/kube-api-proxy.ts';
import {
  adminClient,
  eventually,
  installCrds,
  makeOperatorAccount,
  makeTemporalNamespace,
  OperatorProcess,
} from '../support/operator.ts';
import { emptyBuckets, StubWorker } from '../support/stub-worker.ts';
import type { Stall } from './operator/stalls.ts';
import { processorTime } from './processor-time.ts';

const NAMESPACE = 'bench-operator';
const INSTALLATION = 'ooni';
/** Label of the new resources. A watch of all resources would burden the API server more than the operator does. */
const NEW: Record<string, string> = { bench: 'new' };
/** Spec of the Backfills that have ended. */
const SPEC = { startAt: '2024-01-01', endAt: '2024-01-02' };
/** Objects that etcd writes in one transaction, at most. */
const PUTS = 100;
/** Milliseconds between two heartbeats of a waiting run, which Temporal expects every 20 s. More of them would only measure Temporal. */
const HEARTBEAT = 12_000;
const { values } = parseArgs({
  options: {
    ended: { type: 'string', default: '9700' },
    running: { type: 'string', default: '300' },
    schedules: { type: 'string', default: '1000' },
    idle: { type: 'string', default: '60' },
    memory: { type: 'string', default: '512' },
    apart: { type: 'boolean', default: false },
    profile: { type: 'string' },
  },
});
const [ended, running, schedules] = [Number(values.ended), Number(values.running), Number(values.schedules)];
const idleSeconds = Number(values.idle);
const PROGRAM = [
  // Node takes half of the memory of its container for the old generation of the heap; V8 derives the young one from it.
  ...[`--max-old-space-size=${Number(values.memory) / 2}`, '--max-semi-space-size=1'],
  ...(values.profile ? ['--cpu-prof', `--cpu-prof-dir=${values.profile}`] : []),
  join(import.meta.dirname, 'operator/process.ts'),
];

/** With `--apart`, the last processor is that of the operator. */
const LAST = availableParallelism() - 1;
if (values.apart && LAST === 0) throw new Error('--apart needs two processors');
if (values.apart) pin(process.pid, `0-${LAST - 1}`);

const dir = mkdtempSync(join(tmpdir(), 'ooni-bench-'));
const stallFile = join(dir, 'stalls');
const [kubernetes, temporal] = await Promise.all([
  startControlPlane({ dir: join(dir, 'kubernetes') }),
  startTemporal({ dir: join(dir, 'temporal') }),
]);
const client = adminClient(kubernetes.kubeconfig);
/** Writes as the operator does, so that the managed fields of the objects are those of real ones. */
const asOperator = new Client(new Http(connectionSource({ kubeconfig: kubernetes.kubeconfig })), {
  fieldManager: 'ooni-operator',
});
const stop = new AbortController();
let operator: OperatorProcess | undefined;
let worker: StubWorker | undefined;
let proxy: ApiProxy | undefined;
/** Whether the runs wait, and what ends their wait. */
let held = false;
const released = Promise.withResolvers<void>();
try {
  await installCrds(client);
  await makeTemporalNamespace(temporal.address, NAMESPACE);
  const port = await freePort();
  const account = connectionSource({
    kubeconfig: await makeOperatorAccount(client, kubernetes.kubeconfig, NAMESPACE),
  });
  const env = {
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: NAMESPACE,
    OPERATOR_NAMESPACES: NAMESPACE,
    OPERATOR_LEASE_NAMESPACE: NAMESPACE,
    OPERATOR_HEALTH_ADDRESS: `127.0.0.1:${port}`,
    LOG_LEVEL: 'error',
    NODE_ENV: 'production',
    // As in the image and the chart. The first process, which is not measured, fills the cache.
    NODE_COMPILE_CACHE: join(dir, 'compiled'),
    MALLOC_ARENA_MAX: '1',
  };
  const start = async (source: ConnectionSource) => {
    const connection = JSON.stringify(await source());
    const started = new OperatorProcess({ ...env, BENCH_CONNECTION: connection, BENCH_STALLS: stallFile }, PROGRAM);
    if (values.apart) pin(pidOf(started), `${LAST}`);
    return started;
  };
  const activities = emptyBuckets(['2024-01-01']);
  const planRun: typeof activities.planRun = async (...given) => {
    while (held) {
      Context.current().heartbeat();
      await Promise.race([Context.current().sleep(HEARTBEAT), released.promise]);
    }
    return (activities.planRun as NonNullable<typeof activities.planRun>)(...given);
  };
  worker = await StubWorker.start({
    ...{ address: temporal.address, namespace: NAMESPACE, installation: INSTALLATION, slots: running + 10 },
    activities: { ...activities, planRun },
  });

  operator = await start(account);
  const status = await statusOfEnded();
  await operator.stop();
  held = true;
  await makeAllEnded(status);
  await inParallel(running, n =>
    client.create(BACKFILLS, {
      metadata: { name: `new-${n}`, namespace: NAMESPACE, labels: NEW },
      // A filter of its own, so that its runs do not wait for those of others.
      spec: { ...SPEC, testNames: [`test_${n}`] },
    } as Backfill),
  );
  await inParallel(schedules, n =>
    client.create(PIPELINE_SCHEDULES, {
      metadata: { name: `daily-${n}`, namespace: NAMESPACE, labels: NEW },
      spec: { schedule: `${n % 60} 2 * * *` },
    } as PipelineSchedule),
  );
  const changed = running + schedules;
  const all = ended + changed;
  console.log(`${ended} ended and ${running} new Backfills, ${schedules} new PipelineSchedules`);

  const [backfills, pipelineSchedules] = [watch(BACKFILLS), watch(PIPELINE_SCHEDULES)];
  await Promise.all([backfills, pipelineSchedules].map(cache => cache.whenSynced(stop.signal)));
  operator = await start(account);
  const first = await measure(operator, port, {
    done() {
      // A Backfill whose runs wait shows that they are active.
      const active = [...backfills.list()].filter(({ status: now }) => (now?.progress?.active ?? 0) > 0);
      const scheduled = [...pipelineSchedules.list()].filter(({ status: now }) =>
        now?.conditions?.some(({ reason }) => reason === 'Scheduled'),
      );
      return active.length + scheduled.length >= changed;
    },
  });
  const converge = {
    ...first,
    reconcilesPerSecond: round(first.reconciles / first.seconds),
    requestsPerObject: round(first.requests / changed),
    writesPerObject: round(first.writes / changed),
    temporalCallsPerObject: round(first.temporalCalls / changed),
  };
  print('converge', converge);

  // New schedules are described in turn, and the first description of each changes its status.
  await eventually(async () => [...pipelineSchedules.list()].every(({ status: now }) => now?.scheduleHash), 600);
  await sleep(10_000);
  const before = await scrape(port);
  const stallsBefore = stallsSoFar();
  const cpu = processorTime(pidOf(operator));
  await sleep(idleSeconds * 1000);
  const processorSeconds = processorTime(pidOf(operator)) - cpu;
  const after = await scrape(port);
  const grown = (metric: string, labels = '') => sum(after, metric, labels) - sum(before, metric, labels);
  const idle = {
    seconds: idleSeconds,
    requests: Object.fromEntries(
      ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].map(method => [
        method,
        grown('rest_client_requests_total', `method="${method}"`),
      ]),
    ),
    temporalCallsPerSecond: round(grown('ooni_temporal_calls_total') / idleSeconds),
    processorPercent: round((processorSeconds / idleSeconds) * 100),
    ...memoryOf(operator),
    ...stallsSince(stallsBefore),
  };
  print('idle', idle);
  await operator.stop();

  proxy = await ApiProxy.start(account);
  operator = await start(proxy.source);
  const restart = await measure(operator, port, {
    metrics: text => sum(text, 'controller_runtime_reconcile_total') >= all && sum(text, 'workqueue_depth') === 0,
    // A scrape with all resources takes some tenths of a second.
    every: 5,
  });
  print('start with all resources', restart);

  await sleep(10_000);
  const relist = await measureRelist(operator, proxy);
  print('relist', relist);

  const beforeScrape = stallsSoFar();
  const began = performance.now();
  const used = processorTime(pidOf(operator));
  const text = await scrape(port);
  const scraped = {
    ms: Math.round(performance.now() - began),
    kilobytes: Math.round(text.length / 1000),
    processorSeconds: round(processorTime(pidOf(operator)) - used),
    ...memoryOf(operator),
    ...stallsSince(beforeScrape),
  };
  print('scrape', scraped);
  console.log(
    JSON.stringify({
      ...{ bench: 'operator', cores: availableParallelism(), ended, running, schedules },
      ...{ converge, idle, restart, relist, scrape: scraped },
    }),
  );
} finally {
  held = false;
  released.resolve();
  stop.abort();
  // A killed process writes no profile.
  await (values.profile ? operator?.stop() : operator?.kill());
  await proxy?.stop();
  await worker?.stop();
  await client.http.close();
  await asOperator.http.close();
  await Promise.all([kubernetes.stop(), temporal.stop()]);
  rmSync(dir, { recursive: true, force: true });
}

function print(what: string, figures: object): void {
  console.log(`${what}: ${JSON.stringify(figures)}`);
}

/** Keeps a cache of the new resources of a kind. */
function watch<T extends KubeObject>(resource: Resource<T>): Cache<T> {
  // Without pages, the API server answers from its own cache. For each page, it would read all ended Backfills from etcd.
  const options = { instruments: instruments(), namespaces: [NAMESPACE], labelSelector: 'bench=new', limit: 0 };
  const cache = new Cache(client, resource, options);
  void cache.run(stop.signal);
  return cache;
}

async function inParallel(count: number, work: (n: number) => Promise<unknown>): Promise<void> {
  const numbers = Array.from({ length: count }, (_, n) => n).values();
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (const n of numbers) await work(n);
    }),
  );
}

/** Returns the status of a Backfill that the operator has seen through to its end. */
async function statusOfEnded(): Promise<BackfillStatus> {
  const ref = { name: 'first', namespace: NAMESPACE };
  await client.create(BACKFILLS, { metadata: ref, spec: SPEC } as Backfill);
  return eventually(async () => {
    const { status } = await client.get(BACKFILLS, ref);
    return status?.finishedAt !== undefined && status.conditions?.some(({ type }) => type === 'Complete') && status;
  });
}

/**
 * Creates the Backfills that have ended: the first one by the API server, and copies of it in etcd, as after a restore. The API server
 * would take ten minutes for them, and etcd takes seconds.
 */
async function makeAllEnded(status: BackfillStatus): Promise<void> {
  if (ended === 0) return;
  await makeEnded(0, status);
  const key = (n: number) => `/registry/pipeline.ooni.org/backfills/${NAMESPACE}/ended-${n}`;
  const { kvs } = await etcd<{ kvs?: { value: string }[] }>('range', { key: base64(key(0)) });
  const made = Buffer.from(kvs?.[0]?.value ?? '', 'base64').toString();
  const { uid } = (JSON.parse(made) as KubeObject).metadata;
  for (let from = 1; from < ended; from += PUTS) {
    const numbers = Array.from({ length: Math.min(PUTS, ended - from) }, (_, index) => from + index);
    const success = numbers.map(n => {
      const copy = made.replaceAll('ended-0', `ended-${n}`).replaceAll(String(uid), randomUUID());
      return { requestPut: { key: base64(key(n)), value: base64(copy) } };
    });
    await etcd('txn', { success });
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** Calls etcd, whose address is an argument of the API server. */
async function etcd<T>(call: 'range' | 'txn', body: object): Promise<T> {
  const { spawnargs = [] } = kubernetes.processes.find(({ name }) => name === 'kube-apiserver')?.child ?? {};
  const address = spawnargs.find(one => one.startsWith('--etcd-servers='))?.replace('--etcd-servers=', '');
  const answer = await fetch(`${address}/v3/kv/${call}`, { method: 'POST', body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`etcd: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as T;
}

/** Creates a Backfill as an operator left it at its end. */
async function makeEnded(n: number, status: BackfillStatus): Promise<void> {
  const name = `ended-${n}`;
  const { metadata } = await client.create(BACKFILLS, {
    metadata: {
      ...{ name, namespace: NAMESPACE, finalizers: [FINALIZER] },
      labels: { [INSTALLATION_LABEL]: INSTALLATION },
    },
    spec: SPEC,
  } as unknown as Backfill);
  const workflowID = backfillWorkflowID(INSTALLATION, NAMESPACE, name, metadata.uid);
  await asOperator.apply(
    BACKFILLS,
    { metadata: { name, namespace: NAMESPACE }, status: { ...status, workflowID } } as never,
    { subresource: 'status', force: true },
  );
}

/**
 * Measures the operator from its start until both conditions hold. A scrape every ten seconds hardly burdens it, so `metrics` is looked at only
 * when `done` holds, each `every` seconds.
 */
async function measure(
  started: OperatorProcess,
  port: number,
  {
    done = () => true,
    metrics = () => true,
    every = 1,
  }: { done?: () => boolean; metrics?: (text: string) => boolean; every?: number },
) {
  const began = performance.now();
  const before = stallsSoFar();
  for (let turn = 1; ; turn++) {
    await sleep(1000);
    if (!started.running) throw new Error(`the operator has ended: ${started.output.slice(-2000)}`);
    if (turn % (done() ? every : 10) > 0) continue;
    const text = await scrape(port).catch(() => '');
    if (!text) continue;
    if (!done() || !metrics(text)) continue;
    const requests = sum(text, 'rest_client_requests_total');
    return {
      seconds: round((performance.now() - began) / 1000),
      reconciles: sum(text, 'controller_runtime_reconcile_total'),
      requests,
      writes: requests - sum(text, 'rest_client_requests_total', 'method="GET"'),
      temporalCalls: sum(text, 'ooni_temporal_calls_total'),
      processorSeconds: round(processorTime(pidOf(started))),
      ...memoryOf(started),
      ...stallsSince(before),
    };
  }
}

/** Ends all watches, answers the next ones that their version is gone, and measures until the operator watches again. */
async function measureRelist(relisting: OperatorProcess, between: ApiProxy) {
  const before = stallsSoFar();
  const cpu = processorTime(pidOf(relisting));
  const watches = between.openWatches;
  const gone = between.fault({ answer: { status: 410 } }, request => request.watch, watches);
  const seen = between.seen.length;
  const began = performance.now();
  between.cutWatches();
  // Each watch is answered 410 once, then opened anew after its list.
  await eventually(async () => between.seen.slice(seen).filter(request => request.watch).length >= 2 * watches);
  gone();
  const seconds = round((performance.now() - began) / 1000);
  const requests = between.seen.slice(seen).length;
  return {
    ...{ seconds, watches, requests, processorSeconds: round(processorTime(pidOf(relisting)) - cpu) },
    ...memoryOf(relisting),
    ...stallsSince(before),
  };
}

/** Lets a process, with its threads and its future children, run on these processors only. */
function pin(pid: number, processors: string): void {
  execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', processors, `${pid}`], { stdio: 'ignore' });
}

async function scrape(port: number): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
}

/** Returns the sum of the samples of a metric whose labels contain a text. */
function sum(text: string, metric: string, labels = ''): number {
  const pattern = new RegExp(`^${metric}(?:\\{([^\\n]*)\\})? (\\S+)$`, 'gm');
  let total = 0;
  for (const [, found = '', value] of text.matchAll(pattern)) if (found.includes(labels)) total += Number(value);
  return total;
}

/** Returns the number of stalls that the operators have recorded. */
function stallsSoFar(): number {
  return allStalls().length;
}

function allStalls(): Stall[] {
  if (!existsSync(stallFile)) return [];
  const lines = readFileSync(stallFile, 'utf8').split('\n');
  return lines.filter(line => line.endsWith('}')).map(line => JSON.parse(line) as Stall);
}

/**
 * Returns the longest stalls after the first `before` ones, in milliseconds: by the clock, by the processor time that the thread of the
 * event loop took in it, and by that of all threads. The last two are not longer when the operator waits for a processor. Threads of the
 * garbage collector work beside that of the event loop, and it waits for them in a pause. So on idle processors a stall is between the two.
 * `worst` has the end, clock, thread and process of some.
 */
function stallsSince(before: number) {
  const found = allStalls().slice(before);
  const work = ({ clock, process }: Stall) => Math.min(clock, process);
  const longest = (of: (stall: Stall) => number) => Math.round(Math.max(0, ...found.map(of)));
  const worst = found
    .toSorted((a, b) => work(b) - work(a))
    .slice(0, 4)
    .map(({ at, clock, thread, process }) => [at, clock, thread, process].map(Math.round).join('/'));
  return {
    longestStallMs: longest(({ clock }) => clock),
    longestThreadMs: longest(({ thread }) => thread),
    longestProcessMs: longest(work),
    worst: worst.join(' '),
  };
}

/** Returns the resident memory of a process now and at its peak (proc(5)). */
function memoryOf(of: OperatorProcess): { rssMB: number; rssPeakMB: number } {
  const text = readFileSync(`/proc/${pidOf(of)}/status`, 'utf8');
  const megabytes = (field: string) => {
    const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1];
    return Math.round((Number(kilobytes) * 1024) / 1e6);
  };
  return { rssMB: megabytes('VmRSS'), rssPeakMB: megabytes('VmHWM') };
}

function pidOf(of: OperatorProcess): number {
  if (of.child.pid === undefined) throw new Error('the operator has not started');
  return of.child.pid;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
