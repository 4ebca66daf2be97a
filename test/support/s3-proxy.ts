import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A fault that replaces the normal forwarding of a request. */
export type Fault =
  /** Break the connection when this many bytes of the body have passed. */
  | { readonly kind: 'reset'; readonly after: number }
  /** End the body there as if it were complete, without the length that the server announced. */
  | { readonly kind: 'cut'; readonly after: number }
  /** Answer like S3 under too many requests. */
  | { readonly kind: 'slow-down' }
  /** Send this response instead of the server's. */
  | { readonly kind: 'answer'; readonly status: number; readonly body: string }
  /** Forward the request after this many milliseconds. */
  | { readonly kind: 'delay'; readonly milliseconds: number }
  /** Break the connection without a response. */
  | { readonly kind: 'no-answer' };

const SLOW_DOWN =
  '<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>';

export interface FaultyProxy {
  readonly endpoint: string;
  /** Every received request, as `METHOD path range`. */
  readonly requests: string[];
  /** Returns the fault for a request. `number` counts requests from 0. */
  fault: (message: IncomingMessage, number: number) => Fault | undefined;
  close(): Promise<void>;
}

/** Starts a proxy in front of a server on this machine that causes network faults. */
export async function startFaultyProxy(port: number): Promise<FaultyProxy> {
  const requests: string[] = [];
  const server = createServer(async (message, answer) => {
    const fault = proxy.fault(message, requests.length);
    requests.push(`${message.method} ${message.url} ${message.headers.range ?? ''}`.trim());
    if (fault?.kind === 'no-answer') return message.socket.resetAndDestroy();
    if (fault?.kind === 'slow-down' || fault?.kind === 'answer') {
      const { status, body } = fault.kind === 'answer' ? fault : { status: 503, body: SLOW_DOWN };
      answer.writeHead(status, { 'content-type': 'application/xml' });
      answer.end(body);
      return;
    }
    if (fault?.kind === 'delay') await sleep(fault.milliseconds);
    const { method, url, headers } = message;
    // The Host header is forwarded, because a signature covers it.
    const onward = request({ host: '127.0.0.1', port, method, path: url, headers, agent: false }, reply => {
      const limit = fault && 'after' in fault ? fault.after : Number.POSITIVE_INFINITY;
      const replyHeaders = { ...reply.headers };
      if (fault?.kind === 'cut') delete replyHeaders['content-length'];
      answer.writeHead(reply.statusCode!, replyHeaders);
      let sent = 0;
      reply.on('data', (chunk: Buffer) => {
        const part = chunk.subarray(0, Math.max(0, limit - sent));
        sent += part.length;
        if (part.length === chunk.length) {
          if (!answer.write(part)) reply.pause();
          return;
        }
        reply.destroy();
        // The written part has to arrive before the connection breaks.
        answer.write(part, () =>
          fault?.kind === 'cut' ? answer.end() : setTimeout(() => message.socket.resetAndDestroy(), 20),
        );
      });
      answer.on('drain', () => reply.resume());
      reply.on('end', () => answer.end());
      reply.on('error', () => {});
    });
    onward.on('error', () => message.socket.destroy());
    answer.on('close', () => onward.destroy());
    message.pipe(onward);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const proxy: FaultyProxy = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    fault: () => undefined,
    close: () => {
      server.closeAllConnections();
      return new Promise(resolve => server.close(() => resolve()));
    },
  };
  return proxy;
}
