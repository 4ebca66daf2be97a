import type { Label } from './labels.ts';

/** A made measurement with its right verdict. Hosts are different, so that measurements do not influence each other. */
export interface Generated {
  readonly document: Record<string, unknown>;
  readonly label: Label;
}

const DAY = '2024-02-20';
/** Addresses of the sites, and that of another network. IP databases of the collection know both. */
const SITE = '93.184.216.34';
const OTHER = '130.192.182.17';
/** A body that a fingerprint of Italy has, and a page of a site. */
const BLOCK_PAGE = '<html><head><title>Avviso</title></head><body><p>blocked</p></body></html>';
const PAGE = `<html><head><title>A site</title></head><body>${'words of the site '.repeat(60)}</body></html>`;

interface Interference {
  readonly name: string;
  readonly layer: Label['layer'];
  readonly outcome: Label['outcome'];
  /** Only for URLs with this scheme. */
  readonly scheme?: 'http' | 'https';
  readonly answer?: string | null;
  readonly dnsFailure?: string;
  readonly tcpFailure?: string;
  readonly tlsFailure?: string;
  readonly httpFailure?: string;
  readonly body?: string;
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly matches?: readonly [status: boolean | null, title: boolean | null, length: boolean | null, headers: boolean];
  /** Bytes that the connection receives in the ten seconds after which time runs out, of a page of a megabyte. */
  readonly received?: number;
  /** The control cannot reach the site either. */
  readonly isDown?: boolean;
}

/** Its content does not matter, because the probe has verified it. */
const CERTIFICATE = { format: 'base64', data: 'MAA=' };
const DIFFERENT = [false, false, false, false] as const;
const INTERFERENCES: readonly Interference[] = [
  { name: 'none', layer: null, outcome: 'ok' },
  { name: 'DNS: NXDOMAIN', layer: 'dns', outcome: 'blocked', answer: null, dnsFailure: 'dns_nxdomain_error' },
  { name: 'DNS: timeout', layer: 'dns', outcome: 'blocked', answer: null, dnsFailure: 'generic_timeout_error' },
  { name: 'DNS: bogon', layer: 'dns', outcome: 'blocked', answer: '127.0.0.1', tcpFailure: 'connection_refused' },
  { name: 'DNS: another address', layer: 'dns', outcome: 'blocked', answer: OTHER, tcpFailure: 'generic_timeout_error' },
  { name: 'TCP: refused', layer: 'tcp', outcome: 'blocked', tcpFailure: 'connection_refused' },
  { name: 'TCP: timeout', layer: 'tcp', outcome: 'blocked', tcpFailure: 'generic_timeout_error' },
  { name: 'TLS: reset', layer: 'tls', outcome: 'blocked', scheme: 'https', tlsFailure: 'connection_reset' },
  { name: 'TLS: timeout', layer: 'tls', outcome: 'blocked', scheme: 'https', tlsFailure: 'generic_timeout_error' },
  { name: 'TLS: false certificate', layer: 'tls', outcome: 'blocked', scheme: 'https', tlsFailure: 'ssl_unknown_authority' },
  { name: 'HTTP: block page', layer: 'http', outcome: 'blocked', scheme: 'http', body: `${BLOCK_PAGE}FINGERPRINT`, matches: DIFFERENT },
  { name: 'HTTP: redirect to a block page', layer: 'http', outcome: 'blocked', scheme: 'http', status: 302, body: '', headers: { Location: 'REDIRECT' } },
  { name: 'HTTP: another page', layer: 'http', outcome: 'blocked', scheme: 'http', body: BLOCK_PAGE, matches: [true, false, false, false] },
  { name: 'HTTP: reset', layer: 'http', outcome: 'blocked', scheme: 'http', httpFailure: 'connection_reset' },
  { name: 'HTTP: timeout', layer: 'http', outcome: 'blocked', scheme: 'http', httpFailure: 'generic_timeout_error' },
  { name: 'HTTPS: throttled', layer: 'http', outcome: 'blocked', scheme: 'https', httpFailure: 'generic_timeout_error' },
  { name: 'HTTP: throttled', layer: 'http', outcome: 'blocked', scheme: 'http', httpFailure: 'generic_timeout_error', received: 80_000 },
  { name: 'HTTPS: throttled, with counts of bytes', layer: 'http', outcome: 'blocked', scheme: 'https', httpFailure: 'generic_timeout_error', received: 25_000 },
  { name: 'HTTP: stopped after 16 kB', layer: 'http', outcome: 'blocked', scheme: 'http', httpFailure: 'generic_timeout_error', received: 16_384 },
  { name: 'large page', layer: null, outcome: 'unknown', httpFailure: 'generic_timeout_error', received: 480_000 },
  { name: 'CDN challenge', layer: null, outcome: 'unknown', scheme: 'http', status: 403, body: BLOCK_PAGE, headers: { Server: 'cloudflare' }, matches: [false, false, false, true] },
  { name: 'CDN challenge, TLS', layer: null, outcome: 'ok', scheme: 'https', status: 403, body: BLOCK_PAGE, headers: { Server: 'cloudflare' }, matches: [false, false, false, true] },
  { name: 'status 451, TLS', layer: null, outcome: 'refused', scheme: 'https', status: 451, body: BLOCK_PAGE, matches: DIFFERENT },
  { name: 'server error', layer: null, outcome: 'unknown', scheme: 'http', status: 502, body: BLOCK_PAGE, matches: DIFFERENT },
  { name: 'site is down', layer: null, outcome: 'down', tcpFailure: 'connection_refused', isDown: true },
]; // biome-ignore format: a table

/** Texts of fingerprints in OONI's list, with the country of each. */
const FINGERPRINT = { text: '<title>AGCOM Stop Page</title>', country: 'IT' };
const LOCATION = { text: 'http://lighthouse.du.ae', country: 'AE' };

/** Returns web_connectivity measurements of each interference, with scheme, and with and without control. */
export function generated(): Generated[] {
  return INTERFERENCES.flatMap(each =>
    (['http', 'https'] as const)
      .filter(scheme => scheme === (each.scheme ?? scheme))
      .flatMap(scheme => [true, false].map(hasControl => make(each, scheme, hasControl))),
  );
}

let count = 0;

function make(each: Interference, scheme: 'http' | 'https', hasControl: boolean): Generated {
  const host = `site${++count}.example.org`;
  const url = `${scheme}://${host}/`;
  const port = scheme === 'https' ? 443 : 80;
  const answer = each.answer === undefined ? SITE : each.answer;
  const endpoint = `${answer}:${port}`;
  const isConnected = answer !== null && !each.tcpFailure;
  const isSecure = scheme === 'https';
  const isRequested = isConnected && !each.tlsFailure;
  const failure = each.dnsFailure ?? each.tcpFailure ?? each.tlsFailure ?? each.httpFailure ?? null;
  const body = each.body?.replace('FINGERPRINT', FINGERPRINT.text) ?? PAGE;
  const headers = Object.fromEntries(
    Object.entries(each.headers ?? {}).map(([name, value]) => [name, value.replace('REDIRECT', LOCATION.text)]),
  );
  const [status_code_match, title_match, body_length_match, headers_match] = each.matches ?? [true, true, true, true];
  const isCompared = hasControl && failure === null && each.status !== 302;
  const document = {
    measurement_start_time: `${DAY} 10:00:00`,
    test_start_time: `${DAY} 10:00:00`,
    test_name: 'web_connectivity',
    test_version: '0.5.0',
    software_name: 'miniooni',
    software_version: '3.20.0',
    report_id: `generated-${count}`,
    probe_asn: 'AS137',
    probe_cc: each.headers?.Location ? LOCATION.country : FINGERPRINT.country,
    probe_ip: '127.0.0.1',
    test_runtime: 1,
    data_format_version: '0.2.0',
    input: url,
    test_keys: {
      queries: [
        {
          engine: 'getaddrinfo',
          hostname: host,
          query_type: 'A',
          failure: each.dnsFailure ?? null,
          answers: answer === null ? [] : [{ answer_type: 'A', ipv4: answer }],
          t: 0.1,
          transaction_id: 1,
        },
      ],
      tcp_connect:
        answer === null
          ? []
          : [
              {
                ip: answer,
                port,
                status: { failure: each.tcpFailure ?? null, success: !each.tcpFailure },
                t: 0.2,
                transaction_id: 1,
              },
            ],
      tls_handshakes:
        isConnected && isSecure
          ? [
              {
                address: endpoint,
                server_name: host,
                no_tls_verify: false,
                failure: each.tlsFailure ?? null,
                peer_certificates: each.tlsFailure ? [] : [CERTIFICATE],
                t: 0.3,
                transaction_id: 1,
              },
            ]
          : [],
      requests: isRequested
        ? [
            {
              address: endpoint,
              failure: each.httpFailure ?? null,
              request: { url, method: 'GET', headers: {} },
              response: each.httpFailure
                ? { code: 0, headers: {}, body: '' }
                : { code: each.status ?? 200, headers, body },
              ...(each.received === undefined ? { t: 0.4 } : { t0: 0.4, t: 10.4 }),
              transaction_id: 1,
            },
          ]
        : [],
      network_events: countsOf(each, endpoint),
      ...(isCompared && { status_code_match, title_match, body_length_match, headers_match }),
      control_failure: hasControl ? null : 'connection_reset',
      control: hasControl ? controlOf(each, port, host, isSecure) : null,
      blocking: null,
      accessible: null,
    },
  };
  // A block page and an address that cannot be on the internet need no control.
  const isKnownPage = (each.name.endsWith('block page') && each.layer === 'http') || each.name === 'DNS: bogon';
  const without: Label['outcome'] = isKnownPage
    ? 'blocked'
    : each.outcome === 'ok' && !isSecure
      ? 'unknown or ok'
      : each.outcome === 'refused' || (each.outcome === 'ok' && isSecure)
        ? each.outcome
        : 'unknown';
  return {
    document,
    label: hasControl
      ? { outcome: each.outcome, layer: each.layer, kind: each.name, isReached: each.outcome === 'ok' }
      : {
          outcome: without,
          layer: without === 'blocked' ? each.layer : null,
          kind: `${each.name}, no control`,
          isReached: each.outcome === 'ok',
        },
  };
}

/** The handshake takes 4 kB; a fourth of the rest arrives in each fourth of the time. */
function countsOf({ received }: Interference, address: string): object[] {
  if (received === undefined) return [];
  return [0, 1, 2, 3, 4].map(fourth => ({
    operation: 'bytes_received_cumulative',
    address,
    num_bytes: 4096 + (received * fourth) / 4,
    t: 0.4 + fourth * 2.5,
    transaction_id: 1,
  }));
}

function controlOf({ isDown, received }: Interference, port: number, host: string, isSecure: boolean): object {
  const failure = isDown ? 'connection_refused' : null;
  return {
    dns: { failure: null, addrs: [SITE] },
    tcp_connect: { [`${SITE}:${port}`]: { failure, status: !isDown } },
    ...(isSecure &&
      !isDown && { tls_handshake: { [`${SITE}:${port}`]: { failure: null, server_name: host, status: true } } }),
    http_request: {
      failure,
      body_length: isDown ? -1 : received === undefined ? PAGE.length : 1_000_000,
      status_code: isDown ? -1 : 200,
      title: isDown ? '' : 'A site',
      headers: {},
    },
  };
}
