import { beforeAll, describe, expect, inject, test } from 'vitest';
import { type Contents, type ContentsRow, contentsOf, contentsQuery } from '../../pipeline/analysis/contents.ts';
import { NETTEST_GROUPS } from '../../pipeline/analysis/nettest-groups.ts';
import type { RulesVersion } from '../../pipeline/analysis/rules.ts';
import { verdictsQuery } from '../../pipeline/analysis/verdicts.ts';
import { EVERYTHING } from '../../pipeline/filter.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { analyseDay } from '../support/analyse-day.ts';
import { makeDatabase, silent } from '../support/database.ts';

/* Tests each rule of the spec's tables (analysis.md section 4) on hand-made rows. Grades and ids are copied from the spec, not from the code. */
type Row = Record<string, unknown>;
interface Case {
  readonly name: string;
  readonly test?: string;
  readonly web: readonly Row[];
  readonly ctrl?: readonly Row[];
  readonly versions?: readonly RulesVersion[];
  readonly dns?: BucketDecision;
  readonly tcp?: BucketDecision;
  readonly tls?: BucketDecision;
  readonly http?: BucketDecision;
  /** Outcome in the view `measurement_verdicts`. */
  readonly outcome?: string;
}
type BucketDecision = readonly [rule: string, blocked: number, down: number, ok: number];

const IM = NETTEST_GROUPS.im as readonly string[];
const A = '192.0.2.10';
const B = '198.51.100.20';
const V6 = '2001:db8::1';
/** Target of the NAT64 addresses: an address that may be on the Internet, unlike those for documentation. */
const INSIDE = '93.184.216.34';
/** INSIDE with the well-known prefix of NAT64, the prefix for local use (96, 48), and prefixes of a network (96, 64, 40; RFC 6052). */
const NAT64 = ['64:ff9b::5db8:d822', '64:ff9b:1::5db8:d822', '64:ff9b:1:5db8:d8:2200::', '2001:db8:122:344::5db8:d822', '2001:db8:122:344:5d:b8d8:2200:0', '2001:db8:15d:b8d8:22::']; // biome-ignore format: a list

const system = { dns_engine: 'system', dns_query_type: 'A' };
/** As if an IP database knew the networks of all addresses, each a different one. */
const known = { ip_asn: 64501 };
const answered = (ip: string, more: Row = {}): Row => ({ ...system, ip, dns_answer: ip, ...more });
const lookup = (ip: string, more: Row = {}): Row => ({ ip, dns_success: 1, ...more });
/** A control that answers B and has no other data. */
const OTHER = [lookup(B, { ip_asn: 64502 })];

/** A page in the clear, over an address that the control answers too. */
const page = (more: Row): Row => answered(A, { port: 80, tcp_success: 1, http_request_url: 'http://x/', http_response_status_code: 200, ...more }); // biome-ignore format: a row
const secure = { port: 443, tls_is_certificate_valid: 1, http_request_url: 'https://x/' };
type Match = 0 | 1 | null;
/** The probe's comparison with the page of the control. */
const compared = (status: Match, title: Match, length: Match, headers: Match): Row => ({
  probe_status_code_match: status,
  probe_title_match: title,
  probe_body_length_match: length,
  probe_headers_match: headers,
});

/** A request of the Python probe. */
const OLD_REQUEST: Row = { http_request_url: 'http://x/', software_name: 'ooniprobe', software_version: '1.3.2' };

/** A request from second 1 to 11 for which time ran out, and the bytes that the connection had received at some seconds. */
const transfer = (...samples: readonly (readonly [t: number, bytes: number])[]): Row => ({
  http_failure: 'generic_timeout_error',
  http_t: 11,
  http_runtime: 10,
  transfer_t: samples.map(([t]) => t),
  transfer_bytes: samples.map(([, bytes]) => bytes),
});
/** A control that loaded a page of a megabyte. */
const LARGE: Row = { http_success: 1, http_response_body_length: 1_000_000 };

const CASES: readonly Case[] = [
  { name: 'nothing was looked up', web: [{ http_request_url: 'http://x/' }], dns: ['no_dns_data', 0, 0, 0] },
  { name: 'a block page of the country', web: [answered('203.0.113.1')], ctrl: OTHER, dns: ['country_consistent_blockpage', 1, 0, 0] },
  { name: 'a block page of another country', web: [answered('203.0.113.2', known)], ctrl: OTHER, dns: ['dns_system_answer_unmatched', 0.75, 0, 0.25] },
  { name: 'a false positive among fingerprints', web: [answered('203.0.113.3', known)], ctrl: OTHER, dns: ['dns_system_answer_unmatched', 0.75, 0, 0.25] },
  { name: 'a prefix fingerprint is not a full match', web: [answered('203.0.113.4', known)], ctrl: OTHER, dns: ['dns_system_answer_unmatched', 0.75, 0, 0.25] },
  { name: 'the control completed a handshake with the answer', web: [answered(A)], ctrl: [...OTHER, { ip: A, port: 443, tls_success: 1 }], dns: ['tls_consistent_answer', 0, 0, 1] },
  { name: 'the answer proved itself', web: [answered(A, { tls_is_certificate_valid: 1 })], ctrl: OTHER, dns: ['tls_consistent_answer', 0, 0, 1], tls: ['certificate_valid', 0, 0, 1] },
  { name: 'the answer proved itself, but there is no control to add it to', web: [answered(A, { tls_is_certificate_valid: 1 })], versions: [2], dns: ['dns_system_answer_unmatched', 0.75, 0, 0.25] },
  { name: 'a bogon', web: [answered('10.0.0.1', { ip_is_bogon: 1 })], ctrl: OTHER, dns: ['bogon_not_in_ctrl', 0.95, 0.05, 0] },
  { name: 'a bogon the control sees too', web: [answered('10.0.0.1', { ip_is_bogon: 1 })], ctrl: [lookup('10.0.0.1')], versions: [2], dns: ['bogon_in_ctrl', 0.1, 0.9, 0] },
  { name: 'a bogon the control sees too, version 3', web: [answered('10.0.0.1', { ip_is_bogon: 1 })], ctrl: [lookup('10.0.0.1')], versions: [3], dns: ['bogon_of_ctrl', 0.1, 0.9, 0], outcome: 'down' },
  { name: 'a bogon beside an answer of the control', web: [answered('10.0.0.1', { ip_is_bogon: 1 }), answered(A)], ctrl: [lookup(A)], versions: [2], dns: ['bogon_in_ctrl', 0.1, 0.9, 0] },
  { name: 'a bogon beside an answer of the control, version 3', web: [answered('10.0.0.1', { ip_is_bogon: 1 }), answered(A)], ctrl: [lookup(A)], versions: [3], dns: ['answer_matches_ctrl', 0, 0, 0.9], outcome: 'ok' },
  ...(['golang_net_resolver', 'go'] as const).map((dns_engine): Case => ({ name: `${dns_engine} is the system resolver, version 3`, web: [{ ...system, dns_engine, dns_failure: 'dns_nxdomain_error' }], ctrl: OTHER, versions: [3], dns: ['dns_system_failure_ctrl_ok', 0.9, 0.1, 0], outcome: 'blocked' })),
  { name: 'a name without an address of IPv6, version 3', web: [answered(A), { ...system, dns_query_type: 'AAAA', dns_failure: 'dns_no_answer' }], ctrl: [lookup(A)], versions: [3], dns: ['answer_matches_ctrl', 0, 0, 0.9], outcome: 'ok' },
  { name: 'a name without an address of IPv6', web: [{ ...system, dns_query_type: 'AAAA', dns_failure: 'dns_no_answer' }], ctrl: [lookup(A)], versions: [3], dns: ['dns_no_such_record', 0, 0, 0], outcome: 'unknown' },
  { name: 'a name without any address', web: [{ ...system, dns_query_type: 'A', dns_failure: 'dns_no_answer' }], ctrl: [lookup(A)], dns: ['dns_system_failure_ctrl_ok', 0.9, 0.1, 0], outcome: 'blocked' },
  { name: 'the page of the control over another answer, version 3', web: [page({ ...answered(A, known), ...compared(1, 1, 1, 1) })], ctrl: OTHER, versions: [3], dns: ['page_consistent_answer', 0, 0, 0.9], http: ['http_page_matches_ctrl', 0, 0, 0.9], outcome: 'ok' },
  { name: 'another page over another answer, version 3', web: [page({ ...answered(A, known), ...compared(0, 0, 0, 0) })], ctrl: OTHER, versions: [3], dns: ['dns_system_answer_unmatched', 0.75, 0, 0.25], http: ['dns_untrusted', 0, 0, 0], outcome: 'blocked' },
  { name: 'a page over TLS without its address, version 3', web: [answered(A, known), { http_request_url: 'https://x/', http_response_status_code: 200 }], ctrl: OTHER, versions: [3], dns: ['page_consistent_answer', 0, 0, 0.9], outcome: 'ok' },
  { name: 'an address of a name that the control cannot look up, version 3', web: [answered(A, { ...known, port: 80, tcp_success: 0, tcp_failure: 'x' })], ctrl: [{ dns_failure: 'nx' }, { ip: A, port: 80, tcp_success: 1 }], versions: [3], tcp: ['dns_answer_ctrl_failing', 0, 0, 0], outcome: 'unknown' },
  { name: 'a handshake at such an address, version 3', web: [answered(A, { ...known, port: 443, tcp_success: 1, tls_failure: 'connection_reset' })], ctrl: [{ dns_failure: 'nx' }, { ip: A, port: 443, tls_success: 1 }], versions: [3], tls: ['dns_answer_ctrl_failing', 0, 0, 0], outcome: 'unknown' },
  ...(['connection_reset', 'generic_timeout_error'] as const).map((tls_failure): Case => ({ name: `echcheck: ${tls_failure} only with ECH`, test: 'echcheck', web: [{ ip: A, port: 443, tls_network: 'tcp', tls_echconfig: '' }, { ip: A, port: 443, tls_network: 'tcp', tls_echconfig: 'GREASE', tls_failure }], versions: [3], tls: ['failure_own_ctrl_ok', 0.7, 0.3, 0], outcome: 'blocked' })),
  { name: 'echcheck: reset with and without ECH', test: 'echcheck', web: [{ ip: A, port: 443, tls_network: 'tcp', tls_echconfig: '', tls_failure: 'connection_reset' }, { ip: A, port: 443, tls_network: 'tcp', tls_echconfig: 'GREASE', tls_failure: 'connection_reset' }], versions: [3], tls: ['none', 0, 0, 0], outcome: 'unknown' },
  ...([['connection_reset', 'failure_own_ctrl_ok', 'blocked'], ['eof_error', 'failure_own_ctrl_ok', 'blocked'], ['ssl_unknown_authority', 'failure_own_ctrl_ok', 'blocked'], ['ssl_invalid_hostname', 'none', 'unknown'], ['generic_timeout_error', 'none', 'unknown']] as const).map(([tls_failure, rule, outcome]): Case => ({ name: `sni_blocking: ${tls_failure} only for the name of the input`, test: 'sni_blocking', web: [{ ip: A, port: 443, target_id: 'control', tls_network: 'tcp', tls_failure: 'ssl_invalid_hostname' }, { ip: A, port: 443, target_id: 'target', tls_network: 'tcp', tls_failure }], versions: [3], tls: rule === 'none' ? [rule, 0, 0, 0] : [rule, 0.7, 0.3, 0], outcome })),
  { name: 'stunreachability: the lookup alone', test: 'stunreachability', web: [answered(A)], ctrl: [lookup(A)], versions: [3], dns: ['answer_matches_ctrl', 0, 0, 0.9], outcome: 'unknown' },
  { name: 'an answer with which the control gets TLS errors', web: [answered(A)], ctrl: [...OTHER, { ip: A, port: 443, tls_success: 0, tls_failure: 'ssl_invalid_hostname' }], dns: ['tls_inconsistent_not_in_ctrl', 0.9, 0.05, 0.05] },
  { name: 'not a TLS error: the wildcard needs a character', web: [answered(A, known)], ctrl: [...OTHER, { ip: A, port: 443, tls_success: 0, tls_failure: 'ssl' }], dns: ['dns_system_answer_unmatched', 0.75, 0, 0.25] },
  { name: 'the same answer', web: [answered(A)], ctrl: [lookup(A)], dns: ['answer_matches_ctrl', 0, 0, 0.9] },
  { name: 'the same network', web: [answered(A, { ip_asn: 64501 })], ctrl: [lookup(B, { ip_asn: 64501 })], dns: ['answer_asn_matches_ctrl', 0.2, 0, 0.8] },
  { name: 'unknown networks are not the same network', web: [answered(A, { ip_asn: 0 })], ctrl: [lookup(B, { ip_asn: 0 })], versions: [2], dns: ['dns_system_answer_unmatched', 0.75, 0, 0.25] },
  { name: 'failed, like the control', web: [{ ...system, dns_failure: 'dns_nxdomain_error' }], ctrl: [lookup(B), { dns_failure: 'nx' }], dns: ['dns_system_failure_ctrl_also_failing', 0.1, 0.9, 0] },
  { name: 'failed, unlike the control', web: [{ ...system, dns_failure: 'dns_nxdomain_error' }], ctrl: OTHER, dns: ['dns_system_failure_ctrl_ok', 0.9, 0.1, 0] },
  { name: 'failed, without control', web: [{ ...system, dns_failure: 'dns_nxdomain_error' }], dns: ['dns_system_failure_no_ctrl', 0.5, 0.5, 0] },
  { name: 'answered, and nothing vouches for it', web: [answered(A, known)], ctrl: OTHER, dns: ['dns_system_answer_unmatched', 0.75, 0, 0.25] },
  { name: 'answered, without control', web: [answered(A)], versions: [2], dns: ['dns_system_answer_unmatched', 0.75, 0, 0.25] },
  { name: 'answered, without control, version 3', web: [answered(A)], versions: [3], dns: ['dns_system_answer_no_ctrl', 0, 0, 0] },
  { name: 'another resolver failed', web: [{ dns_engine: 'doh', dns_query_type: 'A', dns_failure: 'x' }], ctrl: OTHER, dns: ['none', 0, 0, 0] },
  { name: 'an old probe names no engine', web: [{ dns_query_type: 'A', ip: A, dns_answer: A, software_name: 'ooniprobe', software_version: '2.1.0' }], ctrl: [lookup(A)], versions: [2], dns: ['no_dns_data', 0, 0, 0] },
  { name: 'an old probe names no engine, version 3', web: [{ dns_query_type: 'A', ip: A, dns_answer: A, software_name: 'ooniprobe', software_version: '2.1.0' }], ctrl: [lookup(A)], versions: [3], dns: ['answer_matches_ctrl', 0, 0, 0.9] },
  { name: 'an old probe got what the control did not, version 3', web: [{ dns_query_type: 'A', ip: A, dns_answer: A, software_name: 'ooniprobe', software_version: '2.1.0', port: 443, tcp_success: 1 }], ctrl: OTHER, versions: [3], dns: ['dns_old_probe_answer_unmatched', 0, 0, 0], tcp: ['connect_ok', 0, 0, 1] },
  { name: 'an old probe got a bogon, version 3', web: [{ dns_query_type: 'A', ip: '10.0.0.1', ip_is_bogon: 1, dns_answer: '10.0.0.1', software_name: 'ooniprobe', software_version: '2.1.0' }], ctrl: OTHER, versions: [3], dns: ['bogon_not_in_ctrl', 0.95, 0.05, 0] },
  { name: 'a new probe without engine is not the system resolver', web: [{ dns_query_type: 'A', ip: A, dns_answer: A, software_name: 'ooniprobe', software_version: '3.1.0' }], ctrl: [lookup(A)], versions: [3], dns: ['no_dns_data', 0, 0, 0] },
  { name: 'address families are judged separately', web: [answered(A), { ...answered(V6), dns_query_type: 'AAAA' }], ctrl: [lookup(A)], versions: [2], dns: ['dns_system_answer_unmatched', 0.75, 0, 0.9] },
  { name: 'the control has no address of the family, version 3', web: [answered(A), { ...answered(V6), dns_query_type: 'AAAA' }], ctrl: [lookup(A)], versions: [3], dns: ['answer_matches_ctrl', 0, 0, 0.9] },
  { name: 'the control has another address of the family', web: [answered(A), { ...answered(V6, known), dns_query_type: 'AAAA' }], ctrl: [lookup(A), lookup('2001:db8::9', { ip_asn: 64502 })], dns: ['dns_system_answer_unmatched', 0.75, 0, 0.9] },
  { name: 'answered, but the control found no such name', web: [answered(A)], ctrl: [{ dns_failure: 'nx' }], versions: [2], dns: ['dns_system_answer_unmatched', 0.75, 0, 0.25] },

  { name: 'neither connected nor failed', web: [{ ip: A, port: 443, tcp_success: 0 }], tcp: ['no_tcp_data', 0, 0, 0] },
  { name: 'no connect at all gets the rule none', web: [{ http_request_url: 'http://x/' }], tcp: ['none', 0, 0, 0] },
  { name: 'connected', web: [{ ip: A, port: 443, tcp_success: 1 }], tcp: ['connect_ok', 0, 0, 1] },
  { name: 'a probe without IPv6', web: [{ ip: V6, port: 443, tcp_success: 0, tcp_failure: 'host_unreachable' }], versions: [2], tcp: ['ipv6_broken_probe', 0, 0, 0] },
  { name: 'a probe without IPv6, version 3', web: [{ ip: V6, port: 443, tcp_success: 0, tcp_failure: 'host_unreachable' }], versions: [3], tcp: ['ipv6_unanswered_probe', 0, 0, 0] },
  { name: 'the only IPv6 connect was refused, so IPv6 works', web: [{ ip: V6, port: 443, tcp_success: 0, tcp_failure: 'connection_refused' }], ctrl: [{ ip: V6, port: 443, tcp_success: 1 }], versions: [3], tcp: ['endpoint_failure_ctrl_ok', 0.75, 0.25, 0] },
  { name: 'a refused IPv6 connect beside two without an answer', web: [{ ip: V6, port: 443, tcp_success: 0, tcp_failure: 'connection_refused' }, { ip: V6, port: 80, tcp_success: 0, tcp_failure: 'generic_timeout_error' }, { ip: V6, port: 8080, tcp_success: 0, tcp_failure: 'generic_timeout_error' }], ctrl: [{ ip: V6, port: 443, tcp_success: 1 }], versions: [3], tcp: ['endpoint_failure_ctrl_ok', 0.75, 0.25, 0] },
  { name: 'IPv6 works half of the time', web: [{ ip: V6, port: 443, tcp_success: 0, tcp_failure: 'x' }, { ip: V6, port: 80, tcp_success: 1 }], ctrl: [{ ip: V6, port: 443, tcp_success: 1 }], versions: [2], tcp: ['failure_ctrl_ok', 0.75, 0.25, 1] },
  { name: 'failed, unlike the control', web: [{ ip: A, port: 443, tcp_success: 0, tcp_failure: 'connection_refused' }], ctrl: [{ ip: A, port: 443, tcp_success: 1 }], versions: [2], tcp: ['failure_ctrl_ok', 0.75, 0.25, 0] },
  { name: 'failed, unlike the control, version 3', web: [{ ip: A, port: 443, tcp_success: 0, tcp_failure: 'connection_refused' }], ctrl: [{ ip: A, port: 443, tcp_success: 1 }], versions: [3], tcp: ['endpoint_failure_ctrl_ok', 0.75, 0.25, 0] },
  { name: 'ports are not distinguished', web: [{ ip: A, port: 80, tcp_success: 0, tcp_failure: 'x' }], ctrl: [{ ip: A, port: 443, tcp_success: 1 }, { ip: A, port: 80, tcp_success: 0 }], versions: [2], tcp: ['failure_ctrl_also_failing', 0.25, 0.75, 0] },
  { name: 'ports are distinguished, version 3', web: [{ ip: A, port: 443, tcp_success: 0, tcp_failure: 'x' }], ctrl: [{ ip: A, port: 443, tcp_success: 1 }, { ip: A, port: 80, tcp_success: 0 }], versions: [3], tcp: ['endpoint_failure_ctrl_ok', 0.75, 0.25, 0] },
  { name: 'an untrusted answer masks the connect', web: [answered(A, { ...known, port: 443, tcp_success: 0, tcp_failure: 'x' })], ctrl: OTHER, tcp: ['dns_untrusted', 0, 0, 0] },
  { name: 'a failure that only this probe saw', web: [{ ip: A, port: 443, tcp_success: 0, tcp_failure: 'x' }], ctrl: OTHER, tcp: ['none', 0, 0, 0] },

  { name: 'no handshake', web: [{ ip: A, port: 443, tcp_success: 1 }], tls: ['no_tls_data', 0, 0, 0] },
  ...(
    [
      ['ssl_unknown_authority', 'failure_ctrl_ok_ssl', 0.9, 0.1],
      ['connection_reset', 'failure_ctrl_ok_reset', 0.8, 0.2],
      ['generic_timeout_error', 'failure_ctrl_ok_other', 0.7, 0.3],
    ] as const
  ).flatMap(([failure, rule, blocked, down]): Case[] => {
    const web = [{ ip: A, port: 443, tcp_success: 1, tls_failure: failure }];
    const ctrl = [{ ip: A, port: 443, tls_success: 1 }];
    return [{ name: `TLS ${failure}`, web, ctrl, tls: [rule, blocked, down, 0] }];
  }),
  { name: 'a handshake in the row of another port', web: [{ ip: A, port: 80, tcp_success: 1, tls_failure: 'connection_reset' }], ctrl: [{ ip: A, port: 443, tcp_success: 1, tls_success: 1 }, { ip: A, port: 80, tcp_success: 1 }], tls: ['failure_ctrl_ok_reset', 0.8, 0.2, 0] },
  { name: 'an untrusted answer masks the handshake', web: [answered(A, { ...known, tls_failure: 'connection_reset' })], ctrl: OTHER, tls: ['dns_untrusted', 0, 0, 0] },
  { name: 'a blocked connect masks the handshake', web: [{ ip: A, port: 443, tcp_success: 0, tcp_failure: 'x', tls_failure: 'x' }], ctrl: [{ ip: A, port: 443, tcp_success: 1 }], tls: ['tcp_blocked', 0, 0, 0] },
  { name: 'the handshake fails for all', web: [{ ip: A, port: 443, tcp_success: 1, tls_failure: 'connection_reset' }], ctrl: [{ ip: A, port: 443, tls_success: 0, tls_failure: 'connection_reset' }], tls: ['failure_ctrl_also_failing', 0.2, 0.8, 0] },
  { name: 'a failed handshake of the control without reason is not failing', web: [{ ip: A, port: 443, tcp_success: 1, tls_failure: 'x' }], ctrl: [{ ip: A, port: 443, tls_success: 0 }], tls: ['none', 0, 0, 0] },

  // Version 3 compares only comparable values.
  { name: 'answers of unknown networks', web: [answered(A, { ip_asn: 0 })], ctrl: [lookup(B, { ip_asn: 0 })], versions: [3], dns: ['dns_system_answer_no_ip_metadata', 0, 0, 0], outcome: 'unknown' },
  { name: 'an answer of an unknown network', web: [answered(A, { ip_asn: 0 })], ctrl: OTHER, versions: [3], dns: ['dns_system_answer_no_ip_metadata', 0, 0, 0] },
  { name: 'only the networks of the control are unknown', web: [answered(A, known)], ctrl: [lookup(B)], versions: [3], dns: ['dns_system_answer_no_ip_metadata', 0, 0, 0] },
  { name: 'a hijacked name that does not exist', web: [answered(A, { ...known, port: 80, tcp_success: 1 })], ctrl: [{ dns_failure: 'dns_nxdomain_error' }], versions: [3], dns: ['dns_answer_ctrl_failing', 0, 0, 0], tcp: ['connect_ok', 0, 0, 1], outcome: 'unknown' },
  { name: 'a bogon for a name that does not exist', web: [answered('10.0.0.1', { ip_is_bogon: 1 })], ctrl: [{ dns_failure: 'dns_nxdomain_error' }], versions: [3], dns: ['dns_answer_ctrl_failing', 0, 0, 0], outcome: 'unknown' },
  { name: 'a false certificate for a name that does not exist', web: [answered(A, known)], ctrl: [{ dns_failure: 'dns_nxdomain_error' }, { ip: A, port: 443, tls_success: 0, tls_failure: 'ssl_invalid_hostname' }], versions: [3], dns: ['dns_answer_ctrl_failing', 0, 0, 0], outcome: 'unknown' },
  { name: 'a block page for a name that does not exist', web: [answered('203.0.113.1')], ctrl: [{ dns_failure: 'dns_nxdomain_error' }], versions: [3], dns: ['country_consistent_blockpage', 1, 0, 0], outcome: 'blocked' },
  { name: 'the failure of an address that was not compared', web: [answered(A, { port: 443, tcp_success: 0, tcp_failure: 'x' })], ctrl: [lookup(B), { ip: A, port: 443, tcp_success: 0, tcp_failure: 'x' }], versions: [3], tcp: ['dns_unverified', 0, 0, 0], outcome: 'unknown' },
  { name: 'a certificate for another name vouches for nothing', web: [answered(A, { ...known, tls_is_certificate_valid: 1, tls_server_name: 'other.example' })], ctrl: OTHER, versions: [3], dns: ['dns_system_answer_unmatched', 0.75, 0, 0.25] },
  ...NAT64.flatMap((ip): Case[] => [
    { name: `NAT64 ${ip}: the answer`, web: [{ ...answered(ip, { ip_is_bogon: ip.startsWith('64:ff9b::') ? 0 : 1 }), dns_query_type: 'AAAA' }], ctrl: [lookup(INSIDE)], versions: [3], dns: ['answer_matches_ctrl', 0, 0, 0.9], outcome: 'ok' },
    { name: `NAT64 ${ip}: a reset`, web: [{ ...answered(ip), dns_query_type: 'AAAA', port: 443, tcp_success: 1, tls_failure: 'connection_reset' }], ctrl: [{ ...lookup(INSIDE), port: 443, tcp_success: 1, tls_success: 1 }], versions: [3], dns: ['tls_consistent_answer', 0, 0, 1], tls: ['failure_ctrl_ok_reset', 0.8, 0.2, 0], outcome: 'blocked' },
    { name: `NAT64 ${ip}: a refused connect`, web: [{ ...answered(ip), dns_query_type: 'AAAA', port: 443, tcp_success: 0, tcp_failure: 'connection_refused' }, { ip: V6, port: 443, tcp_success: 1 }], ctrl: [{ ...lookup(INSIDE), port: 443, tcp_success: 1 }], versions: [3], tcp: ['endpoint_failure_ctrl_ok', 0.75, 0.25, 1], outcome: 'blocked' },
  ]),
  { name: 'an IPv4-mapped answer of the control', web: [{ ...answered(INSIDE), dns_answer: '::ffff:93.184.216.34', dns_query_type: 'AAAA' }], ctrl: [lookup(INSIDE)], versions: [3], dns: ['answer_matches_ctrl', 0, 0, 0.9], outcome: 'ok' },
  { name: 'NAT64: a bogon inside', web: [{ ...answered('64:ff9b::a00:1'), dns_query_type: 'AAAA' }], ctrl: OTHER, versions: [3], dns: ['bogon_not_in_ctrl', 0.95, 0.05, 0] },
  { name: 'NAT64: a block page inside', web: [{ ...answered('64:ff9b::cb00:7101'), dns_query_type: 'AAAA' }], ctrl: OTHER, versions: [3], dns: ['country_consistent_blockpage', 1, 0, 0] },
  { name: 'NAT64: the prefix that ipv4only.arpa shows', web: [{ hostname: 'ipv4only.arpa', ...answered('2001:db8:65::c000:aa') }, { ...answered('2001:db8:65::808:808', { ip_is_bogon: 1 }), dns_query_type: 'AAAA' }], ctrl: [lookup(INSIDE), lookup(V6)], versions: [3], dns: ['dns_system_answer_no_ip_metadata', 0, 0, 0], outcome: 'unknown' },
  { name: 'host names in capitals and with the dot of the root', web: [{ ...system, hostname: 'CAPITALS.example.', dns_failure: 'dns_nxdomain_error' }], ctrl: [lookup(B, { hostname: 'capitals.EXAMPLE' })], versions: [3], dns: ['dns_system_failure_ctrl_ok', 0.9, 0.1, 0], outcome: 'blocked' },

  // Outcomes.
  { name: 'a failure without control', web: [{ ...system, dns_failure: 'dns_nxdomain_error' }], outcome: 'unknown' },
  { name: 'a reset without control', web: [answered(A, { port: 443, tcp_success: 1, tls_failure: 'connection_reset' })], versions: [3], outcome: 'unknown' },
  { name: 'one bad address of two', web: [answered(A, { port: 443, tcp_success: 1, tls_is_certificate_valid: 1 }), answered(B, { port: 443, tcp_success: 0, tcp_failure: 'x' })], ctrl: [lookup(A), { ...lookup(B), port: 443, tcp_success: 1 }], versions: [3], tcp: ['endpoint_failure_ctrl_ok', 0.75, 0.25, 1], outcome: 'partly_blocked' },
  { name: 'a bad address on 443, and a redirect on 80', web: [answered(A, { port: 443, tcp_success: 0, tcp_failure: 'x' }), answered(A, { port: 80, tcp_success: 1, http_response_status_code: 301 })], ctrl: [{ ...lookup(A), port: 443, tcp_success: 1 }], versions: [3], outcome: 'blocked' },
  { name: 'a bogon, and a page over the address of another resolver', web: [answered('10.0.0.1', { ip_is_bogon: 1 }), { dns_engine: 'doh', dns_query_type: 'A', ip: A, dns_answer: A, port: 443, tcp_success: 1, tls_is_certificate_valid: 1 }], ctrl: [lookup(A)], outcome: 'blocked' },
  { name: 'one dead address of two', web: [answered(A, { port: 443, tcp_success: 1, tls_is_certificate_valid: 1 }), answered(B, { port: 443, tcp_success: 0, tcp_failure: 'x' })], ctrl: [lookup(A), { ...lookup(B), port: 443, tcp_success: 0, tcp_failure: 'x' }], versions: [3], outcome: 'ok' },
  { name: 'a messenger whose connect timed out', test: 'telegram', web: [{ hostname: null, ip: A, port: 80, tcp_success: 0, tcp_failure: 'generic_timeout_error' }, { hostname: null, ip: B, port: 443, tcp_success: 1, tls_is_certificate_valid: 1 }], versions: [3], outcome: 'unknown' },
  { name: 'a messenger that works', test: 'telegram', web: [{ hostname: null, ip: A, port: 80, tcp_success: 1 }, { ip: B, port: 443, tcp_success: 1, tls_is_certificate_valid: 1 }], versions: [3], outcome: 'ok' },
  { name: 'a page whose request failed', web: [answered(A, { port: 80, tcp_success: 1, http_failure: 'connection_reset' })], ctrl: [lookup(A)], outcome: 'unknown' },
  { name: 'the answer of the control', web: [answered(A)], ctrl: [lookup(A)], outcome: 'ok' },
  { name: 'a connect to an unverified address', web: [answered(A, { port: 443, tcp_success: 1 })], versions: [3], outcome: 'unknown' },
  { name: 'an address in place of a host, connected like the control', web: [{ ip: A, port: 80, tcp_success: 1 }], ctrl: [{ ip: A, port: 80, tcp_success: 1 }], outcome: 'ok' },

  // HTTP, in version 3.
  ...(
    [
      ['no request', answered(A), 'no_http_data', [0, 0, 0], 'ok'],
      ['a block page of the country', page({ http_fingerprints: ['country'] }), 'http_blockpage_of_country', [1, 0, 0], 'blocked'],
      ['a block page of another country', page({ http_fingerprints: ['elsewhere'] }), 'none', [0, 0, 0], 'ok'],
      ['a fingerprint that is no longer listed', page({ http_fingerprints: ['unlisted'] }), 'none', [0, 0, 0], 'ok'],
      ['a block page of a product', page({ http_fingerprints: ['product'] }), 'http_blockpage_of_product', [1, 0, 0], 'blocked'],
      ['vague words', page({ http_fingerprints: ['vague'] }), 'none', [0, 0, 0], 'ok'],
      ['a page of a product that the control got too', page({ http_fingerprints: ['product'], ...compared(1, 1, 1, 1) }), 'http_page_matches_ctrl', [0, 0, 0.9], 'ok'],
      ['a redirect to a block page', page({ http_response_status_code: 302, http_fingerprints: ['country'] }), 'http_blockpage_of_country', [1, 0, 0], 'blocked'],
      ['the text of a block page on the site itself', page({ ...secure, http_fingerprints: ['country'] }), 'https_page', [0, 0, 1], 'ok'],
      ['the same page', page(compared(1, 1, 1, 1)), 'http_page_matches_ctrl', [0, 0, 0.9], 'ok'],
      ['the same title, another length', page(compared(1, 1, 0, 0)), 'http_page_matches_ctrl', [0, 0, 0.9], 'ok'],
      ['one difference', page(compared(1, null, 0, 1)), 'http_diff_1', [0.2, 0, 0.6], 'ok'],
      ['two differences', page(compared(1, null, 0, 0)), 'http_diff_2', [0.4, 0, 0.3], 'unknown'],
      ['two differences and vague words', page({ ...compared(1, null, 0, 0), http_fingerprints: ['vague'] }), 'http_diff_3', [0.7, 0, 0.1], 'blocked'],
      ['three differences', page(compared(1, 0, 0, 0)), 'http_diff_3', [0.7, 0, 0.1], 'blocked'],
      ['all differ', page(compared(0, 0, 0, 0)), 'http_diff_4', [0.85, 0, 0], 'blocked'],
      ['all differ, over TLS', page({ ...secure, ...compared(0, 0, 0, 0) }), 'https_page', [0, 0, 1], 'ok'],
      ['an error of the server', page({ http_response_status_code: 502, ...compared(0, 0, 0, 0) }), 'http_server_error', [0, 0, 0], 'unknown'],
      ['a CDN asks for proof', page({ http_response_status_code: 403, http_response_header_server: 'cloudflare', ...compared(0, 0, 0, 0) }), 'http_cdn_challenge', [0, 0, 0], 'unknown'],
      ['a CDN asks for proof, over TLS', page({ ...secure, http_response_status_code: 503, http_response_header_server: 'cloudflare', ...compared(0, 0, 0, 1) }), 'https_page', [0, 0, 1], 'ok'],
      ['unavailable for legal reasons', page({ ...secure, http_response_status_code: 451, ...compared(0, 0, 0, 1) }), 'http_refused_by_site', [0, 0, 0], 'refused'],
      ['unavailable for legal reasons, in the clear', page({ http_response_status_code: 451, ...compared(0, 0, 0, 0) }), 'http_diff_4', [0.85, 0, 0], 'blocked'],
      ['forbidden, but not for the control', page({ ...secure, http_response_status_code: 403, ...compared(0, 0, 0, 0) }), 'http_refused_by_site', [0, 0, 0], 'refused'],
      ['a reset in the clear', page({ http_response_status_code: null, http_failure: 'connection_reset' }), 'http_reset_ctrl_ok', [0.7, 0.3, 0], 'blocked'],
      ['a timeout in the clear', page({ http_failure: 'generic_timeout_error' }), 'http_failure_ctrl_ok', [0.6, 0.4, 0], 'blocked'],
      ['a timeout over TLS', page({ ...secure, http_failure: 'generic_timeout_error' }), 'https_failure_ctrl_ok', [0.55, 0.45, 0], 'blocked'],
      ['another failure', page({ http_failure: 'http_invalid_redirect_location_host' }), 'none', [0, 0, 0], 'unknown'],
    ] as const
  ).map(([name, row, rule, grades, outcome]): Case => ({ name: `HTTP: ${name}`, web: [row], ctrl: [lookup(A), { http_success: 1 }], versions: [3], http: [rule, ...grades], outcome })),
  ...(
    [
      ['slow in the clear', page(transfer([2, 20_000], [11, 80_000])), LARGE, 'http_throttled_ctrl_ok', [0.65, 0.35, 0], 'blocked'],
      ['slow over TLS', page({ ...secure, ...transfer([0.5, 4_200], [11, 60_000]), tls_handshake_read_bytes: 4_200 }), LARGE, 'http_throttled_ctrl_ok', [0.65, 0.35, 0], 'blocked'],
      ['stopped after some kilobytes', page(transfer([2, 17_128], [11, 17_128])), LARGE, 'http_throttled_ctrl_ok', [0.65, 0.35, 0], 'blocked'],
      ['nothing after the handshake, which the probe counted', page({ ...secure, ...transfer([1.1, 4_200]), tls_handshake_read_bytes: 4_200 }), LARGE, 'https_failure_ctrl_ok', [0.55, 0.45, 0], 'blocked'],
      ['nothing after an earlier transfer', page(transfer([0.5, 80_000], [11, 80_000])), LARGE, 'http_failure_ctrl_ok', [0.6, 0.4, 0], 'blocked'],
      ['as many bytes as the page has', page(transfer([11, 80_000])), { ...LARGE, http_response_body_length: 70_000 }, 'http_failure_ctrl_ok', [0.6, 0.4, 0], 'blocked'],
      ['fast, and not finished', page(transfer([2, 100_000], [11, 500_000])), LARGE, 'http_page_unfinished', [0, 0, 0], 'unknown'],
      ['slow, and reset', page({ ...transfer([11, 80_000]), http_failure: 'connection_reset' }), LARGE, 'http_reset_ctrl_ok', [0.7, 0.3, 0], 'blocked'],
      ['slow, and the control failed', page(transfer([11, 80_000])), { http_success: 0, http_failure: 'x', http_response_body_length: 1_000_000 }, 'http_failure_ctrl_also_failing', [0.2, 0.8, 0], 'down'],
      ['no counts of bytes', page(transfer()), LARGE, 'http_failure_ctrl_ok', [0.6, 0.4, 0], 'blocked'],
    ] as const
  ).map(([name, row, control, rule, grades, outcome]): Case => ({ name: `HTTP, bytes over time: ${name}`, web: [row], ctrl: [lookup(A), control], versions: [3], http: [rule, ...grades], outcome })),
  { name: 'HTTP: a reset without a control that loaded', web: [page({ http_failure: 'connection_reset' })], ctrl: [lookup(A)], versions: [3], http: ['none', 0, 0, 0], outcome: 'unknown' },
  { name: 'HTTP: the control failed as well', web: [page({ http_failure: 'connection_reset' })], ctrl: [lookup(A), { http_success: 0, http_failure: 'x' }], versions: [3], http: ['http_failure_ctrl_also_failing', 0.2, 0.8, 0], outcome: 'down' },
  { name: 'HTTP: an untrusted answer masks the page', web: [answered('10.0.0.1', { ...page(compared(0, 0, 0, 0)), ip: '10.0.0.1', dns_answer: '10.0.0.1', ip_is_bogon: 1 })], ctrl: OTHER, versions: [3], http: ['dns_untrusted', 0, 0, 0], outcome: 'blocked' },
  { name: 'HTTP: a block page over one of two addresses', web: [page({ http_fingerprints: ['country'] }), page({ ...compared(1, 1, 1, 1), ip: B, dns_answer: B })], ctrl: [lookup(A), lookup(B)], versions: [3], http: ['http_blockpage_of_country', 1, 0, 0.9], outcome: 'partly_blocked' },
  ...(
    [
      ['the response over Tor, here a redirect', { http_response_status_code: 302, ...compared(null, null, 1, 1) }, 'http_page_matches_ctrl', [0, 0, 0.9], 'ok'],
      ['another length', { http_response_status_code: 200, ...compared(null, null, 0, 1) }, 'http_diff_1', [0.2, 0, 0.6], 'unknown'],
      ['another length and other headers', { http_response_status_code: 200, ...compared(null, null, 0, 0) }, 'http_diff_2', [0.4, 0, 0.3], 'unknown'],
      ['a block page of the country', { http_response_status_code: 200, http_fingerprints: ['country'], ...compared(null, null, 0, 0) }, 'http_blockpage_of_country', [1, 0, 0], 'blocked'],
      ['no response, while one arrived over Tor', { http_failure: 'response_never_received' }, 'http_failure_ctrl_ok', [0.6, 0.4, 0], 'blocked'],
      ['a lookup that failed', { http_failure: 'dns_lookup_error' }, 'none', [0, 0, 0], 'unknown'],
    ] as const
  ).map(([name, row, rule, grades, outcome]): Case => ({ name: `http_requests: ${name}`, test: 'http_requests', web: [{ ...OLD_REQUEST, ...row }], ctrl: [{ http_success: 1 }], versions: [3], http: [rule, ...grades], outcome })),
  { name: 'http_requests: no response, and none over Tor', test: 'http_requests', web: [{ ...OLD_REQUEST, http_failure: 'response_never_received' }], versions: [3], http: ['none', 0, 0, 0], outcome: 'unknown' },
  { name: 'responses over Tor are not a control for version 2', test: 'http_requests', web: [answered(A, { tls_is_certificate_valid: 1 })], ctrl: [{ http_success: 1 }], versions: [2], dns: ['dns_system_answer_unmatched', 0.75, 0, 0.25] },
  { name: 'HTTP is not judged in version 2', web: [page({ http_fingerprints: ['country'] })], ctrl: [lookup(A)], versions: [2], http: ['', 0, 0, 0], outcome: 'ok' },
]; // biome-ignore format: a table

const DAY = '2024-03-05';
let clickhouse: ClickHouse;

/** Every case has a separate host, so all cases share one day and do not influence each other. */
beforeAll(async () => {
  ({ clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'rules'));
  const fingerprint = (pattern: string, more: Row) => ({
    name: pattern,
    scope: 'nat',
    pattern_type: 'full',
    pattern,
    confidence_no_fp: 5,
    expected_countries: 'IR, IT',
    ...more,
  });
  await clickhouse.insert('fingerprints_dns', [
    fingerprint('203.0.113.1', {}),
    fingerprint('203.0.113.2', { expected_countries: 'IR' }),
    fingerprint('203.0.113.3', { scope: 'fp' }),
    fingerprint('203.0.113.4', { pattern_type: 'prefix' }),
  ]);
  await clickhouse.insert('fingerprints_http', [
    { ...fingerprint('country', {}), location_found: 'body' },
    { ...fingerprint('elsewhere', { expected_countries: 'IR' }), location_found: 'body' },
    { ...fingerprint('product', { scope: 'prod', expected_countries: '' }), location_found: 'body' },
    { ...fingerprint('vague', { scope: 'vbw' }), location_found: 'body' },
  ]);
  const common = (index: number, ctrl: boolean) => ({
    measurement_uid: `20240305120000.000000_IT_${index}_${ctrl ? 'c' : 'x'}`,
    report_id: `report${index}`,
    input: `https://host${index}.example/`,
    hostname: `host${index}.example`,
    measurement_start_time: `${DAY} 00:00:00.000`,
    test_name: 'web_connectivity',
    bucket_date: DAY,
    run_generation: 1,
  });
  const all = (key: 'web' | 'ctrl') =>
    CASES.flatMap((each, index) =>
      (each[key] ?? []).map((row, observation_idx) => ({
        ...common(index, key === 'ctrl'),
        ...(each.test && { test_name: each.test }),
        ...(key === 'web' && { probe_cc: 'IT', probe_asn: 137 }),
        observation_idx,
        ...row,
      })),
    );
  await clickhouse.insert('obs_web', all('web'));
  await clickhouse.insert('obs_web_ctrl', all('ctrl'));
});

describe.each([2, 3] as const)('rules version %i', version => {
  let verdicts: Map<string, Row>;
  let words: Map<string, unknown>;

  beforeAll(async () => {
    const options = { day: DAY, filter: EVERYTHING, selection: { of: 'day' }, rulesVersion: version } as const;
    await analyseDay(clickhouse, { ...options, generation: 1_000 + version }, silent);
    const rows = await clickhouse.select<Row>('SELECT * FROM analysis_web_measurement');
    verdicts = new Map(rows.map(row => [String(row.domain), row]));
    const views = await clickhouse.select<Row>('SELECT domain, outcome FROM measurement_verdicts');
    words = new Map(views.map(row => [String(row.domain), row.outcome]));
  });

  const cases = CASES.map((each, index) => ({ ...each, host: `host${index}.example` })).filter(
    ({ versions }) => versions?.includes(version) ?? true,
  );
  test.each(cases)('$name', ({ host, ...expected }) => {
    const verdict = verdicts.get(host);
    expect(verdict).toBeDefined();
    for (const layer of ['dns', 'tcp', 'tls', 'http'] as const) {
      if (!expected[layer]) continue;
      const [rule, ...grades] = expected[layer];
      expect([layer, verdict?.[`top_${layer}_rule_id`]]).toEqual([layer, rule]);
      const got = ['blocked', 'down', 'ok'].map(grade => Number(Number(verdict?.[`${layer}_${grade}`]).toFixed(4)));
      expect([layer, ...got]).toEqual([layer, ...grades]);
    }
    expect(verdict?.analysis_rules_version).toBe(version);
    if (expected.outcome) expect(words.get(host)).toBe(expected.outcome);
  });
});

/** Rows of cases, all on one day. */
function casesOn(day: string, cases: readonly Case[], key: 'web' | 'ctrl'): Row[] {
  return cases.flatMap((each, index) =>
    (each[key] ?? []).map((row, observation_idx) => ({
      measurement_uid: `20240307120000.000000_IT_${index}_${key}`,
      report_id: `report${index}`,
      input: `https://host${index}.example/`,
      hostname: `host${index}.example`,
      measurement_start_time: `${day} 00:00:00.000`,
      test_name: each.test ?? 'web_connectivity',
      bucket_date: day,
      run_generation: 1,
      ...(key === 'web' && { probe_cc: 'IT', probe_asn: 137 }),
      observation_idx,
      ...row,
    })),
  );
}

const isOfMessenger = ({ test: name }: Case) => IM.includes(name ?? '');
const hasIPv6 = ({ web }: Case) => web.some(({ ip }) => String(ip).includes(':'));
const hasFailed = ({ web }: Case) =>
  web.some(row => (row.dns_failure ?? null) !== null || (row.tcp_failure ?? null) !== null);
const hasOwnControl = ({ test: name }: Case) => name === 'echcheck' || name === 'sni_blocking';
const hasPageWithoutAddress = ({ test: name = 'web_connectivity', web }: Case) =>
  name === 'web_connectivity' &&
  web.some(row => (row.ip ?? null) === null && (row.http_response_status_code ?? null) !== null);
const hasFingerprint = ({ web }: Case) => web.some(row => row.http_fingerprints !== undefined);
const hasHandshake = ({ web }: Case) =>
  web.some(row => (row.tls_failure ?? null) !== null || (row.tls_is_certificate_valid ?? null) !== null);
const hasRequest = ({ web }: Case) =>
  web.some(row => (row.http_failure ?? null) !== null || (row.http_response_status_code ?? null) !== null);
const LACKS: readonly { what: string; day: string; without: (each: Case) => boolean; hasControl?: false }[] = [
  { what: 'messengers', day: '2024-03-07', without: isOfMessenger },
  { what: 'IPv6 addresses', day: '2024-03-09', without: hasIPv6 },
  { what: 'probes without a network', day: '2024-03-11', without: hasFailed },
  { what: 'tests with a control of their own', day: '2024-03-15', without: hasOwnControl },
  { what: 'pages without an address', day: '2024-03-17', without: hasPageWithoutAddress },
  { what: 'handshakes', day: '2024-03-19', without: hasHandshake },
  { what: 'requests', day: '2024-03-21', without: hasRequest },
  { what: 'a control', day: '2024-03-23', without: () => false, hasControl: false },
  {
    what: 'all but the last three',
    day: '2024-03-13',
    without: each =>
      [isOfMessenger, hasIPv6, hasFailed, hasFingerprint, hasOwnControl, hasPageWithoutAddress].some(has => has(each)),
  },
];

test.for(LACKS)(
  'a statement without the relations over $what gives the same verdicts of days without them',
  async ({ day, without, hasControl = true }) => {
    const left = CASES.filter(each => !without(each)).map(each => (hasControl ? each : { ...each, ctrl: [] }));
    await clickhouse.insert('obs_web', casesOn(day, left, 'web'));
    await clickhouse.insert('obs_web_ctrl', casesOn(day, left, 'ctrl'));
    const before = new Date(Date.parse(day) - 86_400_000).toISOString().slice(0, 10);
    const found = async (days: string[], version: RulesVersion = 3) => {
      const { sql, params } = contentsQuery(days, version);
      const rows = await clickhouse.select<ContentsRow>(sql, { params });
      expect(rows.length).toBe(1);
      return contentsOf(rows[0]);
    };
    const endpoints = left.flatMap(({ ctrl }, index) =>
      (ctrl ?? []).map(({ hostname, ip, port }) => `${hostname ?? index} ${ip ?? ''} ${port ?? 0}`),
    );
    const contents = await found([day]);
    expect(contents).toEqual({
      hasMessengers: left.some(isOfMessenger),
      hasIPv6: left.some(hasIPv6),
      mayBeOffline: left.filter(hasFailed).length >= 3,
      hasHttpFingerprints: left.some(hasFingerprint),
      hasOwnControls: left.some(hasOwnControl),
      hasPagesWithoutAddress: left.some(hasPageWithoutAddress),
      hasHandshakes: left.some(hasHandshake),
      hasRequests: left.some(hasRequest),
      controlEndpoints: new Set(endpoints).size,
    });
    expect(Object.values(contents).some(value => !value)).toBe(true);
    // Version 2 uses only these two; the others are unknown.
    expect(await found([day], 2)).toEqual({
      hasMessengers: true,
      hasIPv6: contents.hasIPv6,
      mayBeOffline: true,
      hasHttpFingerprints: true,
      hasOwnControls: true,
      hasPagesWithoutAddress: true,
      hasHandshakes: true,
      hasRequests: true,
      controlEndpoints: contents.controlEndpoints,
    });
    // Without any observation.
    expect(await found([before])).toEqual({
      hasMessengers: false,
      hasIPv6: false,
      mayBeOffline: false,
      hasHttpFingerprints: false,
      hasOwnControls: false,
      hasPagesWithoutAddress: false,
      hasHandshakes: false,
      hasRequests: false,
      controlEndpoints: 0,
    });
    for (const [rulesVersion, days] of [
      [2, [day]],
      [3, [day]],
      [3, [before, day]],
    ] as const) {
      const verdicts = async (of?: Contents) => {
        const options = { days, filter: EVERYTHING, selection: { of: 'day' }, rulesVersion, contents: of } as const;
        const { sql, params } = verdictsQuery(options);
        return clickhouse.select(`SELECT * FROM (${sql}) ORDER BY measurement_uid`, {
          params: { ...params, generation: 1 },
        });
      };
      const whole = await verdicts();
      expect(whole.length).toBeGreaterThan(30);
      expect(await verdicts(contents)).toEqual(whole);
    }
  },
);
