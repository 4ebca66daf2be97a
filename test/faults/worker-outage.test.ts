import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { freePort } from '../../pipeline/free-port.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { type Passing, startProxy } from '../support/clickhouse-proxy.ts';
import { makeDatabase } from '../support/database.ts';
import { expectedRows, FIXTURES } from '../support/fixtures.ts';
import { eventually } from '../support/operator.ts';
import { makeNamespace, runInput, startRun, WorkerProcess } from '../support/worker.ts';

const DAY = '2023-11-27';
let client: Client;
let clickhouse: ClickHouse;
let namespace: string;
let url: string;
let cleanUp: (() => unknown)[];

beforeEach(async () => {
  ({ url, clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'outage', { migrated: false }));
  ({ namespace, client } = await makeNamespace(inject('temporalAddress'), 'outage'));
  cleanUp = [() => client.connection.close(), () => clickhouse.close()];
});
afterEach(async () => {
  for (const step of cleanUp.reverse()) await step();
});

function startWorker(env: Record<string, string> = {}): WorkerProcess {
  const worker = new WorkerProcess({
    TEMPORAL_ADDRESS: inject('temporalAddress'),
    TEMPORAL_NAMESPACE: namespace,
    CLICKHOUSE_URL: url,
    ARCHIVE_URL: FIXTURES,
    ...env,
  });
  cleanUp.push(() => worker.kill());
  return worker;
}

async function proxyWith(handle: (passing: Passing) => Promise<void>): Promise<string> {
  const proxy = await startProxy(url, handle);
  cleanUp.push(() => proxy.close());
  return proxy.url;
}

async function expectRows(): Promise<void> {
  for (const table of ['obs_web', 'obs_web_ctrl']) {
    const rows = await clickhouse.select<{ uid: string; n: number }>(
      `SELECT measurement_uid AS uid, count() AS n FROM ${table} GROUP BY uid`,
    );
    expect(new Map(rows.map(({ uid, n }) => [uid, n]))).toEqual(expectedRows(table, [DAY]));
  }
}

/** Forwards connections to another address. */
async function forward(port: number, target: string): Promise<Server> {
  const [host, to] = target.split(':');
  const sockets = new Set<Socket>();
  const server = createServer(from => {
    const there = connect(Number(to), host);
    for (const socket of [from, there]) {
      sockets.add(socket.on('error', () => socket.destroy()));
    }
    from.pipe(there).pipe(from);
  });
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve));
  cleanUp.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return server;
}

test('a worker that starts before Temporal and ClickHouse reports its wait, and works when they are available', async () => {
  const port = await freePort();
  const health = `127.0.0.1:${await freePort()}`;
  let away = true;
  const database = await proxyWith(async ({ forward, answer, drop }) => (away ? drop() : answer(await forward())));
  const worker = startWorker({
    TEMPORAL_ADDRESS: `127.0.0.1:${port}`,
    CLICKHOUSE_URL: database.replace('//', '//someone:s3cret@'),
    WORKER_HEALTH_ADDRESS: health,
  });
  await worker.says(/cannot reach Temporal at 127\.0\.0\.1:\d+: .*trying again in/);
  const asked = async (path: string) => {
    const response = await fetch(`http://${health}${path}`);
    return `${response.status} ${await response.text()}`;
  };
  expect(await asked('/readyz')).toMatch(/^503 \[-\] worker: cannot reach Temporal/);
  expect(await asked('/healthz')).toBe('200 [+] worker\nok\n');
  await forward(port, inject('temporalAddress'));
  await worker.says(/cannot prepare the database at http:\/\/127\.0\.0\.1:\d+\/outage_/);
  expect(await asked('/readyz')).toMatch(/^503 \[-\] worker: cannot prepare the database/);
  away = false;
  await worker.says(/working for Temporal/);
  expect(await asked('/readyz')).toBe('200 [+] worker\nok\n');
  expect((await (await startRun(client, runInput(DAY))).result()).counts.transformed).toBe(134);
  await expectRows();
  expect(worker.output).not.toContain('s3cret');
});

test('a worker that gets a signal to stop while it waits stops at once', async () => {
  const worker = startWorker({ TEMPORAL_ADDRESS: `127.0.0.1:${await freePort()}` });
  await worker.says(/cannot reach Temporal/);
  expect(await worker.stop()).toBe(0);
});

test('a run continues after ClickHouse fails in the middle of it and returns', async () => {
  let requests = 0;
  let counting = false;
  // Some statements of the run meet a broken connection or a full server, or lose their answer.
  const database = await proxyWith(async ({ statement, forward, answer, drop, refuse }) => {
    const number = counting && /obs_|pipeline_(runs|files)/.test(statement) ? ++requests : 0;
    if (number < 4 || number > 8) return answer(await forward());
    if (number % 3 === 0)
      return refuse(500, 'Code: 241. DB::Exception: Memory limit (total) exceeded. (MEMORY_LIMIT_EXCEEDED)');
    if (number % 3 === 1) await forward();
    return drop();
  });
  const worker = startWorker({ CLICKHOUSE_URL: database });
  await worker.says(/working for Temporal/);
  counting = true;
  const result = await (await startRun(client, runInput(DAY))).result();
  expect(requests).toBeGreaterThan(8);
  expect(result.counts).toMatchObject({ read: 134, transformed: 134, failed: 0 });
  await expectRows();
  expect(worker.output).toMatch(/trying again|will be retried/);
});

test('a missing archive is reported, and the run continues when it is available', async () => {
  const root = join(mkdtempSync(join(tmpdir(), 'ooni-archive-')), 'mirror');
  cleanUp.push(() => rmSync(join(root, '..'), { recursive: true, force: true }));
  const worker = startWorker({ ARCHIVE_URL: root });
  const run = await startRun(client, runInput(DAY));
  await worker.says(/will be retried: the archive .*mirror does not exist/);
  // The worker reports it first, then Temporal does.
  await eventually(async () => {
    const [activity] = (await run.describe()).raw.pendingActivities ?? [];
    return activity?.lastFailure?.applicationFailureInfo?.type === 'ArchiveMissing';
  });
  cpSync(FIXTURES, root, { recursive: true });
  expect((await run.result()).counts.transformed).toBe(134);
});

test('a worker that stops leaves an unfinished batch to another', async () => {
  let slow = true;
  const inserting = Promise.withResolvers<void>();
  const database = await proxyWith(async ({ statement, forward, answer }) => {
    if (slow && /^INSERT INTO `obs_web`/.test(statement)) {
      inserting.resolve();
      await sleep(8_000);
    }
    return answer(await forward());
  });
  const worker = startWorker({ CLICKHOUSE_URL: database, WORKER_DRAIN_TIMEOUT: '3' });
  const run = await startRun(client, runInput(DAY));
  await inserting.promise;
  expect(await worker.stop()).toBe(0);
  slow = false;
  startWorker({ CLICKHOUSE_URL: database });
  expect((await run.result()).counts).toMatchObject({ read: 134, transformed: 134 });
  await expectRows();
  const { events } = await run.fetchHistory();
  const failures = events?.flatMap(event => event.activityTaskStartedEventAttributes?.lastFailure?.message ?? []);
  expect(failures?.join()).toMatch(/shut/i);
});
