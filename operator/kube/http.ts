import type { IncomingMessage } from 'node:http';
import { backOff } from '../../pipeline/back-off.ts';
import { type Clock, linked, sleep, systemClock } from './clock.ts';
import type { Connection, ConnectionSource } from './config.ts';
import { Connections } from './connections.ts';
import {
  errorFor,
  KubeError,
  retryAfter,
  SilentError,
  type StatusBody,
  TooManyRequestsError,
  UnreachableError,
} from './errors.ts';

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Default application/json. */
  readonly contentType?: string;
  /** Milliseconds for the request with its repetitions; default 30,000. For a stream: until its headers arrive. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
  /** Called at the last moment before bytes are sent, on every attempt. If it throws, nothing is sent and the error is rethrown. */
  readonly beforeSend?: () => void;
}

/** Called once for each answer and for each failure to get one (`status` 0). */
export type HttpObserver = (method: string, status: number) => void;

interface Connected {
  readonly connection: Connection;
  readonly connections: Connections;
  /** Monotonic time of reading. */
  readonly at: number;
}

const TIMEOUT = 30_000;

/** Waits before a request is repeated that the server rejected as one too many (429). */
const BUSY_WAITS = { initial: 100, longest: 10_000 };
/** Milliseconds after which credentials are read again, the interval of client-go for token files. */
const CREDENTIALS_AGE = 60_000;
/** Bytes of the longest line of a watch. etcd accepts objects of 1.5 MB; JSON with escapes may be several times that size. */
const LONGEST_LINE = 32 * 1024 * 1024;

/**
 * HTTP to one API server over shared connections: a few for calls, one for each watch. (client-node makes a dispatcher per request: 500
 * calls, 500 TLS handshakes.) The client is that of Node: undici compiles its parser from WebAssembly at the first request, which takes 25 MB
 * that the process keeps.
 *
 * A request is repeated only where that is safe: once after 401, with credentials read again; after 429 (the server did nothing), when
 * Retry-After ends before the deadline; and, if it is a read, once after a broken connection.
 */
export class Http {
  readonly #source: ConnectionSource;
  readonly #clock: Clock;
  readonly #observe: HttpObserver;
  readonly #userAgent: string;
  #connected: Connected | undefined;
  #reading: Promise<Connected> | undefined;
  #open: { key: string; connections: Connections } | undefined;

  constructor(source: ConnectionSource, options: { clock?: Clock; observe?: HttpObserver; userAgent?: string } = {}) {
    this.#source = source;
    this.#clock = options.clock ?? systemClock;
    this.#observe = options.observe ?? (() => {});
    this.#userAgent = options.userAgent ?? 'ooni-pipeline';
  }

  /** Returns the decoded JSON answer. Throws the fitting class of errors.ts, or the signal's reason when it aborts. */
  async request<T>(request: HttpRequest): Promise<T> {
    const name = `${request.method} ${request.path}`;
    const timeout = request.timeout ?? TIMEOUT;
    const deadline = this.#clock.monotonic() + timeout;
    const { controller, unlink } = linked(request.signal);
    const cancel = this.#clock.after(timeout, () =>
      controller.abort(new UnreachableError(name, `no answer within ${timeout / 1000} s`)),
    );
    let refreshed = false;
    let reset = false;
    try {
      for (let failures = 1; ; failures++) {
        try {
          const response = await this.#send(request, controller.signal);
          const text = await textOf(response);
          if (statusOf(response) < 300) return JSON.parse(text) as T;
          throw answerOf(name, response, text);
        } catch (caught) {
          controller.signal.throwIfAborted();
          const error = connectionError(name, caught);
          if (error.status === 401 && !refreshed) {
            refreshed = true;
            this.#connected = undefined;
          } else if (error.status === 0 && request.method === 'GET' && !reset) {
            reset = true;
          } else if (error instanceof TooManyRequestsError) {
            const wait = Math.max(error.after, backOff(failures, BUSY_WAITS, this.#clock.random()));
            if (this.#clock.monotonic() + wait >= deadline) throw error;
            await sleep(this.#clock, wait, controller.signal);
          } else {
            throw error;
          }
        }
      }
    } finally {
      cancel();
      unlink();
    }
  }

  /**
   * Returns the lines of a streamed answer (a watch) until the server ends it. After `idle` milliseconds without a byte the connection
   * counts as dead, and SilentError is thrown. TCP alone would notice after hours, or never behind a proxy.
   */
  async *lines(request: HttpRequest & { readonly idle: number }): AsyncGenerator<string, void, void> {
    const name = `${request.method} ${request.path}`;
    const { controller, unlink } = linked(request.signal);
    const timeout = request.timeout ?? TIMEOUT;
    const silent = () => controller.abort(new SilentError(name, `silent for ${request.idle / 1000} s`));
    let cancel = this.#clock.after(timeout, () =>
      controller.abort(new UnreachableError(name, `no answer within ${timeout / 1000} s`)),
    );
    try {
      let response = await this.#send(request, controller.signal);
      if (statusOf(response) === 401) {
        response.resume();
        this.#connected = undefined;
        response = await this.#send(request, controller.signal);
      }
      if (statusOf(response) >= 300) throw answerOf(name, response, await textOf(response));
      cancel();
      cancel = this.#clock.after(request.idle, silent);
      const decoder = new TextDecoder();
      let parts: string[] = [];
      let length = 0;
      for await (const chunk of response as AsyncIterable<Buffer>) {
        cancel();
        cancel = this.#clock.after(request.idle, silent);
        const text = decoder.decode(chunk, { stream: true });
        let start = 0;
        for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
          parts.push(text.slice(start, end));
          const line = parts.length === 1 ? (parts[0] as string) : parts.join('');
          parts = [];
          length = 0;
          start = end + 1;
          if (line) yield line;
        }
        if (start < text.length) {
          parts.push(text.slice(start));
          length += text.length - start;
          if (length > LONGEST_LINE)
            throw new UnreachableError(name, `sent a line longer than ${LONGEST_LINE} characters`);
        }
      }
      if (length > 0) throw new UnreachableError(name, 'ended in the middle of a line');
    } catch (caught) {
      controller.signal.throwIfAborted();
      throw connectionError(name, caught);
    } finally {
      cancel();
      unlink();
      // A reader that stops early must not leave the connection open.
      controller.abort();
    }
  }

  /** Closes the connections: idle ones now, the others when their requests end. */
  async close(): Promise<void> {
    this.#open?.connections.retire();
    this.#open = undefined;
    this.#connected = undefined;
  }

  async #send(request: HttpRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const { connection, connections } = await this.#connect();
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) query.set(name, String(value));
    }
    const search = query.size > 0 ? `?${query}` : '';
    const headers: Record<string, string> = {
      accept: 'application/json',
      'user-agent': this.#userAgent,
      ...connection.headers,
    };
    if (request.body !== undefined) headers['content-type'] = request.contentType ?? 'application/json';
    signal.throwIfAborted();
    try {
      const response = await connections.send({
        method: request.method,
        path: `${request.path}${search}`,
        headers,
        body: request.body === undefined ? undefined : JSON.stringify(request.body),
        signal,
        beforeSend: request.beforeSend,
      });
      this.#observe(request.method, statusOf(response));
      return response;
    } catch (error) {
      this.#observe(request.method, 0);
      throw error;
    }
  }

  /** Returns credentials and connections. Reads the credentials again when they are old. Concurrent callers share one reading. */
  async #connect(): Promise<Connected> {
    const known = this.#connected;
    if (known && this.#clock.monotonic() - known.at < CREDENTIALS_AGE) return known;
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    try {
      return await this.#reading;
    } catch (error) {
      // A credentials helper that fails briefly must not stop requests while the old credentials still work.
      if (known) return known;
      throw error;
    }
  }

  async #read(): Promise<Connected> {
    const connection = await this.#source();
    const key = JSON.stringify([connection.server, connection.tls, connection.proxy]);
    if (this.#open?.key !== key) {
      // Watches with the old certificate run until the server ends them; new ones use the new certificate.
      this.#open?.connections.retire();
      this.#open = { key, connections: new Connections(connection) };
    }
    this.#connected = { connection, connections: this.#open.connections, at: this.#clock.monotonic() };
    return this.#connected;
  }
}

function statusOf({ statusCode = 0 }: IncomingMessage): number {
  return statusCode;
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function answerOf(name: string, response: IncomingMessage, text: string): KubeError {
  let body: StatusBody;
  try {
    body = JSON.parse(text) as StatusBody;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    // Proxies and the server's own filters answer in plain text.
    body = { message: `HTTP ${statusOf(response)} ${text.slice(0, 200).trim()}`.trim() };
  }
  return errorFor(name, statusOf(response), body, retryAfter(response.headers['retry-after']));
}

/**
 * Returns an UnreachableError for the errors of the system about a broken connection. Returns a KubeError, and throws any
 * other error, unchanged.
 */
function connectionError(name: string, error: unknown): KubeError {
  if (error instanceof KubeError) return error;
  if (error instanceof SyntaxError || isSystemError(error)) {
    const { message, code } = error as Error & { code?: string };
    const what = error instanceof SyntaxError ? 'answered with broken JSON' : message || code || 'connection failed';
    return new UnreachableError(name, what, { cause: error });
  }
  throw error;
}

function isSystemError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof AggregateError && error.errors.some(isSystemError)) return true;
  return typeof (error as NodeJS.ErrnoException).code === 'string';
}
