/**
 * The schema of the tables that people query. Names, types and sorting keys are those of the spec (tables.md sections 2 to 5), with two
 * differences. ASN columns are UInt32, because Int32 cannot hold a four-byte ASN (tables.md section 2). Every table that a run fills has
 * `run_generation`, the version column by which a repeated run replaces rows.
 *
 * A column is a pair of name and ClickHouse type. The measurement columns come first, then the probe columns, then the table's own columns.
 */
export type Column = readonly [name: string, type: string];

export interface Table {
  readonly name: string;
  readonly columns: readonly Column[];
  readonly engine: string;
  readonly partitionBy?: string;
  readonly orderBy: readonly string[];
  readonly primaryKey?: readonly string[];
}

export const MEASUREMENT_COLUMNS = [
  ['measurement_uid', 'String'],
  ['input', 'Nullable(String)'],
  ['report_id', 'String'],
  ['ooni_run_link_id', 'String'],
  ['measurement_start_time', "DateTime64(3, 'UTC')"],
  ['software_name', 'String'],
  ['software_version', 'String'],
  ['test_name', 'String'],
  ['test_version', 'String'],
  ['bucket_date', 'String'],
] as const satisfies readonly Column[];

/** Columns of the probe, its network and its resolver. */
const NETWORK_COLUMNS = [
  ['probe_asn', 'UInt32'],
  ['probe_cc', 'String'],
  ['probe_as_org_name', 'String'],
  ['probe_as_cc', 'String'],
  ['probe_as_name', 'String'],
  ['network_type', 'String'],
  ['platform', 'String'],
  ['origin', 'String'],
  ['engine_name', 'String'],
  ['engine_version', 'String'],
  ['architecture', 'String'],
  ['resolver_ip', 'String'],
  ['resolver_asn', 'UInt32'],
  ['resolver_cc', 'String'],
  ['resolver_as_org_name', 'String'],
  ['resolver_as_cc', 'String'],
  ['resolver_is_scrubbed', 'Int8'],
  ['resolver_asn_probe', 'UInt32'],
  ['resolver_as_org_name_probe', 'String'],
] as const satisfies readonly Column[];

export const PROBE_COLUMNS = [...NETWORK_COLUMNS, ['probe_id', 'FixedString(64)']] as const satisfies readonly Column[];

/** Start of the run that wrote the row, in milliseconds since 1970. It is the same for every attempt of the run. */
export const GENERATION_COLUMN = ['run_generation', 'UInt64'] as const satisfies Column;

const BUCKET_MONTH = 'concat(substring(bucket_date, 1, 4), substring(bucket_date, 6, 2))';
/** The upload month, which is the beginning of the uid. */
const UID_MONTH = 'substring(measurement_uid, 1, 6)';
const REPLACING = 'ReplacingMergeTree(run_generation)';

export const OBS_WEB = {
  name: 'obs_web',
  columns: [
    ...MEASUREMENT_COLUMNS,
    ...PROBE_COLUMNS,
    ['observation_idx', 'Int32'],
    ['created_at', "Nullable(DateTime64(3, 'UTC'))"],
    ['target_id', 'Nullable(String)'],
    ['hostname', 'Nullable(String)'],
    ['transaction_id', 'Nullable(Int32)'],
    ['ip', 'Nullable(String)'],
    ['port', 'Nullable(Int32)'],
    ['ip_asn', 'Nullable(UInt32)'],
    ['ip_as_org_name', 'Nullable(String)'],
    ['ip_as_cc', 'Nullable(String)'],
    ['ip_cc', 'Nullable(String)'],
    ['ip_is_bogon', 'Nullable(Int8)'],
    ['dns_query_type', 'Nullable(String)'],
    ['dns_failure', 'Nullable(String)'],
    ['dns_engine', 'Nullable(String)'],
    ['dns_engine_resolver_address', 'Nullable(String)'],
    ['dns_answer_type', 'Nullable(String)'],
    ['dns_answer', 'Nullable(String)'],
    ['dns_answer_asn', 'Nullable(UInt32)'],
    ['dns_answer_as_org_name', 'Nullable(String)'],
    ['dns_t', 'Nullable(Float64)'],
    ['tcp_failure', 'Nullable(String)'],
    ['tcp_success', 'Nullable(Int8)'],
    ['tcp_t', 'Nullable(Float64)'],
    ['tls_failure', 'Nullable(String)'],
    ['tls_server_name', 'Nullable(String)'],
    ['tls_outer_server_name', 'Nullable(String)'],
    ['tls_echconfig', 'Nullable(String)'],
    ['tls_version', 'Nullable(String)'],
    ['tls_cipher_suite', 'Nullable(String)'],
    ['tls_is_certificate_valid', 'Nullable(Int8)'],
    ['tls_end_entity_certificate_fingerprint', 'Nullable(String)'],
    ['tls_end_entity_certificate_subject', 'Nullable(String)'],
    ['tls_end_entity_certificate_subject_common_name', 'Nullable(String)'],
    ['tls_end_entity_certificate_issuer', 'Nullable(String)'],
    ['tls_end_entity_certificate_issuer_common_name', 'Nullable(String)'],
    ['tls_end_entity_certificate_san_list', 'Array(String)'],
    ['tls_end_entity_certificate_not_valid_after', "Nullable(DateTime64(3, 'UTC'))"],
    ['tls_end_entity_certificate_not_valid_before', "Nullable(DateTime64(3, 'UTC'))"],
    ['tls_certificate_chain_length', 'Nullable(Int32)'],
    ['tls_certificate_chain_fingerprints', 'Array(String)'],
    ['tls_handshake_read_count', 'Nullable(Int32)'],
    ['tls_handshake_write_count', 'Nullable(Int32)'],
    ['tls_handshake_read_bytes', 'Nullable(Float64)'],
    ['tls_handshake_write_bytes', 'Nullable(Float64)'],
    ['tls_handshake_last_operation', 'Nullable(String)'],
    ['tls_handshake_time', 'Nullable(Float64)'],
    ['tls_t', 'Nullable(Float64)'],
    ['http_request_url', 'Nullable(String)'],
    ['http_network', 'Nullable(String)'],
    ['http_alpn', 'Nullable(String)'],
    ['http_failure', 'Nullable(String)'],
    ['http_request_body_length', 'Nullable(Int32)'],
    ['http_request_method', 'Nullable(String)'],
    ['http_runtime', 'Nullable(Float64)'],
    ['http_response_body_length', 'Nullable(Int32)'],
    ['http_response_body_is_truncated', 'Nullable(Int8)'],
    ['http_response_body_sha1', 'Nullable(String)'],
    ['http_response_status_code', 'Nullable(Int32)'],
    ['http_response_header_location', 'Nullable(String)'],
    ['http_response_header_server', 'Nullable(String)'],
    ['http_request_redirect_from', 'Nullable(String)'],
    ['http_request_body_is_truncated', 'Nullable(Int8)'],
    ['http_t', 'Nullable(Float64)'],
    ['probe_analysis', 'Nullable(String)'],
    GENERATION_COLUMN,
    // After the generation, because tables of earlier versions end with it and new columns are added at the end.
    ['http_response_title', 'Nullable(String)'],
    // Names of the fingerprints in fingerprints_http that match the response, and their version; empty if the run had none.
    ['http_fingerprints', 'Array(String)'],
    ['http_fingerprints_version', 'String'],
    // The probe's comparison of the final response with that of the control (web_connectivity).
    ['probe_status_code_match', 'Nullable(Int8)'],
    ['probe_headers_match', 'Nullable(Int8)'],
    ['probe_title_match', 'Nullable(Int8)'],
    ['probe_body_length_match', 'Nullable(Int8)'],
    ['probe_body_proportion', 'Nullable(Float64)'],
    // `udp`: the handshake was of QUIC; `tcp`: of TLS over TCP.
    ['tls_network', 'Nullable(String)'],
    // Id of the lookup. transaction_id is that of the connection.
    ['dns_transaction_id', 'Nullable(Int32)'],
    // web_connectivity since 0.5: number of redirects followed before, and whether the probe fetches the page over this connection.
    ['transaction_depth', 'Nullable(Int32)'],
    ['transaction_fetch_body', 'Nullable(Int8)'],
    // Bytes that the connection had received at these seconds since the start of the measurement.
    ['transfer_t', 'Array(Float64)'],
    ['transfer_bytes', 'Array(Int64)'],
  ],
  engine: REPLACING,
  partitionBy: BUCKET_MONTH,
  orderBy: ['measurement_start_time', 'probe_cc', 'probe_asn', 'measurement_uid', 'observation_idx'],
} as const satisfies Table;

export const OBS_WEB_CTRL = {
  name: 'obs_web_ctrl',
  columns: [
    ...MEASUREMENT_COLUMNS,
    ['hostname', 'String'],
    ['observation_idx', 'Int32'],
    ['created_at', "Nullable(DateTime64(3, 'UTC'))"],
    ['ip', 'String'],
    ['port', 'Nullable(Int32)'],
    ['ip_asn', 'Nullable(UInt32)'],
    ['ip_as_org_name', 'Nullable(String)'],
    ['ip_as_cc', 'Nullable(String)'],
    ['ip_cc', 'Nullable(String)'],
    ['ip_is_bogon', 'Nullable(Int8)'],
    ['dns_failure', 'Nullable(String)'],
    ['dns_success', 'Nullable(Int8)'],
    ['tcp_failure', 'Nullable(String)'],
    ['tcp_success', 'Nullable(Int8)'],
    ['tls_failure', 'Nullable(String)'],
    ['tls_success', 'Nullable(Int8)'],
    ['tls_server_name', 'Nullable(String)'],
    ['http_request_url', 'Nullable(String)'],
    ['http_failure', 'Nullable(String)'],
    ['http_success', 'Nullable(Int8)'],
    ['http_response_body_length', 'Nullable(Int32)'],
    GENERATION_COLUMN,
    ['http_response_status_code', 'Nullable(Int32)'],
    ['http_response_title', 'Nullable(String)'],
  ],
  engine: REPLACING,
  partitionBy: BUCKET_MONTH,
  orderBy: ['measurement_start_time', 'hostname', 'measurement_uid', 'observation_idx'],
} as const satisfies Table;

export const OBS_HTTP_MIDDLEBOX = {
  name: 'obs_http_middlebox',
  columns: [
    ...MEASUREMENT_COLUMNS,
    ...PROBE_COLUMNS,
    ['observation_idx', 'Int32'],
    ['created_at', "Nullable(DateTime64(3, 'UTC'))"],
    ['hirl_sent_0', 'Nullable(String)'],
    ['hirl_sent_1', 'Nullable(String)'],
    ['hirl_sent_2', 'Nullable(String)'],
    ['hirl_sent_3', 'Nullable(String)'],
    ['hirl_sent_4', 'Nullable(String)'],
    ['hirl_received_0', 'Nullable(String)'],
    ['hirl_received_1', 'Nullable(String)'],
    ['hirl_received_2', 'Nullable(String)'],
    ['hirl_received_3', 'Nullable(String)'],
    ['hirl_received_4', 'Nullable(String)'],
    ['hirl_failure', 'Nullable(String)'],
    ['hirl_success', 'Nullable(Int8)'],
    ['hfm_diff', 'Nullable(String)'],
    ['hfm_failure', 'Nullable(String)'],
    ['hfm_success', 'Nullable(Int8)'],
    GENERATION_COLUMN,
  ],
  engine: REPLACING,
  partitionBy: BUCKET_MONTH,
  orderBy: ['measurement_start_time', 'measurement_uid', 'observation_idx'],
} as const satisfies Table;

/** Tunnels that tests of circumvention tools tried to establish: one row for each attempt. */
export const OBS_TUNNEL = {
  name: 'obs_tunnel',
  columns: [
    ...MEASUREMENT_COLUMNS,
    ...PROBE_COLUMNS,
    ['observation_idx', 'Int32'],
    ['created_at', "Nullable(DateTime64(3, 'UTC'))"],
    // psiphon, tor or openvpn.
    ['tunnel_protocol', 'String'],
    // tor: vanilla, snowflake, meek, or the transport of a bridge; openvpn: tcp or udp, with obfs4 where it is used.
    ['tunnel_transport', 'String'],
    ['tunnel_provider', 'String'],
    // Address and port of the server, for meek front and host; empty if the tool chooses the server or the document does not show it.
    ['tunnel_endpoint', 'String'],
    // 1: established and, if the test used it, usable; null: the test does not say.
    ['tunnel_success', 'Nullable(Int8)'],
    ['tunnel_failure', 'Nullable(String)'],
    // Seconds; null if the tunnel was not established.
    ['tunnel_bootstrap_time', 'Nullable(Float64)'],
    // Seconds after which the test gave up.
    ['tunnel_timeout', 'Nullable(Float64)'],
    // Last progress that tor reported, in percent, and its tag.
    ['tunnel_progress', 'Nullable(Int32)'],
    ['tunnel_progress_tag', 'Nullable(String)'],
    // 1: the probe connected to the first server of the tunnel; 0: it did not; null: unknown.
    ['tunnel_connected', 'Nullable(Int8)'],
    GENERATION_COLUMN,
  ],
  engine: REPLACING,
  partitionBy: BUCKET_MONTH,
  orderBy: ['measurement_start_time', 'measurement_uid', 'observation_idx'],
} as const satisfies Table;

/** Speed and latency of a probe's network as ndt and dash measure them: one row for each measurement. A value that was not measured is null. */
export const OBS_PERFORMANCE = {
  name: 'obs_performance',
  columns: [
    ...MEASUREMENT_COLUMNS,
    ...PROBE_COLUMNS,
    ['observation_idx', 'Int32'],
    ['created_at', "Nullable(DateTime64(3, 'UTC'))"],
    ['performance_failure', 'Nullable(String)'],
    ['server_hostname', 'Nullable(String)'],
    ['server_site', 'Nullable(String)'],
    // ndt, version of its protocol: 7, or 5 for tests that do not say it.
    ['ndt_protocol', 'Nullable(Int32)'],
    // Average speed in kbit/s.
    ['ndt_download', 'Nullable(Float64)'],
    ['ndt_upload', 'Nullable(Float64)'],
    // Round trip times in milliseconds.
    ['ndt_min_rtt', 'Nullable(Float64)'],
    ['ndt_avg_rtt', 'Nullable(Float64)'],
    ['ndt_max_rtt', 'Nullable(Float64)'],
    // Bytes.
    ['ndt_mss', 'Nullable(Int32)'],
    // Share of the bytes that were sent again, 0 to 1.
    ['ndt_retransmit_rate', 'Nullable(Float64)'],
    // kbit/s.
    ['dash_median_bitrate', 'Nullable(Float64)'],
    // Seconds.
    ['dash_connect_latency', 'Nullable(Float64)'],
    ['dash_min_playout_delay', 'Nullable(Float64)'],
    GENERATION_COLUMN,
  ],
  engine: REPLACING,
  partitionBy: BUCKET_MONTH,
  orderBy: ['measurement_start_time', 'measurement_uid', 'observation_idx'],
} as const satisfies Table;

export const ANALYSIS_WEB_MEASUREMENT = {
  name: 'analysis_web_measurement',
  columns: [
    ['domain', 'String'],
    ['input', 'String'],
    ['test_name', 'String'],
    ['probe_asn', 'UInt32'],
    ['probe_as_org_name', 'String'],
    ['probe_cc', 'String'],
    ['resolver_asn', 'UInt32'],
    ['resolver_as_cc', 'String'],
    ['network_type', 'String'],
    ['measurement_start_time', "DateTime64(3, 'UTC')"],
    ['measurement_uid', 'String'],
    ['ooni_run_link_id', 'String'],
    ['top_probe_analysis', 'Nullable(String)'],
    ['top_dns_failure', 'Nullable(String)'],
    ['top_tcp_failure', 'Nullable(String)'],
    ['top_tls_failure', 'Nullable(String)'],
    ['dns_blocked', 'Float32'],
    ['dns_down', 'Float32'],
    ['dns_ok', 'Float32'],
    ['tcp_blocked', 'Float32'],
    ['tcp_down', 'Float32'],
    ['tcp_ok', 'Float32'],
    ['tls_blocked', 'Float32'],
    ['tls_down', 'Float32'],
    ['tls_ok', 'Float32'],
    ['top_dns_rule_id', 'LowCardinality(String)'],
    ['top_tcp_rule_id', 'LowCardinality(String)'],
    ['top_tls_rule_id', 'LowCardinality(String)'],
    ['probe_id', 'FixedString(64)'],
    ['analysis_rules_version', 'UInt16'],
    // Version of the block page fingerprints that the verdict was made with; empty when the Python pipeline loaded the table.
    ['fingerprints_version', 'LowCardinality(String)'],
    GENERATION_COLUMN,
    // After the generation, because tables of earlier versions end with it and new columns are added at the end.
    ['outcome', 'LowCardinality(String)'],
    ['hosts', 'Array(String)'],
    ['host_outcomes', 'Array(LowCardinality(String))'],
    ['host_layers', 'Array(LowCardinality(String))'],
    ['host_rule_ids', 'Array(LowCardinality(String))'],
    ['ip_metadata_missing', 'UInt8'],
    ['http_blocked', 'Float32'],
    ['http_down', 'Float32'],
    ['http_ok', 'Float32'],
    ['top_http_failure', 'Nullable(String)'],
    ['top_http_rule_id', 'LowCardinality(String)'],
    ['targets', 'Array(LowCardinality(String))'],
    ['target_outcomes', 'Array(LowCardinality(String))'],
    ['target_layers', 'Array(LowCardinality(String))'],
  ],
  engine: REPLACING,
  partitionBy: UID_MONTH,
  orderBy: ['measurement_uid', 'measurement_start_time', 'probe_cc', 'probe_asn'],
  primaryKey: ['measurement_uid'],
} as const satisfies Table;

export const MEASUREMENT_EXPERIMENT_RESULT = {
  name: 'measurement_experiment_result',
  columns: [
    ['measurement_uid', 'String'],
    ['input', 'Nullable(String)'],
    ['report_id', 'String'],
    ['measurement_start_time', "DateTime64(3, 'UTC')"],
    ['software_name', 'String'],
    ['software_version', 'String'],
    ['test_name', 'String'],
    ['test_version', 'String'],
    ['bucket_date', 'String'],
    ...NETWORK_COLUMNS,
    ['observation_id_list', 'Array(String)'],
    ['timeofday', "DateTime64(3, 'UTC')"],
    ['created_at', "DateTime64(3, 'UTC')"],
    ['location_network_type', 'String'],
    ['location_network_asn', 'UInt32'],
    ['location_network_cc', 'String'],
    ['location_network_as_org_name', 'String'],
    ['location_network_as_cc', 'String'],
    ['location_resolver_asn', 'Nullable(UInt32)'],
    ['location_resolver_as_org_name', 'Nullable(String)'],
    ['location_resolver_as_cc', 'Nullable(String)'],
    ['location_resolver_cc', 'Nullable(String)'],
    ['location_blocking_scope', 'Nullable(String)'],
    ['target_nettest_group', 'String'],
    ['target_category', 'String'],
    ['target_name', 'String'],
    ['target_domain_name', 'String'],
    ['target_detail', 'String'],
    ['loni_ok_value', 'Nullable(Float64)'],
    ['loni_down_keys', 'Array(String)'],
    ['loni_down_values', 'Array(Float64)'],
    ['loni_blocked_keys', 'Array(String)'],
    ['loni_blocked_values', 'Array(Float64)'],
    ['loni_ok_keys', 'Array(String)'],
    ['loni_ok_values', 'Array(Float64)'],
    ['loni_list', 'String'],
    ['analysis_transcript_list', 'Array(Array(String))'],
    ['measurement_count', 'Int32'],
    ['observation_count', 'Int32'],
    ['vp_count', 'Int32'],
    ['anomaly', 'Nullable(Int8)'],
    ['confirmed', 'Nullable(Int8)'],
    GENERATION_COLUMN,
  ],
  engine: REPLACING,
  partitionBy: UID_MONTH,
  orderBy: ['measurement_uid', 'timeofday'],
} as const satisfies Table;

/** The tables that the observation stage fills, in the order in which a measurement's rows are written. */
export const OBSERVATION_TABLES = [OBS_WEB, OBS_WEB_CTRL, OBS_HTTP_MIDDLEBOX, OBS_TUNNEL, OBS_PERFORMANCE] as const;
export type ObservationTable = (typeof OBSERVATION_TABLES)[number]['name'];
