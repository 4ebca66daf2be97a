import { ANALYSIS_WEB_MEASUREMENT } from '../tables/schema.ts';
import { GRADES, hostOf, type JudgementOptions, judgement, pick, ruleRanks } from './judgement.ts';
import { ONLY_CONNECTS } from './messengers.ts';
import { layerOf, OUTCOMES, type OutcomeInputs, outcomeSql } from './outcomes.ts';
import { quoted } from './quoted.ts';
import {
  BROKEN_IPV6,
  LAYERS,
  type Layer,
  layersOf,
  OUTCOME_CLASSES,
  PAGE_MATCHES,
  REFUSED,
  RULES,
  type RulesVersion,
  SERVICE_PLAIN_REQUEST,
  SERVICE_UNUSED,
  UNCLEAR_PAGES,
} from './rules.ts';
import type { Query } from './selection.ts';
import { IS_FINAL } from './signals.ts';

/** SQL of the version of the loaded fingerprints. The comment of the table holds it, because a comment moves with its table in an exchange. */
export const FINGERPRINTS_VERSION =
  "(SELECT any(comment) FROM system.tables WHERE database = currentDatabase() AND name = 'fingerprints_dns')";

/** Columns of the verdict that are the same in every observation of a measurement. */
const CONSTANT = [
  'test_name',
  'probe_as_org_name',
  'resolver_asn',
  'resolver_as_cc',
  'network_type',
  'ooni_run_link_id',
  'probe_id',
] as const;

/** Returns the inputs of the outcome of a host, as columns of `host`. */
function outcomeInputs(layers: readonly Layer[]): OutcomeInputs {
  const graded = { layers, grade: (layer: Layer, grade: string) => `${layer}_${grade}` };
  return {
    ...graded,
    testName: 'test_name',
    isPageOk: 'is_page_ok',
    isRefused: 'is_refused',
    isUnclear: 'is_unclear',
    isLoaded: 'is_loaded',
    isProven: 'is_proven',
    isMatched: 'is_matched',
    isUnresolved: 'is_unresolved',
    hasUnjudgedFailure: 'has_unjudged_failure',
    isOnlyBrokenV6: 'is_only_broken_v6',
  };
}

/**
 * Returns the query for the verdicts of a day: one row per measurement, with the columns of `analysis_web_measurement` in their order
 * (analysis.md section 6). The caller binds the parameter `generation`. Each relation reads the previous one:
 *
 * - `judged` (judgement.ts): one row per observation, with its signals, and the rule and grades of each layer
 * - `host`: one row per host of a measurement, because a failure counts for its own host only
 * - `host_judged`: the same rows with the outcome of the host
 * - `measurement`: one row per measurement. It groups by the sorting key of the table, so that it returns one row where the table keeps one
 * - the last SELECT: the columns of the table
 *
 * Only `host` and `measurement` compute aggregates. The other relations name them as columns, because ClickHouse copies the expression of an
 * alias to each place that names it, and plans each copy.
 */
export function verdictsQuery(options: JudgementOptions): Query {
  const version = options.rulesVersion;
  const { sql, params } = judgement(options);
  const key: readonly string[] = ANALYSIS_WEB_MEASUREMENT.orderBy;
  const domain = "ifNull(domain(input), '')";
  const layers = layersOf(version);
  const ruleOfHost = layers.map(
    (layer, index) => `each.3 = '${layer}', ${ruleRanks(layer, version).idOf(`each.${index + 4}`)}`,
  );
  const columns: Record<string, string> = {
    domain: version === 2 ? domain : hostOf(domain, version),
    input: "ifNull(input, '')",
    top_probe_analysis: mostFrequent('probe_analyses'),
    analysis_rules_version: String(version),
    fingerprints_version: FINGERPRINTS_VERSION,
    run_generation: '{generation:UInt64}',
    hosts: 'found.1',
    host_outcomes: 'found.2',
    host_layers: 'found.3',
    ...targetColumns(version, layers),
    host_rule_ids: `arrayMap(each -> multiIf(${ruleOfHost.join(', ')}, ''), found)`,
  };
  for (const layer of LAYERS) {
    if (!layers.includes(layer)) {
      for (const grade of GRADES) columns[`${layer}_${grade}`] = '0';
      columns[`top_${layer}_failure`] = 'NULL';
      columns[`top_${layer}_rule_id`] = "''";
      continue;
    }
    columns[`top_${layer}_failure`] = mostFrequent(`${layer}_failures`);
    columns[`top_${layer}_rule_id`] = ruleRanks(layer, version).idOf(`${layer}_rank`);
  }
  const select = ANALYSIS_WEB_MEASUREMENT.columns.map(([name]) =>
    columns[name] === undefined ? name : `${columns[name]} AS ${name}`,
  );
  return {
    sql: `${sql},
host AS (
  ${hostQuery(version, key)}
),
host_judged AS (
  SELECT *, ${outcomeSql(outcomeInputs(layers))} AS host_outcome FROM host
),
measurement AS (
  ${measurementQuery(key, layers)}
)
SELECT
  ${select.join(',\n  ')}
FROM measurement`,
    params,
  };
}

/**
 * Returns the columns of the targets of a messenger. A target has the worst outcome of its hosts: each of them is needed, and redundant ones are
 * one host.
 */
function targetColumns(version: RulesVersion, layers: readonly Layer[]): Record<string, string> {
  if (version === 2) return { targets: '[]', target_outcomes: '[]', target_layers: '[]' };
  const { blocked, partly, down, refused, unknown, ok } = OUTCOMES;
  const worst = quoted([blocked, partly, down, refused, unknown, ok]);
  const target = layers.length + 4;
  const ofTarget = `arrayFilter(each -> each.${target} = target, found)`;
  const outcome = `arrayFirst(word -> has(arrayMap(each -> each.2, ${ofTarget}), word), [${worst}])`;
  return {
    targets: `arraySort(arrayDistinct(arrayFilter(target -> target != '', found.${target})))`,
    target_outcomes: `arrayMap(target -> ${outcome}, targets)`,
    target_layers: `arrayMap((target, outcome) -> arrayFirst(each -> each.2 = outcome, ${ofTarget}).3, targets, target_outcomes)`,
  };
}

/** Returns the query for the hosts of each measurement: their greatest grades, rules and failures. */
function hostQuery(version: RulesVersion, key: readonly string[]): string {
  const layers = layersOf(version);
  const ofInput = hostOf("ifNull(domain(j.input), '')", version);
  const carried = [...CONSTANT, 'input'].filter(name => !key.includes(name));
  const isClass = (layer: Layer, outcome: keyof typeof OUTCOME_CLASSES) =>
    `${pick(layer, version, rule => OUTCOME_CLASSES[rule.outcome])} = ${OUTCOME_CLASSES[outcome]}`;
  const brokenV6 = `tcp_rule = ${RULES[version].tcp.indexOf(BROKEN_IPV6[version]) + 1}`;
  const judgesHttp = layers.includes('http');
  const isRule = (ids: readonly string[]) =>
    `j.http_rule IN (${ids.map(id => RULES[version].http.findIndex(rule => rule.id === id) + 1).join(', ')})`;
  const isProven = 'ifNull(j.tls_is_certificate_valid = 1, 0) AND j.http_failure IS NULL';
  const isService = judgesHttp ? 'j.is_service' : '0';
  const isNotRule = (layer: Layer, id: string) =>
    judgesHttp ? ` AND ${layer}_rule != ${RULES[version][layer].findIndex(rule => rule.id === id) + 1}` : '';
  const dnsUnjudged = `j.dns_failure IS NOT NULL AND (j.is_system_resolver OR j.dns_engine IS NULL) AND ${isClass('dns', 'UNKNOWN')}${isNotRule('dns', SERVICE_UNUSED)}`;
  const endpoint = judgesHttp ? "j.endpoint != '', j.endpoint, " : '';
  return `SELECT ${key.map(name => `j.${name} AS ${name}`).join(', ')},
    ${carried.map(name => `any(j.${name}) AS ${name}`).join(', ')},
    multiIf(${endpoint}ifNull(j.hostname, '') != '', j.hostname, ${ofInput} != '', ${ofInput}, ifNull(j.ip, '')) AS host,
    ${layers.flatMap(layer => GRADES.map(grade => `max(j.${layer}_${grade}) AS ${layer}_${grade}`)).join(', ')},
    ${layers.map(layer => `max(${ruleRanks(layer, version).rank}) AS ${layer}_rank`).join(', ')},
    groupArray(j.probe_analysis) AS probe_analyses,
    ${layers.map(layer => `groupArray(j.${layer}_failure) AS ${layer}_failures`).join(', ')},
    max(${isProven}) AS is_proven,
    max((${isProven}) OR j.is_own_page OR (j.has_page AND ${isClass('dns', 'OK')} AND ${isClass('tcp', 'OK')}${judgesHttp ? ` AND (j.http_rule = 0 OR ${isClass('http', 'OK')})` : ''})${judgesHttp ? ` OR (${isService} AND ${ONLY_CONNECTS} AND ${isClass('dns', 'OK')} AND ${isClass('tcp', 'OK')} AND ifNull(j.tcp_success = 1, 0)) OR (j.is_redundant AND ${isClass('http', 'OK')})` : ''}) AS is_loaded,
    max(j.answers) = 0 AND max(${dnsUnjudged}) AS is_unresolved,
    max((${dnsUnjudged})
      OR (j.tcp_failure IS NOT NULL AND ${isClass('tcp', 'UNKNOWN')} AND NOT ${brokenV6})
      OR (j.tls_failure IS NOT NULL AND ${isClass('tls', 'UNKNOWN')})
      OR (j.http_failure IS NOT NULL${judgesHttp ? ` AND ${isClass('http', 'UNKNOWN')}${isNotRule('http', SERVICE_PLAIN_REQUEST)}` : ''})) AS has_unjudged_failure,${
        judgesHttp
          ? `
    max(${isClass('http', 'OK')}) AS is_page_ok,
    max(${isRule([REFUSED])}) AND NOT is_page_ok AS is_refused,
    max(${isRule(UNCLEAR_PAGES)} OR (j.http_failure IS NOT NULL AND j.http_rule = 0)) AND NOT is_page_ok
      OR max(ifNull(j.probe_analysis NOT IN ('', 'false'), 0)) AND NOT is_loaded AS is_unclear,`
          : ''
      }
    max(${brokenV6}) AND NOT max(${isClass('tcp', 'OK')}) AS is_only_broken_v6,
    ${judgesHttp ? "any(j.endpoint) = '' AND (" : ''}max(${isClass('dns', 'OK')}) OR (max(j.answers) = 0 AND max(${isClass('tcp', 'OK')} AND ifNull(j.ctrl_tcp_success, 0) > 0)${judgesHttp ? ` OR max(j.${IS_FINAL} AND ${isRule([PAGE_MATCHES])})` : ''})${judgesHttp ? ')' : ''} AS is_matched,${judgesHttp ? "\n    if(any(j.endpoint) = '', '', ifNull(any(j.target_id), '')) AS target,\n    max(j.is_service) AS is_service," : ''}
    max(j.has_public_address) AS has_public_address,
    max(j.has_public_address AND j.has_network) AS has_network
  FROM judged AS j
  GROUP BY ${key.map(name => `j.${name}`).join(', ')}, host`;
}

/**
 * Returns the query for each measurement. `found` has a tuple for each host, in the order of their names: name, outcome, layer to blame, and
 * the rank of each layer.
 */
function measurementQuery(key: readonly string[], layers: readonly Layer[]): string {
  const carried = [...CONSTANT, 'input'].filter(name => !key.includes(name));
  const has = (outcome: string, more = '') => `countIf(h.host_outcome = '${outcome}'${more}) > 0, '${outcome}'`;
  const hasFailure = ` AND (h.is_unresolved OR h.has_unjudged_failure OR h.is_only_broken_v6${layers.includes('http') ? ' OR h.is_unclear OR h.is_service' : ''})`;
  const ofHost = { layers, grade: (layer: Layer, grade: string) => `h.${layer}_${grade}` };
  const to = (blame: 'blocked' | 'down') => layerOf(ofHost, blame);
  const { blocked, partly, down, refused, ok, unknown } = OUTCOMES;
  const blamed = `multiIf(h.host_outcome IN ('${blocked}', '${partly}'), ${to('blocked')}, h.host_outcome = '${down}', ${to('down')}, '')`;
  return `SELECT ${key.map(name => `h.${name} AS ${name}`).join(', ')},
    ${carried.map(name => `any(h.${name}) AS ${name}`).join(', ')},
    ${layers.flatMap(layer => GRADES.map(grade => `max(h.${layer}_${grade}) AS ${layer}_${grade}`)).join(', ')},
    ${layers.map(layer => `max(h.${layer}_rank) AS ${layer}_rank`).join(', ')},
    arraySort(groupArrayArray(h.probe_analyses)) AS probe_analyses,
    ${layers.map(layer => `arraySort(groupArrayArray(h.${layer}_failures)) AS ${layer}_failures`).join(', ')},
    multiIf(${[has(blocked), has(partly), has(down), has(refused), has(unknown, hasFailure), has(ok)].join(', ')}, '${unknown}') AS outcome,
    arraySort(groupArray((h.host, h.host_outcome, ${blamed}, ${layers.map(layer => `h.${layer}_rank`).join(', ')}${layers.includes('http') ? ', h.target' : ''}))) AS found,
    max(h.has_public_address) AND NOT max(h.has_network) AS ip_metadata_missing
  FROM host_judged AS h
  GROUP BY ${key.map(name => `h.${name}`).join(', ')}`;
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
