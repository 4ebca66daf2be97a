/** Makes documents of web_connectivity and other tests from short descriptions of their steps, in the OONI data formats df-001 to df-006. */

type Json = Record<string, unknown>;

/** Steps of a measurement, in the lists of `test_keys`. */
export interface Steps {
  readonly queries?: readonly Json[];
  readonly tcp_connect?: readonly Json[];
  readonly tls_handshakes?: readonly Json[];
  readonly requests?: readonly Json[];
}

/** Returns the steps of several lists, in order. */
export function steps(...all: readonly Steps[]): Steps {
  const joined: Record<string, Json[]> = { queries: [], tcp_connect: [], tls_handshakes: [], requests: [] };
  for (const each of all) for (const [name, list] of Object.entries(each)) joined[name]!.push(...(list as Json[]));
  return joined;
}

/** A lookup with answers, or with a failure. */
export function lookup(hostname: string, answered: readonly string[] | string, more: Json = {}): Steps {
  const isFailure = typeof answered === 'string';
  const answers = isFailure
    ? null
    : answered.map(answer =>
        answer.includes(':')
          ? { answer_type: 'AAAA', ipv6: answer, ttl: null }
          : /^[\d.]+$/.test(answer)
            ? { answer_type: 'A', ipv4: answer, ttl: null }
            : { answer_type: 'CNAME', hostname: answer, ttl: null },
      );
  const failure = isFailure ? answered : null;
  return { queries: [{ engine: 'getaddrinfo', hostname, query_type: 'ANY', failure, answers, t0: 0, t: 0.1, transaction_id: 1, ...more }] }; // biome-ignore format: one query
}

const splitEndpoint = (endpoint: string) => {
  const at = endpoint.lastIndexOf(':');
  return { ip: endpoint.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(endpoint.slice(at + 1)) };
};

/** A connect to `1.2.3.4:443` or `[::1]:443`, with a failure or null. */
export function connect(endpoint: string, failure: string | null = null, more: Json = {}): Steps {
  const status = { success: failure === null, failure };
  return { tcp_connect: [{ ...splitEndpoint(endpoint), status, t0: 0.1, t: 0.2, transaction_id: 3, ...more }] };
}

/** A handshake for a server name. */
export function handshake(address: string, server_name: string, failure: string | null = null, more: Json = {}): Steps {
  return { tls_handshakes: [{ network: 'tcp', address, server_name, failure, no_tls_verify: false, peer_certificates: failure ? [] : [{ format: 'base64', data: 'MAA=' }], t0: 0.2, t: 0.3, transaction_id: 3, ...more }] }; // biome-ignore format: one handshake
}

/** A response. */
export interface Response {
  readonly status?: number;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly headers_list?: readonly unknown[];
}

/** A request with its response, or with a failure. */
export function request(url: string, address: string, answered: Response | string, more: Json = {}): Steps {
  const sent = { url, method: 'GET', headers: {}, body: '' };
  const {
    status = 200,
    body = '<html></html>',
    headers = {},
    headers_list,
  } = typeof answered === 'string' ? {} : answered;
  const response =
    typeof answered === 'string' ? null : { code: status, body, headers, ...(headers_list && { headers_list }) };
  const failure = typeof answered === 'string' ? answered : null;
  return { requests: [{ failure, request: sent, response, address, network: 'tcp', t0: 0.3, t: 0.5, transaction_id: 3, ...more }] }; // biome-ignore format: one request
}

/** What the test helper found: addresses or a failure of its lookup, failures by endpoint of its connects and handshakes, and its request. */
export interface ControlOf {
  readonly dns?: readonly string[] | string | null;
  readonly tcp?: Readonly<Record<string, string | null>>;
  readonly tls?: Readonly<Record<string, string | null>>;
  readonly http?:
    | string
    | null
    | { readonly status_code?: number; readonly body_length?: number; readonly title?: string };
  readonly name?: string;
}

export function control({ dns = null, tcp = {}, tls = {}, http = null, name = '' }: ControlOf): Json {
  const failed = typeof http === 'string' ? { failure: http, status_code: -1, body_length: -1, title: '' } : {};
  return {
    dns: dns === null ? null : typeof dns === 'string' ? { failure: dns, addrs: [] } : { failure: null, addrs: dns },
    tcp_connect: Object.fromEntries(
      Object.entries(tcp).map(([at, failure]) => [at, { status: failure === null, failure }]),
    ),
    tls_handshake: Object.fromEntries(
      Object.entries(tls).map(([at, failure]) => [at, { status: failure === null, failure, server_name: name }]),
    ),
    http_request: {
      failure: null,
      status_code: 200,
      body_length: 1000,
      title: 'A site',
      headers: {},
      ...failed,
      ...(typeof http === 'object' && http),
    },
  };
}

/** Fields of a document that are not steps. */
export interface DocumentOf {
  readonly test?: string;
  readonly input?: unknown;
  /** YYYY-MM-DD HH:MM:SS */
  readonly start: string;
  readonly cc?: string;
  readonly report?: string;
  readonly steps?: Steps;
  readonly control?: Json | null;
  /** More test keys. */
  readonly keys?: Json;
  /** More fields of the document. */
  readonly more?: Json;
}

export function documentOf(of: DocumentOf): Json {
  const { test = 'web_connectivity', cc = 'IT', start } = of;
  const isWeb = test === 'web_connectivity';
  return {
    annotations: {},
    data_format_version: '0.2.0',
    input: of.input ?? null,
    measurement_start_time: start,
    test_start_time: start,
    probe_asn: 'AS137',
    probe_cc: cc,
    probe_ip: '127.0.0.1',
    report_id: of.report ?? `report ${start}`,
    resolver_ip: '[scrubbed]',
    resolver_asn: 'AS137',
    software_name: 'miniooni',
    software_version: '3.22.0',
    test_name: test,
    test_version: '0.5.28',
    test_runtime: 1,
    test_keys: {
      client_resolver: '',
      ...steps(of.steps ?? {}),
      network_events: null,
      ...(isWeb && {
        control: of.control ?? null,
        control_failure: of.control ? null : 'generic_timeout_error',
        blocking: null,
        accessible: null,
      }),
      ...of.keys,
    },
    ...of.more,
  };
}
