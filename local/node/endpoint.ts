import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { LogFile, LogLine } from './log-file.ts';
import { readLog } from './log-file.ts';

/** Logs of a container: that of the current or last run, and the path of the previous one. */
export interface ContainerLogs {
  readonly current?: LogFile;
  readonly previous?: string;
}

/**
 * Creates the node's HTTPS endpoint with the parts that the API server uses: `kubectl logs` with all its options. Both ends hold the same
 * certificate; a client with another one, or none, is rejected.
 *
 * @param find returns the logs of a container, or undefined if this node has no such pod or container
 */
export function createEndpoint(
  certificate: { readonly cert: string; readonly key: string },
  find: (namespace: string, pod: string, container: string) => ContainerLogs | undefined,
): Server {
  const cert = readFileSync(certificate.cert);
  const expected = new X509Certificate(cert).fingerprint256;
  const tls = { cert, key: readFileSync(certificate.key), requestCert: true, rejectUnauthorized: false };
  return createServer(tls, (request, response) => {
    if ((request.socket as TLSSocket).getPeerCertificate().fingerprint256 !== expected)
      return refuse(response, 401, 'Unauthorized');
    const url = new URL(request.url ?? '/', 'https://node');
    const [, verb, namespace, pod, container] = url.pathname.split('/').map(decodeURIComponent);
    if (verb !== 'containerLogs' || !namespace || !pod || !container) {
      return refuse(response, 501, 'this node offers logs; exec, attach and port-forward need a container runtime');
    }
    const logs = find(namespace, pod, container);
    if (!logs) return refuse(response, 404, `container "${container}" of pod "${pod}" is not on this node`);
    const previous = url.searchParams.get('previous') === 'true';
    const path = previous ? logs.previous : logs.current?.path;
    if (!path) {
      const what = previous ? 'previous terminated container' : 'container';
      return refuse(response, 400, `${what} "${container}" in pod "${pod}" not found`);
    }
    sendLog(path, previous ? undefined : logs.current, url.searchParams, response);
  });
}

function sendLog(path: string, live: LogFile | undefined, query: URLSearchParams, response: ServerResponse): void {
  const follow = query.get('follow') === 'true' && live?.open;
  const timestamps = query.get('timestamps') === 'true';
  const since = query.get('sinceTime') ?? sinceSeconds(query.get('sinceSeconds'));
  const stream = query.get('stream')?.toLowerCase();
  let bytes = Number(query.get('limitBytes') ?? Number.POSITIVE_INFINITY);
  let open = true;
  let fresh = true;
  const isSelected = (line: LogLine) =>
    (!since || Date.parse(line.time) >= Date.parse(since)) && (!stream || stream === 'all' || line.stream === stream);
  const send = (line: LogLine) => {
    if (!open || !isSelected(line)) return;
    const text = Buffer.from(
      `${timestamps && fresh ? `${line.time} ` : ''}${line.text}${line.whole ? '\n' : ''}`,
    ).subarray(0, bytes);
    fresh = line.whole;
    bytes -= text.length;
    response.write(text);
    if (bytes <= 0) end();
  };
  const end = () => {
    open = false;
    following?.stop();
    response.end();
  };
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.flushHeaders();
  // All in one turn of the event loop: no line is written between reading the file and listening.
  const lines = readLog(path).filter(isSelected);
  const tail = query.get('tailLines');
  const following = follow ? live.follow(send, () => end()) : undefined;
  for (const line of tail === null ? lines : lastWhole(lines, Number(tail))) send(line);
  if (!following) end();
  else response.once('close', end);
}

/** Returns the last lines. All pieces of one line count as one. */
function lastWhole(lines: readonly LogLine[], count: number): readonly LogLine[] {
  let start = lines.length;
  for (let found = 0; start > 0; start--) {
    if (lines[start - 1]!.whole && ++found > count) break;
  }
  return count > 0 ? lines.slice(start) : [];
}

function sinceSeconds(text: string | null): string | undefined {
  return text === null ? undefined : new Date(Date.now() - Number(text) * 1000).toISOString();
}

function refuse(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'text/plain' }).end(`${message}\n`);
}
