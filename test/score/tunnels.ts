import { connect, documentOf } from '../support/document.ts';
import type { Label } from './labels.ts';

/**
 * Measurements of tests that establish a tunnel (OONI's ts-011, ts-014, ts-015, ts-016, ts-030 and ts-040), and of
 * http_header_field_manipulation (ts-006) and http_invalid_request_line (ts-007). A tunnel has no control but the same tunnel in other
 * networks. An attempt is blocked only if it shows that the probe had a network; those of psiphon, torsf and meek do not show this.
 */

const TIMEOUT = 'generic_timeout_error';
const SERVER = '198.252.153.109';

type Keys = Record<string, unknown>;

interface Tunnel {
  readonly test: string;
  readonly input?: unknown;
  readonly worked: Keys;
  /** Test keys of attempts that failed, by what happened. */
  readonly failed: Readonly<Record<string, Keys>>;
  /** Which of them show that the probe had a network. */
  readonly shown?: readonly string[];
}

const tor = (tor_progress: number, success = false): Keys => ({ success, tor_progress, timeout: 200, transport_name: 'vanilla', error: success ? null : 'timeout-reached', ...(success && { bootstrap_time: 5.5 }) }); // biome-ignore format: one line
const bridge = (tor_progress: number, success = false): Keys => ({
  ...tor(tor_progress, success),
  bridge_address: `${SERVER}:9001`,
});
const openvpn = (tcp: string | null, failure: string | null): Keys => ({
  success: failure === null,
  tcp_connect: connect(`${SERVER}:443`, tcp, { transaction_id: 1 }).tcp_connect,
  openvpn_handshake: [{ ip: SERVER, port: 443, transport: 'tcp', provider: 'riseupvpn', failure, handshake_time: 1.5, transaction_id: 1 }], // biome-ignore format: one line
});
const fronted = { request: { url: 'https://a0.awsstatic.com', method: 'GET', headers: {} } };

const TUNNELS: readonly Tunnel[] = [
  { test: 'psiphon', worked: { failure: null, bootstrap_time: 5.8, max_runtime: 60 }, failed: { 'bootstrap: timeout': { failure: TIMEOUT, bootstrap_time: 0, max_runtime: 60 }, 'request through it: reset': { failure: 'connection_reset', bootstrap_time: 4, max_runtime: 60 } } },
  { test: 'torsf', worked: { failure: null, bootstrap_time: 79 }, failed: { 'bootstrap: timeout': { failure: TIMEOUT, bootstrap_time: 0, timeout: 300 } } },
  { test: 'vanilla_tor', worked: tor(100, true), failed: { 'no connect': tor(5), 'handshakes do not end': tor(10), 'bootstrap: too slow': tor(45) }, shown: ['handshakes do not end'] },
  { test: 'bridge_reachability', worked: bridge(100, true), failed: { 'no connect': bridge(5), 'handshakes do not end': bridge(10) }, shown: ['handshakes do not end'] },
  { test: 'openvpn', worked: openvpn(null, null), failed: { 'TCP: timeout': openvpn(TIMEOUT, TIMEOUT), 'TCP: refused': openvpn('connection_refused', 'connection_refused'), 'handshake: timeout': openvpn(null, TIMEOUT), 'handshake: reset': openvpn(null, 'connection_reset') }, shown: ['TCP: refused', 'handshake: timeout', 'handshake: reset'] },
  { test: 'openvpn_client_test', worked: { success: true, failure: null }, failed: { 'the program exits': { success: false, failure: 'openvpn_exited_unexpectedly' } } },
  { test: 'meek_fronted_requests_test', input: ['a0.awsstatic.com', 'd2cly7j4zqgua7.cloudfront.net'], worked: { success: true, requests: [{ ...fronted, failure: null, response: { code: 200, body: '', headers: {} } }] }, failed: { 'TCP: timeout': { success: false, requests: [{ ...fronted, failure: TIMEOUT, response: null }] } } },
]; // biome-ignore format: a table

/** The test does not name its server, so its attempts cannot be compared. */
const NAMELESS = 'openvpn_client_test';

/** What is known of the same tunnel on this day: countries of other attempts. */
const OTHERS = { alone: [], 'works elsewhere': ['DE', 'FR'], 'works nowhere': ['DE', 'FR', 'US'] } as const;

export interface GeneratedTunnel {
  readonly document: Keys;
  /** Absent: the attempt is one of those that others are compared with. */
  readonly label?: Label;
}

let day = 0;

/** Returns attempts of each test with each interference, alone and with others on the same day. */
export function generatedTunnels(): GeneratedTunnel[] {
  return TUNNELS.flatMap(tunnel =>
    Object.entries({ none: tunnel.worked, ...tunnel.failed }).flatMap(([name, keys]) =>
      (Object.keys(OTHERS) as (keyof typeof OTHERS)[])
        .filter(others => name !== 'none' || others !== 'works nowhere')
        .flatMap(others => attempts(tunnel, name, keys, others)),
    ),
  );
}

function attempts(tunnel: Tunnel, name: string, keys: Keys, others: keyof typeof OTHERS): GeneratedTunnel[] {
  // Most tests have one tunnel for all, so each case has a day of its own.
  const start = `${new Date(Date.UTC(2024, 5, ++day)).toISOString().slice(0, 10)} 10:00:00`;
  const { test, input } = tunnel;
  const attempt = (cc: string, of: Keys) =>
    documentOf({ test, input, start, cc, report: `tunnel ${day} ${cc}`, keys: of });
  return [
    { document: attempt('IT', keys), label: { ...verdictOf(tunnel, name, others), kind: `${name}, ${others}` } },
    ...OTHERS[others].map(cc => ({ document: attempt(cc, others === 'works nowhere' ? keys : tunnel.worked) })),
  ];
}

function verdictOf({ test, shown }: Tunnel, name: string, others: keyof typeof OTHERS): Omit<Label, 'kind'> {
  if (name === 'none') return { outcome: 'ok', layer: null, isReached: true };
  if (others === 'works nowhere' && test !== NAMELESS) return { outcome: 'down', layer: null, isReached: false };
  const isBlocked = others === 'works elsewhere' && shown?.includes(name);
  return { outcome: isBlocked ? 'blocked' : 'unknown', layer: isBlocked ? 'tunnel' : null, isReached: false };
}

/** The request lines of http_invalid_request_line. */
const LINES = ['ABCD / HTTP/1.1\n\r', 'AB CD EF GH\n\r', `${'X'.repeat(1024)} / HTTP/1.1\n\r`, 'GET / HTTP/abc\n\r', 'GET cache_object://localhost/ HTTP/1.0\n\r']; // biome-ignore format: a list
/** The findings of http_header_field_manipulation. */
const FINDINGS = ['header_field_name', 'header_field_number', 'header_field_value', 'header_name_capitalization', 'request_line_capitalization', 'total']; // biome-ignore format: a list

/** Returns measurements of the tests that look for middleboxes: nothing is changed, a proxy changes something, and no answer. */
export function generatedMiddleboxes(): { readonly document: Keys; readonly label: Label }[] {
  const make = (test: string, kind: string, outcome: Label['outcome'], keys: Keys) => ({
    document: documentOf({ test, start: '2024-03-06 10:00:00', report: `${test} ${kind}`, keys }),
    label: { outcome, layer: null, kind },
  });
  const lines = (kind: string, outcome: Label['outcome'], received: readonly string[] | null) =>
    make('http_invalid_request_line', kind, outcome, { sent: LINES, received, tampering: outcome === 'tampered' });
  const sent = { url: 'http://37.218.247.95/', method: 'GET', headers: { accEpT: 'text/html', hOsT: 'BqbzPAf3bX5ymRd.com' } }; // biome-ignore format: one line
  const headers = (
    kind: string,
    outcome: Label['outcome'],
    found: Keys,
    response: Keys | null = { code: 200, body: '{}' },
  ) =>
    make('http_header_field_manipulation', kind, outcome, {
      tampering: { ...Object.fromEntries(FINDINGS.map(name => [name, false])), header_name_diff: [], ...found },
      requests: [{ failure: response ? null : TIMEOUT, request: sent, response }],
    });
  return [
    lines('none', 'ok', LINES),
    ...LINES.map((_, at) =>
      lines(
        `a proxy answers line ${at}`,
        'tampered',
        LINES.map((line, n) => (n === at ? 'HTTP/1.1 400 Bad Request' : line)),
      ),
    ),
    lines('no answer', 'unknown', null),
    headers('none', 'ok', {}),
    ...FINDINGS.map(name => headers(`a proxy changes ${name}`, 'tampered', { [name]: true })),
    headers('a proxy adds a header', 'tampered', { header_name_diff: ['Via'] }),
    headers('no answer', 'unknown', {}, null),
  ];
}
