/** A view: a question people ask of the verdicts, as SQL. */
export interface View {
  readonly name: string;
  /** The question, for docs/verdicts.md. */
  readonly question: string;
  /** Columns it adds or counts, with their meaning. */
  readonly columns: Readonly<Record<string, string>>;
  readonly select: string;
}

/**
 * One row per measurement, its verdict in a word: `blocked` or `down` when a layer's grade is above one half (the greater one, when
 * both are), else `ok` when a layer was judged, else `unknown`. `blocked_layer` is the layer with the greatest grade. FINAL, so
 * that a verdict that is being replaced counts once.
 */
const MEASUREMENT_VERDICTS: View = {
  name: 'measurement_verdicts',
  question: 'What is the verdict on each measurement, in a word, and which layer and rule is it for?',
  columns: {
    '*': 'all columns of `analysis_web_measurement`, one row per measurement',
    measurement_day: 'UTC day of `measurement_start_time`',
    blocked: 'the greatest of the three layers’ *blocked* grades',
    down: 'the greatest of the three layers’ *down* grades',
    outcome: '`blocked`, `down`, `ok` or `unknown` (no layer was judged)',
    blocked_layer: '`dns`, `tcp` or `tls`: the first layer with the greatest *blocked* grade; empty unless blocked',
    blocked_rule_id: 'the rule that stands for that layer; empty unless blocked',
  },
  select: `SELECT
  *,
  toDate(measurement_start_time, 'UTC') AS measurement_day,
  greatest(dns_blocked, tcp_blocked, tls_blocked) AS blocked,
  greatest(dns_down, tcp_down, tls_down) AS down,
  multiIf(blocked > 0.5 AND blocked >= down, 'blocked', down > 0.5, 'down', blocked + down + dns_ok + tcp_ok + tls_ok > 0, 'ok', 'unknown') AS outcome,
  multiIf(outcome != 'blocked', '', dns_blocked = blocked, 'dns', tcp_blocked = blocked, 'tcp', 'tls') AS blocked_layer,
  multiIf(blocked_layer = 'dns', top_dns_rule_id, blocked_layer = 'tcp', top_tcp_rule_id, blocked_layer = 'tls', top_tls_rule_id, '') AS blocked_rule_id
FROM analysis_web_measurement FINAL`,
};

function counted(name: string, question: string, by: readonly string[]): View {
  const keys = ['measurement_day', 'test_name', ...by];
  return {
    name,
    question,
    columns: {
      [keys.join(', ')]: 'what is counted by',
      measurements: 'measurements with a verdict, of any outcome',
      'blocked_measurements, down_measurements, ok_measurements, unknown_measurements': 'of these, by outcome',
      'dns_blocked_measurements, tcp_blocked_measurements, tls_blocked_measurements': 'blocked ones by `blocked_layer`',
      blocked_share: 'blocked_measurements / measurements; few measurements make a large share soon, so look at both',
    },
    select: `SELECT
  ${keys.join(', ')},
  count() AS measurements,
  countIf(outcome = 'blocked') AS blocked_measurements,
  countIf(outcome = 'down') AS down_measurements,
  countIf(outcome = 'ok') AS ok_measurements,
  countIf(outcome = 'unknown') AS unknown_measurements,
  countIf(blocked_layer = 'dns') AS dns_blocked_measurements,
  countIf(blocked_layer = 'tcp') AS tcp_blocked_measurements,
  countIf(blocked_layer = 'tls') AS tls_blocked_measurements,
  blocked_measurements / measurements AS blocked_share
FROM measurement_verdicts
GROUP BY ${keys.join(', ')}`,
  };
}

/** In the order in which they are made: the counting ones read the first. */
export const VIEWS: readonly View[] = [
  MEASUREMENT_VERDICTS,
  counted('blocking_by_country', 'How much is blocked in each country on each day?', ['probe_cc']),
  counted('blocking_by_domain', 'Which sites are blocked in a country, and since when?', ['probe_cc', 'domain']),
  counted('blocking_by_asn', 'Which networks of a country block?', ['probe_cc', 'probe_asn', 'probe_as_org_name']),
];
