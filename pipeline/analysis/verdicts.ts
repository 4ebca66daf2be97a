import { ANALYSIS_WEB_MEASUREMENT } from '../tables/schema.ts';
import { type EvidenceBits, evidenceBits, type Fact } from './evidence.ts';
import { asIs, CONSTANT, GRADES, hostOf, type JudgementOptions, judgement, judgesServices, pick } from './judgement.ts';
import { ONLY_CONNECTS } from './messengers.ts';
import { layerOf, OUTCOMES, type OutcomeInputs, outcomeSql, WEBSITE_TESTS } from './outcomes.ts';
import { quoted } from './quoted.ts';
import {
  ANSWER_CTRL_FAILING,
  BROKEN_IPV6,
  LAYERS,
  type Layer,
  layersOf,
  NO_SUCH_RECORD,
  type OutcomeClass,
  PAGE_MATCHES,
  REFUSED,
  RULES,
  type RulesVersion,
  SERVICE_PLAIN_REQUEST,
  SERVICE_UNUSED,
  UNCLEAR_PAGES,
} from './rules.ts';
import type { Query } from './selection.ts';
import { IS_FINAL, siteOf } from './signals.ts';

/** SQL of the version of the loaded fingerprints. The comment of the table holds it, because a comment moves with its table in an exchange. */
export const FINGERPRINTS_VERSION =
  "(SELECT any(comment) FROM system.tables WHERE database = currentDatabase() AND name = 'fingerprints_dns')";

/** Tests of which only the steps before the one that they are made for have rows: STUN, handshakes with a limited TTL. These steps do not show that it works. */
const WITHOUT_RESULT = quoted(['stunreachability', 'stun_reachability', 'tlsmiddlebox']);

/** Names of the grades of the hosts of a measurement: arrays in the order of `hosts`. */
const GRADES_OF_HOSTS = GRADES.filter(grade => grade !== 'ok');

/**
 * Returns the query for the verdicts of a day: one row per measurement, with the columns of `analysis_web_measurement` in their order
 * (analysis.md section 6). The caller binds the parameter `generation`. Each relation reads the previous one:
 *
 * - `judged` (judgement.ts): one row per observation, with its signals, and the rule and grades of each layer
 * - `measurement`: one row per measurement, with the evidence (evidence.ts) of each of its hosts, because a failure counts for its own host only. It groups by the
 *   sorting key of the table, so that it returns one row where the table keeps one
 * - `graded`, `concluded`: the same rows with the grades of each host, then with the outcome of each host
 * - the last SELECT: the columns of the table
 *
 * Only `measurement` computes aggregates. The other relations name them as columns, because ClickHouse copies the expression of an
 * alias to each place that names it, and plans each copy.
 */
export function verdictsQuery(options: JudgementOptions): Query {
  const version = options.rulesVersion;
  const withServices = judgesServices(options);
  const key: readonly string[] = ANALYSIS_WEB_MEASUREMENT.orderBy;
  const domain = "ifNull(domain(input), '')";
  const layers = layersOf(version);
  const bits = evidenceBits(version);
  const concluded = conclusions(version, bits);
  const measurement = measurementQuery(version, withServices, bits, key);
  const { sql, params } = judgement(options, measurement);
  const columns: Record<string, string> = {
    domain: version === 2 ? domain : hostOf(domain, version),
    input: "ifNull(input, '')",
    top_probe_analysis: mostFrequent('probe_analyses'),
    analysis_rules_version: String(version),
    fingerprints_version: FINGERPRINTS_VERSION,
    run_generation: '{generation:UInt64}',
    outcome: asIs(outcomeOfMeasurement(version, bits)),
    ip_metadata_missing: asIs(
      `${bits.has('evidence', 'public_address')} AND NOT ${bits.has('evidence', 'public_network')}`,
    ),
    host_layers: concluded.layers,
    host_rule_ids: `arrayMap((of_host, layer) -> multiIf(${layers.map(layer => `layer = '${layer}', ${bits.ruleId('of_host', layer)}`).join(', ')}, ''), evidence_of_hosts, host_layers)`,
    ...(withServices ? TARGET_COLUMNS : { targets: '[]', target_outcomes: '[]', target_layers: '[]' }),
  };
  for (const layer of LAYERS) {
    if (!layers.includes(layer)) {
      for (const grade of GRADES) columns[`${layer}_${grade}`] = '0';
      columns[`top_${layer}_failure`] = 'NULL';
      columns[`top_${layer}_rule_id`] = "''";
      continue;
    }
    for (const grade of GRADES) columns[`${layer}_${grade}`] = bits.grade('evidence', layer, grade);
    columns[`top_${layer}_failure`] = mostFrequent(`${layer}_failures`);
    columns[`top_${layer}_rule_id`] = bits.ruleId('evidence', layer);
  }
  const select = ANALYSIS_WEB_MEASUREMENT.columns.map(([name]) =>
    columns[name] === undefined ? name : `${columns[name]} AS ${name}`,
  );
  return {
    sql: `${sql},
measurement AS (
  ${measurement}
),
graded AS (
  SELECT *, mapKeys(evidence_by_host) AS hosts, mapValues(evidence_by_host) AS evidence_of_hosts, arrayReduce('groupBitOr', evidence_of_hosts) AS evidence,
    ${layers.flatMap(layer => GRADES_OF_HOSTS.map(grade => `arrayMap(of_host -> ${bits.grade('of_host', layer, grade)}, evidence_of_hosts) AS hosts_${layer}_${grade}`)).join(',\n    ')}
  FROM measurement
),
concluded AS (
  SELECT *, ${concluded.outcomes} AS host_outcomes FROM graded
)
SELECT
  ${select.join(',\n  ')}
FROM concluded`,
    params,
  };
}

/**
 * The columns of the targets of a messenger. A target has the worst outcome of its hosts: each of them is needed, and redundant ones are
 * one host.
 */
const TARGET_COLUMNS = targetColumns();

function targetColumns(): Record<string, string> {
  const { blocked, partly, down, refused, unknown, ok } = OUTCOMES;
  const worst = quoted([blocked, partly, down, refused, unknown, ok]);
  const ofTarget =
    'arrayFilter(each -> has(hosts_of_targets, (each.1, target)), arrayZip(hosts, host_outcomes, host_layers))';
  const outcome = `arrayFirst(word -> has(arrayMap(each -> each.2, ${ofTarget}), word), [${worst}])`;
  return {
    targets: 'arraySort(arrayDistinct(arrayMap(each -> each.2, hosts_of_targets)))',
    target_outcomes: `arrayMap(target -> ${outcome}, targets)`,
    target_layers: `arrayMap((target, outcome) -> arrayFirst(each -> each.2 = outcome, ${ofTarget}).3, targets, target_outcomes)`,
  };
}

/** Returns the conditions of the facts of an observation, over a row `j` of `judged`. */
function factsOf(version: RulesVersion, withServices: boolean): Partial<Record<Fact, string>> {
  const judgesHttp = layersOf(version).includes('http');
  const isClass = (layer: Layer, outcome: OutcomeClass) =>
    pick(layer, version, rule => Number(rule.outcome === outcome));
  const numberOf = (layer: Layer, id: string) => RULES[version][layer].findIndex(rule => rule.id === id) + 1;
  const isNotRule = (layer: Layer, id: string) => (withServices ? ` AND ${layer}_rule != ${numberOf(layer, id)}` : '');
  const brokenV6 = `tcp_rule = ${RULES[version].tcp.indexOf(BROKEN_IPV6[version]) + 1}`;
  const proven = 'ifNull(j.tls_is_certificate_valid = 1, 0) AND j.http_failure IS NULL';
  const page = `j.is_own_page OR (j.has_page AND ${isClass('dns', 'OK')} AND ${isClass('tcp', 'OK')}${judgesHttp ? ` AND (j.http_rule = 0 OR ${isClass('http', 'OK')})` : ''})${judgesHttp ? ` OR (j.has_page AND j.http_rule = ${numberOf('http', PAGE_MATCHES)})` : ''}`;
  const ofService = ` OR (j.is_service AND ${ONLY_CONNECTS} AND ${isClass('dns', 'OK')} AND ${isClass('tcp', 'OK')} AND ifNull(j.tcp_success = 1, 0)) OR (j.is_redundant AND ${isClass('http', 'OK')})`;
  return {
    proven,
    loaded: `(${proven}) OR ${page}${withServices ? ofService : ''}`,
    answered: 'j.answers > 0',
    unjudged_lookup: `j.dns_failure IS NOT NULL AND (j.is_system_resolver OR j.dns_engine IS NULL) AND ${isClass('dns', 'UNKNOWN')}${isNotRule('dns', SERVICE_UNUSED)}${judgesHttp ? ` AND dns_rule != ${numberOf('dns', NO_SUCH_RECORD)}` : ''}`,
    unjudged_failure: `(${judgesHttp ? '(j.tcp_failure IS NOT NULL OR ifNull(j.tcp_success = 0, 0))' : 'j.tcp_failure IS NOT NULL'} AND ${isClass('tcp', 'UNKNOWN')} AND NOT ${brokenV6})
      OR (j.tls_failure IS NOT NULL AND ${isClass('tls', 'UNKNOWN')})
      OR (j.http_failure IS NOT NULL${judgesHttp ? ` AND ${isClass('http', 'UNKNOWN')}${isNotRule('http', SERVICE_PLAIN_REQUEST)}` : ''})`,
    connected_as_control: `${isClass('tcp', 'OK')} AND ifNull(j.ctrl_tcp_success, 0) > 0`,
    public_address: 'j.has_public_address',
    public_network: 'j.has_public_address AND j.has_network',
    ...(judgesHttp
      ? {
          unmatched_request: 'j.http_failure IS NOT NULL AND j.http_rule = 0',
          page_as_control: `j.${IS_FINAL} AND j.http_rule = ${numberOf('http', PAGE_MATCHES)}`,
          probe_found_blocking: "ifNull(j.probe_analysis NOT IN ('', 'false'), 0)",
        }
      : {}),
    ...(withServices ? { endpoint: "j.endpoint != ''", service: 'j.is_service' } : {}),
  };
}

/** Returns the query for each measurement: the evidence of each of its hosts, and its failures. */
function measurementQuery(
  version: RulesVersion,
  withServices: boolean,
  bits: EvidenceBits,
  key: readonly string[],
): string {
  const carried = CONSTANT.filter(name => !key.includes(name));
  const ofInput = hostOf("ifNull(domain(j.input), '')", version);
  const endpoint = withServices ? "j.endpoint != '', j.endpoint, " : '';
  const host = `multiIf(${endpoint}ifNull(j.hostname, '') != '', assumeNotNull(j.hostname), ${ofInput} != '', ${ofInput}, ifNull(j.ip, ''))`;
  const targets =
    "\n    groupUniqArrayIf((j.endpoint, assumeNotNull(j.target_id)), j.endpoint != '' AND ifNull(j.target_id, '') != '') AS hosts_of_targets,";
  return `SELECT ${key.map(name => `j.${name} AS ${name}`).join(', ')},
    ${carried.map(name => `any(j.${name}) AS ${name}`).join(', ')},
    arraySort(groupArray(j.probe_analysis)) AS probe_analyses,
    ${layersOf(version)
      .map(layer => `arraySort(groupArray(j.${layer}_failure)) AS ${layer}_failures`)
      .join(', ')},${withServices ? targets : ''}
    groupBitOrMap(map(${host}, ${bits.ofRow(factsOf(version, withServices))})) AS evidence_by_host
  FROM judged AS j
  GROUP BY ${key.map(name => `j.${name}`).join(', ')}`;
}

/** Returns the inputs of the outcome of a host: SQL over the arguments of a lambda. */
function outcomeInputs(version: RulesVersion, bits: EvidenceBits): OutcomeInputs {
  const layers = layersOf(version);
  const has = (...facts: Fact[]) => `(${bits.has('of_host', ...facts)})`;
  const isOk = (layer: Layer) => `(${bits.hasRule('of_host', layer, rule => rule.outcome === 'OK')})`;
  const isHttp = (ids: readonly string[]) => `(${bits.hasRule('of_host', 'http', rule => ids.includes(rule.id))})`;
  const broken = BROKEN_IPV6[version].id;
  const judgesHttp = layers.includes('http');
  const isPageOk = judgesHttp ? isOk('http') : '0';
  const isNameless = `(${bits.hasRule('of_host', 'dns', rule => rule.id === ANSWER_CTRL_FAILING)})`;
  const isMatched = `(${isOk('dns')} OR (NOT ${has('answered')} AND ${has('connected_as_control')}) OR ${has('page_as_control')})`;
  return {
    layers,
    grade: (layer, grade) => (grade === 'ok' ? bits.grade('of_host', layer, grade) : `${layer}_${grade}_of_host`),
    testName: 'test_name',
    isPageOk,
    isRefused: judgesHttp ? `(${isHttp([REFUSED])} AND NOT ${isPageOk})` : '0',
    isUnclear: judgesHttp
      ? `(((${isHttp(UNCLEAR_PAGES)} OR ${has('unmatched_request')}) AND NOT ${isPageOk}) OR ((${has('probe_found_blocking')} OR ${isNameless}) AND NOT ${has('loaded')}))`
      : '0',
    isLoaded: has('loaded'),
    isProven: has('proven'),
    isMatched: judgesHttp
      ? `(NOT ${has('endpoint')} AND test_name NOT IN (${WITHOUT_RESULT}) AND ${isMatched})`
      : isMatched,
    isUnresolved: `(NOT ${has('answered')} AND ${has('unjudged_lookup')})`,
    hasUnjudgedFailure: has('unjudged_lookup', 'unjudged_failure'),
    isOnlyBrokenV6: `(${bits.hasRule('of_host', 'tcp', rule => rule.id === broken)} AND NOT ${isOk('tcp')})`,
  };
}

/** Returns the SQL of `host_outcomes` and of `host_layers`, the layer to blame for each host. */
function conclusions(
  version: RulesVersion,
  bits: EvidenceBits,
): { readonly outcomes: string; readonly layers: string } {
  const inputs = outcomeInputs(version, bits);
  const grades = inputs.layers.flatMap(layer =>
    GRADES_OF_HOSTS.map(grade => [`${layer}_${grade}_of_host`, `hosts_${layer}_${grade}`]),
  );
  const ofHosts = (sql: string, name: string, array: string) => {
    const all = [[name, array], ...grades];
    return `arrayMap((${all.map(([each]) => each).join(', ')}) -> ${sql}, ${all.map(([, each]) => each).join(', ')})`;
  };
  const { blocked, partly, down } = OUTCOMES;
  const layer = `multiIf(outcome_of_host IN ('${blocked}', '${partly}'), ${layerOf(inputs, 'blocked')}, outcome_of_host = '${down}', ${layerOf(inputs, 'down')}, '')`;
  return {
    outcomes: ofHosts(asIs(outcomeSql(inputs)), 'of_host', 'evidence_of_hosts'),
    layers: ofHosts(asIs(layer), 'outcome_of_host', 'host_outcomes'),
  };
}

/**
 * SQL of the condition that only pages of other sites loaded, and nothing vouches for the site of the input. A network that hijacks the name of the
 * site can redirect probes to its own page over TLS.
 */
const ONLY_OTHER_SITES = `test_name IN (${WEBSITE_TESTS}) AND has(hosts, domain) AND host_outcomes[indexOf(hosts, domain)] = '${OUTCOMES.unknown}'
    AND NOT arrayExists((host, outcome_of_host) -> outcome_of_host = '${OUTCOMES.ok}' AND ${siteOf('host')} = ${siteOf('domain')}, hosts, host_outcomes)`;

/** Returns the SQL of the outcome of a measurement: the worst of its hosts, but `ok` goes before an `unknown` without failure. */
function outcomeOfMeasurement(version: RulesVersion, bits: EvidenceBits): string {
  const { isUnresolved, hasUnjudgedFailure, isOnlyBrokenV6, isUnclear } = outcomeInputs(version, bits);
  const { blocked, partly, down, refused, ok, unknown } = OUTCOMES;
  const has = (outcome: string) => `has(host_outcomes, '${outcome}'), '${outcome}'`;
  const more = version === 2 ? '' : ` OR ${isUnclear} OR (${bits.has('of_host', 'service')})`;
  const failed = `arrayExists((outcome_of_host, of_host) -> outcome_of_host = '${unknown}' AND (${isUnresolved} OR ${hasUnjudgedFailure} OR ${isOnlyBrokenV6}${more}), host_outcomes, evidence_of_hosts)`;
  return `multiIf(${has(blocked)}, ${has(partly)}, ${has(down)}, ${has(refused)}, ${failed}, '${unknown}', ${version === 2 ? '' : `${ONLY_OTHER_SITES}, '${unknown}', `}${has(ok)}, '${unknown}')`;
}

/**
 * Returns the SQL of the most frequent of some sorted values; of equally frequent ones the first in text order; null without values. The
 * `anyHeavy` of the Python pipeline depends on the order of rows when no value has the majority (analysis.md section 6).
 */
function mostFrequent(values: string): string {
  const equal = `arraySplit((value, before) -> value != before, ${values}, arrayPushFront(arrayPopBack(${values}), ''))`;
  return `if(empty(${values}), NULL, arraySort(each -> (-length(each), each[1]), ${equal})[1][1])`;
}

/** Meaning of each column of `analysis_web_measurement`, for docs/verdicts.md. LAYER and GRADE stand for all layers and grades. */
export const VERDICT_MEANING: Readonly<Record<string, string>> = {
  domain:
    'host of the input, as ClickHouse’s `domain()` returns it; empty without input and for hosts that it does not recognise. In lower case with version 3 of the rules',
  input: 'measured address, mostly a URL; empty when the test has no input',
  test_name: 'name of the test',
  probe_asn: 'AS number of the probe’s network; 0: unknown',
  probe_as_org_name: 'organisation of the probe’s network',
  probe_cc: 'country of the probe; `ZZ`: unknown',
  resolver_asn: 'AS number of the network of the probe’s resolver',
  resolver_as_cc: 'country in which the resolver’s network is registered',
  network_type: 'type of the probe’s network as the probe reports it: `wifi`, `mobile`, ...',
  measurement_start_time: 'start of the measurement, UTC, by the probe’s clock',
  measurement_uid: 'identifier of the measurement; https://explorer.ooni.org/m/<measurement_uid> shows the measurement',
  ooni_run_link_id: 'OONI Run link of the measurement; empty: none',
  top_probe_analysis: 'the probe’s own result (`blocking` of web_connectivity); of different ones the most frequent',
  top_LAYER_failure:
    'most frequent failure of the layer; of equally frequent ones the first in text order; null: no failure',
  LAYER_GRADE: 'greatest grade over the measurement’s observations, from 0 to 1 (docs/analysis-rules.md)',
  top_LAYER_rule_id: 'rule that decided about the layer; empty if the version of the rules does not judge the layer',
  probe_id: 'identifier of the probe, padded with NUL bytes; empty for most probes',
  analysis_rules_version: 'version of the rules; 0: the row is older than the storage of versions',
  fingerprints_version:
    'version of `fingerprints_dns` that was used (`reference_versions` lists them); empty: none was used, or the Python pipeline wrote the row',
  run_generation:
    'generation of the analysis that wrote the row, milliseconds since 1970; of two rows of a measurement the greater one is valid',
  outcome:
    'the verdict in a word (see above); empty in rows of the Python pipeline and of earlier versions of this program',
  hosts:
    'hosts of the measurement in text order: that of the input, those of redirects, those of a messenger. The redundant endpoints of a messenger are one host, named as in `targets`',
  host_outcomes: 'outcome of each host',
  host_layers:
    'layer to blame for each host: `dns`, `tcp`, `tls` or `http`; empty when the outcome is `refused`, `ok` or `unknown`',
  host_rule_ids: 'rule that decided about this layer',
  targets:
    'services of a messenger that the measurement tried, in text order: `telegram/web`, `whatsapp/endpoints`, ... (the values of `target_id` in `obs_web`); empty for other tests and with version 2 of the rules',
  target_outcomes: 'outcome of each of these services: the worst of its hosts; `unknown` goes before `ok`',
  target_layers: 'layer to blame for each of these services, as in `host_layers`',
  ip_metadata_missing:
    '1: the AS number of no public address of the measurement is known, because it was processed without IP databases. Then answers from other networks cannot be compared',
};
