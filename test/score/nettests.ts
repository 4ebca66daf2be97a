import { connect, control, documentOf, handshake, lookup, request, type Steps, steps } from '../support/document.ts';
import type { Generated } from './generated.ts';
import type { Label } from './labels.ts';

/**
 * Measurements of the tests besides web_connectivity and the messengers. Their right verdicts follow OONI's test specifications (the number
 * is at each test) and from what happened. The control of a host is a measurement of web_connectivity from another network; that of a
 * tunnel is the same tunnel in two other networks. Some tests bring their own.
 */

/** The server of a host, and an address in another network. */
const SITE = '93.184.216.34';
const OTHER = '130.192.182.17';
const TIMEOUT = 'generic_timeout_error';
const PAGE = '<html><head><title>A site</title></head><body>words of the site</body></html>';
const BLOCK_PAGE = '<html><head><title>AGCOM Stop Page</title></head></html>';

/** What happens to a test. Each step that is not mentioned works. */
interface Interference {
  readonly name: string;
  readonly layer: 'dns' | 'tcp' | 'tls' | 'http' | 'quic' | null;
  readonly dns?: string;
  readonly answer?: string;
  readonly tcp?: string;
  readonly tls?: string;
  readonly quic?: string;
  readonly http?: string;
  readonly body?: string;
  readonly location?: string;
  /** A document without a control shows it, too: a known block page, an address that cannot be on the internet. */
  readonly isPlain?: boolean;
  /** The control fails as well. */
  readonly isDown?: boolean;
}

const INTERFERENCES: readonly Interference[] = [
  { name: 'none', layer: null },
  { name: 'DNS: NXDOMAIN', layer: 'dns', dns: 'dns_nxdomain_error' },
  { name: 'DNS: refused', layer: 'dns', dns: 'dns_refused_error' },
  { name: 'DNS: SERVFAIL', layer: 'dns', dns: 'dns_servfail_error' },
  { name: 'DNS: timeout', layer: 'dns', dns: TIMEOUT },
  { name: 'DNS: bogon', layer: 'dns', answer: '10.10.34.35', tcp: TIMEOUT, isPlain: true },
  { name: 'DNS: another address', layer: 'dns', answer: OTHER, tcp: TIMEOUT },
  { name: 'TCP: refused', layer: 'tcp', tcp: 'connection_refused' },
  { name: 'TCP: timeout', layer: 'tcp', tcp: TIMEOUT },
  { name: 'TCP: reset', layer: 'tcp', tcp: 'connection_reset' },
  { name: 'TLS: reset', layer: 'tls', tls: 'connection_reset' },
  { name: 'TLS: timeout', layer: 'tls', tls: TIMEOUT },
  { name: 'TLS: closed', layer: 'tls', tls: 'eof_error' },
  { name: 'TLS: unknown authority', layer: 'tls', tls: 'ssl_unknown_authority' },
  { name: 'TLS: wrong name', layer: 'tls', tls: 'ssl_invalid_hostname' },
  { name: 'QUIC: timeout', layer: 'quic', quic: TIMEOUT },
  { name: 'HTTP: reset', layer: 'http', http: 'connection_reset' },
  { name: 'HTTP: timeout', layer: 'http', http: TIMEOUT },
  { name: 'HTTP: block page', layer: 'http', body: BLOCK_PAGE, isPlain: true },
  { name: 'HTTP: redirect to a block page', layer: 'http', location: 'https://block.opendns.com/', isPlain: true },
  { name: 'the site is down', layer: 'tcp', tcp: TIMEOUT, isDown: true },
]; // biome-ignore format: a table

interface Place {
  readonly host: string;
  readonly each: Interference;
  readonly hasControl: boolean;
}

/** A test that tries one host step by step. */
interface Nettest {
  readonly test: string;
  /** Layers that it tries. */
  readonly layers: readonly Interference['layer'][];
  readonly port: number;
  readonly input: (place: Place) => unknown;
  readonly keys: (place: Place, done: Steps) => Record<string, unknown>;
  /** The lookup is not by the resolver of users. */
  readonly engine?: string;
  /** A page in the clear instead of one over TLS. */
  readonly isPlain?: boolean;
  /** It has no name that a control could know. */
  readonly isNameless?: boolean;
  /** The verdict when every step works; absent: ok. */
  readonly fine?: Label['outcome'];
  /** The test brings the control: another handshake with the same server. */
  readonly hasOwn?: true;
  /** Layers without a name. */
  readonly nameless?: Interference['layer'];
  /** Failures that are not blocking to this test, by its specification, with the verdict. */
  readonly harmless?: Readonly<Record<string, Label['outcome']>>;
}

const https = ({ host }: Place) => `https://${host}/`;
const first = (list: Steps[keyof Steps]) => list?.[0] ?? null;

const NETTESTS: readonly Nettest[] = [
  // ts-027
  { test: 'urlgetter', layers: ['dns', 'tcp', 'tls', 'http'], port: 443, input: https, keys: (_, done) => ({ ...done }) },
  { test: 'urlgetter', layers: ['dns', 'tcp', 'http'], port: 80, isPlain: true, input: ({ host }) => `http://${host}/`, keys: (_, done) => ({ ...done }), fine: 'unknown or ok' },
  { test: 'urlgetter', layers: ['dns', 'quic'], port: 443, input: https, keys: (_, done) => ({ ...done, tcp_connect: null }) },
  // ts-026
  { test: 'riseupvpn', layers: ['dns', 'tcp', 'tls', 'http'], port: 443, input: () => null, keys: (_, done) => ({ ...done }) },
  // ts-028: the lookups over the resolver of the input are not those of users.
  {
    test: 'dnscheck',
    layers: ['dns', 'tcp', 'tls'],
    port: 443,
    input: ({ host }) => `dot://${host}:443`,
    keys: ({ host }, { queries, ...rest }) => ({ domain: 'example.org', bootstrap: { queries }, lookups: { [`dot://${SITE}:443`]: { ...rest, queries: lookup(`inner.${host}`, rest.tls_handshakes?.[0]?.failure === null ? [SITE] : TIMEOUT, { engine: 'dot', resolver_address: `${host}:443` }).queries } } }),
  },
  // ts-025: the binding request has no rows, so nothing shows that STUN works.
  ...['stunreachability', 'stun_reachability'].map((test): Nettest => ({ test, layers: ['dns'], port: 443, input: ({ host }) => `stun://${host}:3478`, keys: ({ host }, { queries }) => ({ endpoint: `${host}:3478`, queries, failure: null }), fine: 'unknown' })),
  { test: 'stunreachability', layers: [], port: 443, input: ({ host }) => `stun://${host}:3478`, keys: ({ host }, { queries }) => ({ endpoint: `${host}:3478`, queries, failure: TIMEOUT }), fine: 'unknown' },
  // ts-039: its own control is a handshake without the extension, over the same connection.
  {
    test: 'echcheck',
    layers: ['dns', 'tcp', 'tls'],
    port: 443,
    input: https,
    keys: (_, { queries, tcp_connect, tls_handshakes }) => ({ queries, tcp_connect, tls_handshakes: (tls_handshakes ?? []).flatMap(each => [each, { ...each, echconfig: 'GREASE', outer_server_name: each.server_name }]) }),
  },
  {
    test: 'echcheck',
    layers: ['tls'],
    port: 443,
    input: https,
    hasOwn: true,
    keys: ({ host, each, hasControl }, { queries, tcp_connect, tls_handshakes }) => ({
      queries,
      tcp_connect,
      tls_handshakes: [...(handshake(`${SITE}:443`, host, hasControl ? null : (each.tls ?? null)).tls_handshakes ?? []), ...(tls_handshakes ?? []).map(each => ({ ...each, echconfig: 'GREASE', outer_server_name: host }))],
    }),
  },
  // ts-037: its handshakes have a limited TTL and are not judged.
  { test: 'tlsmiddlebox', layers: ['dns', 'tcp'], port: 443, input: https, keys: (_, { queries, tcp_connect }) => ({ queries, tcp_connect }), fine: 'unknown' },
  // ts-034 and ts-033: the name is that of the handshake.
  { test: 'simplequicping', layers: ['quic'], port: 443, input: () => `quichandshake://${SITE}:443`, keys: (_, { tls_handshakes }) => ({ pings: [{ quic_handshake: first(tls_handshakes) }] }) },
  { test: 'tlsping', layers: ['tcp', 'tls'], nameless: 'tcp', port: 443, input: () => `tlshandshake://${SITE}:443`, keys: (_, { tcp_connect, tls_handshakes }) => ({ pings: [{ tcp_connect: first(tcp_connect), tls_handshake: first(tls_handshakes) }] }) },
  // ts-032, ts-035, ts-038: addresses and resolvers that the test chooses.
  { test: 'tcpping', layers: ['tcp'], port: 443, isNameless: true, input: () => `tcpconnect://${SITE}:443`, keys: (_, { tcp_connect }) => ({ pings: [{ tcp_connect: first(tcp_connect) }] }), fine: 'unknown or ok' },
  { test: 'portfiltering', layers: ['tcp'], port: 443, isNameless: true, input: () => null, keys: (_, { tcp_connect }) => ({ tcp_connect }), fine: 'unknown or ok' },
  { test: 'dnsping', layers: ['dns'], port: 443, engine: 'udp', isNameless: true, input: () => 'udp://8.8.8.8:53', keys: (_, { queries }) => ({ pings: [{ query: first(queries) }] }), fine: 'unknown or ok' },
  // ts-023: relays and bridges have no control, and no certificate that shows more than the connect.
  {
    test: 'tor',
    layers: ['tcp', 'tls'],
    port: 9001,
    isNameless: true,
    input: () => null,
    keys: (_, { tcp_connect, tls_handshakes }) => ({ targets: { [`${SITE}:9001`]: { target_address: `${SITE}:9001`, target_protocol: 'or_port', failure: null, tcp_connect, tls_handshakes: (tls_handshakes ?? []).map(each => ({ ...each, no_tls_verify: true, server_name: '' })), queries: null, requests: null, network_events: null } } }),
    fine: 'unknown or ok',
  },
  // ts-024: handshakes with one server, for two names.
  {
    test: 'sni_blocking',
    layers: ['tls'],
    port: 443,
    hasOwn: true,
    input: ({ host }) => host,
    harmless: { [TIMEOUT]: 'unknown', ssl_invalid_hostname: 'unknown or ok' },
    fine: 'unknown or ok',
    keys: ({ host, each, hasControl }, { tcp_connect, tls_handshakes }) => ({
      control: { ...steps(connect(`${SITE}:443`), handshake(`${SITE}:443`, `control.${host}`, hasControl || !each.tls ? 'ssl_invalid_hostname' : TIMEOUT)), failure: null },
      target: { tcp_connect, tls_handshakes, failure: null },
    }),
  },
  // ts-008: a name and a connect.
  { test: 'tcp_connect', layers: ['tcp'], port: 443, input: ({ host }) => `${host}:443`, keys: ({ each }) => ({ connection: each.tcp ?? 'success' }), fine: 'unknown or ok', isNameless: true },
  // ts-002: people choose the resolvers.
  { test: 'dns_consistency', layers: ['dns'], port: 53, isNameless: true, engine: 'chosen', input: ({ host }) => host, keys: ({ host }, { queries }) => ({ control_resolver: '8.8.8.8:53', queries: [{ ...lookup(host, [SITE]).queries![0], resolver_hostname: '8.8.8.8', resolver_port: 53 }, ...(queries ?? []).map(each => ({ ...each, resolver_hostname: '9.9.9.9', resolver_port: 53 }))] }), fine: 'unknown or ok' },
  // ts-004: the helper echoes the request.
  { test: 'http_host', layers: ['http'], port: 80, isPlain: true, isNameless: true, input: ({ host }) => host, keys: (_, { requests }) => ({ requests }), fine: 'unknown or ok' },
  // The lookup over HTTPS of a host that people choose, without a comparison; the records of a resolver; the result of a browser (ts-036).
  { test: 'doh', layers: ['dns'], port: 443, isNameless: true, engine: 'doh', input: ({ host }) => host, keys: ({ each }) => ({ url: 'https://dns.example.net/dns-query', failure: each.dns ?? null, 'x-addresses': each.dns ? [] : [each.answer ?? SITE] }), fine: 'unknown or ok' },
  { test: 'ddr', layers: ['dns'], port: 443, isNameless: true, engine: 'udp', input: () => null, keys: ({ each }) => ({ resolver: '192.168.10.1:53', failure: each.dns ?? null, supports_ddr: true, ddr_responses: each.dns ? [] : [{ target: 'dns.quad9.net.' }] }), fine: 'unknown or ok' },
  { test: 'browser_web', layers: ['http'], port: 443, isNameless: true, input: https, keys: ({ each }) => ({ result: each.http ?? 'ok', load_time_ms: 300 }), fine: 'unknown or ok' },
  // ts-003: the control is the response over Tor.
  {
    test: 'http_requests',
    layers: ['http'],
    port: 80,
    isPlain: true,
    hasOwn: true,
    fine: 'unknown or ok',
    input: ({ host }) => `http://${host}/`,
    keys: ({ host, each, hasControl }, { requests }) => ({
      requests: [
        ...(requests ?? []).map(made => ({ ...made, failure: each.http && 'response_never_received', request: { url: `http://${host}/`, method: 'GET', headers: {}, tor: { is_tor: false, exit_ip: null, exit_name: null } } })),
        ...(hasControl ? [{ failure: null, request: { url: `http://${host}/`, method: 'GET', headers: {}, tor: { is_tor: true, exit_ip: '1.2.3.4', exit_name: 'x' } }, response: { code: 200, body: PAGE, headers: {} } }] : []),
      ],
      ...(hasControl && !each.http && { body_length_match: !each.layer, headers_match: !each.layer, body_proportion: each.layer ? 0.1 : 1 }),
    }),
  },
]; // biome-ignore format: a table

/** Returns the steps of a test up to the one that fails. */
function stepsOf({ host, each }: Place, { port, isPlain, layers, engine }: Nettest): Steps {
  const ip = each.answer ?? SITE;
  const at = `${ip}:${port}`;
  const { dns, tcp, quic } = each;
  const tls = layers.includes('quic') ? quic : each.tls;
  const answered = lookup(host, dns ?? [ip], engine ? { engine } : {});
  if (dns) return answered;
  const isQuic = layers.includes('quic');
  const done = isQuic ? answered : steps(answered, connect(at, tcp ?? null));
  if (tcp) return done;
  const secured = isPlain ? done : steps(done, handshake(at, host, tls ?? null, isQuic ? { network: 'quic' } : {}));
  if (tls || !(layers.includes('http') || isQuic)) return secured;
  const { http, body = PAGE, location } = each;
  const response = location ? { status: 302, body: '', headers: { Location: location } } : { body };
  return steps(
    secured,
    request(`${isPlain ? 'http' : 'https'}://${host}/`, at, http ?? response, isQuic ? { network: 'quic' } : {}),
  );
}

let count = 0;
const DAY = '2024-03-05';

/**
 * Returns the measurements of each test with each interference, with and without control. A label is absent where a measurement is the
 * control of another.
 */
export function generatedNettests(): (Omit<Generated, 'label'> & { readonly label?: Label })[] {
  return NETTESTS.flatMap(nettest =>
    INTERFERENCES.filter(({ layer }) => layer === null || nettest.layers.includes(layer))
      // A page over TLS is that of the site, whatever it contains.
      .filter(each => nettest.isPlain || !each.isPlain || each.layer === 'dns')
      .flatMap(each =>
        [false, ...(nettest.isNameless ? [] : [true])].flatMap(hasControl => make(nettest, each, hasControl)),
      ),
  );
}

function make(nettest: Nettest, each: Interference, hasControl: boolean) {
  const place = { host: `n${++count}.example.org`, each, hasControl };
  const document = documentOf({
    test: nettest.test,
    input: nettest.input(place),
    start: `${DAY} 10:00:00`,
    report: `nettest ${count}`,
    keys: nettest.keys(place, stepsOf(place, nettest)),
  });
  const own = { document, label: labelOf(nettest, each, hasControl) };
  return hasControl && !nettest.hasOwn ? [own, { document: controlMeasurement(place) }] : [own];
}

function labelOf(nettest: Nettest, { name, layer, tls, isPlain, isDown }: Interference, hasControl: boolean): Label {
  const kind = hasControl ? name : `${name}, no control`;
  const nothing = { layer: null, kind };
  if (layer === null) {
    return { ...nothing, outcome: nettest.fine ?? 'ok' };
  }
  // The control makes no QUIC handshake, and a resolver that a test chooses is not that of users.
  if (layer === 'quic' || (nettest.engine && !isPlain)) return { ...nothing, outcome: 'unknown or ok' };
  if (nettest.engine) return { ...nothing, outcome: 'not blocked' };
  if (isPlain) return { kind, outcome: 'blocked', layer };
  const harmless = tls && nettest.harmless?.[tls];
  if (harmless) return { ...nothing, outcome: harmless };
  if (!hasControl || nettest.nameless === layer) return { ...nothing, outcome: 'unknown', isReached: false };
  return isDown
    ? { ...nothing, outcome: 'down', isReached: false }
    : { kind, outcome: 'blocked', layer, isReached: false };
}

/** A measurement of web_connectivity from another network, whose control reached the host or not. */
function controlMeasurement({ host, each: { isDown } }: Place): Record<string, unknown> {
  const failure = isDown ? TIMEOUT : null;
  return documentOf({
    input: `https://${host}/`,
    start: `${DAY} 11:00:00`,
    cc: 'DE',
    report: `control ${count}`,
    steps: lookup(host, [SITE]),
    control: control({
      dns: [SITE],
      tcp: { [`${SITE}:80`]: failure, [`${SITE}:443`]: failure },
      tls: isDown ? {} : { [`${SITE}:443`]: null },
      http: failure,
      name: host,
    }),
  });
}
