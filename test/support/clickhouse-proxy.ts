import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request on its way to ClickHouse. */
export interface Passing {
  /** The statement: the `query` parameter, or the body. */
  readonly statement: string;
  /** The beginning of the data of the statement: rows of an INSERT. */
  readonly data: string;
  /** The setting `log_comment`, which ClickHouse writes into its query log; empty: none. */
  readonly comment: string;
  /** Forwards the request and returns the server's response, which the client has not received yet. */
  forward(): Promise<Response>;
  /** Sends a response to the client. */
  answer(response: Response): Promise<void>;
  /** Answers instead of the server. */
  refuse(status: number, message: string): void;
  /** Breaks the connection without a response. */
  drop(): void;
}

/** Starts a server in front of ClickHouse that can treat requests and responses like a bad network or a dying process. */
export async function startProxy(
  target: string,
  handle: (passing: Passing) => Promise<void>,
): Promise<{ url: string; close(): void }> {
  const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const url = new URL(request.url ?? '/', target);
    const data = body.toString('utf8', 0, 10_000);
    await handle({
      statement: url.searchParams.get('query') ?? data,
      data,
      comment: url.searchParams.get('log_comment') ?? '',
      forward: () => fetch(url, { method: request.method, ...(request.method !== 'GET' && { body }) }),
      answer: async answer => {
        const bytes = Buffer.from(await answer.arrayBuffer());
        const headers = [...answer.headers].filter(([name]) => name.startsWith('x-click'));
        response.writeHead(answer.status, Object.fromEntries(headers)).end(bytes);
      },
      refuse: (status, message) => response.writeHead(status).end(message),
      drop: () => request.socket.destroy(),
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}${new URL(target).pathname}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
