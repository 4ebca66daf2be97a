import { GRADES, type JudgementOptions, judgement } from './judgement.ts';
import { type Layer, layersOf, RULES, type RulesVersion } from './rules.ts';
import { dayParams, IN_DAY, type Query } from './selection.ts';
import { gradesBefore, signalsOf } from './signals.ts';

/** Names in the conditions of a layer's rules: signals in their order, then the grades of earlier layers. */
export function signalsOfLayer(layer: Layer, version: RulesVersion): readonly string[] {
  const words = new Set(RULES[version][layer].flatMap(rule => rule.when.match(/\w+/g) ?? []));
  return [...signalsOf(version).map(({ name }) => name), ...gradesBefore(layer)].filter(name => words.has(name));
}

/** Name of the column that tells whether a rule's condition holds; null when the condition is null. */
export const conditionColumn = (layer: Layer, index: number) => `${layer}_when_${index + 1}`;

/**
 * The judgement of single measurements laid open: one row per observation with its signals, the value of every rule's condition
 * (conditionColumn), the number of the rule that decides (0: none) and its grades.
 */
export function explanationQuery(options: JudgementOptions): Query {
  const version = options.rulesVersion;
  const layers = layersOf(version);
  const conditions = layers.flatMap(layer =>
    RULES[version][layer].map((rule, index) => `(${rule.when}) AS ${conditionColumn(layer, index)}`),
  );
  const grades = layers.flatMap(layer => [`${layer}_rule`, ...GRADES.map(grade => `${layer}_${grade}`)]);
  const signals = signalsOf(version).map(({ name }) => name);
  const explanation = `SELECT observation_idx, ${[...signals, ...grades, ...conditions].join(',\n  ')}
FROM judged
ORDER BY observation_idx`;
  const { sql, params } = judgement(options, explanation);
  return {
    sql: `${sql}\n${explanation}`,
    params,
  };
}

/**
 * The control's facts about hosts on a day, by host, address and port: one row each, the addresses that are asked for first. `asked` are the
 * addresses that the measurement met. Addresses beyond `limit` of a host are left out.
 */
export function controlQuery(day: string, hosts: readonly string[], asked: readonly string[], limit: number): Query {
  return {
    sql: `SELECT hostname, ip, port,
  ip IN {asked:Array(String)} AS met,
  uniqExact(c.measurement_uid) AS measurements,
  countIf(c.dns_success = 1) AS dns_success,
  countIf(c.tcp_success = 1) AS tcp_success, countIf(c.tcp_success = 0) AS tcp_failing,
  countIf(c.tls_success = 1) AS tls_success, countIf(c.tls_success = 0 AND c.tls_failure IS NOT NULL) AS tls_failing,
  arraySort(groupUniqArrayIf(3)(assumeNotNull(c.tcp_failure), c.tcp_failure IS NOT NULL)) AS tcp_failures,
  arraySort(groupUniqArrayIf(3)(assumeNotNull(c.tls_failure), c.tls_failure IS NOT NULL)) AS tls_failures
FROM obs_web_ctrl AS c FINAL
WHERE ${IN_DAY} AND hostname IN {hosts:Array(String)} AND ip != ''
GROUP BY hostname, ip, port
ORDER BY hostname, met DESC, dns_success DESC, ip, port
LIMIT {limit:UInt32} BY hostname`,
    params: { ...dayParams(day), hosts, asked, limit },
  };
}

/** The control's lookups of hosts on a day, by host: one row for each that it looked up. */
export function controlHostsQuery(day: string, hosts: readonly string[]): Query {
  return {
    sql: `SELECT hostname, uniqExact(c.measurement_uid) AS measurements, uniqExactIf(ip, ip != '') AS addresses,
  countIf(c.dns_success = 1) AS dns_success, countIf(c.dns_failure IS NOT NULL) AS dns_failure
FROM obs_web_ctrl AS c FINAL
WHERE ${IN_DAY} AND hostname IN {hosts:Array(String)}
GROUP BY hostname ORDER BY hostname`,
    params: { ...dayParams(day), hosts },
  };
}

/** Addresses that proved themselves to some probe on that day with a valid certificate for the host, among those asked for. */
export function vouchedQuery(day: string, hosts: readonly string[], asked: readonly string[]): Query {
  return {
    sql: `SELECT hostname, ip, uniqExact(measurement_uid) AS measurements
FROM obs_web FINAL
WHERE ${IN_DAY} AND tls_is_certificate_valid = 1 AND hostname IN {hosts:Array(String)} AND ip IN {asked:Array(String)}
GROUP BY hostname, ip ORDER BY hostname, ip`,
    params: { ...dayParams(day), hosts, asked },
  };
}
