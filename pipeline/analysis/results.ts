import { ANALYSIS_WEB_MEASUREMENT, MEASUREMENT_EXPERIMENT_RESULT } from '../tables/schema.ts';
import type { JudgementOptions } from './judgement.ts';
import { NETTEST_GROUPS } from './nettest-groups.ts';
import { OUTCOMES } from './outcomes.ts';
import { quoted } from './quoted.ts';
import { BLOCK_PAGE, HTTP_BLOCK_PAGES, type Layer, layersOf } from './rules.ts';
import { experimentCondition, inDays, type Query } from './selection.ts';

/** Below this a measurement is an anomaly (analysis.md section 10). */
const ANOMALY_BELOW = 0.6;

/**
 * The rows of `measurement_experiment_result` made of a day's verdicts, columns as in tables.json. The Python analysis that once filled
 * it is gone (analysis.md section 10); this keeps its way of combining layers and takes the grades of the rules. A layer is
 * judged when a rule gave it a grade. Then, over the judged layers in the order DNS, TCP, TLS, HTTP, beginning with left = 1:
 *
 *     blocked' = left * blocked      down' = left * min(down, 1 - blocked)      left = left - blocked' - down'
 *
 * `loni_ok_value` is what is left, `loni_blocked_values` and `_down_values` are the values above 0 under the keys `<layer>.<rule id>`,
 * `anomaly` is loni_ok_value < 0.6, `confirmed` says that a block page fingerprint matched. The three are null for measurements whose outcome
 * is `unknown`: nothing was judged. RESULT_MEANING says what each column holds, and docs/analysis-rules.md is made of it.
 */
export function resultsQuery(options: JudgementOptions): Query {
  const experiment = experimentCondition(options.filter, options.selection, options.days);
  const within = inDays(options.days);
  const carried = [...new Set([...MEASUREMENT_EXPERIMENT_RESULT.columns.map(([name]) => name)])].filter(
    name => BY_MEASUREMENT.has(name) && name !== 'measurement_uid' && name !== 'measurement_start_time',
  );
  const layers = layersOf(options.rulesVersion);
  const columns = resultColumns(layers);
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
  FROM (SELECT * FROM obs_web FINAL WHERE ${within.sql} ${experiment.sql}) AS w
  GROUP BY measurement_uid, measurement_start_time
),
verdict AS (
  SELECT measurement_uid, measurement_start_time, domain, outcome,
    ${layers.map(layer => `top_${layer}_rule_id, top_${layer}_failure`).join(', ')},
    ${steps(layers)}
  FROM ${ANALYSIS_WEB_MEASUREMENT.name} FINAL
  WHERE ${within.sql} AND run_generation = {generation:UInt64}
)
SELECT
  ${select.join(',\n  ')}
FROM measurement AS o
INNER JOIN verdict AS v ON v.measurement_uid = o.measurement_uid AND v.measurement_start_time = o.measurement_start_time`,
    params: { ...within.params, ...experiment.params },
  };
}

/** Columns that stand in obs_web under the same name. */
export const BY_MEASUREMENT: ReadonlySet<string> = new Set([
  'measurement_uid', 'input', 'report_id', 'measurement_start_time', 'software_name', 'software_version', 'test_name',
  'test_version', 'bucket_date', 'probe_asn', 'probe_cc', 'probe_as_org_name', 'probe_as_cc', 'probe_as_name',
  'network_type', 'platform', 'origin', 'engine_name', 'engine_version', 'architecture', 'resolver_ip', 'resolver_asn',
  'resolver_cc', 'resolver_as_org_name', 'resolver_as_cc', 'resolver_is_scrubbed', 'resolver_asn_probe',
  'resolver_as_org_name_probe',
]); // biome-ignore format: a list

/** Name of what is left before a layer: 1 before the first. */
const LEFT: Readonly<Record<Layer, string>> = { dns: '1', tcp: 'dns_left', tls: 'tcp_left', http: 'tls_left' };

/** `<layer>_b`, `_d` (scaled blocked and down) and `_left` of each layer. Rounded, because a Float32 of 0.9 is not 0.9. */
function steps(layers: readonly Layer[]): string {
  const grade = (name: string) => `round(toFloat64(${name}), 4)`;
  return layers
    .map(
      layer => `${grade(`${layer}_ok`)} AS ${layer}_o,
    ${LEFT[layer]} * ${grade(`${layer}_blocked`)} AS ${layer}_b,
    ${LEFT[layer]} * least(${grade(`${layer}_down`)}, 1 - ${grade(`${layer}_blocked`)}) AS ${layer}_d,
    ${LEFT[layer]} - ${layer}_b - ${layer}_d AS ${layer}_left`,
    )
    .join(',\n    ');
}

function resultColumns(layers: readonly Layer[]): Record<string, string> {
  const list = (value: (layer: string) => string) => `[${layers.map(value).join(', ')}]`;
  const keys = list(layer => `concat('${layer}.', v.top_${layer}_rule_id)`);
  const valuesOf = (part: string) => list(layer => `round(v.${layer}_${part}, 6)`);
  const keysAbove = (part: string) => `arrayFilter((key, value) -> value > 0, ${keys}, ${valuesOf(part)})`;
  const valuesAbove = (part: string) => `arrayFilter(value -> value > 0, ${valuesOf(part)})`;
  const ok = `round(v.${layers.at(-1)}_left, 6)`;
  const judged = (value: string) => `if(v.outcome = '${OUTCOMES.unknown}', NULL, ${value})`;
  const groups = Object.entries(NETTEST_GROUPS).map(
    ([group, tests]) => `o.test_name IN (${quoted(tests)}), '${group}'`,
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
    loni_ok_value: judged(ok),
    loni_down_keys: keysAbove('d'),
    loni_down_values: valuesAbove('d'),
    loni_blocked_keys: keysAbove('b'),
    loni_blocked_values: valuesAbove('b'),
    loni_ok_keys: keysAbove('o'),
    loni_ok_values: valuesAbove('o'),
    loni_list: `toJSONString(arrayMap((layer, rule, b, d, o) -> map('layer', layer, 'rule', rule, 'blocked', toString(b), 'down', toString(d), 'ok', toString(o)), [${quoted(layers)}], ${list(layer => `toString(v.top_${layer}_rule_id)`)}, ${valuesOf('b')}, ${valuesOf('d')}, ${valuesOf('o')}))`,
    analysis_transcript_list: list(
      layer =>
        `arrayFilter(text -> text != '', ['${layer}: ' || v.top_${layer}_rule_id, ifNull(v.top_${layer}_failure, '')])`,
    ),
    measurement_count: '1',
    observation_count: 'toInt32(o.observations)',
    vp_count: '1',
    anomaly: judged(`toInt8(${ok} < ${ANOMALY_BELOW})`),
    confirmed: judged(
      `toInt8(v.top_dns_rule_id = '${BLOCK_PAGE}'${layers.includes('http') ? ` OR v.top_http_rule_id IN (${quoted(HTTP_BLOCK_PAGES)})` : ''})`,
    ),
  };
}

/** Meaning of each column that is not simply the measurement's own (BY_MEASUREMENT), for the page docs/analysis-rules.md. */
export const RESULT_MEANING: Readonly<Record<string, string>> = {
  observation_id_list:
    'empty: observations no longer have ids; they are the rows of `obs_web` with this `measurement_uid`',
  timeofday: '`measurement_start_time`',
  created_at: 'when the analysis that made the row began',
  location_network_type: '`network_type`',
  location_network_asn: '`probe_asn`',
  location_network_cc: '`probe_cc`',
  location_network_as_org_name: '`probe_as_org_name`',
  location_network_as_cc: '`probe_as_cc`',
  location_resolver_asn: '`resolver_asn`',
  location_resolver_as_org_name: '`resolver_as_org_name`',
  location_resolver_as_cc: '`resolver_as_cc`',
  location_resolver_cc: '`resolver_cc`',
  location_blocking_scope: 'null: the data do not show how far a block extends',
  target_nettest_group: 'group of the test, see below',
  target_category: '`MISC` for all; join `citizenlab` on the domain for categories',
  target_name: 'the domain without leading `w` and `.` characters, as before: `www.example.org` is `example.org`',
  target_domain_name: 'host of the input; empty when there is none',
  target_detail: 'the input; empty when there is none',
  loni_ok_value: '`left` after the last layer: what remains for *ok*; null when the outcome is `unknown`',
  loni_down_keys: 'keys `<layer>.<rule id>` of the layers with down′ above 0',
  loni_down_values: 'their down′, in the same order',
  loni_blocked_keys: 'keys of the layers with blocked′ above 0',
  loni_blocked_values: 'their blocked′',
  loni_ok_keys: 'keys of the layers with an *ok* grade above 0',
  loni_ok_values: 'their *ok* grade, not scaled',
  loni_list: 'JSON: for each layer its rule, blocked′, down′ and ok',
  analysis_transcript_list: 'for each layer `<layer>: <rule id>` and its most frequent failure, where there is one',
  measurement_count: '1',
  observation_count: 'rows of `obs_web` that the measurement has',
  vp_count: '1',
  anomaly: `1 when loni_ok_value is below ${ANOMALY_BELOW}; null when the outcome is \`unknown\``,
  confirmed: `1 when a block page fingerprint matched (\`${[BLOCK_PAGE, ...HTTP_BLOCK_PAGES].join('`, `')}\`); null when the outcome is \`unknown\``,
  run_generation: 'start of the analysis that made the row, milliseconds since 1970',
};
