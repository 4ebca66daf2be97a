import type { RulesVersion } from '../../pipeline/analysis/rules.ts';

/** Result of a QA scenario under a version of the rules. */
export interface Seen {
  readonly scenario: string;
  readonly version: RulesVersion;
  readonly right: boolean;
  /** The blamed layers, as readable text. */
  readonly got: string;
  /** Known reason why the result is not right. */
  readonly known?: string;
}

type Blame = 'dns blocked' | 'tcp blocked' | 'tls blocked' | 'dns down' | 'tcp down' | 'tls down';

interface Scenario {
  see(verdict: Record<string, unknown>, version: RulesVersion): Pick<Seen, 'right' | 'got' | 'known'>;
}

const NO_CONTROL =
  'version 2 takes an answer without control for one that contradicts it; version 3 masks it (analysis.md section 9)';
/** Lists the outcomes that a verdict blames: grades above one half. */
export function blameOf(verdict: Record<string, unknown>): Blame[] {
  return (['dns', 'tcp', 'tls'] as const).flatMap(layer =>
    (['blocked', 'down'] as const)
      .filter(grade => Number(verdict[`${layer}_${grade}`]) > 0.5)
      .map(grade => `${layer} ${grade}` as const),
  );
}

/**
 * Defines a scenario. The verdict must blame all outcomes of `blame` and no others. `known` has the versions that are known to
 * fail, with the reason.
 */
function scenario(blame: readonly Blame[], known: Partial<Record<RulesVersion, string>> = {}): Scenario {
  return {
    see(verdict, version) {
      const got = blameOf(verdict);
      const right = got.length === blame.length && blame.every(each => got.includes(each));
      const why = known[version];
      return { right, got: got.join(', ') || 'nothing blamed', ...(why && !right && { known: why }) };
    },
  };
}

/** Combines scenarios with different expectations for each version. */
function byVersion(versions: Readonly<Record<RulesVersion, Scenario>>): Scenario {
  return { see: (verdict, version) => versions[version].see(verdict, version) };
}

/**
 * Expected results of the scenarios of the probe's QA suite (with upstream's names) for the layers that both versions judge. The rows of
 * the Python pipeline lack what HTTP is judged by; test/score judges it. So a verdict must blame nothing if the interference is in HTTP, or
 * on a name that only a redirect leads to, because the control never saw that name.
 */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  successWithHTTP: scenario([]),
  successWithHTTPS: scenario([]),
  cloudflareCAPTCHAWithHTTPS: scenario([]),
  redirectWithMoreThanTenRedirectsAndHTTPS: scenario([]),
  redirectWithBrokenLocationForHTTP: scenario([]),
  dnsHijackingToProxyWithHTTPURL: scenario([]), // a transparent proxy that completes valid handshakes
  controlFailureWithSuccessfulHTTPWebsite: scenario([], { 2: NO_CONTROL }),

  dnsBlockingAndroidDNSCacheNoData: scenario(['dns blocked']),
  dnsBlockingBOGON: scenario(['dns blocked']),
  dnsHijackingToLocalhostWithHTTP: scenario(['dns blocked']),
  dnsHijackingToLocalhostWithHTTPS: scenario(['dns blocked']),
  badSSLWithUnknownAuthorityWithInconsistentDNS: scenario(['dns blocked']),
  // The injected address refuses the probe on both ports, and the control only on 443: blocked on 80, down on 443. Version 2 does
  // not distinguish ports.
  tcpBlockingConnectionRefusedWithInconsistentDNS: byVersion({
    2: scenario(['dns blocked', 'tcp down']),
    3: scenario(['dns blocked', 'tcp blocked', 'tcp down']),
  }),
  tcpBlockingConnectTimeout: scenario(['tcp blocked']),
  tlsBlockingConnectionResetWithConsistentDNS: scenario(['tls blocked']),
  tlsBlockingConnectionResetWithInconsistentDNS: scenario(['tls blocked']),

  badSSLWithExpiredCertificate: scenario(['tls down']),
  badSSLWithUnknownAuthorityWithConsistentDNS: scenario(['tls down']),
  websiteDownNXDOMAIN: scenario(['dns down']),
  websiteDownTCPConnect: scenario(['tcp down']),

  httpBlockingConnectionReset: scenario([]),
  httpDiffWithConsistentDNS: scenario([]),
  throttlingWithHTTP: scenario([]),
  throttlingWithHTTPS: scenario([]),
  redirectWithConsistentDNSAndThenConnectionRefusedForHTTP: scenario([], { 2: NO_CONTROL }),
  redirectWithConsistentDNSAndThenConnectionRefusedForHTTPS: scenario([], { 2: NO_CONTROL }),
  redirectWithConsistentDNSAndThenConnectionResetForHTTP: scenario([], { 2: NO_CONTROL }),
  redirectWithConsistentDNSAndThenEOFForHTTP: scenario([], { 2: NO_CONTROL }),
  redirectWithConsistentDNSAndThenTimeoutForHTTP: scenario([], { 2: NO_CONTROL }),
  redirectWithConsistentDNSAndThenNXDOMAIN: scenario([]),
};
