/**
 * Cost of the operator's Kubernetes library: memory and time to hold COUNT objects of 3.2 KB, and the number of requests that share
 * a connection.
 *
 *     npm run bench -- kube KUBECONFIG [COUNT]
 *
 * Creates the objects in its own namespace, measures in a new process, and prints a table and, last, one line of JSON.
 */
import { spawnSync } from 'node:child_process';
import diagnostics from 'node:diagnostics_channel';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import pino from 'pino';
import { Cache } from '../../operator/kube/cache.ts';
import { Client } from '../../operator/kube/client.ts';
import { connectionSource } from '../../operator/kube/config.ts';
import { Http } from '../../operator/kube/http.ts';
import { createInstruments } from '../../operator/kube/instruments.ts';
import { CONFIG_MAPS, NAMESPACES } from '../support/kube.ts';

const NAMESPACE = 'bench-kube';
const [kubeconfig, count = '10000', measured] = process.argv.slice(2);
if (!kubeconfig) {
  console.error('usage: npm run bench -- kube KUBECONFIG [COUNT]');
  process.exit(2);
}
const megabytes = (bytes: number) => Math.round(bytes / 1e6);
const client = new Client(new Http(connectionSource({ kubeconfig })), { fieldManager: 'bench' });

if (measured) await measure();
else await prepare(Number(count));

async function prepare(total: number): Promise<void> {
  await client.apply(NAMESPACES, { metadata: { name: NAMESPACE } });
  const numbers = Array.from({ length: total }, (_, i) => i).values();
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      for (const i of numbers) {
        const data = Object.fromEntries(
          Array.from({ length: 20 }, (_, n) => [`field-${n}`, `${i} ${'x'.repeat(100)}`]),
        );
        await client.apply(CONFIG_MAPS, { metadata: { name: `object-${i}`, namespace: NAMESPACE }, data });
      }
    }),
  );
  const self = spawnSync(
    process.execPath,
    ['--expose-gc', import.meta.filename, kubeconfig as string, count, 'measure'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      encoding: 'utf8',
    },
  );
  const result = JSON.parse(self.stdout) as Record<string, number>;
  console.table(result);
  console.log(JSON.stringify(result));
  await client.delete(NAMESPACES, { name: NAMESPACE });
  await client.http.close();
}

async function measure(): Promise<void> {
  let connections = 0;
  diagnostics.subscribe('net.client.socket', () => {
    connections++;
  });
  await client.get(NAMESPACES, { name: NAMESPACE });
  globalThis.gc?.();
  const before = process.memoryUsage();
  const cpu = process.cpuUsage();
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const started = performance.now();
  const stop = new AbortController();
  const log = pino({ level: 'warn' }, pino.destination(2));
  const cache = new Cache(client, CONFIG_MAPS, { instruments: createInstruments({ log }), namespaces: [NAMESPACE] });
  const running = cache.run(stop.signal);
  await cache.whenSynced(stop.signal);
  const seconds = (performance.now() - started) / 1000;
  delay.disable();
  const used = process.cpuUsage(cpu);
  const peak = process.resourceUsage().maxRSS * 1024;
  globalThis.gc?.();
  const after = process.memoryUsage();
  const watches = connections;
  const calls = 500;
  const callsStarted = performance.now();
  for (let i = 0; i < calls; i++) await client.find(CONFIG_MAPS, { namespace: NAMESPACE, name: `object-${i}` });
  const result = {
    objects: cache.size,
    syncSeconds: Number(seconds.toFixed(2)),
    cpuSeconds: Number(((used.user + used.system) / 1e6).toFixed(2)),
    longestStallMs: Math.round(delay.max / 1e6),
    rssBeforeMB: megabytes(before.rss),
    rssPeakMB: megabytes(peak),
    rssAfterMB: megabytes(after.rss),
    heapGrowthMB: megabytes(after.heapUsed - before.heapUsed),
    sequentialCalls: calls,
    connectionsForCalls: connections - watches,
    connectionsAll: connections,
    msPerCall: Number(((performance.now() - callsStarted) / calls).toFixed(2)),
  };
  console.log(JSON.stringify(result));
  stop.abort();
  await running;
  await client.http.close();
}
