import type { Measurement, TestKeys, TestName } from '../measurement/model.ts';
import { addressForm, isIpLiteral } from '../reference/ip-literal.ts';
import { urlHost } from './addresses.ts';
import type { CertificateCache } from './certificate-cache.ts';
import { writeControlRows } from './control-rows.ts';
import { observeDns } from './dns.ts';
import { indexEvents } from './handshake-events.ts';
import { hostForm } from './host-form.ts';
import { observeHttp } from './http.ts';
import type { MeasurementRows } from './measurement-rows.ts';
import { writeHeaderFieldManipulation, writeInvalidRequestLine } from './middlebox-rows.ts';
import {
  controlResponse,
  observeConsistency,
  observeDiscovery,
  observeDoh,
  observeHttpHost,
  observeNamedConnect,
  splitByTor,
} from './old-tests.ts';
import { writeDash, writeNdt } from './performance-rows.ts';
import { isSignalChainValid } from './signal-chain.ts';
import { type Platform, targetId } from './targets.ts';
import { observeTcp } from './tcp.ts';
import { type ChainVerdict, observeTls } from './tls.ts';
import { Transfers } from './transaction.ts';
import {
  bridgeTunnel,
  meekTunnel,
  openvpnClientTunnel,
  openvpnTunnels,
  psiphonTunnel,
  torsfTunnel,
  vanillaTorTunnel,
  writeTunnel,
} from './tunnel-rows.ts';
import { type WebObservations, writeBrowserRow, writeWebRows } from './web-rows.ts';

/** Input of a test's transformer besides its test keys. */
export interface NettestContext {
  readonly measurement: Measurement;
  /** Start of the measurement in milliseconds since 1970. */
  readonly start: number;
  readonly rows: MeasurementRows;
  readonly certificates: CertificateCache;
}

type Transform<N extends TestName> = (keys: TestKeys<N>, context: NettestContext) => void;

/** Transformer of each supported test (observations.md section 9). */
export const NETTESTS: { readonly [N in TestName]: Transform<N> } = {
  web_connectivity(keys, context) {
    const { measurement, rows } = context;
    const input = typeof measurement.input === 'string' ? measurement.input : '';
    const host = hostForm(urlHost(input));
    // The probe also connects to addresses that only the test helper resolved. They belong to the host of the input.
    const controlAddresses = keys.control?.dns?.addrs ?? [];
    const hints = () => hintsOf(host, controlAddresses);
    const probeAnalysis = keys.blocking === false ? 'false' : keys.blocking;
    const comparison = keys;
    writeWebRows(rows, observeAll(keys, context), { probeAnalysis, comparison, hints, controlAddresses });
    if (keys.control && !keys.control_failure && host) writeControlRows(rows, keys.control, input, host);
  },
  signal(keys, context) {
    const { start, rows } = context;
    const judgeChain: ChainVerdict = (chain, t) => isSignalChainValid(chain, start + t * 1000);
    writePlatformRows('signal', rows, observeAll(keys, context, judgeChain));
  },
  telegram: (keys, context) => writePlatformRows('telegram', context.rows, observeAll(keys, context)),
  whatsapp: (keys, context) => writePlatformRows('whatsapp', context.rows, observeAll(keys, context)),
  facebook_messenger(keys, context) {
    writePlatformRows('facebook_messenger', context.rows, observeAll(keys, context));
  },
  urlgetter: (keys, context) => writeWebRows(context.rows, observeAll(keys, context)),
  dnscheck(keys, context) {
    const { rows } = context;
    const dns = observeDns(keys.bootstrap?.queries);
    writeWebRows(rows, { dns });
    // The bootstrap looks up one host, the resolver's; its addresses are those that the lookups connect to.
    const hints = new Map(dns.flatMap(({ answer, hostname }) => (answer ? [[addressForm(answer), hostname]] : [])));
    for (const lookup of Object.values(keys.lookups ?? {}))
      writeWebRows(rows, observeAll(lookup, context), { hints: () => hints });
  },
  tor(keys, context) {
    for (const [target, part] of Object.entries(keys.targets)) {
      writeWebRows(context.rows, observeAll(part, context), { targetOf: () => target });
    }
  },
  stunreachability: (keys, { rows }) => writeWebRows(rows, { dns: observeDns(keys.queries) }),
  echcheck(keys, context) {
    const { control, target, tcp_connect, tcp_connects } = keys;
    // Newer versions of the test have the list, older ones have the two handshakes by name.
    const pair = control && target ? [control, { ...target, echconfig: 'GREASE' }] : [];
    const handshakes = keys.tls_handshakes?.length ? keys.tls_handshakes : pair;
    const connects = [...(tcp_connect ?? []), ...(tcp_connects ?? [])];
    writeWebRows(context.rows, observeAll({ ...keys, tcp_connect: connects, tls_handshakes: handshakes }, context));
  },
  riseupvpn: (keys, context) => writeWebRows(context.rows, observeAll(keys, context)),
  openvpn(keys, { rows }) {
    writeWebRows(rows, { tcp: observeTcp(keys.tcp_connect) });
    for (const tunnel of openvpnTunnels(keys)) writeTunnel(rows, tunnel);
  },
  psiphon: (keys, { rows }) => writeTunnel(rows, psiphonTunnel(keys)),
  torsf: (keys, { rows }) => writeTunnel(rows, torsfTunnel(keys)),
  vanilla_tor: (keys, { rows }) => writeTunnel(rows, vanillaTorTunnel(keys)),
  ndt: (keys, { rows }) => writeNdt(rows, keys),
  dash: (keys, { rows }) => writeDash(rows, keys),
  sni_blocking(keys, context) {
    for (const [name, part] of Object.entries({ control: keys.control, target: keys.target })) {
      if (part) writeWebRows(context.rows, observeAll(part, context), { targetOf: () => name });
    }
  },
  stun_reachability: (keys, { rows }) => writeWebRows(rows, { dns: observeDns(keys.queries) }),
  // Its handshakes have a limited TTL, so that most of them cannot reach the server. They are not observations of it.
  tlsmiddlebox(keys, { rows }) {
    writeWebRows(rows, { dns: observeDns(keys.queries), tcp: observeTcp(keys.tcp_connect) });
  },
  portfiltering: (keys, { rows }) => writeWebRows(rows, { tcp: observeTcp(keys.tcp_connect) }),
  dnsping: writePings,
  tcpping: writePings,
  tlsping: writePings,
  simplequicping: writePings,
  http_requests(keys, { rows }) {
    const { direct, overTor } = splitByTor(keys.requests);
    writeWebRows(rows, { http: observeHttp(direct, rows.search) }, { comparison: keys });
    const answered = controlResponse(overTor);
    if (answered) writeControlRows(rows, answered.control, answered.url, answered.host);
  },
  http_host(keys, { measurement, rows }) {
    const { direct } = splitByTor(keys.requests);
    writeWebRows(rows, { http: observeHttpHost(observeHttp(direct, rows.search), measurement.input) });
  },
  dns_consistency(keys, { rows }) {
    for (const [name, dns] of Object.entries(observeConsistency(keys))) {
      writeWebRows(rows, { dns }, { targetOf: () => name });
    }
  },
  tcp_connect(keys, { measurement, rows }) {
    writeWebRows(rows, { tcp: observeNamedConnect(keys.connection, measurement.input) });
  },
  meek_fronted_requests_test(keys, { measurement, rows }) {
    const { input } = measurement;
    writeWebRows(rows, { http: observeHttp(splitByTor(keys.requests).direct, rows.search) });
    writeTunnel(rows, meekTunnel(keys, Array.isArray(input) ? input.join(':') : (input ?? '')));
  },
  bridge_reachability: (keys, { rows }) => writeTunnel(rows, bridgeTunnel(keys)),
  openvpn_client_test: (keys, { rows }) => writeTunnel(rows, openvpnClientTunnel(keys)),
  doh: (keys, { measurement, rows }) => writeWebRows(rows, { dns: observeDoh(keys, measurement.input) }),
  ddr: (keys, { rows }) => writeWebRows(rows, { dns: observeDiscovery(keys) }),
  browser_web: (keys, { rows }) => writeBrowserRow(rows, keys.result, keys.load_time_ms),
  http_header_field_manipulation: (keys, { rows }) => writeHeaderFieldManipulation(rows, keys),
  http_invalid_request_line: (keys, { rows }) => writeInvalidRequestLine(rows, keys),
};

/** Returns the host of the input by the addresses that belong to it. */
function hintsOf(host: string, controlAddresses: readonly string[]): Map<string, string> {
  const hints = new Map(host ? controlAddresses.map(address => [addressForm(address), host]) : []);
  if (isIpLiteral(host)) {
    hints.set(host, host);
    // A network with IPv6 only connects to an IPv4 address by its translated form (RFC 6052).
    if (!host.includes(':')) hints.set(addressForm(`64:ff9b::${host}`), host);
  }
  return hints;
}

type Lists = Partial<
  Pick<TestKeys<'web_connectivity'>, 'queries' | 'tcp_connect' | 'tls_handshakes' | 'network_events' | 'requests'>
>;

function observeAll(
  lists: Lists,
  { certificates, rows }: Pick<NettestContext, 'certificates' | 'rows'>,
  judgeChain?: ChainVerdict,
): WebObservations {
  return {
    dns: observeDns(lists.queries),
    tcp: observeTcp(lists.tcp_connect),
    tls: observeTls(lists.tls_handshakes, {
      events: indexEvents(lists.network_events),
      certificates,
      ...(judgeChain && { judgeChain }),
    }),
    http: observeHttp(lists.requests, rows.search),
    transfers: new Transfers(lists.network_events),
  };
}

/** Writes the rows of each repetition, in order. A QUIC handshake is a handshake with `network` QUIC, which early versions leave out. */
function writePings(keys: TestKeys<'dnsping'>, context: NettestContext): void {
  const listOf = <T>(many: readonly T[] | null | undefined, one: T | null | undefined) => [
    ...(many ?? []),
    ...(one ? [one] : []),
  ];
  for (const ping of keys.pings ?? []) {
    const quic = listOf(ping.quic_handshakes, ping.quic_handshake).map(each => ({ ...each, network: 'quic' }));
    const lists = {
      queries: listOf(ping.queries, ping.query),
      tcp_connect: ping.tcp_connect,
      tls_handshakes: [...listOf(ping.tls_handshakes, ping.tls_handshake), ...quic],
      network_events: ping.network_events,
    };
    writeWebRows(context.rows, observeAll(lists, context));
  }
}

function writePlatformRows(platform: Platform, rows: MeasurementRows, observations: WebObservations): void {
  writeWebRows(rows, observations, { targetOf: (hostname, ip) => targetId(platform, hostname, ip) });
}
