import { MeasurementError } from '../measurement/errors.ts';
import type { Control } from '../measurement/model.ts';
import type { IpInfo } from '../reference/ip-metadata.ts';
import { compileColumns, sliceColumns } from '../tables/rowbinary.ts';
import { OBS_WEB_CTRL } from '../tables/schema.ts';
import { type Endpoint, splitEndpoint } from './addresses.ts';
import type { MeasurementRows } from './measurement-rows.ts';

const [, OWN] = sliceColumns(OBS_WEB_CTRL, ['measurement_uid', 'hostname']);
const writeOwn = compileColumns(OWN);

/** An endpoint that the test helper connected to, with what it saw there. */
interface ControlEndpoint {
  readonly ip: string;
  readonly port: number | null;
  tcp_failure?: string | null;
  tcp_success?: boolean;
  tls_failure?: string | null;
  tls_server_name?: string | null;
  tls_success?: boolean;
}

/**
 * Writes the rows of `obs_web_ctrl` (observations.md section 10): what the test helper saw of the host and URL of `input`. A failure of
 * its DNS, then its endpoints, then addresses that no endpoint carries, then its HTTP request. Unlike in `obs_web`, the index
 * starts at 0.
 */
export function writeControlRows(rows: MeasurementRows, control: Control, input: string, hostname: string): void {
  let index = 0;
  const emit = (columns: object, info?: IpInfo) => {
    const writer = rows.encoder.row('obs_web_ctrl');
    writer.raw(rows.measurement);
    writeOwn(writer, {
      hostname,
      observation_idx: index++,
      created_at: rows.run.createdAt,
      ip: '',
      run_generation: rows.run.generation,
      ...columns,
      ...(info && {
        ip_asn: info.asn,
        ip_as_org_name: info.as_org_name,
        ip_as_cc: info.as_cc,
        ip_cc: info.cc,
        ip_is_bogon: info.is_bogon,
      }),
    });
  };

  const resolved = new Set(control.dns?.addrs);
  if (control.dns?.failure) emit({ dns_failure: control.dns.failure });
  const endpoints = controlEndpoints(control);
  for (const endpoint of endpoints) {
    const dns_success = resolved.has(endpoint.ip) ? true : null;
    emit({ ...endpoint, dns_success }, rows.ips.ip(endpoint.ip));
  }
  const connected = new Set(endpoints.map(endpoint => endpoint.ip));
  for (const ip of resolved) {
    if (!connected.has(ip)) emit({ ip, dns_success: true });
  }
  if (control.http_request) {
    const { failure, body_length } = control.http_request;
    emit({
      http_request_url: input,
      http_failure: failure,
      http_success: failure == null,
      http_response_body_length: body_length,
    });
  }
}

/** Endpoints by the text that names them, TCP first; one that TLS alone knows has a row of its own. */
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
  for (const [address, { failure }] of Object.entries(control.tcp_connect ?? {})) {
    const endpoint = at(address);
    if (endpoint) Object.assign(endpoint, { tcp_failure: failure, tcp_success: failure == null });
  }
  for (const [address, { failure, server_name }] of Object.entries(control.tls_handshake ?? {})) {
    const endpoint = at(address);
    if (!endpoint) continue;
    Object.assign(endpoint, { tls_failure: failure, tls_server_name: server_name, tls_success: failure == null });
  }
  return [...endpoints.values()];
}

/** An address that is no endpoint tells nothing; the rest of the control is sound (docs/deviations.md, control-endpoints). */
function readEndpoint(address: string): Endpoint | undefined {
  try {
    return splitEndpoint(address);
  } catch (error) {
    if (error instanceof MeasurementError) return undefined;
    throw error;
  }
}
