import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parse } from 'yaml';
import type { Fault } from './fault.ts';

/** Writes a kubeconfig for another server address, for example that of a proxy. */
export async function kubeconfigFor(url: string): Promise<{ path: string; remove(): Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'ooni-kubeconfig-'));
  const path = join(dir, 'config');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    // The client rejects plain HTTP unless this allows it.
    clusters: [{ name: 'c', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'u', user: {} }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u', namespace: 'default' } }],
    'current-context': 'c',
  };
  writeFileSync(path, JSON.stringify(config));
  return { path, remove: () => rm(dir, { recursive: true }) };
}

/**
 * A proxy between the operator and the API server. It forwards everything and lets a test decide about each write: `onWrite` is called
 * after the API server has answered and before the operator gets the response. If it returns false, the response is withheld for good.
 */
export class ApiProxy {
  /** Every request that the API server has answered, oldest first. */
  readonly seen: { readonly method: string; readonly url: string; readonly status: number }[] = [];
  onWrite: (request: { method: string; path: string; body: string }) => boolean = () => true;
  /** Returns the fault of a request. */
  fault: (request: { method: string; path: string }) => Fault | undefined = () => undefined;
  readonly #server: Server;
  readonly #upstream: { server: string; token: string; ca?: Buffer };

  constructor(kubeconfig: string) {
    const config = parse(readFileSync(kubeconfig, 'utf8'));
    const cluster = config.clusters[0].cluster;
    const ca = cluster['certificate-authority-data']
      ? Buffer.from(cluster['certificate-authority-data'], 'base64')
      : cluster['certificate-authority']
        ? readFileSync(cluster['certificate-authority'])
        : undefined;
    this.#upstream = { server: cluster.server, token: config.users[0].user.token, ca };
    this.#server = createServer((request, response) => void this.#forward(request, response));
  }

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      // The operator died while it sent the request: the API server receives nothing.
      return;
    }
    const asked = { method: request.method ?? 'GET', path: request.url ?? '' };
    const fault = this.fault(asked);
    if (typeof fault === 'object' && 'refuse' in fault) {
      response.writeHead(fault.refuse, {
        'content-type': 'application/json',
        ...(fault.refuse === 429 && { 'retry-after': '1' }),
      });
      response.end(JSON.stringify({ kind: 'Status', status: 'Failure', code: fault.refuse, message: 'by the proxy' }));
      return;
    }
    if (typeof fault === 'object') await delay(fault.delay);
    this.#send(request, Buffer.concat(chunks), response, fault);
  }

  #send(request: IncomingMessage, body: Buffer, response: ServerResponse, fault: Fault | undefined): void {
    // The operator gave up or died meanwhile: the API server receives nothing.
    if (response.destroyed) return;
    const { server, token, ca } = this.#upstream;
    const { host: _, authorization: __, ...headers } = request.headers;
    const upstream = httpsRequest(new URL(request.url ?? '/', server), {
      method: request.method,
      headers: { ...headers, authorization: `Bearer ${token}` },
      ca,
      rejectUnauthorized: ca !== undefined,
    });
    upstream.on('response', answer => {
      if (fault === 'replay') {
        answer.resume().on('end', () => this.#send(request, body, response, undefined));
        return;
      }
      const { method = 'GET', url: path = '' } = request;
      this.seen.push({ method, url: path, status: answer.statusCode ?? 0 });
      if (method !== 'GET' && !this.onWrite({ method, path, body: body.toString() })) {
        answer.resume();
        return;
      }
      if (fault === 'lose') {
        // Read to its end first, so that the server has surely finished.
        answer.resume().on('end', () => response.destroy());
        return;
      }
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    upstream.on('error', () => response.destroy());
    response.on('close', () => upstream.destroy());
    upstream.end(body);
  }
}

/** A TCP port that forwards to another one, and can be cut or frozen, to simulate a server that stops and starts again. */
export class Cable {
  readonly #target: { host: string; port: number };
  readonly #server = createTcpServer(socket => this.#join(socket));
  readonly #sockets = new Set<Socket>();
  #cut = false;
  #frozen = false;

  constructor(target: string) {
    const [host = '', port = ''] = target.split(':');
    this.#target = { host, port: Number(port) };
  }

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.#cut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#cut = false;
  }

  /** Keeps all connections open and forwards nothing more. New connections are accepted. */
  freeze(): void {
    this.#frozen = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** Ends a freeze. Frozen connections break. */
  thaw(): void {
    this.#frozen = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  stop(): void {
    this.cut();
    this.#server.close();
  }

  #join(socket: Socket): void {
    if (this.#frozen) {
      this.#sockets.add(socket.pause());
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
      return;
    }
    if (this.#cut) {
      socket.destroy();
      return;
    }
    const other = connect(this.#target);
    for (const [from, to] of [
      [socket, other],
      [other, socket],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => {});
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  }
}
