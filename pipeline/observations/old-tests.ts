import type { Control, HttpTransaction, OldDnsQuery, TestKeys } from '../measurement/model.ts';
import { addressForm, isIpLiteral } from '../reference/ip-literal.ts';
import { joinEndpoint, splitEndpoint, urlHost } from './addresses.ts';
import type { DnsObservation } from './dns.ts';
import { normaliseFailure } from './failures.ts';
import { hostForm } from './host-form.ts';
import { type HttpObservation, observeHttp } from './http.ts';
import type { TcpObservation } from './tcp.ts';

/** Observations of tests of the Python probe, whose documents have their own forms, and of doh and ddr (observations.md section 9.2). */

/** A response that a test got over Tor, to compare with. */
export interface ControlResponse {
  readonly url: string;
  readonly host: string;
  readonly control: Control;
}

/** Separates the requests of the probe from those over Tor. */
export function splitByTor(transactions: readonly HttpTransaction[] | null | undefined): {
  direct: HttpTransaction[];
  overTor: HttpTransaction[];
} {
  const direct: HttpTransaction[] = [];
  const overTor: HttpTransaction[] = [];
  for (const each of transactions ?? []) (each.request?.tor?.is_tor ? overTor : direct).push(each);
  return { direct, overTor };
}

/** Returns the first response that arrived over Tor. A failure of Tor shows nothing about the site. Throws MeasurementError. */
export function controlResponse(overTor: readonly HttpTransaction[]): ControlResponse | undefined {
  const found = observeHttp(overTor).find(
    ({ failure, hostname, response_status_code }) => failure === null && hostname && response_status_code,
  );
  if (!found) return undefined;
  const http_request = {
    failure: null,
    body_length: found.response_body_length ?? 0,
    status_code: found.response_status_code,
    title: found.response_title,
    headers: null,
  };
  return { url: found.request_url, host: found.hostname, control: { http_request } as Control };
}

/**
 * Makes the observations of http_host: requests to a test helper that name the tested host. That host is the one of the rows, because the
 * helper's is not tested. An address would look like the site itself, so it is left out. Throws MeasurementError.
 *
 * @param input tested host, or null
 */
export function observeHttpHost(requests: readonly HttpObservation[], input: unknown): HttpObservation[] {
  const tested = hostOf(input);
  const hostname = isIpLiteral(tested) ? '' : tested;
  return requests.map(each => ({ ...each, hostname }));
}

/** Returns the host of an input that is a URL or a host. Throws MeasurementError InvalidURL. */
function hostOf(input: unknown): string {
  const text = typeof input === 'string' ? input.trim() : '';
  return hostForm(urlHost(text.includes('://') ? text : `//${text}`));
}

/** Makes the observations of dns_consistency, those of the control resolver first. */
export function observeConsistency({ queries, control_resolver }: TestKeys<'dns_consistency'>): {
  control: DnsObservation[];
  target: DnsObservation[];
} {
  const control: OldDnsQuery[] = [];
  const target: OldDnsQuery[] = [];
  for (const query of queries ?? []) (resolverOf(query) === control_resolver ? control : target).push(query);
  return { control: control.flatMap(observeOldQuery), target: target.flatMap(observeOldQuery) };
}

function observeOldQuery(query: OldDnsQuery): DnsObservation[] {
  const answers = query.answers?.map(answer => ({
    type: answer.answer_type ?? '',
    value: answer.ipv4 || answer.ipv6 || answer.hostname || null,
  }));
  const { hostname, query_type, failure } = query;
  return observeLookup({ hostname: hostname ?? '', query_type, failure, resolver: resolverOf(query) }, answers);
}

/** A lookup, without its answers. */
interface Lookup {
  readonly hostname: string;
  readonly query_type: string | null | undefined;
  readonly failure: string | null | undefined;
  readonly engine?: string;
  /** Address, or URL of a resolver over HTTPS. */
  readonly resolver: string | null | undefined;
}

interface Answer {
  readonly type: string;
  readonly value: string | null | undefined;
}

const NO_ANSWER: readonly undefined[] = [undefined];

function observeLookup(lookup: Lookup, answers: readonly Answer[] = []): DnsObservation[] {
  return (answers.length > 0 ? answers : NO_ANSWER).map(
    (answer): DnsObservation => ({
      hostname: hostForm(lookup.hostname),
      query_type: lookup.query_type || null,
      failure: normaliseFailure(lookup.failure),
      engine: lookup.engine,
      engine_resolver_address: lookup.resolver,
      answer_type: answer?.type,
      answer: answer?.value || null,
      // The documents do not show the network of an answer.
      answer_asn: answer ? 0 : null,
      answer_as_org_name: answer ? '' : null,
      t: null,
      transaction_id: null,
      tags: null,
    }),
  );
}

function resolverOf({ resolver_hostname: host, resolver_port: port }: OldDnsQuery): string | null {
  return host ? joinEndpoint(host, port ?? 53) : null;
}

/** Makes the observation of tcp_connect, if its connect ended. Throws MeasurementError InvalidAddress. */
export function observeNamedConnect(connection: string | null | undefined, input: unknown): TcpObservation[] {
  if (!connection || typeof input !== 'string') return [];
  const { host, port } = connectTarget(input);
  if (!host) return [];
  const success = connection === 'success';
  return [
    {
      ip: isIpLiteral(host) ? addressForm(host) : '',
      port,
      success,
      failure: success ? null : normaliseFailure(connection),
      ...(!isIpLiteral(host) && { hostname: hostForm(host) }),
      t: null,
      transaction_id: null,
      conn_id: null,
      tags: null,
      taken: false,
    },
  ];
}

/** Parts of a bridge line before its endpoint: the word `Bridge` and the name of a transport. */
const BEFORE_ENDPOINT = /^(bridge\s+)?((obfs[234]|fte|scramblesuit)\s+)?/i;
const PORTS: Readonly<Record<string, number>> = { http: 80, https: 443 };

/** Returns the endpoint of an input: a URL, an endpoint, or the line of a bridge. Without a port, the test chose it. */
function connectTarget(input: string): { host: string | null; port: number | null } {
  const [, scheme, rest = input.trim()] = /^\s*(https?):\/\/([^/?#\s]*)/i.exec(input) ?? [];
  const [endpoint = ''] = rest.replace(BEFORE_ENDPOINT, '').split(/\s/);
  const { host, port } = splitEndpoint(endpoint);
  return { host, port: port ?? PORTS[scheme?.toLowerCase() ?? ''] ?? null };
}

/** Makes the observations of doh: its addresses by family. A lookup without addresses does not show its type. Throws MeasurementError. */
export function observeDoh({ failure, url, ...keys }: TestKeys<'doh'>, input: unknown): DnsObservation[] {
  const lookup = { hostname: hostOf(input), failure, engine: 'doh', resolver: url };
  const addresses = keys['x-addresses'] ?? [];
  if (addresses.length === 0) return observeLookup({ ...lookup, query_type: null });
  return addresses.flatMap(value => {
    const type = value.includes(':') ? 'AAAA' : 'A';
    return observeLookup({ ...lookup, query_type: type }, [{ type, value }]);
  });
}

/** The name that clients ask for the encrypted resolvers of a network (RFC 9462). */
const DISCOVERY = '_dns.resolver.arpa';

/** Makes the observations of ddr: the records that the resolver of the probe's network answered. */
export function observeDiscovery({ failure, resolver, ddr_responses }: TestKeys<'ddr'>): DnsObservation[] {
  const answers = ddr_responses?.map(({ target }) => ({ type: 'SVCB', value: target }));
  return observeLookup({ hostname: DISCOVERY, query_type: 'SVCB', failure, engine: 'udp', resolver }, answers);
}
