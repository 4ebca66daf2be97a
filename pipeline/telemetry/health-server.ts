import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Metrics as text for Prometheus. A Registry of prom-client is one. */
export interface MetricsText {
  readonly contentType: string;
  metrics(): Promise<string>;
}

/** A check: returns undefined when it passes, otherwise a sentence. */
export type Check = () => string | undefined;

export interface HealthOptions {
  /** `host:port`, `[v6]:port`, or `:port` for all addresses of the machine. Port 0 selects a free one. */
  readonly address: string;
  readonly registry: MetricsText;
  /** Returns further metrics as text, in chunks. They follow those of the registry. */
  readonly more?: () => AsyncIterable<string>;
  /** A failing check makes /healthz answer 500, and the kubelet restarts the process. Include only problems that a restart can solve. */
  readonly live: Readonly<Record<string, Check>>;
  /** A failing check makes /readyz answer 503. */
  readonly ready: Readonly<Record<string, Check>>;
}

export interface HealthServer {
  /** URL of the server, with the actual port. */
  readonly url: string;
  stop(): Promise<void>;
}

/** The server cannot listen on an address. The message names the address and the cause. */
export class HealthAddressError extends Error {
  override name = 'HealthAddressError';
}

/**
 * Serves /healthz, /readyz and /metrics. The body names each check, with `[+]` when it passes or `[-]` and its sentence, as that of the
 * API server does.
 */
export async function serveHealth(options: HealthOptions): Promise<HealthServer> {
  const { address, live, ready } = options;
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, 'only GET\n');
    switch (path) {
      case '/healthz':
      case '/livez':
        return report(response, live, 500);
      case '/readyz':
        return report(response, ready, 503);
      case '/metrics':
        void serveMetrics(response, options);
        return;
      default:
        return answer(response, 404, 'paths: /healthz /readyz /metrics\n');
    }
  });
  const listen = parseAddress(address);
  await new Promise<void>((resolve, reject) => {
    server.once('error', error => {
      reject(new HealthAddressError(`health address ${address}: ${error.message}`, { cause: error }));
    });
    server.listen(listen, resolve);
  });
  const bound = server.address() as AddressInfo;
  const shown = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
  return {
    url: `http://${shown}:${bound.port}`,
    async stop() {
      server.closeAllConnections();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}

async function serveMetrics(response: ServerResponse, { registry, more }: HealthOptions): Promise<void> {
  try {
    const text = await registry.metrics();
    if (!more) return answer(response, 200, text, registry.contentType);
    response.writeHead(200, { 'content-type': registry.contentType });
    response.write(text);
    await pipeline(Readable.from(more()), response);
  } catch (error) {
    // The status 200 is already sent. The broken connection reports the failure.
    if (response.headersSent) response.destroy();
    else answer(response, 500, `${(error as Error).message}\n`);
  }
}

function report(response: ServerResponse, checks: Readonly<Record<string, Check>>, failed: number): void {
  let status = 200;
  const lines = Object.entries(checks).map(([name, check]) => {
    const wrong = outcome(check);
    if (wrong === undefined) return `[+] ${name}`;
    status = failed;
    return `[-] ${name}: ${wrong}`;
  });
  answer(response, status, `${[...lines, status === 200 ? 'ok' : 'failed'].join('\n')}\n`);
}

/** Runs a check. One that throws has failed. */
function outcome(check: Check): string | undefined {
  try {
    return check();
  } catch (error) {
    return (error as Error).message;
  }
}

function answer(response: ServerResponse, status: number, body: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type }).end(body);
}

function parseAddress(address: string): { host?: string; port: number } {
  const [match, v6, name, port] = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(address) ?? [];
  if (match === undefined || Number(port) > 65_535) {
    throw new HealthAddressError(`health address "${address}": write host:port, as 0.0.0.0:8080`);
  }
  const host = v6 ?? name;
  return { ...(host && { host }), port: Number(port) };
}
