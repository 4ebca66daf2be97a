import type { Filter } from '../filter.ts';
import { type Contents, contentsIn, hasControl, isSmall } from './contents.ts';
import { endpointOf, serviceRelations } from './messengers.ts';
import { insideOf, isBogonNumber, networkPrefixes, PREFIX_HOST } from './nat64.ts';
import { answeredControls, HAS_OWN_CONTROL } from './own-controls.ts';
import { offlineQuery, PEER_ANSWERS, reporterOf } from './reporters.ts';
import { type Grades, type Layer, layersOf, NO_MATCH, needsOf, RULES, type Rule, type RulesVersion } from './rules.ts';
import { experimentCondition, inDays, type Query, ROW_DAY, type Selection } from './selection.ts';
import {
  DIFFERING,
  IS_FINAL,
  IS_PYTHON_PROBE,
  IS_WITHOUT_ADDRESS,
  isSystemResolver,
  SAME_TITLE,
  signalsOf,
} from './signals.ts';

export interface JudgementOptions {
  /** Measurement days YYYY-MM-DD. Each is judged by itself: control and reports of one day say nothing about another. */
  readonly days: readonly string[];
  readonly filter: Filter;
  readonly selection: Selection;
  readonly rulesVersion: RulesVersion;
  /** Contents of the days; absent: unknown. */
  readonly contents?: Contents;
}

/** Returns whether the services of messengers are judged. The Python pipeline does not know them. */
export function judgesServices(options: JudgementOptions): boolean {
  return options.rulesVersion !== 2 && contentsIn(options).hasMessengers;
}

/** Columns of the verdict that are the same in every observation of a measurement. */
export const CONSTANT = [
  'input',
  'test_name',
  'probe_as_org_name',
  'resolver_asn',
  'resolver_as_cc',
  'network_type',
  'ooni_run_link_id',
  'probe_id',
] as const;

/**
 * Columns of an observation that end up in the verdict or in an explanation, besides the signals; all from `address` to `is_own_page` are made in
 * `experiment`.
 */
const CARRIED = [
  'measurement_start_time',
  'probe_cc',
  'probe_asn',
  'measurement_uid',
  'observation_idx',
  ...CONSTANT,
  'probe_analysis',
  'hostname',
  'ip',
  'port',
  'dns_engine',
  'dns_answer',
  'address',
  'has_public_address',
  'has_network',
  'has_page',
  'is_own_page',
  'http_failure',
] as const;

/** Read of a row, but not handed on under their own name. */
const READ = [
  'report_id',
  'software_name',
  'software_version',
  'ip_asn',
  'ip_is_bogon',
  'dns_query_type',
  'dns_failure',
  'tcp_success',
  'tcp_failure',
  'tls_is_certificate_valid',
  'tls_failure',
  'http_response_status_code',
] as const;

/** Read of a row for HTTP. */
const READ_HTTP = [
  'http_request_url',
  'http_response_title',
  'http_response_header_server',
  'http_fingerprints',
  'probe_status_code_match',
  'probe_headers_match',
  'probe_title_match',
  'probe_body_length_match',
  'http_runtime',
] as const;

/** Read of a row for messengers, QUIC, tests with a control of their own, and wrong clocks. */
const READ_OTHERS = ['target_id', 'test_version', 'tls_network', 'tls_echconfig', 'bucket_date'] as const;

/**
 * Bytes that the connection received since the request began; null without counts. A number, so that the lists end here and no join carries them.
 * A handshake that ends after the last count before the request is subtracted by its own number of bytes.
 */
const HTTP_BYTES = `if(empty(transfer_bytes) OR http_runtime IS NULL, NULL, toFloat64(arrayMax(transfer_bytes)) - greatest(
      toFloat64(arrayMax(arrayMap((t, bytes) -> if(t <= http_t - http_runtime, bytes, 0), transfer_t, transfer_bytes))), ifNull(tls_handshake_read_bytes, 0))) AS http_received`;

/**
 * The scalar `confirming`: names of the fingerprints that confirm, each with a country or, for products, with an asterisk. One read, so that all rows
 * see one version.
 */
function httpFingerprints({ contents }: Parts): string {
  if (!contents.hasHttpFingerprints) return "CAST([], 'Array(String)') AS confirming,\n";
  return `(SELECT groupArray(concat(name, ' ', country)) FROM (
  SELECT name, arrayJoin(if(scope = 'prod', ['*'], arrayMap(cc -> trim(cc), splitByChar(',', expected_countries)))) AS country
  FROM fingerprints_http WHERE scope NOT IN ('fp', 'vbw'))) AS confirming,
`;
}

/** Columns of CARRIED that are not read but made, and those that signals see in addition. */
const MADE: ReadonlySet<string> = new Set(['address', 'has_public_address', 'has_network', 'has_page', 'is_own_page']);

/** A certificate vouches for the name that was asked for: that of the handshake, where it is known. */
const SAME_NAME = ` AND (ifNull(tls_server_name, '') = '' OR ${hostOf('tls_server_name', 3)} = ${hostOf('hostname', 3)})`;

/** The control's facts about an endpoint, for versions that distinguish ports; an unknown port is not an endpoint. `day`: `day, ` or empty. */
const controlEndpoint = (day: string) => `control_endpoint AS (
  SELECT ${day}hostname, ip, assumeNotNull(port) AS port,
    countIf(c.tcp_success = 1) AS tcp_success,
    countIf(c.tcp_success = 0) AS tcp_failing
  FROM control AS c
  WHERE port IS NOT NULL
  GROUP BY ${day}hostname, ip, port
),`;

/**
 * The relations that lead to `judged`, one row per observation with its signals and, per layer, the number of the rule that
 * decided it (0: none; 1: the first of the list) and its grades. A chain of WITH items; the caller appends a SELECT.
 *
 * Made so that memory does not grow with the day. The window over the answers of a host comes before all joins, because there the
 * rows still come in the order of the table, in which those of a measurement stand together: nothing is sorted but within a
 * measurement (10^7 rows: a third of the memory). The answers of the control are looked up in sets of addresses. On the right of joins stand
 * aggregates by host and endpoint, none of which holds a list: it would be copied for each row that meets it, and the control of
 * a popular host has thousands of addresses. FINAL, because a run that repeats a bucket may be inserting right now.
 *
 * @param reading SQL of what reads `judged`: the columns that it does not name are left out
 */
export function judgement(options: JudgementOptions, reading: string): Query {
  const { days, filter, selection, rulesVersion: version } = options;
  const experiment = experimentCondition(filter, selection, days);
  const within = inDays(days);
  // One day needs no column for it: whatever is joined is of that day.
  const day = days.length > 1 ? 'day, ' : '';
  // Without FINAL, which would read whole days: what an older row names in addition is read for nothing, no more.
  const selected = (column: string) => `SELECT ${column} FROM obs_web WHERE ${within.sql} ${experiment.sql}`;
  const contents = contentsIn(options);
  const isWhole = experiment.sql === '' || isSmall(contents);
  const host = hostOf('hostname', version);
  const ofDay = (name: string) => (day ? `concat(toString(${ROW_DAY}), ' ', ${name})` : name);
  const reporter = ofDay(reporterOf(version));
  const parts: Parts = {
    version,
    contents,
    withServices: judgesServices(options),
    day,
    rowDay: day && `${ROW_DAY} AS day, `,
    host,
    reporter,
    within: within.sql,
    condition: experiment.sql,
    // Of a few measurements of a large day, only their hosts' control is read. ClickHouse plans each copy of the condition.
    ofHosts: isWhole ? '' : `AND ${host} IN (${selected(host)})`,
    ofReporters: isWhole ? '' : `AND ${reporter} IN (${selected(reporter)})`,
  };
  const sql = `WITH
${version === 2 ? '' : `${nat64Prefixes(parts, ofDay(host))}${httpFingerprints(parts)}`}experiment AS (
  ${experimentRows(parts)}
),
${controlRelations(parts)}
${reportRelation(parts)}fingerprint AS (
  SELECT pattern, groupUniqArrayArray(arrayMap(cc -> trim(cc), splitByChar(',', expected_countries))) AS countries
  FROM fingerprints_dns
  WHERE pattern_type = 'full' AND scope != 'fp'
  GROUP BY pattern
),
answered AS (
  ${answeredRows(parts)}
),
judged AS (
  ${judgeLayers(parts, reading)}
)`;
  return { sql, params: { ...within.params, ...experiment.params } };
}

/**
 * The control's rows, and what they say of a host, of an address and of an endpoint. Each ends with a comma. The Python pipeline has no rows of
 * http_requests.
 */
function controlRelations(parts: Parts): string {
  const { version, contents, withServices, day, rowDay, host, within, condition, ofHosts } = parts;
  const isPython = version === 2;
  const services = withServices
    ? serviceRelations({ day, rowDay, host, selected: `${within} ${condition}`, within })
    : '';
  if (!hasControl(contents)) return services;
  return `control AS (
  SELECT ${rowDay}${host} AS hostname, ip, port, ip_asn, dns_failure, dns_success, tcp_success, tls_success, tls_failure${isPython ? '' : ', http_success, http_response_body_length'}
  FROM obs_web_ctrl FINAL
  WHERE ${within} ${isPython ? "AND test_name != 'http_requests' " : ''}${ofHosts}
),
control_host AS (
  SELECT ${day}hostname, countIf(c.dns_failure IS NOT NULL) AS dns_failure, countIf(c.dns_success = 1) AS dns_success,
    countIf(c.dns_success = 1 AND isIPv6String(c.ip)) AS dns_success_v6${isPython ? '' : ',\n    countIf(c.http_success = 1) AS http_success, countIf(c.http_success = 0) AS http_failing, max(c.http_response_body_length) AS http_bytes'}
  FROM control AS c
  GROUP BY ${day}hostname
),
tls_consistent_address AS (
  SELECT ${day}hostname, ip FROM control WHERE tls_success = 1
  UNION ALL
  SELECT ${rowDay}assumeNotNull(${host}) AS hostname, assumeNotNull(ip)
  FROM obs_web FINAL
  WHERE ${within} AND tls_is_certificate_valid = 1 AND ip IS NOT NULL AND (${day && `${ROW_DAY}, `}${host}) IN (SELECT ${day}hostname FROM control)${isPython ? '' : SAME_NAME}
),
control_address AS (
  SELECT ${day}hostname, ip,
    countIf(c.tcp_success = 1) AS tcp_success,
    countIf(c.tcp_success = 0) AS tcp_failing,
    countIf(c.tls_success = 1) AS tls_success,
    countIf(c.tls_success = 0 AND c.tls_failure IS NOT NULL) AS tls_failing
  FROM control AS c
  GROUP BY ${day}hostname, ip
),${isPython ? '' : `\n${controlEndpoint(day)}\n${services}`}`;
}

/**
 * SQL of whether a row of web_connectivity has a page that the network did not change, and no address: before version 0.5 of the test, the request of a
 * probe that asks the system resolver alone.
 */
const PAGE_WITHOUT_ADDRESS = `${IS_WITHOUT_ADDRESS} AND ((is_https AND is_own_page AND has_page) OR is_page_of_control)`;

/** The observations with what the control says of their answers, and the signals over all answers of a host. */
function answeredRows(parts: Parts): string {
  const { version, contents, day } = parts;
  const overAnswers = signalsOf(version).filter(signal => signal.overAnswers);
  const ofHost = 'measurement_start_time, probe_cc, probe_asn, measurement_uid, hostname';
  const withPages = version !== 2 && contents.hasPagesWithoutAddress;
  const pages = withPages ? `max(${PAGE_WITHOUT_ADDRESS}) OVER pages_of_host` : '0';
  // Whether the control of the host has the value; no control has any.
  const isIn = (value: string, columns: string, relation: string) =>
    hasControl(contents)
      ? `ifNull((${day}hostname, ${value}) IN (SELECT ${day}hostname, ${columns} FROM ${relation}), 0)`
      : '0';
  const facts: Record<string, string> = {
    control_answered: isIn('answer', 'ip', 'control WHERE dns_success = 1'),
    control_answered_asn: `${isIn('ip_asn', 'ip_asn', 'control WHERE dns_success = 1 AND ip_asn > 0')}${version === 2 ? '' : ' AND has_network'}`,
    tls_consistent: isIn('answer', 'ip', 'tls_consistent_address'),
    tls_inconsistent: isIn('answer', 'ip', "control WHERE tls_success = 0 AND tls_failure LIKE 'ssl_%'"),
    ...(version === 2
      ? {}
      : {
          control_networks: isIn('is_compared_v6', 'isIPv6String(ip)', 'control WHERE dns_success = 1 AND ip_asn > 0'),
          has_own_control: contents.hasOwnControls
            ? `${HAS_OWN_CONTROL} AND measurement_uid IN (${answeredControls(parts.within)})`
            : '0',
          probe_offline: contents.mayBeOffline ? `measurement_uid IN (${offlineQuery(parts)})` : '0',
        }),
  };
  return `SELECT *,
    ${overAnswers.map(({ name, sql }) => `${sql} OVER answers_of_host AS ${name}`).join(',\n    ')}${version === 2 ? '' : `,\n    ${pages} AS page_without_address`}
  FROM (
    SELECT *,
      ${Object.entries(facts)
        .map(([name, sql]) => `${sql} AS ${name}`)
        .join(',\n      ')}
    FROM experiment
  )
  WINDOW answers_of_host AS (PARTITION BY ${ofHost}, is_v6)${withPages ? `, pages_of_host AS (PARTITION BY ${ofHost})` : ''}`;
}

/** Returns the columns of CARRIED and the signals: SQL by name. */
function signalColumns({ version, contents, withServices }: Parts): Map<string, string> {
  const signals = signalsOf(version).filter(({ needs }) => !needs || contents[needs]);
  const carried = withServices ? [...CARRIED, 'endpoint', 'target_id'] : CARRIED;
  return new Map([
    ...carried.map((column): [string, string] => [column, `o.${column}`]),
    ...signals.map(({ name, sql, overAnswers }): [string, string] => [
      name,
      overAnswers ? `o.${name}` : asIs(hasControl(contents) ? sql : withoutControl(sql)),
    ]),
  ]);
}

/** Replaces the columns of the control in a signal by the values that its joins return for an observation that meets no row of it. */
function withoutControl(sql: string): string {
  return sql.replace(/\bch\.http_bytes\b/g, "CAST(NULL, 'Nullable(Int64)')").replace(/\bc[ahe]\.\w+/g, 'toUInt64(0)');
}

/** FROM of the observations, with all that they are compared with. */
function joins({ version, contents, withServices, day }: Parts): string {
  const join = (relation: string, as: string, on: string, ofDay = true) =>
    `\n  LEFT JOIN ${relation} AS ${as} ON ${on}${ofDay && day ? ` AND ${as}.day = o.day` : ''}`;
  const services = withServices
    ? join('service', 's', 's.measurement_uid = o.measurement_uid AND s.endpoint = o.endpoint') +
      join('service_day', 'sd', 'sd.endpoint = o.endpoint')
    : '';
  const control =
    join('control_host', 'ch', 'ch.hostname = o.hostname') +
    join('control_address', 'ca', 'ca.hostname = o.hostname AND ca.ip = o.address') +
    (version === 2
      ? ''
      : join('control_endpoint', 'ce', 'ce.hostname = o.hostname AND ce.ip = o.address AND ce.port = o.port'));
  return [
    'FROM answered AS o',
    hasControl(contents) ? control : '',
    services,
    // Names of reporters of several days contain the day.
    contents.hasIPv6 ? join('report', 'r', 'r.reporter = o.reporter', false) : '',
    join('fingerprint', 'f', 'f.pattern = o.answer', false),
  ].join('');
}

/** A host name in the form in which names are compared: version 3 in lower case and without the dot of the root. */
export function hostOf(column: string, version: RulesVersion): string {
  // A-labels are made where rows are made (observations); what ClickHouse has for it is not in every build.
  return version === 2 ? column : `lower(trimRight(${column}, '.'))`;
}

/** Parts that the relations of a judgement share, as SQL. */
interface Parts {
  readonly version: RulesVersion;
  readonly contents: Contents;
  /** Whether the services of messengers are judged. */
  readonly withServices: boolean;
  /** The column `day` of several days with a comma, or empty. */
  readonly day: string;
  /** The same, made from a row of a table. */
  readonly rowDay: string;
  /** Host name of a row. */
  readonly host: string;
  readonly reporter: string;
  /** Condition of the days. */
  readonly within: string;
  /** Condition of the observations under judgement (beginning with AND), or empty: all. */
  readonly condition: string;
  /** Condition of the hosts whose control is read (beginning with AND), or empty: all. */
  readonly ofHosts: string;
  /** Condition of the reporters whose measurements are judged (beginning with AND), or empty: all. */
  readonly ofReporters: string;
}

/** Numbers of failed and successful connects. */
const IPV6_CONNECTS = 'countIf(tcp_failure IS NOT NULL) AS ipv6_failing, countIf(tcp_success = 1) AS ipv6_success';
/** The same, where a refused connect counts as a success: the other side answered over IPv6. */
const IPV6_ANSWERS = `countIf(tcp_failure NOT IN (${PEER_ANSWERS})) AS ipv6_failing, countIf(tcp_success = 1 OR tcp_failure IN (${PEER_ANSWERS})) AS ipv6_success`;

/** The connects of each reporter over IPv6. */
function reportRelation({ version, contents, reporter, within, ofReporters }: Parts): string {
  if (!contents.hasIPv6) return '';
  return `report AS (
  SELECT ${reporter} AS reporter, ${version === 2 ? IPV6_CONNECTS : IPV6_ANSWERS}
  FROM obs_web FINAL
  WHERE ${within} AND isIPv6String(ip) ${ofReporters}
  GROUP BY reporter
  HAVING ipv6_failing > 0
),
`;
}

/** The scalar `nat64_prefixes`, of the reporters that the judgement needs. */
function nat64Prefixes({ contents, reporter, within, ofReporters }: Parts, host: string): string {
  if (!contents.hasIPv6) return '';
  const seen = `SELECT DISTINCT ${reporter} AS reporter, ifNull(${host}, '') AS hostname, assumeNotNull(ip) AS ip
    FROM obs_web FINAL WHERE ${within} AND isIPv6String(ip) ${ofReporters}`;
  const control = `SELECT ${host} AS hostname, ip FROM obs_web_ctrl FINAL WHERE ${within} AND (dns_success = 1 OR tcp_success = 1)`;
  return `(SELECT (keys, insides) FROM (${networkPrefixes(seen, control)})) AS nat64_prefixes,
`;
}

/**
 * The observations under judgement, with the columns by which they are compared. `address` is their `ip`, or the IPv4 address inside a
 * NAT64 address; `answer` is the same of the DNS answer (of an IPv4-mapped answer, `ip` is the IPv4 address inside); `is_compared_v6` is
 * the family of `address`; `has_network`: the network of `address` is known. Version 2 knows no NAT64. Each step is a subquery of its own,
 * as in judgeLayers.
 */
function experimentRows({ version, contents, withServices, rowDay, reporter, within, condition }: Parts): string {
  const endpoint = withServices ? `${endpointOf('hostname')} AS endpoint, ` : '';
  const read = `SELECT ${rowDay}${[...CARRIED.filter(column => !MADE.has(column) && column !== 'hostname'), ...READ].join(', ')},
    ${hostOf('hostname', version)} AS hostname,
    ${reporter} AS reporter,
    ifNull(isIPv4String(ip), 0) AS is_v4,
    isIPv6String(ip) AS is_v6,
    ${version === 2 || !contents.hasIPv6 ? '' : "if(ifNull(is_v6, 0), assumeNotNull(IPv6StringToNumOrNull(ip)), toFixedString('', 16)) AS bytes,"}
    ${isSystemResolver(version)} AS is_system_resolver,
    http_response_status_code IS NOT NULL AND http_failure IS NULL AS has_response,
    ifNull(startsWith(http_request_url, 'https://'), 0)${version === 2 ? '' : ` AND NOT (${IS_PYTHON_PROBE})`} AS is_https${version === 2 ? '' : `,\n    ${[...READ_HTTP, ...READ_OTHERS, HTTP_BYTES].join(', ')}`}
  FROM obs_web FINAL
  WHERE ${within} ${condition}`;
  const translated = `SELECT *, ${endpoint}inside IS NOT NULL AS is_translated, assumeNotNull(inside) AS number,
      if(is_translated, IPv4NumToString(number), ip) AS address,
      if(isIPv6String(dns_answer), address, dns_answer) AS answer,
      if(is_translated, ${isBogonNumber('number')} AND ifNull(hostname != '${PREFIX_HOST}', 1), ifNull(ip_is_bogon, 0) = 1) AS is_bogon,
      ifNull(is_v6, 0) AND NOT is_translated AS is_compared_v6,
      ifNull(ip_asn, 0) > 0 AND (NOT is_translated OR startsWith(ip, '64:ff9b:')) AS has_network
    FROM (
      SELECT *, ${insideOf({ ip: 'ip', bytes: 'bytes', isV6: 'is_v6', reporter: 'reporter', prefixes: 'nat64_prefixes' })} AS inside
      FROM (${read})
    )`;
  const plain = `SELECT *, ip AS address, ifNull(ip_is_bogon, 0) = 1 AS is_bogon, ifNull(ip_asn, 0) > 0 AS has_network, ${
    version === 2
      ? 'dns_answer AS answer'
      : `${endpoint}if(isIPv6String(dns_answer), ip, dns_answer) AS answer, 0 AS is_compared_v6`
  }
    FROM (${read})`;
  const address = version === 2 || !contents.hasIPv6 ? plain : translated;
  return `SELECT *,
    is_system_resolver AND ifNull(is_v4 OR is_v6, 0) AS is_resolved,
    is_resolved AND dns_answer IS NOT NULL AS is_answer,
    ifNull(is_v4 OR is_v6, 0) AND NOT is_bogon AS has_public_address,
    has_response AND ${version === 2 ? '' : `(${IS_FINAL} OR `}NOT ifNull(http_response_status_code BETWEEN 300 AND 399, 0)${version === 2 ? '' : ')'} AS has_page,
    has_response AND (is_https OR ifNull(isIPv4String(hostname) OR isIPv6String(hostname), 0)) AS is_own_page${version === 2 ? '' : `,\n    has_page AND NOT is_https AND (${SAME_TITLE} OR ${DIFFERING} = 0) AS is_page_of_control`}
  FROM (${address})`;
}

/**
 * The observations with, for each layer, `<layer>_rule`, the number of the first rule that holds, and `<layer>_blocked`, `_down`, `_ok`, its
 * grades. One SELECT more for each layer: it has the grades of the layer before and the rule of the next. ClickHouse copies the expression of an
 * alias to each place that names it, and plans each copy: a grade is a short expression over the number of a rule, so copies are cheap, and a rule
 * is a long one, so the next SELECT reads it as a column. ClickHouse also plans each column of each SELECT, so a SELECT has only columns that those
 * above it name.
 *
 * @param reading SQL of what reads the relation
 */
function judgeLayers(parts: Parts, reading: string): string {
  const { version, contents } = parts;
  const rule = (layer: Layer) =>
    `multiIf(
    ${RULES[version][layer]
      .map((each, index) => ({ when: each.when, number: index + 1, needs: needsOf(layer, each) }))
      .filter(({ needs }) => needs.every(need => contents[need]))
      .map(({ when, number }) => `${asIs(when)}, ${number}`)
      .join(',\n    ')},
    0)`;
  const gradesOf = (layer: Layer) =>
    GRADES.map((grade): [string, string] => [`${layer}_${grade}`, pick(layer, version, each => each.grades[grade])]);
  const layers = layersOf(version);
  /** The columns of the SELECT of a layer, and after the last layer the grades of the last one. */
  const made = [...layers, undefined].map((layer, index) => {
    const before = layers[index - 1];
    return new Map([
      ...(before ? gradesOf(before) : signalColumns(parts)),
      ...(layer ? [[`${layer}_rule`, rule(layer)] as const] : []),
    ]);
  });
  const above = made.map((_, index) =>
    wordsOf([...made.slice(index + 1).flatMap(columns => [...columns.values()]), reading]),
  );
  let names: string[] = [];
  return made.reduce((relation, columns, index) => {
    const isNamed = (name: string) => above[index]!.has(name);
    // Columns of one SELECT name each other: signals other signals, the rule of a layer the grades of the one before.
    const own = wordsOf([...columns.values()]);
    const added = [...columns].filter(([name]) => isNamed(name) || own.has(name));
    if (added.length === 0) return relation;
    const passed = names.filter(isNamed);
    names = [...passed, ...added.map(([name]) => name)];
    const from = index === 0 ? relation : `FROM (${relation})`;
    return `SELECT ${[...passed, ...added.map(([name, sql]) => `${sql} AS ${name}`)].join(',\n    ')}\n  ${from}`;
  }, joins(parts));
}

/** A name, a number, a text, or a call of a function whose arguments have no calls with calls in them. */
const OPERAND = "(?:\\w+\\((?:[^()]|\\([^()]*\\))*\\)|'[^']*'|-?[\\w.]+)";
/** A comparison of an operand with a sum or product of operands. Others are left out: a part of a sum alone would be another comparison. */
const COMPARISON = new RegExp(
  `(?<![\\w.]|[-+*/%] )${OPERAND} (?:=|!=|<>|<=?|>=?) ${OPERAND}(?: [-+*/] ${OPERAND})*(?! [-+*/%])(?![\\w.([])`,
  'g',
);

/**
 * Returns an expression whose comparisons ClickHouse plans as they are. Between AND and OR, it searches for comparisons that repeat or contradict
 * each other, and hashes what is compared with the whole query that it comes from: a third of the time for a small day. It does not search the
 * arguments of functions, and `identity` returns its argument.
 */
export function asIs(expression: string): string {
  return expression.replace(COMPARISON, 'identity($&)');
}

function wordsOf(texts: readonly string[]): ReadonlySet<string> {
  return new Set(texts.flatMap(text => text.match(/\w+/g) ?? []));
}

export const GRADES = ['blocked', 'down', 'ok'] as const satisfies readonly (keyof Grades)[];

/** A property of the rule that decided a row: a look-up in a constant array by the rule's number. */
export function pick(layer: Layer, version: RulesVersion, property: (rule: Rule) => string | number): string {
  return `[${[NO_MATCH, ...RULES[version][layer]].map(property).join(', ')}][${layer}_rule + 1]`;
}
