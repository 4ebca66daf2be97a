import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import type { Container } from './resources.ts';

export type Probe = NonNullable<Container['readinessProbe']>;
/** The common part of a probe and a preStop hook. */
export type Action = Pick<Probe, 'exec' | 'httpGet' | 'tcpSocket'>;

/** The container that an action applies to. */
export interface ActionTarget {
  readonly host: string;
  /** Returns a port, given as a number or as the name of one of the container's ports. */
  port(port: unknown): number;
  /** Runs a command like the container would. Returns undefined if it succeeds, otherwise the reason of the failure. */
  exec(command: readonly string[], timeout: number): Promise<string | undefined>;
}

/** Performs an action. Returns undefined if it succeeds within `timeout` milliseconds, otherwise the reason of the failure. */
export async function act(action: Action, target: ActionTarget, timeout: number): Promise<string | undefined> {
  if (action.httpGet) return httpGet(action.httpGet, target, timeout);
  if (action.tcpSocket) return tcpSocket(action.tcpSocket, target, timeout);
  if (action.exec) return target.exec(action.exec.command ?? [], timeout);
  return 'this kind of probe is not known to this node';
}

function httpGet(
  get: NonNullable<Action['httpGet']>,
  target: ActionTarget,
  timeout: number,
): Promise<string | undefined> {
  return new Promise(resolve => {
    const headers: Record<string, string> = { 'user-agent': 'kube-probe/ooni-local', connection: 'close' };
    for (const { name, value } of get.httpHeaders ?? []) headers[name.toLowerCase()] = value;
    const options = {
      host: get.host || target.host,
      port: target.port(get.port),
      path: get.path || '/',
      headers,
      agent: false,
    };
    const call =
      get.scheme === 'HTTPS' ? httpsRequest({ ...options, rejectUnauthorized: false }) : httpRequest(options);
    const timer = setTimeout(() => call.destroy(new Error(`no answer within ${timeout / 1000} s`)), timeout);
    call.once('response', response => {
      clearTimeout(timer);
      let body = '';
      response.setEncoding('utf8').on('data', text => {
        if (body.length < 200) body += text;
      });
      response.once('error', () => {});
      response.once('close', () => {
        const status = response.statusCode ?? 0;
        resolve(
          status >= 200 && status < 400
            ? undefined
            : `HTTP probe failed with statuscode: ${status} ${body.slice(0, 200)}`.trim(),
        );
      });
    });
    call.once('error', error => {
      clearTimeout(timer);
      resolve(`Get "${get.path || '/'}": ${error.message}`);
    });
    call.end();
  });
}

function tcpSocket(
  tcp: { host?: string; port: unknown },
  target: ActionTarget,
  timeout: number,
): Promise<string | undefined> {
  return new Promise(resolve => {
    const socket = connect({ host: tcp.host || target.host, port: target.port(tcp.port), timeout });
    socket.once('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once('timeout', () => socket.destroy(new Error(`no answer within ${timeout / 1000} s`)));
    socket.once('error', error => resolve(error.message));
  });
}

/**
 * Repeats a probe until `signal` aborts, and reports each change of its outcome: passing after `successThreshold` successive successes,
 * failing after `failureThreshold` successive failures. With `eager`, the probe runs every second until its first success, so that a
 * rollout on one machine does not have to wait for a period to end.
 */
export function watchProbe(
  probe: Probe,
  target: ActionTarget,
  signal: AbortSignal,
  report: (passing: boolean, message: string) => void,
  options: { eager?: boolean } = {},
): void {
  const period = (probe.periodSeconds ?? 10) * 1000;
  const timeout = (probe.timeoutSeconds ?? 1) * 1000;
  let successes = 0;
  let failures = 0;
  let waiting = options.eager ?? false;
  let timer: NodeJS.Timeout;
  const round = async () => {
    const failure = await act(probe, target, timeout);
    if (signal.aborted) return;
    if (failure === undefined) {
      failures = 0;
      waiting = false;
      if (++successes === (probe.successThreshold ?? 1)) report(true, '');
    } else {
      successes = 0;
      if (++failures === (probe.failureThreshold ?? 3)) report(false, failure);
    }
    timer = setTimeout(round, waiting ? Math.min(period, 1000) : period);
  };
  timer = setTimeout(round, (probe.initialDelaySeconds ?? 0) * 1000);
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
}
