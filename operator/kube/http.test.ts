import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from '../../test/support/kube.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { Connection } from './config.ts';
import { ServerError, SilentError, TooManyRequestsError, UnauthorizedError, UnreachableError } from './errors.ts';
import { Http } from './http.ts';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** Starts a server on a real socket with prepared answers, and an Http that connects to it. */
async function bed(answers: ((request: IncomingMessage, response: ServerResponse) => void)[], clock?: ManualClock) {
  const requests: { method: string; url: string; authorization?: string; body: string }[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', chunk => {
      body += chunk;
    });
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      requests.push({ method, url, authorization: headers.authorization, body });
      const answer = answers[Math.min(requests.length, answers.length) - 1];
      answer?.(request, response);
    });
  });
  server.on('connection', () => connections++);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const base: Connection = {
    server: `http://127.0.0.1:${(server.address() as AddressInfo).port}/prefix`,
    namespace: 'n',
    headers: {},
    tls: {},
  };
  const readings = { count: 0, fail: undefined as Error | undefined };
  const statuses: number[] = [];
  const http = new Http(
    async () => {
      readings.count++;
      if (readings.fail) throw readings.fail;
      return { ...base, headers: { authorization: `Bearer T${readings.count}` } };
    },
    { clock, observe: (_, status) => statuses.push(status) },
  );
  cleanups.push(async () => {
    server.closeAllConnections();
    await Promise.all([http.close(), new Promise(resolve => server.close(resolve))]);
  });
  /** Returns the number of connections that the server has open. */
  const open = () =>
    new Promise<number>((resolve, reject) =>
      server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
    );
  return {
    http,
    requests,
    readings,
    statuses,
    open,
    server: new URL(base.server).host,
    connections: () => connections,
  };
}

const json =
  (status: number, body: unknown, headers = {}) =>
  (_: IncomingMessage, response: ServerResponse) =>
    void response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
const cut = (request: IncomingMessage) => void request.socket.destroy();
const GET = { method: 'GET', path: '/x' } as const;

describe('a request', () => {
  it('carries query and JSON body, behind the path of the server', async () => {
    const { http, requests } = await bed([json(200, { ok: 1 })]);
    const query = { a: 1, b: undefined, c: 'x y' };
    expect(await http.request({ method: 'POST', path: '/x', query, body: { v: 'ü' } })).toEqual({ ok: 1 });
    expect(requests).toMatchObject([{ method: 'POST', url: '/prefix/x?a=1&c=x+y', body: '{"v":"ü"}' }]);
  });

  it('carries a JSON body with each method that may have one', async () => {
    const { http, requests, connections } = await bed([json(200, { ok: 1 })]);
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE'] as const) {
      expect(await http.request({ method, path: '/x', body: { v: 'ü' } })).toEqual({ ok: 1 });
    }
    expect(await http.request(GET)).toEqual({ ok: 1 });
    const sent = (method: string, body: string) => ({ method, url: '/prefix/x', body });
    const body = '{"v":"ü"}';
    expect(requests).toMatchObject([
      ...['POST', 'PUT', 'PATCH', 'DELETE'].map(method => sent(method, body)),
      sent('GET', ''),
    ]);
    expect(connections()).toBe(1);
  });

  it('reads credentials again once after 401', async () => {
    const { http, requests, readings } = await bed([json(401, {}), json(200, {}), json(401, {})]);
    await http.request(GET);
    expect(requests.map(({ authorization }) => authorization)).toEqual(['Bearer T1', 'Bearer T2']);
    await expect(http.request(GET)).rejects.toBeInstanceOf(UnauthorizedError);
    expect([requests.length, readings.count]).toEqual([4, 3]);
  });

  it('reads credentials again after a minute, shares the reading, and keeps the old ones when that fails', async () => {
    const clock = new ManualClock();
    const { http, requests, readings } = await bed([json(200, {})], clock);
    await Promise.all([http.request(GET), http.request(GET)]);
    expect(readings.count).toBe(1);
    await clock.advance(60_000);
    await Promise.all([http.request(GET), http.request(GET)]);
    expect(readings.count).toBe(2);
    readings.fail = new Error('plugin is broken');
    await clock.advance(60_000);
    await http.request(GET);
    expect(requests.at(-1)?.authorization).toBe('Bearer T2');
  });

  it('waits as long as 429 says, whatever the method', async () => {
    const clock = new ManualClock();
    const { http, requests } = await bed([json(429, {}, { 'retry-after': '7' }), json(200, { ok: 1 })], clock);
    const answer = http.request({ method: 'POST', path: '/x', body: {} });
    await eventually('the first answer', () => requests.length === 1 && clock.pending === 2);
    await clock.advance(6_999);
    expect(requests.length).toBe(1);
    await clock.advance(1);
    expect(await answer).toEqual({ ok: 1 });
  });

  it('does not wait beyond its deadline', async () => {
    const { http } = await bed([json(429, {}, { 'retry-after': '31' })], new ManualClock());
    await expect(http.request(GET)).rejects.toMatchObject({ constructor: TooManyRequestsError, after: 31_000 });
  });

  it('repeats a read once after a broken connection, a write never', async () => {
    const { http, requests, statuses } = await bed([cut, json(200, { ok: 1 }), cut, cut, cut]);
    expect(await http.request(GET)).toEqual({ ok: 1 });
    await expect(http.request({ method: 'POST', path: '/x', body: {} })).rejects.toBeInstanceOf(UnreachableError);
    expect(requests.length).toBe(3);
    await expect(http.request(GET)).rejects.toBeInstanceOf(UnreachableError);
    expect([requests.length, statuses]).toEqual([5, [0, 200, 0, 0, 0]]);
  });

  it('gives up at its deadline, and at once when aborted', async () => {
    const clock = new ManualClock();
    const { http, requests } = await bed([() => {}], clock);
    const late = http.request(GET);
    const failed = expect(late).rejects.toThrow('GET /x: no answer within 30 s');
    await eventually('the request', () => requests.length === 1);
    await clock.advance(30_000);
    await failed;
    const stop = new AbortController();
    const reason = new Error('stop');
    const aborted = expect(http.request({ ...GET, signal: stop.signal })).rejects.toBe(reason);
    await eventually('the request', () => requests.length === 2);
    stop.abort(reason);
    await aborted;
    expect(clock.pending).toBe(0);
  });

  it('fails on an answer cut in the middle, and on one that is not JSON', async () => {
    const half = (_: IncomingMessage, response: ServerResponse) => {
      response.writeHead(200, { 'content-length': 100 }).write('{"items":[');
      setImmediate(() => response.destroy());
    };
    const { http } = await bed([half, half, (_, response) => void response.end('<html>')]);
    await expect(http.request(GET)).rejects.toBeInstanceOf(UnreachableError);
    await expect(http.request(GET)).rejects.toThrow('broken JSON');
  });

  it('reports the text of a proxy that answers in plain text', async () => {
    const { http } = await bed([(_, response) => void response.writeHead(502).end('Bad gateway\n')]);
    await expect(http.request(GET)).rejects.toMatchObject({
      constructor: ServerError,
      message: 'GET /x: HTTP 502 Bad gateway',
    });
  });

  it('sends nothing when the last check throws', async () => {
    const { http, requests } = await bed([json(200, {})]);
    await http.request(GET);
    const refusal = new Error('no longer leader');
    let checks = 0;
    const beforeSend = () => {
      checks++;
      throw refusal;
    };
    await expect(http.request({ method: 'POST', path: '/x', body: {}, beforeSend })).rejects.toBe(refusal);
    expect([requests.length, checks]).toEqual([1, 1]);
    await http.request({ method: 'POST', path: '/x', body: {}, beforeSend: () => void checks++ });
    expect([requests.length, checks]).toEqual([2, 2]);
  });
});

describe('a stream', () => {
  const stream =
    (...chunks: (string | Buffer)[]) =>
    async (_: IncomingMessage, response: ServerResponse) => {
      for (const chunk of chunks) {
        response.write(chunk);
        await new Promise(resolve => setTimeout(resolve, 5));
      }
      response.end();
    };
  const collect = async (lines: AsyncGenerator<string>) => {
    const all: string[] = [];
    for await (const line of lines) all.push(line);
    return all;
  };

  it('splits lines wherever the network splits chunks, even inside a character', async () => {
    const bytes = Buffer.from('"grün"\n"zwei"\n\n"drei"\n');
    const { http } = await bed([stream(bytes.subarray(0, 4), bytes.subarray(4, 9), bytes.subarray(9))]);
    expect(await collect(http.lines({ ...GET, idle: 1000 }))).toEqual(['"grün"', '"zwei"', '"drei"']);
  });

  it('fails when it ends in the middle of a line or is cut', async () => {
    const { http } = await bed([
      stream('{"a":1}\n{"b"'),
      (request, response) => {
        response.write('{"a":1}\n{');
        setTimeout(() => request.socket.destroy(), 20);
      },
    ]);
    await expect(collect(http.lines({ ...GET, idle: 1000 }))).rejects.toThrow('middle of a line');
    await expect(collect(http.lines({ ...GET, idle: 1000 }))).rejects.toBeInstanceOf(UnreachableError);
  });

  it('outlives the deadline of requests, and is treated as dead after its silence', async () => {
    const clock = new ManualClock();
    let write = (_: string) => {};
    const { http } = await bed(
      [
        (_, response) => {
          response.writeHead(200).flushHeaders();
          write = text => void response.write(text);
        },
      ],
      clock,
    );
    const seen: string[] = [];
    const reading = (async () => {
      for await (const line of http.lines({ ...GET, idle: 90_000 })) seen.push(line);
    })();
    const failed = expect(reading).rejects.toBeInstanceOf(SilentError);
    // Two silent periods of 89 s with a byte between them: no period reaches 90 s.
    await eventually('headers', () => clock.pending === 1 && write.length === 1);
    await new Promise(resolve => setTimeout(resolve, 50));
    await clock.advance(89_000);
    write('1\n');
    await eventually('the first line', () => seen.length === 1);
    await clock.advance(89_000);
    write('2\n');
    await eventually('the second line', () => seen.length === 2);
    await clock.advance(90_000);
    await failed;
  });

  it('closes its connection when the reader stops', async () => {
    let closed = false;
    const { http } = await bed([
      (_, response) => {
        response.on('close', () => {
          closed = true;
        });
        response.write('1\n2\n');
      },
    ]);
    for await (const line of http.lines({ ...GET, idle: 1000 })) if (line === '1') break;
    await eventually('the connection closes', () => closed);
  });

  it('throws the class of the error, after reading credentials again for 401', async () => {
    const { http, readings } = await bed([json(401, {}), json(410, { reason: 'Expired' })]);
    await expect(collect(http.lines({ ...GET, idle: 1000 }))).rejects.toMatchObject({ status: 410, reason: 'Expired' });
    expect(readings.count).toBe(2);
  });
});

describe('connections', () => {
  it('are shared by calls, and closed when idle or at the end of their request', async () => {
    let write = (_: string) => {};
    const stream = (_: IncomingMessage, response: ServerResponse) => {
      response.writeHead(200).flushHeaders();
      write = text => void response.write(text);
    };
    const { http, requests, connections, open } = await bed([json(200, {}), json(200, {}), stream]);
    await http.request(GET);
    await http.request({ method: 'POST', path: '/x', body: {} });
    expect(connections()).toBe(1);
    const lines = http.lines({ ...GET, idle: 10_000 });
    const first = lines.next();
    await eventually('the stream', () => requests.length === 3);
    await http.close();
    write('1\n');
    expect((await first).value).toBe('1');
    await lines.return();
    await eventually('all connections close', async () => (await open()) === 0);
  });
});
