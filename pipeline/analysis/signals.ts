import type { Layer, RulesVersion } from './rules.ts';

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
}

/**
 * Rows of the system resolver. Version 3 counts lookups without an engine as its own where the probe is one of those that had
 * no other resolver in these tests and wrote no engine: ooniprobe before version 3, the Python program (analysis.md section 5).
 */
export function isSystemResolver(version: RulesVersion): string {
  const named = "ifNull(dns_engine IN ('system', 'getaddrinfo'), 0)";
  if (version === 2) return named;
  const old =
    "dns_engine IS NULL AND dns_query_type IS NOT NULL AND software_name IN ('ooniprobe', 'ooniprobe-legacy')" +
    " AND test_name IN ('web_connectivity', 'facebook_messenger', 'whatsapp')" +
    " AND ifNull(toUInt16OrNull(splitByChar('.', software_version)[1]), 0) < 3";
  return `(${named} OR (${old}))`;
}

/** The signals of a rules version, in the order in which they are computed. */
export function signalsOf(version: RulesVersion): readonly Signal[] {
  // Of connects only: handshakes are compared by address in every version (rules.ts says why).
  const place = version === 2 ? 'ca' : 'ce';
  const endpoint = version === 2 ? 'the address on any port' : 'the address and port';
  const dns = (name: string, sql: string, meaning: string): Signal => ({ name, sql, meaning, layer: 'dns' });
  /** All answers of one host and address family that the system resolver gave in one measurement are judged together. */
  const answers = (name: string, sql: string, meaning: string): Signal => ({
    ...dns(name, sql, meaning),
    overAnswers: true,
  });
  /** Signals that version 2 does not have. */
  const ours = (...signals: Signal[]): Signal[] => (version === 2 ? [] : signals);
  const tcp = (name: string, sql: string, meaning: string): Signal => ({ name, sql, meaning, layer: 'tcp' });
  const tls = (name: string, sql: string, meaning: string): Signal => ({ name, sql, meaning, layer: 'tls' });
  return [
    answers(
      'answers',
      'sum(toUInt32(is_answer))',
      'how many answers of the system resolver the host and address family has in this measurement',
    ),
    dns('dns_failure', 'o.dns_failure', 'failure of this row’s lookup'),
    dns(
      'is_system_resolver',
      'o.is_system_resolver',
      version === 2
        ? 'the row’s engine is `system` or `getaddrinfo`'
        : 'the row’s engine is `system` or `getaddrinfo`, or it has none and the probe is too old to name one',
    ),
    ...ours(dns('is_engine_named', 'o.dns_engine IS NOT NULL', 'the probe says by what it looked the name up')),
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
    ...ours(
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
    ...ours(
      dns(
        'has_control',
        'if(o.is_compared_v6, ch.dns_success_v6, ctrl_dns_success - ch.dns_success_v6) > 0',
        'the control looked this host up on this day and got an address of the row’s family',
      ),
    ),
    ...ours(
      dns(
        'probe_offline',
        'o.probe_offline',
        'the probe had no network: the measurement reached nothing and brought no control, and so did its neighbours in the report',
      ),
    ),
    tcp('tcp_success', 'o.tcp_success', 'the connect succeeded'),
    tcp('tcp_failure', 'o.tcp_failure', 'failure of the connect'),
    tcp('is_v6', 'o.is_v6', 'the row’s address is an IPv6 literal'),
    tcp(
      'report_ipv6_failure_rate',
      'r.ipv6_failing / (r.ipv6_failing + r.ipv6_success)',
      version === 2
        ? 'failed / all IPv6 connects of the rows with the same report id on this day'
        : 'failed / all IPv6 connects on this day of the same probe (`probe_id`), or where it has no id, of the same report',
    ),
    tcp('ctrl_tcp_success', `${place}.tcp_success`, `successful connects of the control to ${endpoint}`),
    tcp('ctrl_tcp_failing', `${place}.tcp_failing`, `failed connects of the control to ${endpoint}`),
    tcp(
      'ctrl_tcp_success_rate',
      'ctrl_tcp_success / (ctrl_tcp_success + ctrl_tcp_failing)',
      'success / (success + failing)',
    ),
    tls('tls_is_certificate_valid', 'o.tls_is_certificate_valid', 'the handshake ended with a valid certificate'),
    tls('tls_failure', 'o.tls_failure', 'failure of the handshake'),
    tls('ctrl_tls_success', 'ca.tls_success', 'successful handshakes of the control with the address'),
    tls('ctrl_tls_failing', 'ca.tls_failing', 'failed handshakes of the control with the address'),
    tls(
      'ctrl_tls_success_rate',
      'ctrl_tls_success / (ctrl_tls_success + ctrl_tls_failing)',
      'success / (success + failing)',
    ),
  ];
}

/** Grades of the layers judged before, which conditions may use as well: `dns_blocked`, `dns_down`, `dns_ok`, then those of TCP. */
export function gradesBefore(layer: Layer): readonly string[] {
  const grades = (of: Layer) => [`${of}_blocked`, `${of}_down`, `${of}_ok`];
  return layer === 'dns' ? [] : layer === 'tcp' ? grades('dns') : [...grades('dns'), ...grades('tcp')];
}
