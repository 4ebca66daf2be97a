import { ANALYSIS_WEB_MEASUREMENT } from '../tables/schema.ts';
import { GRADES, type JudgementOptions, judgement, topRuleId } from './judgement.ts';
import { LAYERS } from './rules.ts';
import type { Query } from './selection.ts';

/** Where the version of a loaded reference table stands: in its comment, which moves with the table when it is swapped. */
export const FINGERPRINTS_VERSION =
  "(SELECT any(comment) FROM system.tables WHERE database = currentDatabase() AND name = 'fingerprints_dns')";

/**
 * The verdict rows of a day, one per measurement, columns named and ordered as in `analysis_web_measurement` (analysis.md section 6).
 * `generation` is still to be bound. Groups by the sorting key of the table it fills, so that it makes one row of what would become
 * one row.
 */
export function verdictsQuery(options: JudgementOptions): Query {
  const version = options.rulesVersion;
  const { sql, params } = judgement(options);
  const columns: Record<string, string> = {
    domain: "ifNull(domain(any(j.input)), '')",
    input: "ifNull(any(j.input), '')",
    test_name: 'any(j.test_name)',
    probe_as_org_name: 'any(j.probe_as_org_name)',
    resolver_asn: 'any(j.resolver_asn)',
    resolver_as_cc: 'any(j.resolver_as_cc)',
    network_type: 'any(j.network_type)',
    ooni_run_link_id: 'any(j.ooni_run_link_id)',
    top_probe_analysis: mostFrequent('j.probe_analysis'),
    probe_id: 'any(j.probe_id)',
    analysis_rules_version: String(version),
    fingerprints_version: FINGERPRINTS_VERSION,
    run_generation: '{generation:UInt64}',
  };
  for (const layer of LAYERS) {
    columns[`top_${layer}_failure`] = mostFrequent(`j.${layer}_failure`);
    columns[`top_${layer}_rule_id`] = topRuleId(layer, version);
    for (const grade of GRADES) columns[`${layer}_${grade}`] = `max(j.${layer}_${grade})`;
  }
  const key: readonly string[] = ANALYSIS_WEB_MEASUREMENT.orderBy;
  const select = ANALYSIS_WEB_MEASUREMENT.columns.map(([name]) =>
    key.includes(name) ? `j.${name} AS ${name}` : `${columns[name]} AS ${name}`,
  );
  return {
    sql: `${sql}
SELECT
  ${select.join(',\n  ')}
FROM judged AS j
GROUP BY ${key.map(column => `j.${column}`).join(', ')}`,
    params,
  };
}

/**
 * The most frequent value that is not null, of equally frequent ones the first in text order; null when all are null. The Python
 * pipeline's `anyHeavy` depends on the order of rows where no value has the majority (analysis.md section 6).
 */
function mostFrequent(column: string): string {
  const counts = `sumMapIf(map(ifNull(${column}, ''), toUInt32(1)), ${column} IS NOT NULL)`;
  return `if(count(${column}) = 0, NULL, arraySort((value, n) -> (-n, value), mapKeys(${counts}), mapValues(${counts}))[1])`;
}

/** What each column of `analysis_web_measurement` holds, for the page docs/verdicts.md; one entry for all layers and grades. */
export const VERDICT_MEANING: Readonly<Record<string, string>> = {
  domain:
    'host of the input as ClickHouse’s `domain()` has it: case kept; empty without input and for hosts it does not recognise',
  input: 'what was measured, mostly a URL; empty when the test has no input',
  test_name: 'the test',
  probe_asn: 'network of the probe, 0 when unknown',
  probe_as_org_name: 'its organisation',
  probe_cc: 'country of the probe, `ZZ` when unknown',
  resolver_asn: 'network of the probe’s resolver',
  resolver_as_cc: 'country where that network is registered',
  network_type: '`wifi`, `mobile`, ... as the probe says',
  measurement_start_time: 'when it was measured, UTC, by the probe’s clock',
  measurement_uid: 'its id: https://explorer.ooni.org/m/<measurement_uid> shows the measurement',
  ooni_run_link_id: 'OONI Run link it belongs to; empty: none',
  top_probe_analysis: 'the probe’s own opinion (`blocking` of web_connectivity), of differing ones the most frequent',
  top_LAYER_failure:
    'most frequent failure of the layer, of equally frequent ones the first in text order; null: none failed',
  LAYER_GRADE: 'greatest grade over the measurement’s observations, 0 to 1 (docs/analysis-rules.md)',
  top_LAYER_rule_id: 'the rule that stands for the layer',
  probe_id: 'identifier of the probe, filled with NUL bytes; empty for most',
  analysis_rules_version: 'version of the rules; 0: made before versions were stored',
  fingerprints_version:
    'version of `fingerprints_dns` it was made with, see `reference_versions`; empty: made by the Python pipeline, or without fingerprints',
  run_generation:
    'start of the analysis that made the row, milliseconds since 1970; of two rows of a measurement the greater holds',
};
