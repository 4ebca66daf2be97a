import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Connection } from './config.ts';

/** A request over one of the connections. */
export interface Outgoing {
  readonly method: string;
  /** Path behind that of the server, with the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
  /** Called when a connection is ready, before anything is written to it. If it throws, nothing is sent and the error is rethrown. */
  readonly beforeSend?: () => void;
}

/** Milliseconds until a connection is established, with its TLS handshake, at most. */
const CONNECT = 10_000;
/** Milliseconds without data after which TCP asks the other side whether it is still there. */
const PROBE = 30_000;
/** Milliseconds for which an idle connection is kept: less than the 90 s of the API server, so that no request meets a closing connection. */
const IDLE = 60_000;

/** Connections to one server with one certificate: a few that calls share, and one for each watch. */
export class Connections {
  readonly #server: URL;
  readonly #transport: typeof http | typeof https;
  readonly #agent: http.Agent;

  constructor({ server, tls: options, proxy }: Connection) {
    this.#server = new URL(server);
    this.#transport = this.#server.protocol === 'https:' ? https : http;
    this.#agent = new this.#transport.Agent({
      ...options,
      ...{ keepAlive: true, timeout: IDLE },
      ...(proxy && { proxyEnv: { HTTP_PROXY: proxy, HTTPS_PROXY: proxy } }),
    });
  }

  /** Sends a request. Returns the answer when its headers have arrived; throws the errors of the system. */
  send({ method, path, headers, body, signal, beforeSend }: Outgoing): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const { protocol, hostname, port, pathname } = this.#server;
      const request = this.#transport.request({
        agent: this.#agent,
        ...{ protocol, hostname: bare(hostname), port, method, signal },
        // Node adds the length to a POST, PUT or PATCH only. The body of a DELETE without it would be read as another request.
        headers: body === undefined ? headers : { ...headers, 'content-length': String(Buffer.byteLength(body)) },
        path: `${pathname.replace(/\/$/, '')}${path}`,
      });
      const late = setTimeout(() => request.destroy(timedOut(`no connection within ${CONNECT / 1000} s`)), CONNECT);
      request.once('response', resolve);
      request.on('error', reject);
      request.once('close', () => clearTimeout(late));
      request.once('socket', socket =>
        whenReady(socket, request.reusedSocket, () => {
          clearTimeout(late);
          try {
            beforeSend?.();
          } catch (error) {
            request.destroy(error as Error);
            return;
          }
          request.end(body);
        }),
      );
    });
  }

  /** Closes idle connections now, and the others when their requests end. */
  retire(): void {
    this.#agent.maxFreeSockets = 0;
    for (const sockets of Object.values(this.#agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }
}

/** Returns a host name without the brackets of an IPv6 address. */
function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '');
}

function timedOut(message: string): Error {
  return Object.assign(new Error(message), { code: 'ETIMEDOUT' });
}

/** Calls `ready` when a socket is connected, and its TLS handshake is done. An agent with a proxy hands sockets out after the handshake. */
function whenReady(socket: Socket, isReused: boolean, ready: () => void): void {
  const begin = () => {
    if (!isReused) socket.setKeepAlive(true, PROBE);
    ready();
  };
  if (socket instanceof TLSSocket && socket.getPeerFinished() === undefined) socket.once('secureConnect', begin);
  else if (socket.connecting) socket.once('connect', begin);
  else begin();
}
