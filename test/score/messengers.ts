import type { Generated } from './generated.ts';
import type { Label } from './labels.ts';

/**
 * Measurements of messengers. The right verdicts of the made ones follow OONI's test specifications (ts-018, ts-019, ts-020, ts-029) and
 * from what happened; those of real ones are the results of the tests.
 */

/** What a test tries: addresses with plain requests, hosts to connect to, and hosts to request a page from. */
interface Messenger {
  readonly test: string;
  readonly version: string;
  readonly addresses?: readonly string[];
  readonly connects?: readonly string[];
  readonly sites?: readonly string[];
  /** The client needs only one of the addresses or `connects`. */
  readonly isRedundant: boolean;
}

const MESSENGERS: readonly Messenger[] = [
  {
    test: 'telegram',
    version: '0.3.0',
    addresses: ['149.154.175.50', '149.154.167.51', '149.154.175.100', '149.154.167.91', '149.154.171.5'],
    sites: ['web.telegram.org'],
    isRedundant: true,
  },
  {
    test: 'whatsapp',
    version: '0.11.0',
    connects: Array.from({ length: 16 }, (_, index) => `e${index + 1}.whatsapp.net`),
    sites: ['v.whatsapp.net', 'web.whatsapp.com'],
    isRedundant: true,
  },
  {
    test: 'facebook_messenger',
    version: '0.2.1',
    connects: ['b-api.facebook.com', 'b-graph.facebook.com', 'edge-mqtt.facebook.com', 'external.xx.fbcdn.net', 'scontent.xx.fbcdn.net', 'star.c10r.facebook.com'], // biome-ignore format: a list
    isRedundant: false,
  },
  {
    test: 'signal',
    version: '0.2.5',
    sites: ['cdn.signal.org', 'cdn2.signal.org', 'cdsi.signal.org', 'chat.signal.org', 'sfu.voip.signal.org', 'storage.signal.org'], // biome-ignore format: a list
    isRedundant: false,
  },
];

/** An address of Meta, and one of a network that is not Meta's. `networkOf` knows both. */
const META = '157.240.20.35';
const OTHER = '130.192.182.17';

/** Returns the AS number of an address of these measurements. */
export function networkOf(ip: string): number {
  return ip === META ? 32934 : 100_137;
}

type Kind = 'address' | 'connect' | 'site';

interface Interference {
  readonly name: string;
  readonly outcome: Label['outcome'];
  readonly layer: Label['layer'];
  /** Kinds of endpoints that it concerns; a test without them is left out. */
  readonly on: readonly Kind[];
  /** Only the first of the endpoints is concerned. */
  readonly isOne?: boolean;
  readonly dns?: string;
  readonly answer?: string;
  readonly tcp?: string;
  readonly tls?: string;
  readonly http?: string;
  /** Every endpoint fails like this, because the probe or the service is offline. */
  readonly all?: { readonly dns: string; readonly tcp: string };
  readonly isReached?: boolean;
}

const NAMED: readonly Kind[] = ['connect', 'site'];
const EVERY: readonly Kind[] = ['address', 'connect', 'site'];
const TIMEOUT = 'generic_timeout_error';

const INTERFERENCES: readonly Interference[] = [
  { name: 'none', outcome: 'ok', layer: null, on: [] },
  { name: 'DNS: NXDOMAIN', outcome: 'blocked', layer: 'dns', on: NAMED, dns: 'dns_nxdomain_error' },
  { name: 'DNS: a bogon', outcome: 'blocked', layer: 'dns', on: NAMED, answer: '10.10.34.35', tcp: TIMEOUT },
  { name: 'DNS: NXDOMAIN for the sites', outcome: 'blocked', layer: 'dns', on: ['site'], dns: 'dns_nxdomain_error' },
  { name: 'DNS: timeout for one host', outcome: 'blocked', layer: 'dns', on: NAMED, isOne: true, dns: TIMEOUT },
  { name: 'TCP: timeout', outcome: 'blocked', layer: 'tcp', on: EVERY, tcp: TIMEOUT },
  { name: 'TCP: refused', outcome: 'blocked', layer: 'tcp', on: EVERY, tcp: 'connection_refused' },
  { name: 'TCP: timeout at one endpoint', outcome: 'blocked', layer: 'tcp', on: EVERY, isOne: true, tcp: TIMEOUT },
  { name: 'TLS: reset', outcome: 'blocked', layer: 'tls', on: ['site'], tls: 'connection_reset' },
  { name: 'TLS: timeout', outcome: 'blocked', layer: 'tls', on: ['site'], tls: TIMEOUT },
  { name: 'TLS: false certificate', outcome: 'blocked', layer: 'tls', on: ['site'], tls: 'ssl_unknown_authority' },
  { name: 'HTTP: timeout at the addresses', outcome: 'blocked', layer: 'http', on: ['address'], http: TIMEOUT },
  { name: 'HTTPS: timeout', outcome: 'blocked', layer: 'http', on: ['site'], http: TIMEOUT },
  // Without a certificate, a connect to another network shows nothing.
  { name: 'DNS: another network', outcome: 'unknown', layer: null, on: ['connect'], answer: OTHER },
  { name: 'the probe is offline', outcome: 'unknown', layer: null, on: EVERY, all: { dns: 'android_dns_cache_no_data', tcp: 'network_unreachable' } },
  { name: 'DNS: every lookup times out', outcome: 'unknown', layer: null, on: NAMED, all: { dns: TIMEOUT, tcp: TIMEOUT } },
]; // biome-ignore format: a table

/** Days: with other measurements that reach every endpoint, with none, and on which nobody reaches them. */
const DAYS = { busy: '2024-02-20', alone: 3, outage: '2024-04-01' } as const;

/** Returns measurements of each messenger with each interference, with and without others on the day, and of outages. */
export function generatedMessengers(): Generated[] {
  const made: Generated[] = [];
  let alone = 0;
  for (const messenger of MESSENGERS) {
    for (const each of INTERFERENCES) {
      if (each.on.length > 0 && !each.on.some(kind => hasKind(messenger, kind))) continue;
      const label = labelOf(messenger, each);
      made.push({ document: documentOf(messenger, each, DAYS.busy, 'IT'), label });
      // Each on a day without others. Nothing but the measurement itself can show what happened.
      const day = new Date(Date.UTC(2024, DAYS.alone, 2 + alone++)).toISOString().slice(0, 10);
      const without = { ...label, kind: `${label.kind}, alone` };
      made.push({ document: documentOf(messenger, each, day, 'IT'), label: without });
    }
    for (const country of ['IT', 'DE', 'US']) {
      const outage = { name: 'outage', outcome: 'down', layer: null, on: EVERY, tcp: TIMEOUT } as const;
      const label: Label = { outcome: 'down', layer: null, kind: 'the service is down', isReached: false };
      made.push({ document: documentOf(messenger, outage, DAYS.outage, country), label });
    }
  }
  return made;
}

function hasKind({ addresses, connects, sites }: Messenger, kind: Kind): boolean {
  return ({ address: addresses, connect: connects, site: sites }[kind] ?? []).length > 0;
}

function labelOf(messenger: Messenger, each: Interference): Label {
  const kind = each.name;
  // One redundant endpoint that fails changes nothing.
  const first: Kind = messenger.addresses ? 'address' : messenger.connects ? 'connect' : 'site';
  const isSpared = each.isOne && messenger.isRedundant && each.on.includes(first);
  if (isSpared || (each.on.length === 0 && each.outcome === 'ok')) {
    return { outcome: 'ok', layer: null, kind, isReached: true };
  }
  // Telegram’s addresses are no names, so they are reached although no lookup is answered.
  const isShown = each.all?.dns === TIMEOUT && hasKind(messenger, 'address') && !each.on.includes('address');
  if (isShown) return { outcome: 'blocked', layer: 'dns', kind, isReached: false };
  return { outcome: each.outcome, layer: each.layer, kind, isReached: false };
}

let count = 0;

function documentOf(messenger: Messenger, each: Interference, day: string, country: string): Record<string, unknown> {
  const { test, version, addresses = [], connects = [], sites = [] } = messenger;
  const queries: object[] = [];
  const tcp_connect: object[] = [];
  const tls_handshakes: object[] = [];
  const requests: object[] = [];
  let transaction = 0;
  let concerned = 0;
  const endpoints = [
    ...addresses.map(name => ({ kind: 'address' as const, name })),
    ...connects.map(name => ({ kind: 'connect' as const, name })),
    ...sites.map(name => ({ kind: 'site' as const, name })),
  ];
  for (const { kind, name } of endpoints) {
    const isConcerned = each.on.includes(kind) && (!each.isOne || concerned++ === 0);
    const { dns, answer, tcp, tls, http } = isConcerned ? { ...each, ...each.all } : ({} as Partial<Interference>);
    const id = ++transaction;
    const address = kind === 'address' ? name : (answer ?? META);
    const t = id / 10;
    if (kind !== 'address') {
      const answers = dns ? [] : [{ answer_type: 'A', ipv4: address }];
      queries.push({ engine: 'getaddrinfo', hostname: name, query_type: 'A', failure: dns ?? null, answers, t, transaction_id: id }); // biome-ignore format: one query
    }
    const port = kind === 'address' ? 80 : 443;
    const url = kind === 'address' ? `http://${name}/` : `https://${name}/`;
    const request = { url, method: kind === 'address' ? 'POST' : 'GET', headers: {} };
    const failure = dns ?? tcp ?? tls ?? http ?? null;
    const response = failure ? { code: 0, headers: {}, body: '' } : { code: 404, headers: {}, body: '' };
    if (!dns) {
      tcp_connect.push({ ip: address, port, status: { failure: tcp ?? null, success: !tcp }, t, transaction_id: id });
    }
    if (!dns && !tcp && kind === 'site') {
      tls_handshakes.push({ address: `${address}:${port}`, server_name: name, no_tls_verify: false, failure: tls ?? null, peer_certificates: [], t, transaction_id: id }); // biome-ignore format: one handshake
    }
    if (kind !== 'connect') {
      requests.push({
        ...(dns ? {} : { address: `${address}:${port}` }),
        failure,
        request,
        response,
        t,
        transaction_id: id,
      });
    }
  }
  const at = `${day} 10:00:00`;
  return {
    measurement_start_time: at,
    test_start_time: at,
    test_name: test,
    test_version: version,
    software_name: 'miniooni',
    software_version: '3.20.0',
    report_id: `messenger-${++count}`,
    probe_asn: 'AS137',
    probe_cc: country,
    probe_ip: '127.0.0.1',
    test_runtime: 1,
    data_format_version: '0.2.0',
    input: null,
    test_keys: { queries, tcp_connect, tls_handshakes, requests, network_events: [] },
  };
}

/** Version of WhatsApp's test that calls the web site blocked when the request in the clear has another status than 302. */
const UNRELIABLE_WHATSAPP = '0.9.0';

/**
 * Returns the label of a real measurement of a messenger by the test's own result, or undefined if there is none. The result is not used if the
 * document contradicts it: an endpoint loaded that is said to be blocked, or the name that failed is no longer in use.
 */
export function labelOfMessenger(document: Record<string, unknown>): Label | undefined {
  const keys = (document.test_keys ?? {}) as Record<string, unknown>;
  const requests = (keys.requests ?? []) as { failure?: unknown; request?: { url?: string } }[];
  const blocked: Label = { outcome: 'blocked', layer: null, kind: 'probe: blocked', isReached: false };
  const clean: Label = { outcome: 'not blocked', layer: null, kind: 'clean', isReached: true };
  const loads = (host: string) =>
    requests.some(({ failure, request }) => failure === null && request?.url?.startsWith(`https://${host}/`));
  switch (document.test_name) {
    case 'telegram':
      if (keys.telegram_tcp_blocking || keys.telegram_http_blocking) return blocked;
      if (keys.telegram_web_status === 'blocked') return loads('web.telegram.org') ? undefined : blocked;
      return keys.telegram_web_status === 'ok' ? clean : undefined;
    case 'whatsapp': {
      const states = [keys.whatsapp_endpoints_status, keys.registration_server_status];
      const isWebUsed = document.test_version !== UNRELIABLE_WHATSAPP || !loads('web.whatsapp.com');
      const all = [...states, ...(isWebUsed ? [keys.whatsapp_web_status] : [])];
      if (all.includes('blocked')) return blocked;
      return all.every(state => state === 'ok') ? clean : undefined;
    }
    case 'facebook_messenger':
      if (keys.facebook_dns_blocking || keys.facebook_tcp_blocking) return blocked;
      return keys.facebook_dns_blocking === false && keys.facebook_tcp_blocking === false ? clean : undefined;
    case 'signal':
      if (keys.signal_backend_status === 'ok') return clean;
      if (keys.signal_backend_status !== 'blocked') return undefined;
      return isOnlyRetired(requests)
        ? { ...clean, kind: 'a name that is no longer in use', isReached: false }
        : blocked;
    default:
      return undefined;
  }
}

/** Reports whether the only requests that failed are for a name that Signal has removed: everything else loaded. */
function isOnlyRetired(requests: readonly { failure?: unknown; request?: { url?: string } }[]): boolean {
  const failed = requests.filter(({ failure }) => failure != null);
  return (
    failed.length > 0 &&
    failed.every(
      ({ failure, request }) =>
        failure === 'android_dns_cache_no_data' && request?.url?.startsWith('https://api.directory.signal.org/'),
    )
  );
}
