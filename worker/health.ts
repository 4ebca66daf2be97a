import { createServer, type Server } from 'node:http';
import type { WorkerMetrics } from './metrics.ts';

/** What a worker says of itself. */
export interface Health {
  /** False when it cannot do its work any more and should be started anew. */
  alive(): boolean;
  /** Undefined when it takes work, else a sentence that says what it waits for. */
  notReady(): string | undefined;
}

/** Serves /healthz, /readyz and /metrics. Throws when the address is taken or is none. */
export async function serveHealth(address: string, health: Health, metrics: WorkerMetrics): Promise<Server> {
  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    const answer = (status: number, text: string) =>
      response.writeHead(status, { 'content-type': 'text/plain' }).end(text);
    if (path === '/healthz') return answer(health.alive() ? 200 : 500, health.alive() ? 'ok\n' : 'stopped\n');
    if (path === '/readyz') {
      const reason = health.notReady();
      return answer(reason === undefined ? 200 : 503, `${reason ?? 'ok'}\n`);
    }
    if (path !== '/metrics') return answer(404, 'there are /healthz, /readyz and /metrics\n');
    return response
      .writeHead(200, { 'content-type': metrics.registry.contentType })
      .end(await metrics.registry.metrics());
  });
  const { host, port } = parseAddress(address);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return server;
}

/** `host:port`, `[v6]:port` or `:port`. */
export function parseAddress(address: string): { host?: string; port: number } {
  const parts = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(address);
  if (!parts || Number(parts[3]) > 65535) throw new TypeError(`"${address}" is no address; write host:port`);
  const host = parts[1] ?? parts[2];
  return { ...(host && { host }), port: Number(parts[3]) };
}
