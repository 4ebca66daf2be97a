import { EVERYTHING } from '../filter.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { PIPELINE_FAILURES } from '../tables/ledger-tables.ts';
import { ANALYSIS_WEB_MEASUREMENT } from '../tables/schema.ts';
import { requireTables } from './analyse.ts';
import {
  conditionColumn,
  controlHostsQuery,
  controlQuery,
  explanationQuery,
  signalsOfLayer,
  vouchedQuery,
} from './explanation-queries.ts';
import { type Grades, type Layer, layersOf, NO_MATCH, RULES, RULES_VERSIONS, type RulesVersion } from './rules.ts';
import { AnalysisError, type Query } from './selection.ts';
import { verdictsQuery } from './verdicts.ts';

export type Row = Readonly<Record<string, unknown>>;

/** A signal's value, as ClickHouse shows it; `nan` is a rate of nothing. */
export type Value = string | number | boolean | null;

export interface ExplainedRow {
  readonly observation_idx: number;
  /** Values of what the layer's conditions are written over. */
  readonly signals: Readonly<Record<string, Value>>;
  /** By rule id: whether its condition holds; null (which does not hold) when something it needs is unknown. */
  readonly conditions: Readonly<Record<string, boolean | null>>;
  /** The first rule that holds; `none`. */
  readonly rule: string;
  readonly grades: Grades;
}

export interface ExplainedLayer {
  readonly layer: Layer;
  readonly rows: readonly ExplainedRow[];
  /** The rule that stands for the measurement, the rows it decided, and the verdict's grades: each the greatest over all rows. */
  readonly winner: { readonly rule: string; readonly observations: readonly number[]; readonly grades: Grades };
}

/** How a measurement's verdict comes about. Rows are as in the tables. */
export interface Explanation {
  readonly measurement: Row;
  readonly day: string;
  readonly rulesVersion: RulesVersion;
  readonly observations: readonly Row[];
  readonly control: {
    /** Hosts of the measurement, with the control's lookups; absent fields: the control did not look the host up on that day. */
    readonly hosts: readonly Row[];
    readonly endpoints: readonly Row[];
    /** Addresses that proved themselves to a probe. */
    readonly vouched: readonly Row[];
  };
  readonly layers: readonly ExplainedLayer[];
  /** As it comes out now, a row of `analysis_web_measurement`. */
  readonly verdict: Row;
  /** As it is stored; null: not judged yet. */
  readonly stored: Row | null;
  /** Columns in which they differ: control or fingerprints have come in since, or the rules are others. */
  readonly differs: readonly string[];
}

/** Settings of the query. Compiling the expressions takes longer than it saves, because they judge one measurement. */
const SETTINGS = {
  output_format_json_quote_denormals: 1,
  compile_expressions: 0,
  compile_aggregate_expressions: 0,
  compile_sort_description: 0,
} as const;

/** Addresses of the control shown for a host; popular hosts have thousands. */
const ADDRESSES = 12;

const OBSERVATION_COLUMNS = [
  'observation_idx', 'hostname', 'ip', 'port', 'ip_asn', 'ip_as_org_name', 'ip_is_bogon', 'dns_query_type', 'dns_engine',
  'dns_failure', 'dns_answer', 'tcp_success', 'tcp_failure', 'tls_server_name', 'tls_is_certificate_valid', 'tls_failure',
  'http_request_url', 'http_failure', 'http_response_status_code', 'http_response_header_location', 'http_response_title', 'http_fingerprints',
  'http_fingerprints_version', 'probe_status_code_match', 'probe_title_match', 'probe_headers_match', 'probe_body_length_match',
  'probe_body_proportion', 'transaction_id', 'transaction_depth', 'transaction_fetch_body', 'transfer_t', 'transfer_bytes',
  'run_generation',
]; // biome-ignore format: a list

const MEASUREMENT_COLUMNS = [
  'measurement_uid', 'input', 'test_name', 'test_version', 'measurement_start_time', 'bucket_date', 'probe_cc', 'probe_asn',
  'probe_as_org_name', 'resolver_asn', 'resolver_as_org_name', 'network_type', 'software_name', 'software_version', 'report_id',
]; // biome-ignore format: a list

/**
 * Judges one measurement again and keeps everything that leads to its verdict. By the rules of its stored verdict unless others are
 * asked for, or `otherwise` where it has none. Throws AnalysisError when there is nothing to explain, with what is known of the measurement,
 * and TableErrors.
 */
export async function explain(
  clickhouse: ClickHouse,
  uid: string,
  rules: { readonly asked?: RulesVersion; readonly otherwise: RulesVersion },
): Promise<Explanation> {
  const rows = <R = Row>({ sql, params }: Query): Promise<R[]> =>
    clickhouse.select<R>(sql, { params, settings: SETTINGS });
  await requireTables(clickhouse);
  const measurement = await findMeasurement(rows, uid);
  const startTime = String(measurement.measurement_start_time);
  const day = startTime.slice(0, 10);
  const own = { uid, start: startTime };
  const [stored] = await rows({
    sql: `SELECT * FROM ${ANALYSIS_WEB_MEASUREMENT.name} FINAL WHERE measurement_uid = {uid:String} AND measurement_start_time = {start:DateTime64(3, 'UTC')}`,
    params: own,
  });
  const rulesVersion =
    rules.asked ?? RULES_VERSIONS.find(version => version === stored?.analysis_rules_version) ?? rules.otherwise;
  const selection = { of: 'measurements', uids: [uid] } as const;
  const options = { days: [day], filter: EVERYTHING, selection, rulesVersion };
  const observations = await rows({
    sql: `SELECT ${OBSERVATION_COLUMNS.join(', ')} FROM obs_web FINAL
      WHERE measurement_uid = {uid:String} AND measurement_start_time = {start:DateTime64(3, 'UTC')} ORDER BY observation_idx`,
    params: own,
  });
  const hosts = distinct(observations.map(row => row.hostname));
  const met = distinct(observations.flatMap(row => [row.ip, row.dns_answer]));
  const verdicts = verdictsQuery(options);
  const [judged, [verdict], hostRows, endpoints, vouched] = await Promise.all([
    rows(explanationQuery(options)),
    rows({ sql: verdicts.sql, params: { ...verdicts.params, generation: 0 } }),
    rows(controlHostsQuery(day, hosts)),
    rows(controlQuery(day, hosts, met, ADDRESSES)),
    rows(vouchedQuery(day, hosts, met)),
  ]);
  if (!verdict) throw new AnalysisError(`the observations of ${uid} vanished while they were read; try again`);
  return {
    measurement,
    day,
    rulesVersion,
    observations,
    control: {
      hosts: hosts.map(hostname => hostRows.find(row => row.hostname === hostname) ?? { hostname }),
      endpoints,
      vouched,
    },
    layers: layersOf(rulesVersion).map(layer => explainLayer(layer, rulesVersion, judged, verdict)),
    verdict,
    stored: stored ?? null,
    differs: stored ? differences(stored, verdict) : [],
  };
}

function explainLayer(layer: Layer, version: RulesVersion, judged: readonly Row[], verdict: Row): ExplainedLayer {
  const list = RULES[version][layer];
  const names = signalsOfLayer(layer, version);
  const rows = judged.map((row): ExplainedRow => {
    const conditions = list.map(({ id }, index): [string, boolean | null] => {
      const value = row[conditionColumn(layer, index)];
      return [id, value === null ? null : Boolean(value)];
    });
    return {
      observation_idx: Number(row.observation_idx),
      // The sign of what is not a number says nothing.
      signals: Object.fromEntries(names.map(name => [name, row[name] === '-nan' ? 'nan' : (row[name] as Value)])),
      conditions: Object.fromEntries(conditions),
      rule: list[Number(row[`${layer}_rule`]) - 1]?.id ?? NO_MATCH.id,
      grades: gradesOf(row, layer),
    };
  });
  const rule = String(verdict[`top_${layer}_rule_id`]);
  const observations = rows.filter(row => row.rule === rule).map(row => row.observation_idx);
  return { layer, rows, winner: { rule, observations, grades: gradesOf(verdict, layer) } };
}

function gradesOf(row: Row, layer: Layer): Grades {
  // A Float32 of 0.9 is shown as 0.9, a Float64 of it is not.
  const grade = (name: keyof Grades) => Number(Number(row[`${layer}_${name}`]).toFixed(4));
  return { blocked: grade('blocked'), down: grade('down'), ok: grade('ok') };
}

function differences(stored: Row, verdict: Row): string[] {
  return ANALYSIS_WEB_MEASUREMENT.columns
    .map(([name]): string => name)
    .filter(
      name =>
        name !== 'run_generation' && JSON.stringify(rounded(stored[name])) !== JSON.stringify(rounded(verdict[name])),
    );
}

function rounded(value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toFixed(4)) : value;
}

function distinct(values: readonly unknown[]): string[] {
  return [...new Set(values.filter(value => typeof value === 'string' && value !== ''))] as string[];
}

/**
 * The measurement by its uid. `obs_web` is sorted by time, so a uid is looked for where it should be first: at the time of its verdict, then
 * in the month of its upload, which the uid tells; then everywhere, which takes long on a large table.
 */
async function findMeasurement(rows: (query: Query) => Promise<Row[]>, uid: string): Promise<Row> {
  const month = /^(?:01)?((?:19|20)\d{2})(0[1-9]|1[0-2])\d{2}/.exec(uid);
  const places: Query[] = [
    {
      sql: `measurement_start_time IN (SELECT measurement_start_time FROM ${ANALYSIS_WEB_MEASUREMENT.name} WHERE measurement_uid = {uid:String})`,
      params: {},
    },
    ...(month
      ? [
          {
            sql: 'concat(substring(bucket_date, 1, 4), substring(bucket_date, 6, 2)) = {month:String}',
            params: { month: `${month[1]}${month[2]}` },
          },
        ]
      : []),
    { sql: 'true', params: {} },
  ];
  for (const { sql, params } of places) {
    const [found] = await rows({
      sql: `SELECT ${MEASUREMENT_COLUMNS.join(', ')} FROM obs_web
        WHERE measurement_uid = {uid:String} AND ${sql} ORDER BY run_generation DESC LIMIT 1`,
      params: { ...params, uid },
    });
    if (found) return found;
  }
  throw new AnalysisError(await whyNot(rows, uid));
}

/** Why a measurement cannot be explained. */
async function whyNot(rows: (query: Query) => Promise<Row[]>, uid: string): Promise<string> {
  const [ledger] = await rows({
    sql: "SELECT name FROM system.tables WHERE database = currentDatabase() AND name = 'pipeline_failures'",
    params: {},
  });
  const [failure] = ledger
    ? await rows({
        sql: `SELECT key, line, stage, class, message FROM ${PIPELINE_FAILURES.name} FINAL WHERE measurement_uid = {uid:String} ORDER BY generation DESC LIMIT 1`,
        params: { uid },
      })
    : [];
  if (failure) {
    return `the measurement ${uid} became no observations: ${failure.stage} failed at ${failure.key} line ${failure.line} with ${failure.class}: ${failure.message}`;
  }
  const [tunnel] = await rows({
    sql: "SELECT name FROM system.tables WHERE database = currentDatabase() AND name = 'tunnel_verdicts'",
    params: {},
  });
  // The view compares the attempts of a day, so without the day it would read those of all days.
  const [attempt] = tunnel
    ? await rows({
        sql: `SELECT outcome, tunnel_protocol FROM tunnel_verdicts WHERE measurement_uid = {uid:String} AND measurement_day IN
          (SELECT toDate32(measurement_start_time, 'UTC') FROM obs_tunnel WHERE measurement_uid = {uid:String}) LIMIT 1`,
        params: { uid },
      })
    : [];
  if (attempt) {
    return `the measurement ${uid} has no observations of web requests. It tried a tunnel (${attempt.tunnel_protocol}), and its outcome in the view tunnel_verdicts is ${attempt.outcome}`;
  }
  return `there are no observations of a measurement ${uid}. Is the uid complete, and was the bucket of its upload day processed? Tests without web observations (ndt, dash, middleboxes) have no verdict`;
}
