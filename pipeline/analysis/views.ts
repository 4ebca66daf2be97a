import { layerOf, OUTCOMES, type OutcomeInputs, outcomeSql } from './outcomes.ts';
import { PAGE_SPEEDS } from './page-speeds.ts';
import { quoted } from './quoted.ts';
import { BLOCK_PAGE, HTTP_BLOCK_PAGES, LAYERS, type Layer } from './rules.ts';
import { OF_ALL_COUNTRIES } from './samples.ts';
import type { View } from './view.ts';

/**
 * The outcome of verdicts that do not store one (earlier versions of this program, the Python pipeline): from the grades, failures and
 * rules of the whole measurement. They do not tell hosts apart, so a word is chosen only where they support it.
 */
const GRADES_OF_ROW = {
  layers: ['dns', 'tcp', 'tls'] as const,
  grade: (layer: Layer, grade: string) => `v.${layer}_${grade}`,
};
const FROM_GRADES: OutcomeInputs = {
  ...GRADES_OF_ROW,
  testName: 'v.test_name',
  // A plain connect counts for a URL without TLS: an https page needs the handshake.
  isLoaded:
    "v.tls_ok > 0.5 OR (v.dns_ok > 0.5 AND v.tcp_ok > 0.5 AND v.top_tls_failure IS NULL AND startsWith(lower(v.input), 'http://'))",
  isProven: 'v.tls_ok > 0.5',
  // Earlier versions did not judge HTTP.
  isPageOk: '0',
  isRefused: '0',
  isUnclear: '0',
  isMatched: 'v.dns_ok > 0.5',
  isUnresolved: 'v.dns_ok = 0 AND v.dns_blocked + v.dns_down > 0',
  hasUnjudgedFailure: `(v.top_dns_failure IS NOT NULL AND v.dns_blocked + v.dns_down + v.dns_ok = 0)
      OR (v.top_tcp_failure IS NOT NULL AND v.tcp_blocked + v.tcp_down = 0)
      OR (v.top_tls_failure IS NOT NULL AND v.tls_blocked + v.tls_down = 0)`,
  isOnlyBrokenV6: '0',
};

/** The stored host with the measurement's outcome, the first in text order. */
const BLAMED = (column: string) => `arrayElement(v.${column}, indexOf(v.host_outcomes, outcome))`;
const IS_BLAMED = `outcome IN ('${OUTCOMES.blocked}', '${OUTCOMES.partly}', '${OUTCOMES.down}')`;
const IS_BLOCKED = `outcome IN ('${OUTCOMES.blocked}', '${OUTCOMES.partly}')`;

/** One row per measurement, its verdict in a word (outcomes.ts). FINAL, so that a verdict that is being replaced counts once. */
const MEASUREMENT_VERDICTS: View = {
  name: 'measurement_verdicts',
  question: 'What is the outcome of each measurement, and which layer and rule decided it?',
  columns: {
    '*': 'all columns of `analysis_web_measurement`, one row per measurement',
    measurement_day: 'UTC day of `measurement_start_time`',
    blocked: 'greatest of the layers’ *blocked* grades',
    down: 'greatest of the layers’ *down* grades',
    outcome: '`blocked`, `partly_blocked`, `down`, `refused`, `ok` or `unknown`',
    blocked_layer:
      '`dns`, `tcp`, `tls` or `http`: the first layer with the greatest *blocked* grade; empty unless blocked or partly blocked',
    blocked_rule_id: 'rule that decided about that layer; empty unless blocked or partly blocked',
    blamed_host:
      'host that is blocked or down, which can be the host of a redirect; of several hosts, the first in text order; otherwise empty',
    confirmed:
      '1: the answer of the resolver is a known block page of the country, or the response is one of the country or of a filtering product (a fingerprint matched)',
  },
  select: `SELECT
  v.* EXCEPT (outcome),
  toDate32(v.measurement_start_time, 'UTC') AS measurement_day,
  greatest(${LAYERS.map(layer => `v.${layer}_blocked`).join(', ')}) AS blocked,
  greatest(${LAYERS.map(layer => `v.${layer}_down`).join(', ')}) AS down,
  if(v.outcome != '', v.outcome, ${outcomeSql(FROM_GRADES)}) AS outcome,
  multiIf(NOT ${IS_BLOCKED}, '', v.outcome != '', ${BLAMED('host_layers')}, ${layerOf(GRADES_OF_ROW, 'blocked')}) AS blocked_layer,
  multiIf(blocked_layer = '', '', v.outcome != '', ${BLAMED('host_rule_ids')}, blocked_layer = 'dns', v.top_dns_rule_id, blocked_layer = 'tcp', v.top_tcp_rule_id, v.top_tls_rule_id) AS blocked_rule_id,
  multiIf(NOT ${IS_BLAMED}, '', v.outcome != '', ${BLAMED('hosts')}, lower(v.domain)) AS blamed_host,
  if(v.top_dns_rule_id = '${BLOCK_PAGE}' OR v.top_http_rule_id IN (${quoted(HTTP_BLOCK_PAGES)}), 1, 0) AS confirmed
FROM analysis_web_measurement AS v FINAL`,
};

const COUNTS = {
  'blocked_measurements, partly_blocked_measurements, down_measurements, refused_measurements, ok_measurements, unknown_measurements':
    'number of these measurements by outcome',
  'dns_blocked_measurements, tcp_blocked_measurements, tls_blocked_measurements, http_blocked_measurements':
    'measurements with the outcome `blocked`, by layer',
  confirmed_measurements: 'measurements with a known block page (`confirmed`)',
  blocked_share: 'blocked_measurements / measurements; a large share of few measurements shows little, so look at both',
};

function counted(
  name: string,
  question: string,
  by: readonly string[],
  { measurements, from }: { measurements: string; from: string },
): View {
  const keys = ['measurement_day', 'test_name', ...by];
  const layer = (each: string) => `countIf(outcome = '${OUTCOMES.blocked}' AND blocked_layer = '${each}')`;
  return {
    name,
    question,
    columns: { [keys.join(', ')]: 'the groups that are counted', measurements, ...COUNTS },
    select: `SELECT
  ${keys.join(', ')},
  count() AS measurements,
${Object.values(OUTCOMES)
  .map(word => `  countIf(outcome = '${word}') AS ${word}_measurements,`)
  .join('\n')}
  ${layer('dns')} AS dns_blocked_measurements,
  ${layer('tcp')} AS tcp_blocked_measurements,
  ${layer('tls')} AS tls_blocked_measurements,
  ${layer('http')} AS http_blocked_measurements,
  countIf(confirmed) AS confirmed_measurements,
  blocked_measurements / measurements AS blocked_share
FROM ${from}
GROUP BY ${keys.join(', ')}`,
  };
}

/** Each measurement once for every host that it met, with what was found about that host. */
const HOST_VERDICTS = `(
  SELECT
    measurement_day, test_name, probe_cc,
    found.1 AS domain,
    if(empty(hosts), m.outcome, found.2) AS outcome,
    if(empty(hosts), m.blocked_layer, found.3) AS blocked_layer,
    confirmed AND found.4 IN ('', ${quoted([BLOCK_PAGE, ...HTTP_BLOCK_PAGES])}) AS confirmed
  FROM measurement_verdicts AS m
  ARRAY JOIN if(empty(hosts), [(lower(m.domain), '', '', '')], arrayZip(hosts, host_outcomes, host_layers, host_rule_ids)) AS found
)`;

const EVERY = { measurements: 'measurements with a verdict, of any outcome', from: 'measurement_verdicts' };

/** Each measurement of a messenger once for every service that it tried, with what was found about that service. */
const TARGET_VERDICTS = `(
  SELECT measurement_day, test_name, probe_cc, probe_asn, found.1 AS target, found.2 AS outcome, found.3 AS blocked_layer, confirmed
  FROM measurement_verdicts AS m
  ARRAY JOIN arrayZip(targets, target_outcomes, target_layers) AS found
)`;

/**
 * Countries from which probes must have tried a tunnel before it counts as down, and networks in which it must work before it counts as
 * blocked.
 */
const TUNNEL_COUNTRIES = 3;
const TUNNEL_NETWORKS = 2;

/** Attempts at the same tunnel on the same day. */
const SAME_TUNNEL = 'PARTITION BY measurement_day, tunnel_protocol, tunnel_transport, tunnel_endpoint';

/**
 * Tunnels have no control, so a failed attempt is compared with the other attempts of its day. It is blocked only if the attempt itself shows a
 * network, because otherwise the probe may be offline: of openvpn, a connect or an answer of the server; of tor, a connected relay with which no
 * handshake ends. A bootstrap that goes on after the handshake and is too slow is unknown.
 */
const TUNNEL_VERDICTS: View = {
  name: 'tunnel_verdicts',
  question: 'Could a probe establish the tunnel of a circumvention tool, and if not, is it blocked?',
  columns: {
    '*': 'all columns of `obs_tunnel`, one row per attempt',
    measurement_day: 'UTC day of `measurement_start_time`',
    working_networks:
      'countries and AS numbers in which the same tunnel (protocol, transport, endpoint) was established on this day',
    tried_countries:
      'number of countries from which probes tried it on this day, counting only rows of complete runs without a filter by country: a filter may select the countries that block it',
    outcome: `\`ok\`: established; \`down\`: no probe established it on this day, and \`tried_countries\` is ${TUNNEL_COUNTRIES} or more; \`blocked\`: at least ${TUNNEL_NETWORKS} other networks established it, this network did not, and the attempt shows that the probe had a network; \`unknown\`: anything else`,
  },
  select: `SELECT
  t.*,
  toDate32(t.measurement_start_time, 'UTC') AS measurement_day,
  groupUniqArrayIf((t.probe_cc, t.probe_asn), ifNull(t.tunnel_success = 1, 0)) OVER (${SAME_TUNNEL}) AS working_networks,
  uniqExactIf(t.probe_cc, ${OF_ALL_COUNTRIES}) OVER (${SAME_TUNNEL}) AS tried_countries,
  multiIf(
    ifNull(t.tunnel_success = 1, 0), '${OUTCOMES.ok}',
    t.tunnel_success IS NULL, '${OUTCOMES.unknown}',
    empty(working_networks) AND tried_countries >= ${TUNNEL_COUNTRIES}, '${OUTCOMES.down}',
    has(working_networks, (t.probe_cc, t.probe_asn)) OR length(working_networks) < ${TUNNEL_NETWORKS}, '${OUTCOMES.unknown}',
    t.tunnel_protocol = 'openvpn' AND (ifNull(t.tunnel_connected = 1, 0) OR ifNull(t.tunnel_failure IN ('connection_refused', 'connection_reset'), 0)), '${OUTCOMES.blocked}',
    t.tunnel_protocol = 'tor' AND t.tunnel_transport = 'vanilla' AND ifNull(t.tunnel_progress >= 10 AND t.tunnel_progress < 15, 0), '${OUTCOMES.blocked}',
    '${OUTCOMES.unknown}') AS outcome
FROM obs_tunnel AS t FINAL`,
};

/** Views of the verdicts, in the order in which they are made: the counting ones read the first. */
export const VERDICT_VIEWS: readonly View[] = [
  MEASUREMENT_VERDICTS,
  counted('blocking_by_country', 'How much is blocked in each country on each day?', ['probe_cc'], EVERY),
  counted('blocking_by_domain', 'Which sites are blocked in a country, and since when?', ['probe_cc', 'domain'], {
    measurements:
      'measurements with this host, of any outcome. A failure counts for the host at which it happened: the host of a redirect has its own row',
    from: HOST_VERDICTS,
  }),
  counted(
    'blocking_by_asn',
    'Which networks of a country block?',
    ['probe_cc', 'probe_asn', 'probe_as_org_name'],
    EVERY,
  ),
  counted(
    'blocking_by_target',
    'Which services of messengers are blocked in a network?',
    ['probe_cc', 'probe_asn', 'target'],
    {
      measurements: 'measurements that tried this service, of any outcome (version 3 of the rules)',
      from: TARGET_VERDICTS,
    },
  ),
];

/** The views that migrations up to 013 created. */
export const VIEWS_TO_TUNNELS: readonly View[] = [...VERDICT_VIEWS, TUNNEL_VERDICTS];

/** All views, in the order in which they are made. */
export const VIEWS: readonly View[] = [...VIEWS_TO_TUNNELS, PAGE_SPEEDS];
