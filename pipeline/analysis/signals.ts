import { MESSENGER_SIGNALS } from './messengers.ts';
import { FAILED_UNLIKE_CONTROL } from './own-controls.ts';
import { quoted } from './quoted.ts';
import { PEER_ANSWERS } from './reporters.ts';
import { LAYERS, type Layer, type Need, type RulesVersion } from './rules.ts';

/**
 * The values that rule conditions are written over (analysis.md sections 3.1 to 3.4). Each is an expression over the joined row
 * that judgement.ts builds: `o` the observation, what the control knows of its host `ch`, address `ca` and endpoint `ce`, `r` the
 * report, `f` a fingerprint.
 */
export interface Signal {
  readonly name: string;
  readonly sql: string;
  readonly meaning: string;
  /** Layer whose rules use it first. */
  readonly layer: Layer;
  /** True when it is taken over all answers of the host and address family, not of one row. */
  readonly overAnswers?: boolean;
  /** Contents that the days must have so that a rule that uses it can hold; absent: any. */
  readonly needs?: Need;
}

/** Rows of ooniprobe before version 3, the Python program. */
export const IS_PYTHON_PROBE =
  "software_name IN ('ooniprobe', 'ooniprobe-legacy') AND ifNull(toUInt16OrNull(splitByChar('.', software_version)[1]), 0) < 3";

/** Names of the system resolver (df-002). Programs that are built without libc write the last two. */
const SYSTEM_ENGINES = ['system', 'getaddrinfo', 'golang_net_resolver', 'go'];

/**
 * Rows of the system resolver. Version 3 counts lookups without an engine as its own where the probe is one of those that had
 * no other resolver in these tests and wrote no engine: ooniprobe before version 3, the Python program (analysis.md section 5).
 */
export function isSystemResolver(version: RulesVersion): string {
  if (version === 2) return "ifNull(dns_engine IN ('system', 'getaddrinfo'), 0)";
  const named = `ifNull(dns_engine IN (${quoted(SYSTEM_ENGINES)}), 0)`;
  const old = `dns_engine IS NULL AND dns_query_type IS NOT NULL AND test_name IN ('web_connectivity', 'facebook_messenger', 'whatsapp') AND ${IS_PYTHON_PROBE}`;
  return `(${named} OR (${old}))`;
}

/** Rows of web_connectivity of which the probe does not record the address: those of requests before version 0.5 of the test, and of failed lookups. */
export const IS_WITHOUT_ADDRESS = "ip IS NULL AND test_name = 'web_connectivity'";

/** Rows of the test that does not follow redirects, so that each of its responses is the last one. */
export const IS_FINAL = "test_name = 'http_requests'";

/** SQL of the site of a host: its registered domain. */
export const siteOf = (host: string) => `cutToFirstSignificantSubdomain(${host})`;

/** SQL of how many parts of the response differ from those of the control's, by the probe's comparison; -1: nothing was compared. */
export const DIFFERING = `if(coalesce(probe_status_code_match, probe_title_match, probe_body_length_match) IS NULL, -1,
      arrayCount(match -> ifNull(match = 0, 0), [probe_status_code_match, probe_title_match, probe_body_length_match, probe_headers_match]))`;

/** SQL of whether status code and title are those of the control. */
export const SAME_TITLE = 'ifNull(probe_status_code_match = 1 AND probe_title_match = 1, 0)';

/** Failures after which a request may have been sent, and the response did not arrive completely. */
const INTERRUPTIONS = ['connection_reset', 'connection_aborted', 'eof_error', 'generic_timeout_error', 'timed_out', 'response_never_received', 'connection_lost']; // biome-ignore format: a list
/** Failures of requests for which time ran out. */
const TIMEOUTS = ['generic_timeout_error', 'timed_out'];
/**
 * Bytes per second below which a transfer is slow: 256 kbit/s. Russia throttled Twitter to 130 to 150 kbit/s in 2021 (Xue et al., IMC 2021). At a
 * higher speed, a page that a probe does not finish in time is large, or the network is slow for all sites.
 */
export const SLOW = 32 * 1024;
/** Bytes of a response below which it counts as not begun: a handshake of which the probe has no count may be among them. */
const BEGUN = 4096;
/** In the server header of content networks that ask visitors for proofs. */
const CONTENT_NETWORKS = ['cloudflare', 'akamai', 'ddos-guard', 'sucuri', 'imperva', 'cloudfront'];
/** Titles of pages that ask for proofs. */
const CHALLENGES = ['Just a moment...', 'Attention Required! | Cloudflare', 'DDoS-Guard'];

/**
 * Failures that the probe's own machine makes, and no network: it has no socket, no address or no buffer, or the step was cancelled. The second list is of
 * parts of messages that have no name.
 */
const OWN_FAILURES = [
  'address_family_not_supported', 'address_in_use', 'address_not_available', 'bad_address', 'bad_file_descriptor', 'interrupted', 'invalid_argument',
  'network_down', 'no_buffer_space', 'not_a_socket', 'operation_canceled', 'permission_denied', 'protocol_not_supported', 'wrong_protocol_type',
]; // biome-ignore format: a list
const OWN_MESSAGES = ['too many open files', 'context canceled', 'operation was canceled', 'operation not permitted'];
/** The same for lookups: the resolver, which is the same for all names, cannot be reached. */
const NO_RESOLVER = ['network_unreachable', 'host_unreachable'];

/** Returns the signal of a failure that shows nothing about the network. */
function failedItself(layer: Layer): Signal {
  const names = layer === 'dns' ? [...OWN_FAILURES, ...NO_RESOLVER] : OWN_FAILURES;
  const failure = `${layer}_failure`;
  return {
    name: `${layer}_failed_itself`,
    sql: `ifNull(${failure} IN (${quoted(names)}) OR multiSearchAny(${failure}, [${quoted(OWN_MESSAGES)}]), 0)`,
    meaning: `the failure is one of the probe’s own machine: it had no socket, address or buffer, or the step was cancelled${layer === 'dns' ? '; or the machine had no route to its resolver' : ''}`,
    layer,
  };
}

/** The signals of a rules version, in the order in which they are computed. */
export function signalsOf(version: RulesVersion): readonly Signal[] {
  return [
    ...dnsSignals(version),
    ...since3(version, ...serviceSignals().map(signal => ({ ...signal, needs: 'hasMessengers' as const }))),
    ...tcpSignals(version),
    ...tlsSignals(version),
    ...since3(version, ...httpSignals()),
  ];
}

/** Returns signals that version 2 does not have. */
function since3(version: RulesVersion, ...signals: readonly Signal[]): readonly Signal[] {
  return version === 2 ? [] : signals;
}

function ofLayer(layer: Layer): (name: string, sql: string, meaning: string) => Signal {
  return (name, sql, meaning) => ({ name, sql, meaning, layer });
}

const dns = ofLayer('dns');
const tcp = ofLayer('tcp');
const tls = ofLayer('tls');
const http = ofLayer('http');

/** All answers of one host and address family that the system resolver gave in one measurement are judged together. */
function answers(name: string, sql: string, meaning: string): Signal {
  return { ...dns(name, sql, meaning), overAnswers: true };
}

function dnsSignals(version: RulesVersion): readonly Signal[] {
  return [
    answers(
      'answers',
      'sum(toUInt32(is_answer))',
      'how many answers of the system resolver the host and address family has in this measurement',
    ),
    dns('dns_failure', 'o.dns_failure', 'failure of this row’s lookup'),
    ...since3(version, failedItself('dns')),
    dns(
      'is_system_resolver',
      'o.is_system_resolver',
      version === 2
        ? 'the row’s engine is `system` or `getaddrinfo`'
        : 'the row’s engine is one of the names of the system resolver (`system`, `getaddrinfo`, `golang_net_resolver`, `go`), or it has none and the probe is too old to name one',
    ),
    ...since3(
      version,
      dns(
        'has_no_such_record',
        `ifNull(o.dns_failure IS NOT NULL AND multiIf(
        o.dns_failure = 'dns_no_answer' AND o.dns_query_type NOT IN ('A', 'ANY'), 1,
        o.dns_query_type = 'AAAA', ctrl_dns_success > 0 AND ch.dns_success_v6 = 0,
        o.dns_query_type = 'A' OR o.dns_failure = 'dns_no_answer', ctrl_dns_success > 0 AND ch.dns_success_v6 = ctrl_dns_success,
        0), 0)`,
        'the lookup failed because the name has no record of the type, which is not that of an IPv4 address; or it was for addresses of one family, and the control got addresses of the other one only',
      ),
    ),
    ...since3(version, dns('is_engine_named', 'o.dns_engine IS NOT NULL', 'the probe names the engine of the lookup')),
    dns(
      'fingerprint_match',
      'has(f.countries, o.probe_cc)',
      'this row’s answer is a fingerprint (pattern type `full`, scope other than `fp`) expected in the probe’s country',
    ),
    answers(
      'answers_tls_consistent',
      'max(is_answer AND tls_consistent)',
      'an answer is an address with which the control completed a TLS handshake, or any probe found a valid certificate, for this host on this day',
    ),
    ...since3(
      version,
      answers(
        'answers_page_consistent',
        'max(is_answer AND is_page_of_control)',
        'over an answer a page loaded in the clear that is that of the control, by the probe’s comparison',
      ),
      dns(
        'page_without_address',
        'o.page_without_address',
        'the page of this host is that of the control, or came over TLS, and the probe does not record over which address: probes before web_connectivity 0.5, which ask the system resolver alone',
      ),
    ),
    answers(
      'answers_tls_inconsistent',
      'max(is_answer AND tls_inconsistent)',
      'an answer is an address with which the control got a TLS error',
    ),
    answers(
      'answers_match_control',
      'max(is_answer AND control_answered)',
      version === 2
        ? 'an answer is among the control’s answers'
        : 'an answer, or the IPv4 address inside a NAT64 address, is among the control’s answers',
    ),
    answers(
      'answers_asn_matches_control',
      'max(is_resolved AND control_answered_asn)',
      'an answer lies in the network (AS number) of one of the control’s answers',
    ),
    answers(
      'answers_contain_bogon',
      'max(is_resolved AND is_bogon)',
      version === 2
        ? 'an answer is an address that cannot be on the internet'
        : 'an answer is an address that cannot be on the internet; of a NAT64 address, the IPv4 address inside is looked at',
    ),
    ...since3(
      version,
      answers(
        'answers_bogon_in_control',
        'max(is_answer AND is_bogon AND control_answered)',
        'an answer is an address that cannot be on the internet, and the control got it too',
      ),
      answers(
        'networks_known',
        'min(NOT is_resolved OR (has_network AND control_networks))',
        'the networks (AS numbers) of all answers are known, and that of an answer of the control in the row’s address family',
      ),
    ),
    dns('ctrl_dns_success', 'ch.dns_success', 'rows of the control with an answer for this host on this day'),
    dns('ctrl_dns_failure', 'ch.dns_failure', 'rows of the control with a failed lookup of this host on this day'),
    dns(
      'ctrl_dns_success_rate',
      'ctrl_dns_success / (ctrl_dns_failure + ctrl_dns_success)',
      'success / (failure + success); not a number without control',
    ),
    ...since3(
      version,
      dns(
        'has_control',
        'if(o.is_compared_v6, ch.dns_success_v6, ctrl_dns_success - ch.dns_success_v6) > 0',
        'the control looked this host up on this day and got an address of the row’s family',
      ),
    ),
    ...since3(version, {
      ...dns(
        'probe_offline',
        'o.probe_offline',
        'the probe had no network: the measurement reached nothing and brought no control, and so did its neighbours in the report',
      ),
      needs: 'mayBeOffline',
    }),
  ];
}

/** Signals of messengers, whose endpoints belong to services. Those of the DNS layer are used first. */
function serviceSignals(): readonly Signal[] {
  return [
    dns(
      'is_service',
      MESSENGER_SIGNALS.isService,
      'the row is of an endpoint of a messenger’s service, which clients need',
    ),
    dns(
      'is_unused',
      MESSENGER_SIGNALS.isUnused,
      'the row is of an endpoint of a messenger to which its test does not connect',
    ),
    dns(
      'is_redundant',
      MESSENGER_SIGNALS.isRedundant,
      'the endpoints of the service are redundant (`telegram/dc_pool`, `whatsapp/endpoints`); the signals with `service_` are then over all of them',
    ),
    dns('is_retired', MESSENGER_SIGNALS.isRetired, 'the messenger no longer uses the name'),
    dns(
      'is_own_network',
      MESSENGER_SIGNALS.isOwnNetwork,
      'the address is in the network (AS number) of the messenger’s operator',
    ),
    dns('network_shown', 's.shows_network', 'the messenger’s test reached something, so the probe had a network'),
    dns('service_resolved', 's.answered', 'a lookup of the endpoint got a public address'),
    dns('service_connected', 's.connected', 'a connect to the endpoint succeeded, other than to port 80 of a web site'),
    dns('service_proven', 's.proven', 'a handshake with the endpoint ended with a valid certificate'),
    dns('service_responded', 's.responded', 'the endpoint responded over TLS, or is redundant and responded'),
    dns('service_resolved_today', 'sd.answered', 'the same for any probe on this day'),
    dns('service_connected_today', 'sd.connected', 'the same for any probe on this day'),
    dns('service_proven_today', 'sd.proven', 'the same for any probe on this day'),
    dns('service_responded_today', 'sd.responded', 'the same for any probe on this day'),
    dns('service_countries', 'sd.countries', 'number of countries from which probes tried the endpoint on this day'),
    dns(
      'service_sampled_countries',
      'sd.sampled_countries',
      'the same, counting only rows of complete runs without a filter by country',
    ),
    dns(
      'is_outdated',
      MESSENGER_SIGNALS.isOutdated,
      'the test does not know the certificates that the messenger uses on this day',
    ),
  ];
}

function tcpSignals(version: RulesVersion): readonly Signal[] {
  // Of connects only: handshakes are compared by address in every version (rules.ts says why).
  const place = version === 2 ? 'ca' : 'ce';
  const endpoint = version === 2 ? 'the address on any port' : 'the address and port';
  return [
    tcp('tcp_success', 'o.tcp_success', 'the connect succeeded'),
    tcp('tcp_failure', 'o.tcp_failure', 'failure of the connect'),
    ...since3(
      version,
      failedItself('tcp'),
      tcp(
        'tcp_unanswered',
        `o.tcp_failure NOT IN (${PEER_ANSWERS})`,
        'the connect failed without an answer: it was neither refused nor reset',
      ),
    ),
    tcp('is_v6', 'o.is_v6', 'the row’s address is an IPv6 literal'),
    {
      ...tcp(
        'report_ipv6_failure_rate',
        'r.ipv6_failing / (r.ipv6_failing + r.ipv6_success)',
        version === 2
          ? 'failed / all IPv6 connects of the rows with the same report id on this day'
          : 'unanswered (`tcp_unanswered`) / all IPv6 connects on this day of the same probe (`probe_id`), or where it has no id, of the same report',
      ),
      needs: 'hasIPv6',
    },
    tcp('ctrl_tcp_success', `${place}.tcp_success`, `successful connects of the control to ${endpoint}`),
    tcp('ctrl_tcp_failing', `${place}.tcp_failing`, `failed connects of the control to ${endpoint}`),
    tcp(
      'ctrl_tcp_success_rate',
      'ctrl_tcp_success / (ctrl_tcp_success + ctrl_tcp_failing)',
      'success / (success + failing)',
    ),
  ];
}

function tlsSignals(version: RulesVersion): readonly Signal[] {
  // The control makes no QUIC handshakes, and a network may block QUIC alone.
  const overTcp = (sql: string) => (version === 2 ? sql : `if(ifNull(o.tls_network = 'udp', 0), 0, ${sql})`);
  const noQuic = version === 2 ? '' : '; 0 for a QUIC handshake, which the control does not make';
  return [
    tls('tls_is_certificate_valid', 'o.tls_is_certificate_valid', 'the handshake ended with a valid certificate'),
    tls('tls_failure', 'o.tls_failure', 'failure of the handshake'),
    ...since3(
      version,
      failedItself('tls'),
      tls(
        'is_clock_wrong',
        "ifNull(o.bucket_date >= '2012' AND toDate32(o.measurement_start_time) > toDate32(substring(o.bucket_date, 1, 10)) + 60, 0)",
        'the measurement started more than 60 days after its bucket, in which it was uploaded; buckets before 2012 are unknown ones',
      ),
    ),
    ...since3(version, {
      ...tls(
        'failed_unlike_own_control',
        FAILED_UNLIKE_CONTROL,
        'the handshake failed, and another one of the same measurement was answered: of echcheck the one without ECH, of sni_blocking the one with the control’s name, where a timeout does not count',
      ),
      needs: 'hasOwnControls' as const,
    }),
    tls(
      'ctrl_tls_success',
      overTcp('ca.tls_success'),
      `successful handshakes of the control with the address${noQuic}`,
    ),
    tls('ctrl_tls_failing', overTcp('ca.tls_failing'), `failed handshakes of the control with the address${noQuic}`),
    tls(
      'ctrl_tls_success_rate',
      'ctrl_tls_success / (ctrl_tls_success + ctrl_tls_failing)',
      'success / (success + failing)',
    ),
  ];
}

function httpSignals(): readonly Signal[] {
  return [
    http('http_status', 'o.http_response_status_code', 'status code of the response'),
    http('http_failure', 'o.http_failure', 'failure of the request'),
    failedItself('http'),
    http('is_https', 'o.is_https', 'the request was made over TLS, by a probe that verifies certificates'),
    http(
      'has_page',
      'o.has_page',
      'a response arrived completely, and it is not a redirect, which http_requests alone does not follow',
    ),
    http(
      'http_fingerprint',
      `multiIf(empty(o.http_fingerprints) OR (o.is_https AND ifNull(o.hostname = lower(domain(o.input)), 0)), 0,
      hasAny(confirming, arrayMap(name -> concat(name, ' ', o.probe_cc), o.http_fingerprints)), 3,
      hasAny(confirming, arrayMap(name -> concat(name, ' *'), o.http_fingerprints)), 2, 1)`,
      'class of the fingerprints in the response, from `fingerprints_http`: 3: one is expected in the probe’s country; 2: one is of a filtering product; 1: there are others; 0: none. Fingerprints in a page of the host of the input that arrived over TLS do not count',
    ),
    http(
      'http_differing',
      DIFFERING,
      'how many of status code, title, length and header names differ from those of the control, by the probe’s comparison; -1 when nothing was compared',
    ),
    http(
      'is_other_site',
      `ifNull(startsWith(o.input, 'http://') AND ${siteOf('o.hostname')} != ${siteOf("lower(trimRight(domain(o.input), '.'))")}, 0)`,
      'the input is a URL in the clear, and the host of the row is not of the same site (registered domain)',
    ),
    http('same_title', SAME_TITLE, 'status code and title are those of the control'),
    http(
      'is_cdn_challenge',
      `ifNull(o.http_response_status_code IN (403, 429, 503), 0) AND (multiSearchAnyCaseInsensitive(ifNull(o.http_response_header_server, ''), [${quoted(CONTENT_NETWORKS)}])
      OR ifNull(o.http_response_title IN (${quoted(CHALLENGES)}), 0))`,
      'status 403, 429 or 503 of a content network, by the server header or the title',
    ),
    http(
      'is_refused',
      'ifNull(multiIf(o.http_response_status_code = 451, o.is_https OR o.probe_status_code_match = 1, o.http_response_status_code = 403, o.is_https AND o.probe_status_code_match = 0, 0), 0)',
      'status 451 over TLS or equal to the control’s; or status 403 over TLS, other than the control’s',
    ),
    http(
      'is_interrupted',
      `ifNull(o.http_failure IN (${quoted(INTERRUPTIONS)}) AND (o.tcp_success = 1 OR o.probe_analysis = 'http-failure' OR (o.${IS_FINAL} AND o.http_failure = 'response_never_received')) AND (o.is_https OR startsWith(o.http_request_url, 'http://')), 0)`,
      'the connection was reset or closed, or time ran out, after the connect: the row has a connect that succeeded, or the probe itself found that only HTTP failed, or the failure of http_requests shows that the request was sent',
    ),
    http(
      'http_bytes',
      'o.http_received',
      'bytes that the connection received since the request began, by the counts of the probe (web_connectivity since 0.5)',
    ),
    http(
      'ctrl_http_bytes',
      'ch.http_bytes',
      'length of the longest body that the control got from this host on this day',
    ),
    http(
      'is_throttled',
      `ifNull(o.http_failure IN (${quoted(TIMEOUTS)}) AND http_bytes >= ${BEGUN} AND http_bytes < ${SLOW} * o.http_runtime AND http_bytes < ctrl_http_bytes, 0)`,
      `time ran out while a response arrived: since the request began, ${BEGUN / 1024} kB or more arrived, fewer than ${SLOW / 1024} kB per second, and fewer bytes than the body of the control has`,
    ),
    http(
      'is_unfinished',
      `ifNull(o.http_failure IN (${quoted(TIMEOUTS)}) AND http_bytes >= ${BEGUN} AND http_bytes >= ${SLOW} * o.http_runtime, 0)`,
      `time ran out while a response arrived at ${SLOW / 1024} kB per second or more`,
    ),
    http(
      'ctrl_http_loads',
      "ch.http_success > ch.http_failing OR ifNull(o.probe_analysis = 'http-failure', 0)",
      'most requests of the control to this host on this day succeeded, or the probe itself found that only HTTP failed, and not for the control',
    ),
    http(
      'ctrl_http_fails',
      'ch.http_failing > 0 AND ch.http_success = 0',
      'all requests of the control to this host on this day failed',
    ),
  ];
}

/** Grades of the layers judged before, which conditions may use as well: `dns_blocked`, `dns_down`, `dns_ok`, then those of TCP. */
export function gradesBefore(layer: Layer): readonly string[] {
  return LAYERS.slice(0, LAYERS.indexOf(layer)).flatMap(of => [`${of}_blocked`, `${of}_down`, `${of}_ok`]);
}
