import { afterEach, expect, it } from 'vitest';
import { instruments } from '../../test/support/kube.ts';
import { HealthAddressError, type HealthOptions, type HealthServer, serveHealth } from './health-server.ts';

let server: HealthServer | undefined;
afterEach(async () => {
  await server?.stop();
  server = undefined;
});

async function serve(options: Partial<HealthOptions>) {
  const { registry } = instruments().metrics;
  server = await serveHealth({ address: '127.0.0.1:0', registry, live: {}, ready: {}, ...options });
  return async (path: string, method = 'GET') => {
    const response = await fetch(`${server?.url}${path}`, { method });
    return [response.status, await response.text()] as const;
  };
}

it('names each check, and answers 500 while one of /healthz fails', async () => {
  let lease: string | undefined;
  const get = await serve({ live: { lease: () => lease, loop: () => undefined } });
  expect(await get('/healthz')).toEqual([200, '[+] lease\n[+] loop\nok\n']);
  lease = 'lease x is 12 s past its renew deadline';
  expect(await get('/healthz?verbose')).toEqual([500, `[-] lease: ${lease}\n[+] loop\nfailed\n`]);
  expect(await get('/readyz')).toEqual([200, 'ok\n']);
});

it('counts a check that throws as failed', async () => {
  const get = await serve({
    ready: {
      broken: () => {
        throw new Error('oh');
      },
    },
  });
  expect(await get('/readyz')).toEqual([503, '[-] broken: oh\nfailed\n']);
});

it('serves the metrics, the process and its event loop among them', async () => {
  const get = await serve({});
  const [status, text] = await get('/metrics');
  expect(status).toBe(200);
  for (const name of [
    'nodejs_eventloop_lag_seconds',
    'process_resident_memory_bytes',
    'workqueue_depth',
    'controller_runtime_reconcile_total',
  ]) {
    expect(text).toContain(`# TYPE ${name} `);
  }
});

it('serves further metrics after those of the registry, and cuts an answer that fails in the middle', async () => {
  let failing = false;
  async function* more() {
    yield 'more_a 1\n';
    if (failing) throw new Error('oh');
    yield 'more_b 2\n';
  }
  const get = await serve({ more });
  const [status, text] = await get('/metrics');
  expect(status).toBe(200);
  expect(text).toContain('# TYPE workqueue_depth gauge');
  expect(text.split('\n').slice(-3)).toEqual(['more_a 1', 'more_b 2', '']);
  failing = true;
  await expect(get('/metrics')).rejects.toThrow();
});

it('answers no other path or method', async () => {
  const get = await serve({});
  expect((await get('/'))[0]).toBe(404);
  expect((await get('/healthz', 'POST'))[0]).toBe(405);
});

it.each([
  ['127.0.0.1:0', /^http:\/\/127\.0\.0\.1:\d+$/],
  ['[::1]:0', /^http:\/\/\[::1\]:\d+$/],
  [':0', /^http:\/\/(\[::\]|0\.0\.0\.0):\d+$/],
])('listens on %s', async (address, url) => {
  await serve({ address });
  expect(server?.url).toMatch(url);
});

it.each(['8080', 'host', '', '::1:80', 'localhost:', 'localhost:x', 'localhost:70000'])(
  'rejects the address %s and names the valid form',
  async address => {
    await expect(serve({ address })).rejects.toThrow(/write host:port/);
  },
);

it('names an address that is taken', async () => {
  await serve({});
  const taken = server?.url.replace('http://', '') as string;
  const { registry } = instruments().metrics;
  const second = serveHealth({ address: taken, registry, live: {}, ready: {} });
  await expect(second).rejects.toBeInstanceOf(HealthAddressError);
  await expect(second).rejects.toThrow(`health address ${taken}: listen EADDRINUSE`);
});
