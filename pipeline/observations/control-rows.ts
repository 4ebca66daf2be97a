import { MeasurementError } from '../measurement/errors.ts';
import type { Control } from '../measurement/model.ts';
import { addressForm } from '../reference/ip-literal.ts';
import { compileColumns, sliceColumns } from '../tables/rowbinary.ts';
import { GENERATION_COLUMN, OBS_WEB_CTRL } from '../tables/schema.ts';
import { type Endpoint, splitEndpoint } from './addresses.ts';
import type { MeasurementRows } from './measurement-rows.ts';

const groups = sliceColumns(OBS_WEB_CTRL, [
  'measurement_uid',
  'hostname',
  'ip_asn',
  'dns_failure',
  'tcp_failure',
  'http_request_url',
  GENERATION_COLUMN[0],
  'http_response_status_code',
]);

/** One writer for each group of columns that come from the same object, as for `obs_web`. */
const write = {
  row: compileColumns(groups[1]),
  ip: compileColumns(groups[2], 'ip_'),
  dns: compileColumns(groups[3], 'dns_'),
  endpoint: compileColumns(groups[4]),
  http: compileColumns(groups[5], 'http_'),
  response: compileColumns(groups[7], 'http_response_'),
};

/** An endpoint that the test helper connected to, and its results. */
interface ControlEndpoint {
  readonly ip: string;
  readonly port: number | null;
  tcp_failure?: string | null;
  tcp_success?: boolean | null;
  tls_failure?: string | null;
  tls_server_name?: string | null;
  tls_success?: boolean | null;
}

/**
 * Writes the rows of `obs_web_ctrl` (observations.md section 10): the test helper's observations of the host and URL of `input`.
 * The order is: a failure of its DNS, its endpoints, addresses without an endpoint, its HTTP request. Unlike in `obs_web`, the
 * index starts at 0.
 */
export function writeControlRows(rows: MeasurementRows, control: Control, input: string, hostname: string): void {
  const resolved = new Set(control.dns?.addrs?.map(addressForm));
  let index = 0;
  const emit = (row: Partial<ControlRow>) => {
    own.hostname = hostname;
    own.observation_idx = index++;
    own.created_at = rows.run.createdAt;
    own.ip = row.endpoint?.ip ?? row.ip ?? '';
    own.port = row.endpoint?.port ?? null;
    const writer = rows.encoder.row('obs_web_ctrl');
    writer.raw(rows.measurement);
    write.row(writer, own);
    write.ip(writer, row.endpoint && rows.ips.ip(row.endpoint.ip));
    write.dns(writer, row.dns);
    write.endpoint(writer, row.endpoint);
    write.http(writer, row.http);
    writer.raw(rows.generation);
    write.response(writer, row.response);
  };

  if (control.dns?.failure) emit({ dns: { failure: control.dns.failure } });
  const connected = new Set<string>();
  for (const endpoint of controlEndpoints(control)) {
    connected.add(endpoint.ip);
    emit({ endpoint, dns: resolved.has(endpoint.ip) ? RESOLVED : null });
  }
  for (const ip of resolved) {
    if (!connected.has(ip)) emit({ ip, dns: RESOLVED });
  }
  if (control.http_request) {
    const { body_length, status_code, title } = control.http_request;
    const failure = control.http_request.failure || null;
    emit({
      http: { request_url: input, failure, success: failure === null, response_body_length: body_length },
      // The test helper writes -1 and an empty title for a request that failed.
      response: failure === null ? { status_code: inRange(status_code), title: title?.slice(0, TITLE_LENGTH) } : null,
    });
  }
}

/** Contents of a row, apart from the columns that identify it. */
interface ControlRow {
  readonly endpoint: ControlEndpoint;
  /** An address without an endpoint. */
  readonly ip: string;
  readonly dns: { readonly failure?: string; readonly success?: boolean } | null;
  readonly http: object;
  readonly response: object | null;
}

/** Length of a title that a probe compares. */
const TITLE_LENGTH = 128;

/** Returns a status code, or null for a number that is not one: it must not make the whole measurement fail. */
function inRange(code: number | null | undefined): number | null {
  return code != null && code > 0 && code < 1000 ? code : null;
}

const RESOLVED = { success: true };

/** The columns that identify a row. All rows share one object, because it is read immediately. */
const own = { hostname: '', observation_idx: 0, created_at: 0, ip: '', port: null as number | null };

/** An empty failure means none, as in the steps of the probe. A step that has no failure and did not succeed shows nothing (docs/deviations.md, control-status). */
function hasSucceeded(failure: string | null | undefined, status: boolean | null | undefined): boolean | null {
  if (failure) return false;
  return status === false ? null : true;
}

/** Collects endpoints by their text, TCP first. An endpoint that only TLS has gets its own row. */
function controlEndpoints(control: Control): ControlEndpoint[] {
  const endpoints = new Map<string, ControlEndpoint>();
  const at = (address: string): ControlEndpoint | undefined => {
    const known = endpoints.get(address);
    if (known) return known;
    const { host, port } = readEndpoint(address) ?? {};
    if (!host) return undefined;
    const endpoint: ControlEndpoint = { ip: host, port: port ?? null };
    endpoints.set(address, endpoint);
    return endpoint;
  };
  const connects = control.tcp_connect ?? {};
  for (const address of Object.keys(connects)) {
    const endpoint = at(address);
    if (!endpoint) continue;
    const { failure, status } = connects[address]!;
    endpoint.tcp_failure = failure || null;
    endpoint.tcp_success = hasSucceeded(failure, status);
  }
  const handshakes = control.tls_handshake ?? {};
  for (const address of Object.keys(handshakes)) {
    const endpoint = at(address);
    if (!endpoint) continue;
    const { failure, status, server_name } = handshakes[address]!;
    endpoint.tls_failure = failure || null;
    endpoint.tls_server_name = server_name;
    endpoint.tls_success = hasSucceeded(failure, status);
  }
  return [...endpoints.values()];
}

/** Returns undefined for an address that is not an endpoint. The rest of the control is valid (docs/deviations.md, control-endpoints). */
function readEndpoint(address: string): Endpoint | undefined {
  try {
    return splitEndpoint(address);
  } catch (error) {
    if (error instanceof MeasurementError) return undefined;
    throw error;
  }
}
