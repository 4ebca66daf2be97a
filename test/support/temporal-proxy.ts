import { once } from 'node:events';
import {
  type ClientHttp2Session,
  connect,
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { Fault } from './fault.ts';

/** Methods of Temporal's services that change something. */
const WRITES = /^(Add|Create|Delete|Patch|Register|RequestCancel|Reset|Set|Signal|Start|Terminate|Update)/;

/**
 * A proxy between the operator and Temporal for unary gRPC calls. `seen` has the method of each call. A test decides about each write:
 * `onWrite` is called after Temporal has answered and before the operator gets the response. If it returns false, the response is withheld
 * for good. `fault` may disturb any call.
 */
export class TemporalProxy {
  onWrite: (method: string) => boolean = () => true;
  /** Returns the fault of a call. */
  fault: (method: string) => Fault | undefined = () => undefined;
  readonly seen: string[] = [];
  readonly #target: string;
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(target: string) {
    this.#target = `http://${target}`;
    this.#server = createServer();
    this.#server.on('session', session => this.#join(session));
  }

  /** Returns host:port of the proxy. */
  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    for (const session of this.#sessions) session.destroy();
    this.#server.close();
  }

  #join(session: ServerHttp2Session): void {
    const upstream = connect(this.#target);
    this.#sessions.add(session);
    session.on('error', () => {});
    upstream.on('error', () => session.destroy());
    session.on('close', () => {
      this.#sessions.delete(session);
      upstream.destroy();
    });
    upstream.on('close', () => session.destroy());
    session.on('stream', (stream, headers) => this.#forward(upstream, stream, headers));
  }

  #forward(upstream: ClientHttp2Session, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const method = String(headers[':path']).split('/').at(-1) ?? '';
    this.seen.push(method);
    stream.on('error', () => {});
    const fault = this.fault(method);
    if (typeof fault === 'object' && 'refuse' in fault) {
      stream.resume();
      stream.respond(
        {
          ':status': 200,
          'content-type': 'application/grpc',
          'grpc-status': String(fault.refuse),
          'grpc-message': encodeURIComponent('by the proxy'),
        },
        { endStream: true },
      );
      return;
    }
    const body: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => body.push(chunk));
    stream.on('end', () => {
      const send = () => this.#send(upstream, stream, { headers, method, body: Buffer.concat(body) }, fault);
      if (typeof fault === 'object') setTimeout(send, fault.delay);
      else send();
    });
  }

  #send(
    upstream: ClientHttp2Session,
    stream: ServerHttp2Stream,
    asked: { readonly headers: IncomingHttpHeaders; readonly method: string; readonly body: Buffer },
    fault: Fault | undefined,
  ): void {
    if (upstream.destroyed || stream.destroyed) return;
    const { headers, method, body } = asked;
    const call = upstream.request(headers);
    const answer: { headers?: IncomingHttpHeaders; trailers?: IncomingHttpHeaders; readonly data: Buffer[] } = {
      data: [],
    };
    call.on('response', received => {
      answer.headers = received;
    });
    call.on('data', (chunk: Buffer) => answer.data.push(chunk));
    call.on('trailers', received => {
      answer.trailers = received;
    });
    call.on('error', () => stream.close(constants.NGHTTP2_CANCEL));
    call.on('end', () => {
      if (fault === 'replay') {
        this.#send(upstream, stream, asked, undefined);
        return;
      }
      if (fault === 'lose') {
        stream.session?.destroy();
        return;
      }
      if (WRITES.test(method) && !this.onWrite(method)) return;
      if (stream.destroyed || !answer.headers) return;
      const { trailers } = answer;
      if (!trailers) {
        // An error: its status is among the headers, which then have to end the response.
        stream.respond(answer.headers, { endStream: true });
        return;
      }
      stream.respond(answer.headers, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers(trailers));
      stream.end(Buffer.concat(answer.data));
    });
    stream.on('close', () => call.close(constants.NGHTTP2_CANCEL));
    call.end(body);
  }
}
