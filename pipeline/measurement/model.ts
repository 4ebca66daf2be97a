import { currentTransaction } from './old-requests.ts';
import { pythonText } from './python.ts';
import {
  boolean,
  type Decoded,
  decode,
  defaulted,
  integer,
  isObject,
  type Kind,
  list,
  map,
  nullable,
  optional,
  real,
  required,
  structure,
  text,
} from './structure.ts';

/** The declared structures of a measurement (observations.md section 2). Keys that are not declared are never read. */

const BINARY = structure({ format: required(text), data: required(text) });
export type Binary = Decoded<typeof BINARY>;

/** Text, or an object `{format, data}` with base64. An object without these keys becomes text, like any other value. */
const textOrBinary: Kind<string | Binary> = {
  test: 'typeof v === "string"',
  convert(value) {
    return isObject(value) && value.format !== undefined && value.data !== undefined
      ? BINARY.convert(value)
      : pythonText(value);
  },
};
export type TextOrBinary = string | Binary;

/** Part of a header, name or value. It may be null here; the reader of the list rejects null. */
const headerPart: Kind<TextOrBinary | null> = {
  test: 'typeof v === "string"',
  convert: value => (value === null ? null : textOrBinary.convert(value)),
};
const headersList = list(list(headerPart));
export type HeadersList = Decoded<typeof headersList>;

/** True, false and null unchanged; any other value becomes text. */
const textOrBoolean: Kind<string | boolean> = {
  test: 'typeof v === "string" || typeof v === "boolean"',
  convert: pythonText,
};

/** `blocking`: text or false. Zero becomes false. */
const textOrFalse: Kind<string | false> = {
  test: 'typeof v === "string" || v === false',
  convert: value => (value === 0 ? false : pythonText(value)),
};

const anyObject = map<unknown>({ convert: value => value });

/** Tags of a step. Upstream does not read them, so no value makes a measurement fail. */
const tags = optional<readonly unknown[]>({
  test: 'Array.isArray(v)',
  convert: value => (Array.isArray(value) ? value : []),
});

const DNS_ANSWER = structure({
  answer_type: required(text),
  asn: optional(integer),
  as_org_name: optional(text),
  hostname: optional(text),
  ipv4: optional(text),
  ipv6: optional(text),
  ttl: optional(integer),
  expiration_limit: optional(text),
  minimum_ttl: optional(text),
  refresh_interval: optional(text),
  responsible_name: optional(text),
  retry_interval: optional(text),
  serial_number: optional(text),
});

const DNS_QUERY = structure({
  hostname: required(text),
  query_type: required(text),
  failure: optional(text),
  engine: optional(text),
  answers: optional(list(DNS_ANSWER)),
  raw_response: optional(text),
  rcode: optional(integer),
  resolver_address: optional(text),
  transaction_id: optional(integer),
  t: optional(real),
  t0: optional(real),
  dial_id: optional(integer),
  tags,
});
export type DnsQuery = Decoded<typeof DNS_QUERY>;

/** A list, or a single member in place of a list of one, as early versions of some tests have it. */
function oneOrMore<T>(item: Kind<T>): Kind<T[]> {
  const items = list(item);
  return { convert: value => items.convert(isObject(value) ? [value] : value) };
}

const TCP_CONNECT = structure({
  ip: required(text),
  port: required(integer),
  status: required(
    structure({ success: required(boolean), blocked: optional(boolean), failure: optional(textOrBoolean) }),
  ),
  transaction_id: optional(integer),
  t: optional(real),
  t0: optional(real),
  conn_id: optional(integer),
  dial_id: optional(integer),
  tags,
});
export type TcpConnect = Decoded<typeof TCP_CONNECT>;

const TLS_HANDSHAKE = structure({
  network: optional(text),
  address: optional(text),
  cipher_suite: optional(text),
  failure: optional(text),
  so_error: optional(text),
  negotiated_protocol: optional(text),
  no_tls_verify: optional(boolean),
  peer_certificates: optional(list(BINARY)),
  server_name: optional(text),
  outer_server_name: optional(text),
  echconfig: optional(text),
  tags: optional(list(text)),
  tls_version: optional(text),
  t: optional(real),
  t0: optional(real),
  transaction_id: optional(integer),
  conn_id: optional(integer),
});
export type TlsHandshake = Decoded<typeof TLS_HANDSHAKE>;

const NETWORK_EVENT = structure({
  operation: required(text),
  t: required(real),
  failure: optional(text),
  address: optional(text),
  num_bytes: optional(integer),
  proto: optional(text),
  tags: optional(list(text)),
  transaction_id: optional(integer),
  dial_id: optional(integer),
  conn_id: optional(integer),
});
export type NetworkEvent = Decoded<typeof NETWORK_EVENT>;

const HTTP_MESSAGE = {
  body: optional(textOrBinary),
  body_is_truncated: optional(boolean),
  headers: optional(map(textOrBinary)),
  headers_list: optional(headersList),
};

const HTTP_REQUEST = structure({
  ...HTTP_MESSAGE,
  url: defaulted(text, ''),
  method: optional(text),
  tor: optional(structure({ is_tor: required(boolean), exit_ip: nullable(text), exit_name: nullable(text) })),
  x_transport: optional(text),
});

const HTTP_RESPONSE = structure({ ...HTTP_MESSAGE, code: optional(integer) });

const HTTP_TRANSACTION = structure({
  failure: optional(text),
  request: optional(HTTP_REQUEST),
  response: optional(HTTP_RESPONSE),
  network: optional(text),
  address: optional(text),
  alpn: optional(text),
  transaction_id: optional(integer),
  t: optional(real),
  t0: optional(real),
  tags,
});
export type HttpTransaction = Decoded<typeof HTTP_TRANSACTION>;
export type HttpRequest = Decoded<typeof HTTP_REQUEST>;
export type HttpResponse = Decoded<typeof HTTP_RESPONSE>;

/** A transaction in the form of any version of the Python probe. */
const OLD_TRANSACTION: Kind<HttpTransaction> = {
  convert: value => HTTP_TRANSACTION.convert(currentTransaction(value)),
};
const oldRequests = optional(list(OLD_TRANSACTION));

/** A query of dns_consistency. The report of a query that failed early does not show its name. */
const OLD_DNS_QUERY = structure({
  hostname: optional(text),
  query_type: optional(text),
  failure: optional(text),
  answers: optional(
    list(
      structure({ answer_type: optional(text), hostname: optional(text), ipv4: optional(text), ipv6: optional(text) }),
    ),
  ),
  resolver_hostname: optional(text),
  resolver_port: optional(integer),
});
export type OldDnsQuery = Decoded<typeof OLD_DNS_QUERY>;

const queries = optional(list(DNS_QUERY));
const tcp_connect = optional(list(TCP_CONNECT));
const tls_handshakes = optional(list(TLS_HANDSHAKE));
const network_events = optional(list(NETWORK_EVENT));
const requests = optional(list(HTTP_TRANSACTION));
const client_resolver = optional(text);
const failure = optional(text);

const flags = <const N extends string>(names: readonly N[]) =>
  Object.fromEntries(names.map(name => [name, optional(boolean)])) as Record<N, ReturnType<typeof optional<boolean>>>;
const texts = <const N extends string>(names: readonly N[]) =>
  Object.fromEntries(names.map(name => [name, optional(text)])) as Record<N, ReturnType<typeof optional<string>>>;

/** Observations of web_connectivity's test helper. */
const CONTROL = structure({
  tcp_connect: optional(map(structure({ status: optional(boolean), failure }))),
  http_request: optional(
    structure({
      body_length: optional(integer),
      failure,
      title: optional(text),
      headers: optional(map(text)),
      status_code: optional(integer),
    }),
  ),
  dns: optional(structure({ failure, addrs: optional(list(text)) })),
  tls_handshake: optional(map(structure({ status: optional(boolean), failure, server_name: optional(text) }))),
});
export type Control = Decoded<typeof CONTROL>;

/** Connects of tests that made one at first. */
const connects = optional(oneOrMore(TCP_CONNECT));

const experiment = { failure, network_events, tls_handshakes, queries, tcp_connect, requests };

const URLGETTER_PART = structure({ client_resolver, ...experiment, socksproxy: optional(text) });

/**
 * One repetition of a test that repeats a step. The lists have one member, and in newer versions of the tests a name in the singular and no list
 * (ts-032 to ts-035).
 */
const PING = structure({
  queries,
  query: optional(DNS_QUERY),
  tcp_connect: connects,
  tls_handshakes,
  tls_handshake: optional(TLS_HANDSHAKE),
  quic_handshakes: tls_handshakes,
  quic_handshake: optional(TLS_HANDSHAKE),
  network_events,
});
const pings = structure({ client_resolver, failure, pings: optional(list(PING)) });

const OPENVPN_HANDSHAKE = structure({
  failure,
  bootstrap_time: optional(real),
  handshake_time: optional(real),
  ...texts(['ip', 'transport', 'provider']),
  port: optional(integer),
  // Version 0.1.1; later versions have `failure` instead.
  status: optional(structure({ failure, success: optional(boolean) })),
  transaction_id: optional(integer),
});

const NDT_SUMMARY = structure({
  download: optional(real),
  upload: optional(real),
  ping: optional(real),
  min_rtt: optional(real),
  avg_rtt: optional(real),
  max_rtt: optional(real),
  mss: optional(integer),
  retransmit_rate: optional(real),
});

/** The `test_keys` of each test with a transformer, and of all other tests (`generic`). */
export const TEST_KEYS = {
  generic: structure({ client_resolver }),
  web_connectivity: structure({
    dns_experiment_failure: failure,
    control_failure: failure,
    http_experiment_failure: failure,
    dns_consistency: optional(text),
    ...flags(['body_length_match', 'status_code_match', 'headers_match', 'title_match', 'accessible']),
    body_proportion: optional(real),
    blocking: optional(textOrFalse),
    control: optional(CONTROL),
    tls_handshakes,
    network_events,
    queries,
    tcp_connect,
    requests,
    x_status: optional(integer),
    x_dns_runtime: optional(integer),
    x_th_runtime: optional(integer),
    x_tcptls_runtime: optional(integer),
    x_http_runtime: optional(integer),
    client_resolver,
    retries: optional(integer),
    socksproxy: optional(text),
  }),
  signal: structure({
    client_resolver,
    ...experiment,
    ...texts(['failed_operation', 'signal_backend_status', 'signal_backend_failure']),
  }),
  telegram: structure({
    client_resolver,
    ...experiment,
    ...flags(['telegram_http_blocking', 'telegram_tcp_blocking']),
    ...texts(['failed_operation', 'telegram_web_failure', 'telegram_web_status']),
  }),
  whatsapp: structure({
    client_resolver,
    ...experiment,
    ...texts(['failed_operation', 'registration_server_failure', 'registration_server_status']),
    ...texts(['whatsapp_endpoints_status', 'whatsapp_web_failure', 'whatsapp_web_status']),
    whatsapp_endpoints_blocked: optional(list(text)),
    whatsapp_endpoints_dns_inconsistent: optional(list(text)),
  }),
  // Upstream's model of this test has no client_resolver.
  facebook_messenger: structure({
    ...flags(
      ['b_api', 'b_graph', 'edge', 'external_cdn', 'scontent_cdn', 'star', 'stun'].flatMap(service => [
        `facebook_${service}_dns_consistent`,
        `facebook_${service}_reachable`,
      ]),
    ),
    ...flags(['facebook_dns_blocking', 'facebook_tcp_blocking']),
    socksproxy: optional(text),
    tcp_connect,
    queries,
  }),
  urlgetter: structure({ client_resolver, ...experiment, ...texts(['failed_operation', 'agent', 'socksproxy']) }),
  dnscheck: structure({
    client_resolver,
    lookups: optional(map(URLGETTER_PART)),
    bootstrap: optional(URLGETTER_PART),
    bootstrap_failure: optional(text),
  }),
  // Upstream's model of this test has no client_resolver.
  tor: structure({
    targets: required(
      map(
        structure({
          target_address: required(text),
          target_protocol: required(text),
          ...experiment,
          target_name: optional(text),
        }),
      ),
    ),
  }),
  stunreachability: structure({ client_resolver, failure, endpoint: optional(text), network_events, queries }),
  echcheck: structure({
    client_resolver,
    tls_handshakes,
    control: optional(TLS_HANDSHAKE),
    target: optional(TLS_HANDSHAKE),
    network_events,
    queries,
    tcp_connect,
    // Name of the list since version 0.3.0 of the test.
    tcp_connects: tcp_connect,
  }),
  riseupvpn: structure({ client_resolver, ...experiment, ...texts(['failed_operation', 'api_failure', 'api_status']) }),
  // Its requests are made through the tunnel, and its events are not those of df-008.
  openvpn: structure({
    client_resolver,
    failure,
    tcp_connect: connects,
    success: optional(boolean),
    bootstrap_time: optional(real),
    ...texts(['transport', 'provider', 'obfuscation', 'remote', 'error']),
    // Since version 0.1.0 of the test.
    openvpn_handshake: optional(list(OPENVPN_HANDSHAKE)),
  }),
  // Requests of these tests go through the tunnel and show nothing about the probe's network.
  psiphon: structure({ client_resolver, failure, bootstrap_time: optional(real), max_runtime: optional(real) }),
  torsf: structure({ client_resolver, failure, bootstrap_time: optional(real), timeout: optional(real) }),
  vanilla_tor: structure({
    client_resolver,
    failure,
    success: optional(boolean),
    bootstrap_time: optional(real),
    timeout: optional(real),
    tor_progress: optional(integer),
    ...texts(['error', 'tor_progress_tag', 'transport_name']),
  }),
  ndt: structure({
    client_resolver,
    failure: optional(textOrBoolean),
    protocol: optional(integer),
    server: optional(structure({ hostname: optional(text), site: optional(text) })),
    summary: optional(NDT_SUMMARY),
    // Earlier versions (ndt5).
    simple: optional(NDT_SUMMARY),
    server_address: optional(text),
  }),
  dash: structure({
    client_resolver,
    failure: optional(textOrBoolean),
    server: optional(structure({ hostname: optional(text), site: optional(text) })),
    simple: optional(
      structure({
        median_bitrate: optional(real),
        connect_latency: optional(real),
        min_playout_delay: optional(real),
      }),
    ),
  }),
  sni_blocking: structure({ client_resolver, control: optional(URLGETTER_PART), target: optional(URLGETTER_PART) }),
  // Earlier name of stunreachability.
  stun_reachability: structure({ client_resolver, failure, endpoint: optional(text), network_events, queries }),
  tlsmiddlebox: structure({ client_resolver, queries, tcp_connect }),
  portfiltering: structure({ client_resolver, tcp_connect: connects }),
  dnsping: pings,
  tcpping: pings,
  tlsping: pings,
  simplequicping: pings,
  http_requests: structure({
    client_resolver,
    requests: oldRequests,
    ...flags(['body_length_match', 'headers_match']),
    body_proportion: optional(real),
  }),
  http_host: structure({ client_resolver, requests: oldRequests }),
  dns_consistency: structure({
    client_resolver,
    control_resolver: optional(text),
    queries: optional(list(OLD_DNS_QUERY)),
  }),
  // `success`, or the failure.
  tcp_connect: structure({ client_resolver, connection: optional(text) }),
  meek_fronted_requests_test: structure({ client_resolver, requests: oldRequests, success: optional(boolean) }),
  bridge_reachability: structure({
    client_resolver,
    success: optional(boolean),
    timeout: optional(real),
    tor_progress: optional(integer),
    ...texts(['error', 'tor_progress_tag', 'transport_name', 'bridge_address', 'bridge_hashed_fingerprint']),
  }),
  openvpn_client_test: structure({ client_resolver, failure, success: optional(boolean) }),
  doh: structure({ client_resolver, failure, url: optional(text), 'x-addresses': optional(list(text)) }),
  ddr: structure({
    client_resolver,
    failure,
    resolver: optional(text),
    ddr_responses: optional(list(structure({ target: optional(text) }))),
  }),
  browser_web: structure({
    client_resolver,
    result: optional(text),
    load_time_ms: optional(real),
    browser: optional(text),
  }),
  http_header_field_manipulation: structure({
    client_resolver,
    requests,
    tampering: optional(
      structure({
        ...flags(['header_field_name', 'header_field_number', 'header_field_value', 'header_name_capitalization']),
        ...flags(['request_line_capitalization', 'total']),
        header_name_diff: optional(list(text)),
      }),
    ),
  }),
  // Binary values of `received` stay binary: the text of a Python object would be useless (section 12).
  http_invalid_request_line: structure({
    client_resolver,
    received: optional(list(textOrBinary)),
    sent: optional(list(text)),
    tampering: optional(boolean),
  }),
};

export type TestName = Exclude<keyof typeof TEST_KEYS, 'generic'>;
export type TestKeys<N extends keyof typeof TEST_KEYS> = Decoded<(typeof TEST_KEYS)[N]>;

const SUPPORTED: ReadonlySet<unknown> = new Set(Object.keys(TEST_KEYS).filter(name => name !== 'generic'));

/** Reports whether a test has a transformer. */
export function isSupported(testName: unknown): testName is TestName {
  return SUPPORTED.has(testName);
}

/** `input`: text, a list of text, or null. */
const input: Kind<string | string[]> = {
  test: 'typeof v === "string"',
  convert: value => (Array.isArray(value) || isObject(value) ? INPUT_LIST.convert(value) : pythonText(value)),
};
const INPUT_LIST = list(text);

const TOP_LEVEL = structure({
  input: optional(input),
  report_id: required(text),
  measurement_start_time: required(text),
  test_start_time: required(text),
  probe_asn: required(text),
  probe_cc: required(text),
  test_name: required(text),
  test_version: required(text),
  test_runtime: required(real),
  software_name: required(text),
  software_version: required(text),
  probe_ip: optional(text),
  annotations: optional(map(text)),
  resolver_asn: optional(text),
  resolver_ip: optional(text),
  resolver_network_name: optional(text),
  probe_network_name: optional(text),
  test_helpers: optional(anyObject),
  data_format_version: optional(text),
  measurement_uid: optional(text),
  probe_id: optional(text),
});
export type Measurement = Decoded<typeof TOP_LEVEL>;

/** Tests that need an input. The other tests may omit the key, which then means null. */
const WITH_INPUT: ReadonlySet<string> = new Set<TestName>([
  'web_connectivity',
  'urlgetter',
  'dnscheck',
  'stunreachability',
  'echcheck',
  'browser_web',
]);

const WITH_TEST_KEYS = new Map(
  Object.entries(TEST_KEYS).map(([name, keys]) => [
    name,
    structure({
      ...TOP_LEVEL.fields,
      input: WITH_INPUT.has(name) ? nullable(input) : optional(input),
      test_keys: required(keys as Kind<unknown>),
    }),
  ]),
);

/**
 * Decodes a document in place with the model of its test name, or the generic model if the test has no transformer. Throws
 * MeasurementError with the name of the first field that is missing or cannot be converted.
 */
export function decodeMeasurement(document: Record<string, unknown>): Measurement & { test_keys: unknown } {
  const name = isSupported(document.test_name) ? document.test_name : 'generic';
  return decode(WITH_TEST_KEYS.get(name)!, document);
}
