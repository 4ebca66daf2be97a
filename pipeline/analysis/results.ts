import { ANALYSIS_WEB_MEASUREMENT, MEASUREMENT_EXPERIMENT_RESULT } from '../tables/schema.ts';
import type { JudgementOptions } from './judgement.ts';
import { LAYERS } from './rules.ts';
import { dayParams, experimentCondition, IN_DAY, type Query } from './selection.ts';

/** Nettest groups as OONI Explorer has them; a test that is not listed counts as experimental. */
export const NETTEST_GROUPS: Readonly<Record<string, readonly string[]>> = {
  websites: ['web_connectivity', 'urlgetter', 'http_requests', 'http_host', 'dns_consistency', 'tcp_connect'],
  im: ['telegram', 'whatsapp', 'facebook_messenger', 'signal'],
  circumvention: ['tor', 'torsf', 'vanilla_tor', 'psiphon', 'riseupvpn', 'openvpn', 'bridge_reachability'],
  middlebox: ['http_invalid_request_line', 'http_header_field_manipulation'],
  performance: ['ndt', 'dash'],
};

/** Below this a measurement is an anomaly, and above that sum of the blocked values it is confirmed (analysis.md section 10). */
const ANOMALY_BELOW = 0.6;
const CONFIRMED_ABOVE = 0.9;

/**
 * The rows of `measurement_experiment_result` made of a day's verdicts, columns as in tables.json. The Python analysis that once filled
 * it is gone (analysis.md section 10); this keeps its way of combining layers and takes the grades of the rules. A layer is
 * judged when a rule gave it a grade. Then, over the judged layers in the order DNS, TCP, TLS, beginning with left = 1:
 *
 *     blocked' = left * blocked      down' = left * min(down, 1 - blocked)      left = left - blocked' - down'
 *
 * `loni_ok_value` is what is left, `loni_blocked_values` and `_down_values` are the values above 0 under the keys `<layer>.<rule id>`,
 * `anomaly` is loni_ok_value < 0.6, `confirmed` is sum(blocked') > 0.9. docs/analysis-rules.md has the table of all columns.
 */
export function resultsQuery(options: JudgementOptions): Query {
  const experiment = experimentCondition(options.filter, options.selection);
  const carried = [...new Set([...MEASUREMENT_EXPERIMENT_RESULT.columns.map(([name]) => name)])].filter(
    name => BY_MEASUREMENT.has(name) && name !== 'measurement_uid' && name !== 'measurement_start_time',
  );
  const columns = resultColumns();
  const select = MEASUREMENT_EXPERIMENT_RESULT.columns.map(([name]) => {
    if (name === 'run_generation') return '{generation:UInt64} AS run_generation';
    if (columns[name] !== undefined) return `${columns[name]} AS ${name}`;
    return `o.${name} AS ${name}`;
  });
  return {
    sql: `WITH
measurement AS (
  SELECT measurement_uid, measurement_start_time, ${carried.map(name => `any(w.${name}) AS ${name}`).join(', ')},
    count() AS observations
  -- Filtered below the aggregates: they carry the names of the columns, and a condition here would mean them.
  FROM (SELECT * FROM obs_web FINAL WHERE ${IN_DAY} ${experiment.sql}) AS w
  GROUP BY measurement_uid, measurement_start_time
),
verdict AS (
  SELECT measurement_uid, measurement_start_time, domain,
    ${LAYERS.map(layer => `top_${layer}_rule_id, top_${layer}_failure`).join(', ')},
    ${steps()}
  FROM ${ANALYSIS_WEB_MEASUREMENT.name} FINAL
  WHERE ${IN_DAY} AND run_generation = {generation:UInt64}
)
SELECT
  ${select.join(',\n  ')}
FROM measurement AS o
INNER JOIN verdict AS v ON v.measurement_uid = o.measurement_uid AND v.measurement_start_time = o.measurement_start_time`,
    params: { ...dayParams(options.day), ...experiment.params },
  };
}

/** Columns that stand in obs_web under the same name. */
const BY_MEASUREMENT = new Set([
  'measurement_uid', 'input', 'report_id', 'measurement_start_time', 'software_name', 'software_version', 'test_name',
  'test_version', 'bucket_date', 'probe_asn', 'probe_cc', 'probe_as_org_name', 'probe_as_cc', 'probe_as_name',
  'network_type', 'platform', 'origin', 'engine_name', 'engine_version', 'architecture', 'resolver_ip', 'resolver_asn',
  'resolver_cc', 'resolver_as_org_name', 'resolver_as_cc', 'resolver_is_scrubbed', 'resolver_asn_probe',
  'resolver_as_org_name_probe',
]); // biome-ignore format: a list

/** Name of what is left before a layer: 1 before the first. */
const LEFT = { dns: '1', tcp: 'dns_left', tls: 'tcp_left' } as const;

/** `<layer>_b`, `_d` (scaled blocked and down) and `_left` of each layer. Rounded, because a Float32 of 0.9 is not 0.9. */
function steps(): string {
  const grade = (name: string) => `round(toFloat64(${name}), 4)`;
  return LAYERS.map(
    layer => `${grade(`${layer}_ok`)} AS ${layer}_o,
    ${LEFT[layer]} * ${grade(`${layer}_blocked`)} AS ${layer}_b,
    ${LEFT[layer]} * least(${grade(`${layer}_down`)}, 1 - ${grade(`${layer}_blocked`)}) AS ${layer}_d,
    ${LEFT[layer]} - ${layer}_b - ${layer}_d AS ${layer}_left`,
  ).join(',\n    ');
}

function resultColumns(): Record<string, string> {
  const list = (value: (layer: string) => string) => `[${LAYERS.map(value).join(', ')}]`;
  const keys = list(layer => `concat('${layer}.', v.top_${layer}_rule_id)`);
  const valuesOf = (part: string) => list(layer => `round(v.${layer}_${part}, 6)`);
  const keysAbove = (part: string) => `arrayFilter((key, value) -> value > 0, ${keys}, ${valuesOf(part)})`;
  const valuesAbove = (part: string) => `arrayFilter(value -> value > 0, ${valuesOf(part)})`;
  const ok = 'round(v.tls_left, 6)';
  const blocked = 'round(v.dns_b + v.tcp_b + v.tls_b, 6)';
  const groups = Object.entries(NETTEST_GROUPS).map(
    ([group, tests]) => `o.test_name IN (${tests.map(test => `'${test}'`).join(', ')}), '${group}'`,
  );
  return {
    observation_id_list: '[]',
    timeofday: 'o.measurement_start_time',
    created_at: 'fromUnixTimestamp64Milli(toInt64({generation:UInt64}))',
    location_network_type: 'o.network_type',
    location_network_asn: 'o.probe_asn',
    location_network_cc: 'o.probe_cc',
    location_network_as_org_name: 'o.probe_as_org_name',
    location_network_as_cc: 'o.probe_as_cc',
    location_resolver_asn: 'o.resolver_asn',
    location_resolver_as_org_name: 'o.resolver_as_org_name',
    location_resolver_as_cc: 'o.resolver_as_cc',
    location_resolver_cc: 'o.resolver_cc',
    location_blocking_scope: 'NULL',
    target_nettest_group: `multiIf(${groups.join(', ')}, 'experimental')`,
    target_category: "'MISC'",
    target_name: "replaceRegexpOne(v.domain, '^[w.]+', '')",
    target_domain_name: 'v.domain',
    target_detail: "ifNull(o.input, '')",
    loni_ok_value: ok,
    loni_down_keys: keysAbove('d'),
    loni_down_values: valuesAbove('d'),
    loni_blocked_keys: keysAbove('b'),
    loni_blocked_values: valuesAbove('b'),
    loni_ok_keys: keysAbove('o'),
    loni_ok_values: valuesAbove('o'),
    loni_list: `toJSONString(arrayMap((layer, rule, b, d, o) -> map('layer', layer, 'rule', rule, 'blocked', toString(b), 'down', toString(d), 'ok', toString(o)), ['dns', 'tcp', 'tls'], ${list(layer => `toString(v.top_${layer}_rule_id)`)}, ${valuesOf('b')}, ${valuesOf('d')}, ${valuesOf('o')}))`,
    analysis_transcript_list: list(
      layer =>
        `arrayFilter(text -> text != '', ['${layer}: ' || v.top_${layer}_rule_id, ifNull(v.top_${layer}_failure, '')])`,
    ),
    measurement_count: '1',
    observation_count: 'toInt32(o.observations)',
    vp_count: '1',
    anomaly: `toInt8(${ok} < ${ANOMALY_BELOW})`,
    confirmed: `toInt8(${blocked} > ${CONFIRMED_ABOVE})`,
  };
}
