/**
 * The rules of the analysis, as data: the statement (judgement.ts), the page docs/analysis-rules.md and `oonipipeline explain` are
 * all made from these lists (analysis.md section 4).
 *
 * In each layer the first rule whose condition holds decides a row. Rule ids are a public contract: people filter on them. A
 * rule whose meaning changes gets a new id, and the set a new version.
 */

/** The layers in the order in which they are judged: each sees the grades of those before it. */
export const LAYERS = ['dns', 'tcp', 'tls', 'http'] as const;
export type Layer = (typeof LAYERS)[number];

/** Hand-set, not probabilities: each in [0, 1], and a triple sums to 1 at most. */
export interface Grades {
  readonly blocked: number;
  readonly down: number;
  readonly ok: number;
}

/** Whether a rule judged an observation, discarded it, or found none; it ranks the rows of a measurement. */
export const EVIDENCE = { NONE: 0, DISCARDED: 1, SCORED: 2 } as const;
export type Evidence = keyof typeof EVIDENCE;

/** Conclusion of a rule about the target, in a word. */
export const OUTCOME_CLASSES = ['UNKNOWN', 'OK', 'DOWN', 'BLOCKED'] as const;
export type OutcomeClass = (typeof OUTCOME_CLASSES)[number];

export interface Rule {
  readonly id: string;
  /** SQL over the signals of signals.ts, and nothing else. A null condition does not hold. */
  readonly when: string;
  /** The condition in a person's words. */
  readonly meaning: string;
  readonly grades: Grades;
  readonly evidence: Evidence;
  readonly outcome: OutcomeClass;
}

/** Contents of days (contents.ts) without which some rules never hold. */
export type Need = 'hasMessengers' | 'hasIPv6' | 'mayBeOffline' | 'hasOwnControls' | 'hasHandshakes' | 'hasRequests';

/** Returns what the days must contain so that a rule of a layer can hold. */
export function needsOf(layer: Layer, { id }: Rule): readonly Need[] {
  const needs: Need[] = [];
  if (id.startsWith('service_')) needs.push('hasMessengers');
  if (id === IPV6_BROKEN.id || id === IPV6_UNANSWERED.id) needs.push('hasIPv6');
  if (id === UNLIKE_OWN_CONTROL.id) needs.push('hasOwnControls');
  if (id === OFFLINE) needs.push('mayBeOffline');
  // Without data of the layer, its first rule decides all observations.
  if (layer === 'tls' && id !== NO_TLS_DATA.id) needs.push('hasHandshakes');
  if (layer === 'http' && id !== NO_HTTP_DATA.id) needs.push('hasRequests');
  return needs;
}

export const RULES_VERSIONS = [2, 3] as const;
export type RulesVersion = (typeof RULES_VERSIONS)[number];
export type RuleSet = Readonly<Record<Layer, readonly Rule[]>>;

/** Returns the layers that a version judges. Version 2 does not judge HTTP, as the Python pipeline. */
export function layersOf(version: RulesVersion): readonly Layer[] {
  return version === 2 ? ['dns', 'tcp', 'tls'] : LAYERS;
}

const MASK: Grades = { blocked: 0, down: 0, ok: 0 };

function absent(id: string, when: string, meaning: string): Rule {
  return { id, when, meaning, grades: MASK, evidence: 'NONE', outcome: 'UNKNOWN' };
}

function discarded(id: string, when: string, meaning: string): Rule {
  return { id, when, meaning, grades: MASK, evidence: 'DISCARDED', outcome: 'UNKNOWN' };
}

function scored(outcome: OutcomeClass, id: string, when: string, grades: Partial<Grades>, meaning: string): Rule {
  return { id, when, meaning, grades: { ...MASK, ...grades }, evidence: 'SCORED', outcome };
}

/** A row that no rule of the layer decides. */
export const NO_MATCH: Rule = absent('none', 'true', 'no rule of the layer holds');

const ANSWER_UNMATCHED = scored(
  'BLOCKED',
  'dns_system_answer_unmatched',
  'is_system_resolver AND dns_failure IS NULL',
  { blocked: 0.75, ok: 0.25 },
  'the system resolver answered, and nothing vouches for the answer',
);

/** The rule of a matched block page fingerprint; its measurements are *confirmed*. */
export const BLOCK_PAGE = 'country_consistent_blockpage';

const DNS_2: readonly Rule[] = [
  absent('no_dns_data', 'answers = 0 AND dns_failure IS NULL', 'no answer of the system resolver and no failure'),
  scored(
    'BLOCKED',
    BLOCK_PAGE,
    'fingerprint_match',
    { blocked: 1 },
    'the answer is a known block page of the country the probe is in',
  ),
  scored(
    'OK',
    'tls_consistent_answer',
    'answers_tls_consistent',
    { ok: 1 },
    'an answered address proved itself with a valid certificate for the host',
  ),
  scored(
    'BLOCKED',
    'bogon_not_in_ctrl',
    'answers_contain_bogon AND NOT answers_match_control',
    { blocked: 0.95, down: 0.05 },
    'a bogon was answered, and the control saw none of the answers',
  ),
  scored(
    'DOWN',
    'bogon_in_ctrl',
    'answers_contain_bogon AND answers_match_control',
    { blocked: 0.1, down: 0.9 },
    'a bogon was answered, and the control saw one of the answers too',
  ),
  scored(
    'BLOCKED',
    'tls_inconsistent_not_in_ctrl',
    'answers_tls_inconsistent AND NOT answers_match_control',
    { blocked: 0.9, down: 0.05, ok: 0.05 },
    'the control got a TLS error from an answered address, and did not get the answers itself',
  ),
  scored('OK', 'answer_matches_ctrl', 'answers_match_control', { ok: 0.9 }, 'the control got one of the answers too'),
  scored(
    'OK',
    'answer_asn_matches_ctrl',
    'answers_asn_matches_control',
    { blocked: 0.2, ok: 0.8 },
    'an answer is in the same network as one of the control’s answers',
  ),
  scored(
    'DOWN',
    'dns_system_failure_ctrl_also_failing',
    'is_system_resolver AND dns_failure IS NOT NULL AND ctrl_dns_success_rate <= 0.5',
    { blocked: 0.1, down: 0.9 },
    'the system resolver failed, and the control’s lookups fail at least as often as they succeed',
  ),
  scored(
    'BLOCKED',
    'dns_system_failure_ctrl_ok',
    'is_system_resolver AND dns_failure IS NOT NULL AND ctrl_dns_success_rate > 0.5',
    { blocked: 0.9, down: 0.1 },
    'the system resolver failed, and most of the control’s lookups succeed',
  ),
  scored(
    'UNKNOWN',
    'dns_system_failure_no_ctrl',
    'is_system_resolver AND dns_failure IS NOT NULL',
    { blocked: 0.5, down: 0.5 },
    'the system resolver failed, and there is no control to compare with',
  ),
  ANSWER_UNMATCHED,
];

const NO_TCP_DATA = absent(
  'no_tcp_data',
  'tcp_success <> 1 AND tcp_failure IS NULL',
  'a connect that neither succeeded nor failed; for rows without a connect the condition is null, and the next rule decides',
);
const CONNECT_OK = scored('OK', 'connect_ok', 'tcp_failure IS NULL AND tcp_success = 1', { ok: 1 }, 'connected');
const IPV6_BROKEN = discarded(
  'ipv6_broken_probe',
  'tcp_failure IS NOT NULL AND is_v6 AND report_ipv6_failure_rate > 0.5',
  'most IPv6 connects of the whole report failed: the probe has no working IPv6',
);
const IPV6_UNANSWERED = discarded(
  'ipv6_unanswered_probe',
  'tcp_unanswered AND is_v6 AND report_ipv6_failure_rate > 0.5',
  'most IPv6 connects of the probe on this day got no answer: it has no working IPv6',
);
/** The rules of a probe without IPv6, by version. */
export const BROKEN_IPV6: Readonly<Record<RulesVersion, Rule>> = { 2: IPV6_BROKEN, 3: IPV6_UNANSWERED };
const DNS_UNTRUSTED = discarded(
  'dns_untrusted',
  'dns_blocked > 0 AND dns_ok <= dns_blocked + dns_down',
  'the address came from an answer that is not trusted, so its behaviour shows nothing about the target',
);

/** The condition all rules share that blame the network because the control fares well. */
const TCP_CTRL_OK = 'tcp_failure IS NOT NULL AND ctrl_tcp_success_rate > 0.5 AND ctrl_tcp_success > 0';
const TCP_CTRL_FAILING = 'tcp_failure IS NOT NULL AND ctrl_tcp_success_rate <= 0.5 AND ctrl_tcp_failing > 0';
const TLS_CTRL_OK = 'tls_failure IS NOT NULL AND ctrl_tls_success_rate > 0.5 AND ctrl_tls_success > 0';
const TLS_CTRL_FAILING = 'tls_failure IS NOT NULL AND ctrl_tls_success_rate <= 0.5 AND ctrl_tls_failing > 0';

const ATTEMPTS: Readonly<Record<Layer, string>> = { dns: 'lookup', tcp: 'connect', tls: 'handshake', http: 'request' };

const OFFLINE = 'probe_offline';

/** A failure in a measurement that the probe made while it had no network (signals.ts, `probe_offline`). */
function offline(layer: Layer, failure: string): Rule {
  return discarded(
    OFFLINE,
    `${failure} IS NOT NULL AND probe_offline`,
    `the ${ATTEMPTS[layer]} failed while the probe had no network`,
  );
}

/** A failure of the probe's own machine. */
function ownFailure(layer: Layer): Rule {
  return discarded(
    'probe_own_failure',
    `${layer}_failed_itself`,
    `the ${ATTEMPTS[layer]} failed in the probe’s own machine`,
  );
}

/** Endpoints that nobody reaches are down if probes of this many countries tried. */
const SERVICE_COUNTRIES = 3;
/** Rule of endpoints that a verdict does not depend on. */
export const SERVICE_UNUSED = 'service_endpoint_unused';
/** Rule of requests in the clear to a web site of a messenger. */
export const SERVICE_PLAIN_REQUEST = 'service_plain_request';

/**
 * The rules of a layer for endpoints of messengers that failed, which have no control (messengers.ts). Other endpoints of the same service or
 * other attempts may have succeeded; all probes may have failed; otherwise the network is to blame, if the probe had one.
 *
 * @param failure condition of the failure
 * @param reached signal that the endpoint was reached in this layer
 */
function serviceRules(layer: Layer, failure: string, reached: string, blocked: number): readonly Rule[] {
  const attempt = ATTEMPTS[layer];
  const nobody = (countries: string) => `NOT ${reached}_today AND ${countries} >= ${SERVICE_COUNTRIES}`;
  // Failures behind a false answer are judged in DNS.
  const trusted = layer === 'dns' ? '' : ' AND dns_blocked <= 0.5';
  return [
    scored(
      'OK',
      `service_${attempt}_spare`,
      `is_service AND ${failure} AND ${reached}`,
      { ok: 0.5 },
      `the ${attempt} failed, and another one of the same endpoint or of a redundant one succeeded`,
    ),
    scored(
      'DOWN',
      `service_${attempt}_failed_for_all`,
      `is_service AND ${failure} AND ${nobody('service_sampled_countries')}`,
      { blocked: 0.1, down: 0.9 },
      `the ${attempt} failed, and no probe succeeded on this day; runs without a filter by country read probes of at least ${SERVICE_COUNTRIES} countries`,
    ),
    discarded(
      `service_${attempt}_failed_in_filter`,
      `is_service AND ${failure} AND ${nobody('service_countries')}`,
      `the ${attempt} failed, and no probe of at least ${SERVICE_COUNTRIES} countries succeeded on this day, but a filter selected the countries: either all of them block the service, or it is down`,
    ),
    scored(
      'BLOCKED',
      `service_${attempt}_failed`,
      `is_service AND ${failure} AND network_shown${trusted}`,
      { blocked, down: Math.round(100 * (1 - blocked)) / 100 },
      `every ${attempt} to the service’s endpoint, or to all its redundant endpoints, failed while the probe had a network`,
    ),
  ];
}

/** The control tries the addresses that the probe got as well, so it may reach the server of a hijacked name that does not exist. */
const ONLY_PROBE_RESOLVES = 'answers > 0 AND ctrl_dns_failure > 0 AND ctrl_dns_success = 0';

/** Rule of answers for a name that the control cannot look up. */
export const ANSWER_CTRL_FAILING = 'dns_answer_ctrl_failing';

/** A failure at an address of a name that the control cannot look up. */
function unresolvedForControl(layer: Layer): Rule {
  return discarded(
    ANSWER_CTRL_FAILING,
    `${layer}_failure IS NOT NULL AND ${ONLY_PROBE_RESOLVES}`,
    `all lookups of the control failed, so the address may belong to no site, and the ${ATTEMPTS[layer]} shows nothing about one`,
  );
}

const DNS_UNVERIFIED = discarded(
  'dns_unverified',
  'is_system_resolver AND answers > 0 AND dns_blocked + dns_down + dns_ok = 0',
  'the answer was not judged, so the address may belong to another site; its failures do not show that the site is down',
);

/** The TCP rules of both versions. In version 3 they compare with the endpoint and have a prefix; in version 2 with the address. */
function tcpRules(version: RulesVersion): readonly Rule[] {
  const [prefix, place] = version === 2 ? ['', 'address'] : ['endpoint_', 'address and port'];
  return [
    NO_TCP_DATA,
    CONNECT_OK,
    ...(version === 2 ? [] : [offline('tcp', 'tcp_failure')]),
    BROKEN_IPV6[version],
    ...(version === 2 ? [] : [ownFailure('tcp')]),
    ...(version === 2 ? [] : serviceRules('tcp', 'tcp_failure IS NOT NULL', 'service_connected', 0.75)),
    ...(version === 2 ? [] : [unresolvedForControl('tcp')]),
    scored(
      'BLOCKED',
      `${prefix}failure_ctrl_ok`,
      TCP_CTRL_OK,
      { blocked: 0.75, down: 0.25 },
      `the connect failed, and most of the control’s connects to the ${place} succeed`,
    ),
    DNS_UNTRUSTED,
    ...(version === 2 ? [] : [DNS_UNVERIFIED]),
    scored(
      'DOWN',
      `${prefix}failure_ctrl_also_failing`,
      TCP_CTRL_FAILING,
      { blocked: 0.25, down: 0.75 },
      `the connect failed, and the control’s connects to the ${place} fail at least as often as they succeed`,
    ),
  ];
}

const UNLIKE_OWN_CONTROL = scored(
  'BLOCKED',
  'failure_own_ctrl_ok',
  'failed_unlike_own_control',
  { blocked: 0.7, down: 0.3 },
  'the handshake failed, and the server answered the control handshake of the same measurement (echcheck, sni_blocking)',
);

const CLOCK_WRONG = discarded(
  'probe_clock_wrong',
  "tls_failure = 'ssl_invalid_certificate' AND is_clock_wrong",
  'the certificate is not valid at the time of the probe’s clock, which is wrong',
);

const HANDSHAKES_OK = 'most of the control’s handshakes with the address succeed';

function tcpBlocked(layer: Layer): Rule {
  return discarded(
    'tcp_blocked',
    'tcp_blocked > 0 AND tcp_ok <= tcp_blocked + tcp_down',
    `the connect itself was judged blocked, so the ${ATTEMPTS[layer]} shows nothing more`,
  );
}

const NO_TLS_DATA = absent(
  'no_tls_data',
  'tls_is_certificate_valid IS NULL AND tls_failure IS NULL',
  'no handshake, or one without outcome',
);

const TLS_2: readonly Rule[] = [
  NO_TLS_DATA,
  scored('OK', 'certificate_valid', 'tls_is_certificate_valid = 1', { ok: 1 }, 'the certificate was valid'),
  scored(
    'BLOCKED',
    'failure_ctrl_ok_ssl',
    `${TLS_CTRL_OK} AND startsWith(tls_failure, 'ssl_')`,
    { blocked: 0.9, down: 0.1 },
    `the handshake failed with a TLS error, and ${HANDSHAKES_OK}`,
  ),
  scored(
    'BLOCKED',
    'failure_ctrl_ok_reset',
    `${TLS_CTRL_OK} AND tls_failure = 'connection_reset'`,
    { blocked: 0.8, down: 0.2 },
    `the handshake was reset, and ${HANDSHAKES_OK}`,
  ),
  scored(
    'BLOCKED',
    'failure_ctrl_ok_other',
    TLS_CTRL_OK,
    { blocked: 0.7, down: 0.3 },
    `the handshake failed otherwise, and ${HANDSHAKES_OK}`,
  ),
  DNS_UNTRUSTED,
  tcpBlocked('tls'),
  scored(
    'DOWN',
    'failure_ctrl_also_failing',
    TLS_CTRL_FAILING,
    { blocked: 0.2, down: 0.8 },
    'the handshake failed, and the control’s handshakes with the address fail at least as often as they succeed',
  ),
];

/** Rules of fingerprints in a response; their measurements are *confirmed*. */
export const HTTP_BLOCK_PAGES: readonly string[] = ['http_blockpage_of_country', 'http_blockpage_of_product'];
/** The rule of a page in the clear that equals that of the control. */
export const PAGE_MATCHES = 'http_page_matches_ctrl';
/** The rule of a site that itself refuses the probe. */
export const REFUSED = 'http_refused_by_site';
/** Rules of pages that are neither those of the site nor evidence of blocking. */
export const UNCLEAR_PAGES: readonly string[] = [
  'http_cdn_challenge',
  'http_server_error',
  'http_diff_2',
  'http_page_unfinished',
  'http_page_of_other_site',
];

function difference(signals: number, outcome: OutcomeClass, grades: Partial<Grades>): Rule {
  const what = signals === 4 ? 'all four' : signals === 1 ? 'one' : `${signals}`;
  return scored(
    outcome,
    `http_diff_${signals}`,
    signals === 1
      ? 'has_page AND http_differing > 0'
      : `has_page AND http_differing > 0 AND http_differing + (http_fingerprint = 1) >= ${signals}`,
    grades,
    `the page came in the clear, and ${what} of status code, title, length and header names ${signals === 1 ? 'differs' : 'differ'} from those of the control; a fingerprint that does not confirm counts as well`,
  );
}

const CTRL_LOADS = 'the control had no difficulty';

const NO_HTTP_DATA = absent(
  'no_http_data',
  'http_status IS NULL AND http_failure IS NULL',
  'no request, or one without outcome',
);

const HTTP_3: readonly Rule[] = [
  NO_HTTP_DATA,
  scored(
    'BLOCKED',
    HTTP_BLOCK_PAGES[0]!,
    'http_fingerprint = 3 AND NOT same_title AND http_differing != 0',
    { blocked: 1 },
    'the response is a known block page of the country the probe is in, or redirects to one, and the control got another one',
  ),
  discarded(
    'http_cdn_challenge',
    'is_cdn_challenge AND NOT is_https',
    'a content network asks for proof that a person reads (403, 429 or 503): this is not blocking, and the page of the site did not load',
  ),
  scored(
    'BLOCKED',
    HTTP_BLOCK_PAGES[1]!,
    'http_fingerprint = 2 AND NOT same_title AND http_differing != 0',
    { blocked: 1 },
    'the response is a known block page of a filtering product, and the control got another one',
  ),
  discarded(
    REFUSED,
    'is_refused AND NOT is_cdn_challenge',
    'the site itself refuses the probe: status 451 over TLS, or also for the control; or 403 over TLS where the control got another status and no content network asks for proofs',
  ),
  discarded(
    'http_page_of_other_site',
    'has_page AND is_https AND http_differing >= 3 AND is_other_site',
    'a redirect in the clear led to a page of another site over TLS, and at least three of status code, title, length and header names differ from those of the control: the site may redirect probes by their country, or the network made the redirect',
  ),
  scored(
    'OK',
    'https_page',
    'has_page AND is_https',
    { ok: 1 },
    'a page arrived over TLS, so the network did not change it',
  ),
  DNS_UNTRUSTED,
  tcpBlocked('http'),
  offline('http', 'http_failure'),
  ownFailure('http'),
  discarded(
    SERVICE_PLAIN_REQUEST,
    'is_service AND NOT is_redundant AND NOT is_https AND (http_status IS NOT NULL OR http_failure IS NOT NULL)',
    'a request in the clear to a web site of a messenger, which its clients make over TLS; old tests made both',
  ),
  scored(
    'OK',
    'service_response',
    'is_service AND is_redundant AND http_status IS NOT NULL AND http_failure IS NULL',
    { ok: 0.9 },
    'an endpoint of the service responded',
  ),
  ...serviceRules(
    'http',
    '(http_failure IS NOT NULL AND (service_proven OR (is_redundant AND service_connected)))',
    'service_responded',
    0.7,
  ),
  scored(
    'OK',
    PAGE_MATCHES,
    'has_page AND (same_title OR http_differing = 0)',
    { ok: 0.9 },
    'the page came in the clear, and title and status code, or everything that was compared, are those of the control',
  ),
  discarded(
    'http_server_error',
    'has_page AND http_status >= 500 AND http_differing > 0',
    'the server answered with an error, and the page is not that of the control',
  ),
  difference(4, 'BLOCKED', { blocked: 0.85 }),
  difference(3, 'BLOCKED', { blocked: 0.7, ok: 0.1 }),
  difference(2, 'UNKNOWN', { blocked: 0.4, ok: 0.3 }),
  difference(1, 'OK', { blocked: 0.2, ok: 0.6 }),
  discarded(
    'http_page_unfinished',
    'is_interrupted AND is_unfinished',
    'the page was arriving, and not slowly, when time ran out: it is large, or the network is slow for all sites',
  ),
  scored(
    'BLOCKED',
    'http_throttled_ctrl_ok',
    'is_interrupted AND is_throttled AND (NOT is_https OR tls_is_certificate_valid = 1) AND ctrl_http_loads',
    { blocked: 0.65, down: 0.35 },
    `the response arrived slowly, or stopped, until time ran out, as when a network throttles, and ${CTRL_LOADS}`,
  ),
  scored(
    'BLOCKED',
    'http_reset_ctrl_ok',
    "is_interrupted AND NOT is_https AND http_failure = 'connection_reset' AND ctrl_http_loads",
    { blocked: 0.7, down: 0.3 },
    `the connection was reset after the request in the clear, and ${CTRL_LOADS}`,
  ),
  scored(
    'BLOCKED',
    'http_failure_ctrl_ok',
    'is_interrupted AND NOT is_https AND ctrl_http_loads',
    { blocked: 0.6, down: 0.4 },
    `the response to the request in the clear did not arrive in time, or not completely, and ${CTRL_LOADS}`,
  ),
  scored(
    'BLOCKED',
    'https_failure_ctrl_ok',
    'is_interrupted AND is_https AND tls_is_certificate_valid = 1 AND ctrl_http_loads',
    { blocked: 0.55, down: 0.45 },
    `the response did not arrive completely after a valid handshake, as when a network throttles, and ${CTRL_LOADS}`,
  ),
  scored(
    'DOWN',
    'http_failure_ctrl_also_failing',
    'http_failure IS NOT NULL AND ctrl_http_fails',
    { blocked: 0.2, down: 0.8 },
    'the request failed, and all requests of the control to this host as well',
  ),
];

/** The rules of a list, with others put before the rule of an id. */
function before(list: readonly Rule[], id: string, ...added: readonly Rule[]): readonly Rule[] {
  const index = list.findIndex(rule => rule.id === id);
  if (index === -1) throw new Error(`there is no rule ${id} to put others before`);
  return [...list.slice(0, index), ...added, ...list.slice(index)];
}

const ENDPOINT_UNUSED = discarded(
  SERVICE_UNUSED,
  'is_unused',
  'the messenger’s test does not connect to this endpoint, so its lookup shows nothing about the service',
);

const ANSWER_PROVEN = scored(
  'OK',
  'service_answer_proven',
  'is_service AND tls_is_certificate_valid = 1',
  { ok: 1 },
  'the address of a messenger’s endpoint proved itself with a valid certificate',
);

/** Rule of lookups of a type of record that a name need not have. */
export const NO_SUCH_RECORD = 'dns_no_such_record';

const BOGON_OF_CTRL = scored(
  'DOWN',
  'bogon_of_ctrl',
  'answers_bogon_in_control',
  { blocked: 0.1, down: 0.9 },
  'a bogon was answered, and the control got this bogon too',
);

const RECORD_ABSENT = discarded(
  NO_SUCH_RECORD,
  'is_system_resolver AND has_no_such_record',
  'the resolver has no record of a type that the name need not have: no address of IPv6, or no address of a family of which the control has none either',
);

const NAME_RETIRED = discarded(
  'service_name_retired',
  'is_retired AND dns_failure IS NOT NULL',
  'the messenger no longer uses the name that the test looks up',
);

const ANSWER_OF_OPERATOR = scored(
  'OK',
  'service_answer_of_operator',
  'is_service AND dns_failure IS NULL AND is_own_network',
  { ok: 0.9 },
  'the address of a messenger’s endpoint is in the network of its operator',
);

const ONLY_PROBE_ANSWERED = discarded(
  ANSWER_CTRL_FAILING,
  `is_system_resolver AND ${ONLY_PROBE_RESOLVES}`,
  'the system resolver answered, and all lookups of the control failed: the name may not exist, and there is no answer to compare with',
);

const PAGE_CONSISTENT = scored(
  'OK',
  'page_consistent_answer',
  'NOT answers_match_control AND NOT answers_asn_matches_control AND (answers_page_consistent OR (answers > 0 AND page_without_address))',
  { ok: 0.9 },
  'the control got other answers, and over an answered address the page of the control loaded in the clear; or the probe does not record over which address the page loaded, and it is that of the control or came over TLS',
);

const ANSWER_NO_CTRL = discarded(
  'dns_system_answer_no_ctrl',
  'is_system_resolver AND dns_failure IS NULL AND NOT has_control',
  'the system resolver answered, and the control did not look the host up, or got addresses of the other family only: there is nothing to compare with',
);

const ANSWER_OLD_PROBE = discarded(
  'dns_old_probe_answer_unmatched',
  'is_system_resolver AND dns_failure IS NULL AND NOT is_engine_named',
  'the answer of a probe that is too old to name its engine; such a probe records no handshake that could confirm an address of a content network',
);

const ANSWER_NO_NETWORKS = discarded(
  'dns_system_answer_no_ip_metadata',
  'is_system_resolver AND dns_failure IS NULL AND NOT networks_known',
  'the control got other addresses, and IP metadata is missing: without AS numbers the addresses of a content network look like false ones',
);

/**
 * Version 3 remedies weaknesses of version 2 (analysis.md sections 5 and 9): an answer is compared only where the control got an answer
 * of its family and the networks of both are known; the control's connects are looked up by address *and* port; lookups of probes too
 * old to name their engine count as the system resolver's; failures of a probe without network are discarded; addresses behind NAT64
 * are compared by the IPv4 address inside (signals.ts, nat64.ts). docs/analysis-rules.md explains each.
 *
 * Old probes record no TLS handshakes, so nothing can vouch for an answer that the control did not get; it is discarded: of the 23 such
 * answers of `npm run fidelity -- compare-rules` the probe itself found none blocked, and content networks had given all of them.
 *
 * Handshakes are looked up by address still. The control tries them on TLS ports alone, so no other port dilutes its rate. And the port of
 * an observation is its connect's: observations.md joins a handshake to any connect to its address, so a handshake on port 443
 * may stand in a row of port 80, and by port the control would know nothing of it (docs/analysis-versions.md has figures).
 */
export const RULES: Readonly<Record<RulesVersion, RuleSet>> = {
  2: { dns: DNS_2, tcp: tcpRules(2), tls: TLS_2, http: [] },
  3: {
    dns: before(
      before(
        before(
          // A bogon beside the right address does not mean that the site is down.
          DNS_2.map(rule => (rule.id === 'bogon_in_ctrl' ? BOGON_OF_CTRL : rule)),
          'bogon_not_in_ctrl',
          ENDPOINT_UNUSED,
          ANSWER_PROVEN,
          PAGE_CONSISTENT,
          ONLY_PROBE_ANSWERED,
        ),
        'dns_system_failure_ctrl_also_failing',
        offline('dns', 'dns_failure'),
        ownFailure('dns'),
        RECORD_ABSENT,
        NAME_RETIRED,
        ...serviceRules('dns', 'dns_failure IS NOT NULL', 'service_resolved', 0.8),
      ),
      ANSWER_UNMATCHED.id,
      ANSWER_OF_OPERATOR,
      ANSWER_NO_CTRL,
      ANSWER_OLD_PROBE,
      ANSWER_NO_NETWORKS,
    ),
    tcp: tcpRules(3),
    tls: before(
      before(
        before(TLS_2, DNS_UNTRUSTED.id, UNLIKE_OWN_CONTROL),
        'failure_ctrl_ok_ssl',
        offline('tls', 'tls_failure'),
        ownFailure('tls'),
        CLOCK_WRONG,
        discarded(
          'service_test_outdated',
          "is_service AND is_outdated AND startsWith(tls_failure, 'ssl_')",
          'this version of the messenger’s test does not know the certificates that the messenger uses',
        ),
        ...serviceRules('tls', 'tls_failure IS NOT NULL', 'service_proven', 0.75),
        unresolvedForControl('tls'),
      ),
      'failure_ctrl_also_failing',
      DNS_UNVERIFIED,
    ),
    http: HTTP_3,
  },
};
