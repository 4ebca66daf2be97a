import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { parseAddress, serveHealth } from './health.ts';
import { WorkerMetrics } from './metrics.ts';

test.each([
  ['127.0.0.1:8080', { host: '127.0.0.1', port: 8080 }],
  [':9000', { port: 9000 }],
  ['[::1]:80', { host: '::1', port: 80 }],
])('%s', (text, parsed) => {
  expect(parseAddress(text)).toEqual(parsed);
});

test.each(['8080', 'host', 'host:99999', '::1:80', ''])('"%s" is not an address', text => {
  expect(() => parseAddress(text)).toThrow(/write host:port/);
});

test('health says why a worker is not ready, and metrics count the progress of checkpoints', async () => {
  const metrics = new WorkerMetrics();
  const state: { alive: boolean; waitsFor?: string } = { alive: true, waitsFor: 'it waits for Temporal' };
  const health = { alive: () => state.alive, notReady: () => state.waitsFor };
  const server = await serveHealth('127.0.0.1:0', health, metrics);
  const ask = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`);
    return { status: response.status, text: await response.text() };
  };
  expect(await ask('/healthz')).toEqual({ status: 200, text: 'ok\n' });
  expect(await ask('/readyz')).toEqual({ status: 503, text: 'it waits for Temporal\n' });
  state.waitsFor = undefined;
  state.alive = false;
  expect((await ask('/readyz')).status).toBe(200);
  expect((await ask('/healthz')).status).toBe(500);
  expect((await ask('/nothing')).status).toBe(404);

  const counts = (read: number) => ({
    ...{ files: 1, bytes: 100, read, transformed: read, skipped: 0, failed: 0, unsupported: 0 },
    rows: { obs_web: 2 * read },
  });
  const batch = metrics.watchBatch(counts(10));
  batch.reached(counts(15));
  batch.reached(counts(30));
  const { text } = await ask('/metrics');
  expect(text).toContain('ooni_measurements_total{status="transformed"} 20');
  expect(text).toContain('ooni_rows_total{table="obs_web"} 40');
  expect(text).toContain('ooni_batches_active 1');
  batch.end();
  expect((await ask('/metrics')).text).toContain('ooni_batches_active 0');
  server.close();
  server.closeAllConnections();
});
