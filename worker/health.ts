import { createServer, type Server } from 'node:http';
import type { WorkerMetrics } from './metrics.ts';

/** State of a worker for its health checks. */
export interface Health {
  /** False when the worker can no longer do its work and must be restarted. */
  alive(): boolean;
  /** Undefined when the worker takes tasks, otherwise a sentence with the cause of its wait. */
  notReady(): string | undefined;
}

/** Serves /healthz, /readyz and /metrics. Throws when the address is taken or invalid. */
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
  if (!parts || Number(parts[3]) > 65535) throw new TypeError(`"${address}" is not an address; write host:port`);
  const host = parts[1] ?? parts[2];
  return { ...(host && { host }), port: Number(parts[3]) };
}
