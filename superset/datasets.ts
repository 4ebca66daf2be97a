import { OUTCOMES } from '../pipeline/analysis/outcomes.ts';
import { quoted } from '../pipeline/analysis/quoted.ts';
import { BLOCK_PAGE, HTTP_BLOCK_PAGES } from '../pipeline/analysis/rules.ts';
import { PIPELINE_FAILURES, PIPELINE_FILES, PIPELINE_RUNS } from '../pipeline/tables/ledger-tables.ts';
import {
  ANALYSIS_WEB_MEASUREMENT,
  MEASUREMENT_EXPERIMENT_RESULT,
  OBS_PERFORMANCE,
  OBS_TUNNEL,
  OBS_WEB,
  type Column as TableColumn,
} from '../pipeline/tables/schema.ts';
import type { Column, Dataset, Metric } from './model.ts';

/** Rules of the known block pages, as SQL. */
const CONFIRMING = quoted([BLOCK_PAGE, ...HTTP_BLOCK_PAGES]);

/** Titles and meanings of columns, in all datasets that have them. */
const KNOWN: Readonly<Record<string, Omit<Column, 'name' | 'type'>>> = {
  measurement_uid: { label: 'Measurement', description: 'Identifier of the measurement in OONI Explorer' },
  measurement_start_time: {
    label: 'Measured at (UTC)',
    description: 'Start of the measurement by the clock of the probe',
  },
  measurement_day: { label: 'Day', description: 'Day of the measurement, UTC' },
  probe_cc: { label: 'Country', description: 'Country of the probe, two letters; ZZ: unknown' },
  probe_asn: { label: 'ASN', description: 'Network of the probe; 0: unknown' },
  probe_as_org_name: { label: 'Network', description: 'Organisation of the network of the probe' },
  resolver_asn: { label: 'Resolver ASN', description: 'Network of the DNS resolver of the probe' },
  test_name: { label: 'Test', description: 'Test of OONI Probe' },
  domain: { label: 'Domain', description: 'Host that was measured' },
  input: { label: 'URL', description: 'Address that was measured' },
  outcome: {
    label: 'Outcome',
    description: 'blocked, partly_blocked, down, refused, ok or unknown (docs/verdicts.md)',
  },
  blocked_layer: { label: 'Layer', description: 'Where the blocking happens: dns, tcp, tls or http' },
  blocked_rule_id: { label: 'Rule', description: 'Rule of the analysis that judged (docs/analysis-rules.md)' },
  blamed_host: { label: 'Host', description: 'Host that is blocked or down' },
  confirmed: { label: 'Confirmed', description: 'The answer of the resolver or the response is a known block page' },
  target_nettest_group: {
    label: 'Kind of test',
    description: 'Group of tests: websites, im, circumvention, experimental',
  },
  target_category: { label: 'Category', description: 'Category of the test lists; MISC: none' },
  target: {
    label: 'Service',
    description: 'Service of a messenger and, where it matters, the kind of its endpoints (docs/verdicts.md)',
  },
  tunnel_protocol: { label: 'Tunnel', description: 'psiphon, tor or openvpn' },
  tunnel_transport: { label: 'Transport' },
  tunnel_endpoint: { label: 'Server', description: 'Address and port; empty: the tool chooses the server' },
  hostname: { label: 'Host' },
  dns_answer: { label: 'Answer', description: 'Address or name that the resolver answered' },
  dns_answer_as_org_name: { label: 'Network of the answer' },
  analysis_rules_version: { label: 'Rules' },
  fingerprints_version: {
    label: 'Fingerprints',
    description: 'Version of the block page fingerprints; empty: unknown',
  },
  filter: { label: 'Filter' },
  read: { label: 'Read' },
  failed: { label: 'Failed' },
  backfill: { label: 'Backfill' },
  key: { label: 'Object' },
  line: { label: 'Line' },
  size: { label: 'Bytes' },
  bucket: { label: 'Bucket', description: 'Upload day or hour that a run processes' },
  bucket_time: { label: 'Bucket (UTC)', description: 'Start of the upload day or hour' },
  recorded_at: { label: 'Recorded at (UTC)', description: 'Time of the record, by the clock of ClickHouse' },
  state: { label: 'State' },
  stage: { label: 'Stage' },
  class: { label: 'Kind of failure' },
  message: { label: 'Message' },
  reason: { label: 'Reason' },
  seconds: { label: 'Seconds' },
  row_count: { label: 'Rows' },
};

function column(name: string, type: string): Column {
  return { name, type, ...KNOWN[name] };
}

function columns(table: { readonly columns: readonly TableColumn[] }): Column[] {
  return table.columns.map(([name, type]) => column(name, type.replace(/ DEFAULT .*/, '')));
}

/** The measurement that a row belongs to, in datasets whose rows are parts of measurements. */
const OF_MEASUREMENT: readonly Column[] = [
  column('measurement_start_time', "DateTime64(3, 'UTC')"),
  column('measurement_uid', 'String'),
  column('test_name', 'String'),
  column('probe_cc', 'String'),
  column('probe_asn', 'UInt32'),
  column('probe_as_org_name', 'String'),
];
/** The layer and the rule that decided an outcome. */
const DECIDED_BY: readonly Column[] = [column('blocked_layer', 'String'), column('blocked_rule_id', 'String')];
const DAY = column('measurement_day', 'Date32');
const BUCKET_START = column('bucket_time', "DateTime('UTC')");

/** Link to the measurement itself, as HTML that tables show. */
const EXPLORER: Column = {
  name: 'explorer',
  type: 'String',
  label: 'Explorer',
  description: 'The measurement in OONI Explorer',
  expression:
    'concat(\'<a href="https://explorer.ooni.org/m/\', measurement_uid, \'" target="_blank" rel="noopener">open</a>\')',
};

/** Number of measurements with an outcome. The names differ from those of all columns, because ClickHouse would confuse them in a query. */
function counted(outcome: string, label: string): Metric {
  return { label, expression: `countIf(outcome = '${outcome}')`, format: ',d' };
}

const SHARE = {
  label: 'Share blocked',
  format: '.1%',
  description:
    'Blocked measurements divided by all measurements. Few measurements soon make a large share: look at both.',
};

const VERDICT_METRICS = {
  n_measurements: { label: 'Measurements', expression: 'count()', format: ',d' },
  n_blocked: counted(OUTCOMES.blocked, 'Blocked'),
  n_partly_blocked: counted(OUTCOMES.partly, 'Partly blocked'),
  n_down: counted(OUTCOMES.down, 'Down'),
  n_refused: counted(OUTCOMES.refused, 'Refused'),
  n_ok: counted(OUTCOMES.ok, 'OK'),
  n_unknown: counted(OUTCOMES.unknown, 'Unknown'),
  n_confirmed: { label: 'Confirmed', expression: 'countIf(confirmed = 1)', format: ',d' },
  share_blocked: { ...SHARE, expression: `countIf(outcome = '${OUTCOMES.blocked}') / count()` },
  n_countries: { label: 'Countries', expression: 'uniqExact(probe_cc)', format: ',d' },
  n_networks: { label: 'Networks', expression: 'uniqExact(probe_asn)', format: ',d' },
  n_domains: { label: 'Domains', expression: "uniqExactIf(domain, domain != '')", format: ',d' },
  n_domains_blocked: {
    label: 'Domains with blocking',
    expression: `uniqExactIf(domain, domain != '' AND outcome = '${OUTCOMES.blocked}')`,
    format: ',d',
  },
  first_seen: { label: 'First', expression: 'min(measurement_start_time)' },
  last_seen: { label: 'Last', expression: 'max(measurement_start_time)' },
} satisfies Record<string, Metric>;

/** The stored verdicts, with the columns that the view adds. */
export const VERDICTS: Dataset = {
  name: 'measurement_verdicts',
  description: 'One row for each measurement, with its verdict in a word (docs/verdicts.md).',
  timeColumn: 'measurement_day',
  columns: [
    DAY,
    ...columns(ANALYSIS_WEB_MEASUREMENT),
    column('blocked', 'Float32'),
    column('down', 'Float32'),
    ...DECIDED_BY,
    column('blamed_host', 'String'),
    column('confirmed', 'UInt8'),
    EXPLORER,
  ],
  metrics: VERDICT_METRICS,
};

/**
 * Like the view `blocking_by_domain`, but with the network and the measurement, so that every filter of a dashboard restricts it. A
 * measurement has a row for each host that it met.
 */
export const HOSTS: Dataset = {
  name: 'host_verdicts',
  description: 'One row for each host of each measurement: a redirect leads to a host of its own.',
  timeColumn: 'measurement_day',
  columns: [
    DAY,
    ...OF_MEASUREMENT,
    column('resolver_asn', 'UInt32'),
    column('input', 'String'),
    column('domain', 'String'),
    column('outcome', 'String'),
    ...DECIDED_BY,
    column('confirmed', 'UInt8'),
    EXPLORER,
  ],
  metrics: VERDICT_METRICS,
  sql: `SELECT
  measurement_day, measurement_start_time, measurement_uid, test_name, probe_cc, probe_asn, probe_as_org_name, resolver_asn, input,
  found.1 AS domain,
  if(empty(hosts), m.outcome, found.2) AS outcome,
  if(empty(hosts), m.blocked_layer, found.3) AS blocked_layer,
  if(empty(hosts), m.blocked_rule_id, if(found.3 = '', '', found.4)) AS blocked_rule_id,
  toUInt8(m.confirmed AND found.4 IN ('', ${CONFIRMING})) AS confirmed
FROM measurement_verdicts AS m
ARRAY JOIN if(empty(hosts), [(lower(m.domain), '', '', '')], arrayZip(hosts, host_outcomes, host_layers, host_rule_ids)) AS found`,
};

/** The counting views. Their metrics add up what the views have counted. */
function countingView(name: string, description: string, keys: readonly Column[]): Dataset {
  const sums = {
    measurements: 'Measurements',
    blocked_measurements: 'Blocked',
    partly_blocked_measurements: 'Partly blocked',
    down_measurements: 'Down',
    refused_measurements: 'Refused',
    ok_measurements: 'OK',
    unknown_measurements: 'Unknown',
    dns_blocked_measurements: 'Blocked by DNS',
    tcp_blocked_measurements: 'Blocked by TCP',
    tls_blocked_measurements: 'Blocked by TLS',
    http_blocked_measurements: 'Blocked by HTTP',
    confirmed_measurements: 'Confirmed',
  };
  return {
    name,
    description,
    timeColumn: 'measurement_day',
    columns: [
      DAY,
      column('test_name', 'String'),
      ...keys,
      ...Object.entries(sums).map(([each, label]) => ({ ...column(each, 'UInt64'), label })),
      { ...column('blocked_share', 'Float64'), label: 'Share blocked' },
    ],
    metrics: {
      ...Object.fromEntries(
        Object.entries(sums).map(([each, label]) => [
          `n_${each.replace(/_?measurements$/, '') || 'measurements'}`,
          { label, expression: `sum(${each})`, format: ',d' },
        ]),
      ),
      share_blocked: { ...SHARE, expression: 'sum(blocked_measurements) / sum(measurements)' },
    },
  };
}

const BY_COUNTRY = countingView('blocking_by_country', 'Outcomes of measurements by day, test and country.', [
  column('probe_cc', 'String'),
]);
export const BY_DOMAIN = countingView(
  'blocking_by_domain',
  'Outcomes by day, test, country and host. A failure counts for the host that it happened to.',
  [column('probe_cc', 'String'), column('domain', 'String')],
);
export const BY_NETWORK = countingView(
  'blocking_by_asn',
  'Outcomes of measurements by day, test, country and network.',
  [column('probe_cc', 'String'), column('probe_asn', 'UInt32'), column('probe_as_org_name', 'String')],
);

const BY_TARGET = countingView(
  'blocking_by_target',
  'Outcomes of measurements by day, test, country, network and service of a messenger.',
  [column('probe_cc', 'String'), column('probe_asn', 'UInt32'), column('target', 'String')],
);

/** Counts measurements where a measurement has several rows. */
const N_MEASUREMENTS: Metric = {
  label: 'Measurements',
  expression: 'uniqExact(measurement_uid)',
  format: ',d',
};

/** The rows that probes observed, before any judgement. */
export const OBSERVATIONS: Dataset = {
  name: OBS_WEB.name,
  description: 'One row for each DNS answer, TCP connect, TLS handshake and HTTP exchange of each measurement.',
  timeColumn: 'measurement_start_time',
  columns: [...columns(OBS_WEB), EXPLORER],
  metrics: {
    n_observations: { label: 'Observations', expression: 'count()', format: ',d' },
    n_measurements: N_MEASUREMENTS,
    n_dns_failures: { label: 'DNS failures', expression: 'countIf(dns_failure IS NOT NULL)', format: ',d' },
    n_tcp_failures: { label: 'TCP failures', expression: 'countIf(tcp_failure IS NOT NULL)', format: ',d' },
    n_tls_failures: { label: 'TLS failures', expression: 'countIf(tls_failure IS NOT NULL)', format: ',d' },
    n_http_failures: { label: 'HTTP failures', expression: 'countIf(http_failure IS NOT NULL)', format: ',d' },
  },
};

/** Attempts to establish the tunnels of circumvention tools, with the outcomes that the view adds. */
export const TUNNELS: Dataset = {
  name: 'tunnel_verdicts',
  description:
    'One row for each attempt of psiphon, torsf, vanilla_tor and openvpn, with its outcome in a word (docs/verdicts.md).',
  timeColumn: 'measurement_day',
  columns: [
    ...columns(OBS_TUNNEL),
    DAY,
    { name: 'working_networks', type: 'Array(Tuple(String, UInt32))', label: 'Works in' },
    { name: 'tried_countries', type: 'UInt64', label: 'Tried in' },
    column('outcome', 'String'),
    EXPLORER,
  ],
  metrics: {
    n_attempts: { label: 'Attempts', expression: 'count()', format: ',d' },
    n_measurements: N_MEASUREMENTS,
    n_blocked: counted(OUTCOMES.blocked, 'Blocked'),
    n_down: counted(OUTCOMES.down, 'Down'),
    n_ok: counted(OUTCOMES.ok, 'OK'),
    n_unknown: counted(OUTCOMES.unknown, 'Unknown'),
    bootstrap_median: {
      label: 'Bootstrap (s)',
      expression: 'quantileExact(0.5)(tunnel_bootstrap_time)',
      format: ',.1f',
      description: 'Median of the seconds until a tunnel was established',
    },
  },
};

/** Pages with counts of bytes, with the outcomes that the view adds. */
export const PAGES: Dataset = {
  name: 'page_speeds',
  description:
    'One row for each request of web_connectivity 0.5 with counts of bytes: the speed of the page (docs/verdicts.md).',
  timeColumn: 'measurement_day',
  columns: [
    DAY,
    ...OF_MEASUREMENT,
    { name: 'input', type: 'Nullable(String)', label: 'URL', description: 'Address that was measured' },
    { ...column('hostname', 'Nullable(String)') },
    { name: 'ip', type: 'Nullable(String)', label: 'Address' },
    { name: 'http_request_url', type: 'Nullable(String)', label: 'Request' },
    { name: 'http_failure', type: 'Nullable(String)', label: 'Failure' },
    { name: 'received', type: 'Float64', label: 'Bytes' },
    { name: 'seconds', type: 'Float64', label: 'Seconds' },
    { name: 'bytes_per_second', type: 'Float64', label: 'Bytes per second' },
    {
      name: 'fast_hosts',
      type: 'UInt64',
      label: 'Fast hosts',
      description: 'Hosts that the same probe loaded fast on this day',
    },
    { name: 'slow_hosts', type: 'UInt64', label: 'Slow hosts' },
    {
      name: 'fast_networks',
      type: 'UInt64',
      label: 'Fast networks',
      description: 'Networks that loaded this host fast on this day',
    },
    { name: 'slow_measurements', type: 'UInt64', label: 'Slow measurements' },
    {
      name: 'outcome',
      type: 'String',
      label: 'Outcome',
      description: 'fast, slow, throttled or unknown (docs/verdicts.md)',
    },
    EXPLORER,
  ],
  metrics: {
    n_pages: { label: 'Pages', expression: 'count()', format: ',d' },
    n_measurements: N_MEASUREMENTS,
    n_throttled: counted('throttled', 'Throttled'),
    n_slow: counted('slow', 'Slow'),
    n_fast: counted('fast', 'Fast'),
    n_pages_unknown: counted('unknown', 'Unknown'),
    speed_median: {
      label: 'Speed (bytes/s)',
      expression: 'quantileExact(0.5)(bytes_per_second)',
      format: '.3s',
      description: 'Median of the speeds of pages',
    },
  },
};

/** Results of ndt and dash. */
export const PERFORMANCE: Dataset = {
  name: OBS_PERFORMANCE.name,
  description: 'One row for each measurement of ndt and dash: speed and latency of the network.',
  timeColumn: 'measurement_start_time',
  columns: [...columns(OBS_PERFORMANCE), EXPLORER],
  metrics: {
    n_measurements: N_MEASUREMENTS,
    n_networks: VERDICT_METRICS.n_networks,
    download_median: {
      label: 'Download (kbit/s)',
      expression: 'quantileExact(0.5)(ndt_download)',
      format: ',d',
      description: 'Median of ndt',
    },
    upload_median: {
      label: 'Upload (kbit/s)',
      expression: 'quantileExact(0.5)(ndt_upload)',
      format: ',d',
      description: 'Median of ndt',
    },
    rtt_median: {
      label: 'Round trip (ms)',
      expression: 'quantileExact(0.5)(ndt_min_rtt)',
      format: ',.1f',
      description: 'Median of the least round trip times of ndt',
    },
    bitrate_median: {
      label: 'Video (kbit/s)',
      expression: 'quantileExact(0.5)(dash_median_bitrate)',
      format: ',d',
      description: 'Median of the median bitrates of dash',
    },
  },
};

/** Failures of observations, one row for each, so that a chart can count them by layer. */
export const FAILED_OBSERVATIONS: Dataset = {
  name: 'failed_observations',
  description: 'One row for each failed DNS query, TCP connect, TLS handshake or HTTP exchange in obs_web.',
  timeColumn: 'measurement_start_time',
  columns: [
    ...OF_MEASUREMENT,
    { ...column('domain', 'String'), description: 'Host of the observation' },
    { ...column('layer', 'String'), label: 'Layer', description: 'DNS, TCP, TLS or HTTP' },
    { ...column('failure', 'String'), label: 'Failure', description: 'Failure as the probe reported it' },
  ],
  metrics: {
    n_failures: { label: 'Failures', expression: 'count()', format: ',d' },
    n_measurements: N_MEASUREMENTS,
  },
  sql: `SELECT
  measurement_start_time, measurement_uid, test_name, probe_cc, probe_asn, probe_as_org_name,
  lower(ifNull(hostname, '')) AS domain,
  failed.1 AS layer,
  assumeNotNull(failed.2) AS failure
FROM obs_web FINAL
ARRAY JOIN [('DNS', dns_failure), ('TCP', tcp_failure), ('TLS', tls_failure), ('HTTP', http_failure)] AS failed
WHERE failed.2 IS NOT NULL AND failed.2 != ''`,
};

/** The stored grades. */
export const ANALYSIS: Dataset = {
  name: ANALYSIS_WEB_MEASUREMENT.name,
  description: 'One row for each judged measurement, with the grades of each layer and the rules that gave them.',
  timeColumn: 'measurement_start_time',
  columns: [...columns(ANALYSIS_WEB_MEASUREMENT), EXPLORER],
  metrics: {
    n_measurements: N_MEASUREMENTS,
    n_without_ip_metadata: {
      label: 'Without IP metadata',
      expression: 'uniqExactIf(measurement_uid, ip_metadata_missing = 1)',
      format: ',d',
      description: 'Measurements whose addresses have no known network: the run had no IP databases.',
    },
    last_seen: { label: 'Last', expression: 'max(measurement_start_time)' },
  },
};

/** The results in the form of earlier users of Superset. */
export const RESULTS: Dataset = {
  name: MEASUREMENT_EXPERIMENT_RESULT.name,
  description:
    'One row for each result of a measurement: probabilities of ok, down and blocked, with the target and its category.',
  timeColumn: 'measurement_start_time',
  columns: [...columns(MEASUREMENT_EXPERIMENT_RESULT), EXPLORER],
  metrics: {
    n_results: { label: 'Results', expression: 'count()', format: ',d' },
    n_measurements: N_MEASUREMENTS,
    n_anomalies: { label: 'Anomalies', expression: 'countIf(anomaly = 1)', format: ',d' },
    n_confirmed: { label: 'Confirmed', expression: 'countIf(confirmed = 1)', format: ',d' },
    share_anomalies: { label: 'Share of anomalies', expression: 'countIf(anomaly = 1) / count()', format: '.1%' },
  },
};

/** Start of a bucket: an upload day `YYYY-MM-DD` or an hour `YYYY-MM-DDTHH`. */
const BUCKET_TIME =
  "toDateTime(parseDateTimeBestEffort(concat(substring(bucket, 1, 10), ' ', if(length(bucket) = 13, substring(bucket, 12, 2), '00'), ':00:00'), 'UTC'), 'UTC')";
/** Health shows the state of now. */
const HEALTH_CACHE_SECONDS = 30;

const LEDGER_COUNTS = {
  n_files: { label: 'Objects', expression: 'sum(files)', format: ',d' },
  n_bytes: { label: 'Bytes', expression: 'sum(bytes)', format: '.3s' },
  n_read: { label: 'Read', expression: 'sum(read)', format: ',d' },
  n_transformed: { label: 'Transformed', expression: 'sum(transformed)', format: ',d' },
  n_skipped: { label: 'Skipped', expression: 'sum(skipped)', format: ',d' },
  n_failed: { label: 'Failed', expression: 'sum(failed)', format: ',d' },
  n_unsupported: { label: 'Unsupported', expression: 'sum(unsupported)', format: ',d' },
} satisfies Record<string, Metric>;

/** The latest run of each bucket, stage and filter: the state of the pipeline. */
export const RUNS: Dataset = {
  name: 'latest_runs',
  description: 'The latest run of each bucket, stage and filter, from the ledger.',
  timeColumn: 'bucket_time',
  cacheSeconds: HEALTH_CACHE_SECONDS,
  columns: [
    BUCKET_START,
    ...columns(PIPELINE_RUNS).filter(({ name }) => !['rows', 'rows_stored', 'reference_versions'].includes(name)),
    column('row_count', 'UInt64'),
    column('seconds', 'Float64'),
    { ...column('unfinished', 'UInt8'), label: 'Not complete' },
  ],
  metrics: {
    n_runs: { label: 'Runs', expression: 'count()', format: ',d' },
    n_buckets: { label: 'Buckets', expression: 'uniqExact(bucket)', format: ',d' },
    n_rows: { label: 'Rows', expression: 'sum(row_count)', format: ',d' },
    last_bucket: { label: 'Latest bucket', expression: 'max(bucket_time)' },
    last_record: { label: 'Latest record', expression: 'max(recorded_at)' },
    longest: { label: 'Longest run (s)', expression: 'max(seconds)', format: ',.1f' },
    ...LEDGER_COUNTS,
  },
  sql: `SELECT
  ${BUCKET_TIME} AS bucket_time,
  * EXCEPT (rows, rows_stored, reference_versions),
  arraySum(mapValues(rows)) AS row_count,
  (toUnixTimestamp64Milli(recorded_at) - toUnixTimestamp64Milli(opened_at)) / 1000 AS seconds,
  state != 'completed' AS unfinished
FROM ${PIPELINE_RUNS.name} FINAL
ORDER BY generation DESC
LIMIT 1 BY bucket, stage, filter`,
};

/** The objects that these runs have read. */
export const FILES: Dataset = {
  name: 'latest_files',
  description: 'The latest record of each object of the archive, from the ledger.',
  timeColumn: 'bucket_time',
  cacheSeconds: HEALTH_CACHE_SECONDS,
  columns: [
    BUCKET_START,
    ...columns(PIPELINE_FILES).filter(({ name }) => !['rows', 'strays'].includes(name)),
    column('row_count', 'UInt64'),
  ],
  metrics: {
    n_objects: { label: 'Objects', expression: 'count()', format: ',d' },
    n_broken: { label: 'Objects with an error', expression: "countIf(message != '')", format: ',d' },
    n_size: { label: 'Bytes', expression: 'sum(size)', format: '.3s' },
    n_read: LEDGER_COUNTS.n_read,
    n_failed: LEDGER_COUNTS.n_failed,
  },
  sql: `SELECT
  ${BUCKET_TIME} AS bucket_time,
  * EXCEPT (rows, strays),
  arraySum(mapValues(rows)) AS row_count
FROM ${PIPELINE_FILES.name} FINAL
ORDER BY generation DESC
LIMIT 1 BY bucket, key, filter`,
};

/** Measurements that did not become rows, with the reason. */
export const FAILURES: Dataset = {
  name: 'failures',
  description: 'Measurements and rows that are not in the tables, and the reason, from the ledger.',
  timeColumn: 'bucket_time',
  cacheSeconds: HEALTH_CACHE_SECONDS,
  columns: [BUCKET_START, ...columns(PIPELINE_FAILURES)],
  metrics: { n_failures: { label: 'Failures', expression: 'count()', format: ',d' } },
  sql: `SELECT ${BUCKET_TIME} AS bucket_time, *
FROM ${PIPELINE_FAILURES.name} FINAL`,
};

export const DATASETS: readonly Dataset[] = [
  VERDICTS,
  HOSTS,
  BY_COUNTRY,
  BY_DOMAIN,
  BY_NETWORK,
  BY_TARGET,
  TUNNELS,
  PERFORMANCE,
  PAGES,
  OBSERVATIONS,
  FAILED_OBSERVATIONS,
  ANALYSIS,
  RESULTS,
  RUNS,
  FILES,
  FAILURES,
];
