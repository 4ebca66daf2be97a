import type { Layer } from '../../pipeline/analysis/rules.ts';

/** The right verdict of a measurement. */
export interface Label {
  readonly outcome: 'blocked' | 'down' | 'refused' | 'ok' | 'unknown' | 'unknown or ok' | 'not blocked' | 'tampered';
  /** The layer to blame, or the tunnel; null: none. */
  readonly layer: Layer | 'tunnel' | null;
  /** What happened, for the tables. */
  readonly kind: string;
  /** The page, or the page of a content network for it, arrived. Absent: not known. */
  readonly isReached?: boolean;
}

const label = (outcome: Label['outcome'], layer: Layer | null, isReached = outcome === 'ok') => ({
  outcome,
  layer,
  isReached,
});

/**
 * The right verdict of each scenario of the probe's QA suite, by its `blocking`, `accessible` and failures (the documents). Where the suite
 * interferes on two layers, the earlier one is to blame. The control never saw a host that only a redirect leads to, so a connect to it
 * or a lookup of it that failed cannot be compared.
 */
export const SCENARIO_LABELS: Readonly<Record<string, Omit<Label, 'kind'>>> = {
  successWithHTTP: label('ok', null),
  successWithHTTPS: label('ok', null),
  cloudflareCAPTCHAWithHTTPS: label('ok', null),
  redirectWithMoreThanTenRedirectsAndHTTPS: label('down', null),
  redirectWithBrokenLocationForHTTP: label('unknown', null),
  dnsHijackingToProxyWithHTTPURL: label('ok', null),
  controlFailureWithSuccessfulHTTPWebsite: label('unknown or ok', null, true),
  dnsBlockingAndroidDNSCacheNoData: label('blocked', 'dns'),
  dnsBlockingBOGON: label('blocked', 'dns'),
  dnsHijackingToLocalhostWithHTTP: label('blocked', 'dns'),
  dnsHijackingToLocalhostWithHTTPS: label('blocked', 'dns'),
  badSSLWithUnknownAuthorityWithInconsistentDNS: label('blocked', 'dns'),
  tcpBlockingConnectionRefusedWithInconsistentDNS: label('blocked', 'dns'),
  tcpBlockingConnectTimeout: label('blocked', 'tcp'),
  tlsBlockingConnectionResetWithConsistentDNS: label('blocked', 'tls'),
  tlsBlockingConnectionResetWithInconsistentDNS: label('blocked', 'tls'),
  badSSLWithExpiredCertificate: label('down', null),
  badSSLWithUnknownAuthorityWithConsistentDNS: label('down', null),
  websiteDownNXDOMAIN: label('down', null),
  websiteDownTCPConnect: label('down', null),
  httpBlockingConnectionReset: label('blocked', 'http'),
  httpDiffWithConsistentDNS: label('blocked', 'http'),
  throttlingWithHTTP: label('blocked', 'http'),
  throttlingWithHTTPS: label('blocked', 'http'),
  redirectWithConsistentDNSAndThenConnectionRefusedForHTTP: label('unknown', null),
  redirectWithConsistentDNSAndThenConnectionRefusedForHTTPS: label('unknown', null),
  redirectWithConsistentDNSAndThenConnectionResetForHTTP: label('blocked', 'http'),
  redirectWithConsistentDNSAndThenEOFForHTTP: label('blocked', 'http'),
  redirectWithConsistentDNSAndThenTimeoutForHTTP: label('blocked', 'http'),
  redirectWithConsistentDNSAndThenNXDOMAIN: label('unknown', null),
};

/** Layers of the probe's own result (`blocking` of web_connectivity). */
const PROBE_LAYERS: Readonly<Record<string, Layer>> = {
  dns: 'dns',
  tcp_ip: 'tcp',
  'http-failure': 'http',
  'http-diff': 'http',
};

/**
 * Returns the label of a real measurement of web_connectivity by the probe's own result, which is made at once and by other rules. Undefined if
 * the probe has no result, or one that its own observations contradict.
 */
export function labelOfProbe(keys: Record<string, unknown>): Label | undefined {
  const { blocking, accessible, control_failure } = keys;
  if (control_failure != null) return undefined;
  if (blocking === false && accessible === true) {
    return { outcome: 'not blocked', layer: null, kind: 'clean', isReached: true };
  }
  const layer = typeof blocking === 'string' ? PROBE_LAYERS[blocking] : undefined;
  const [last] = (keys.requests ?? []) as { failure?: unknown; request?: { url?: string } }[];
  // A page loaded over another address; or the probe compared a page that arrived over TLS, which the network cannot change.
  if (last?.failure === null && (blocking !== 'http-diff' || last.request?.url?.startsWith('https://')))
    return undefined;
  return layer && { outcome: 'blocked', layer, kind: `probe: ${String(blocking)}`, isReached: false };
}
