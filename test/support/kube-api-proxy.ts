import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Agent as HttpsAgent, request as requestUpstream } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Connection, ConnectionSource } from '../../operator/kube/config.ts';

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly watch: boolean;
  /** Number of the client's connection, from 0. */
  readonly connection: number;
}

/** A fault for requests that match. */
export type Fault =
  /** The proxy answers; it never forwards the request. */
  | { readonly answer: { status: number; headers?: Record<string, string>; body?: unknown } }
  /** The request is forwarded and executed. The response never arrives, and the connection breaks unless kept open. */
  | { readonly loseAnswer: true; readonly keepOpen?: boolean }
  /** The connection is closed before forwarding. */
  | { readonly refuse: true }
  /** A watch that ends at once with this text. */
  | { readonly tail: string }
  /** Lines of a watch for which this returns false are dropped. */
  | { readonly line: (line: string) => boolean };

/**
 * A proxy between a client and a real API server that causes network faults on request: it cuts connections, stalls silently, loses
 * responses, and answers instead of the server. Speaks plain HTTP to the client.
 */
export class ApiProxy {
  readonly seen: SeenRequest[] = [];
  /** Requests continue with the identity of this user, who has no permissions by default. */
  impersonate: string | undefined;
  readonly #server: Server;
  readonly #upstream: Connection;
  readonly #agent: HttpsAgent;
  readonly #faults = new Set<{ fault: Fault; match: (request: SeenRequest) => boolean; times: number }>();
  readonly #watches = new Set<{ response: ServerResponse; stalled: boolean }>();
  readonly #sockets = new Map<Socket, number>();
  #connections = 0;
  #down = false;

  static async start(source: ConnectionSource): Promise<ApiProxy> {
    const proxy = new ApiProxy(await source());
    await new Promise<void>(resolve => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  private constructor(upstream: Connection) {
    this.#upstream = upstream;
    this.#agent = new HttpsAgent({ keepAlive: true, ...upstream.tls });
    this.#server = createServer((request, response) => this.#handle(request, response));
    this.#server.keepAliveTimeout = 90_000;
    this.#server.on('connection', socket => {
      if (this.#down) return socket.destroy();
      this.#sockets.set(socket, this.#connections++);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  /** Connection of a client to the API server through this proxy. */
  readonly source: ConnectionSource = async () => ({
    server: `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`,
    namespace: 'default',
    headers: {},
    tls: {},
  });

  /** Number of connections that the client has opened. */
  get connections(): number {
    return this.#connections;
  }

  /** Number of open watches. */
  get openWatches(): number {
    return this.#watches.size;
  }

  /** Applies a fault to the next `times` matching requests. Returns a function that ends it earlier. */
  fault(fault: Fault, match: (request: SeenRequest) => boolean, times = Number.POSITIVE_INFINITY): () => void {
    const entry = { fault, match, times };
    this.#faults.add(entry);
    return () => this.#faults.delete(entry);
  }

  /** Cuts every open watch. */
  cutWatches(): void {
    for (const { response } of this.#watches) response.destroy();
  }

  /** Stalls all open watches: they stay open but receive nothing more. New watches work. */
  stallWatches(): void {
    for (const watch of this.#watches) watch.stalled = true;
  }

  /** Simulates a network outage: cuts connections and closes new ones at once, until `up`. */
  down(): void {
    this.#down = true;
    for (const socket of this.#sockets.keys()) socket.destroy();
  }

  up(): void {
    this.#down = false;
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    this.#server.closeAllConnections();
    await new Promise<void>(resolve => this.#server.close(() => resolve()));
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://proxy');
    const seen: SeenRequest = {
      method: request.method ?? 'GET',
      path: url.pathname,
      query: url.searchParams,
      watch: url.searchParams.get('watch') === 'true',
      connection: this.#sockets.get(request.socket) ?? -1,
    };
    this.seen.push(seen);
    const entry = [...this.#faults].find(({ match }) => match(seen));
    if (entry && --entry.times <= 0) this.#faults.delete(entry);
    const fault = entry?.fault;
    if (fault && 'refuse' in fault) return void request.socket.destroy();
    if (fault && 'answer' in fault) {
      const { status, headers, body } = fault.answer;
      request.resume();
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(
        JSON.stringify(body ?? { kind: 'Status', status: 'Failure', code: status, message: 'by the proxy' }),
      );
      return;
    }
    if (fault && 'tail' in fault) {
      response.writeHead(200, { 'content-type': 'application/json' });
      return void response.end(fault.tail);
    }
    this.#forward(request, response, seen, fault);
  }

  #forward(request: IncomingMessage, response: ServerResponse, seen: SeenRequest, fault?: Fault): void {
    const { host: _, ...headers } = request.headers;
    if (this.impersonate) headers['impersonate-user'] = this.impersonate;
    const watch = { response, stalled: false };
    // Counted from the request, not from the response: a test can then cut a watch as soon as it has seen the request.
    if (seen.watch) this.#watches.add(watch);
    const upstream = requestUpstream(
      `${this.#upstream.server}${request.url}`,
      { method: request.method, headers: { ...headers, ...this.#upstream.headers }, agent: this.#agent },
      answer => {
        if (fault && 'loseAnswer' in fault) {
          // Read to its end first, so that the server has surely finished.
          answer.resume().on('end', () => fault.keepOpen || request.socket.destroy());
          return;
        }
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        if (!seen.watch) return void answer.pipe(response);
        response.flushHeaders();
        const pass = fault && 'line' in fault ? fault.line : () => true;
        let rest = '';
        answer.setEncoding('utf8').on('data', (text: string) => {
          const lines = (rest + text).split('\n');
          rest = lines.pop() as string;
          for (const line of lines) if (!watch.stalled && pass(line)) response.write(`${line}\n`);
        });
        answer.on('end', () => watch.stalled || response.end());
        answer.on('error', () => response.destroy());
      },
    );
    upstream.on('error', () => response.destroy());
    if (seen.watch) {
      response.on('close', () => {
        this.#watches.delete(watch);
        upstream.destroy();
      });
    }
    request.pipe(upstream);
  }
}
