import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { VIEWS } from '../../pipeline/analysis/views.ts';
import { EVERYTHING } from '../../pipeline/filter.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { DATASETS } from '../../superset/datasets.ts';
import { analyseDay } from '../support/analyse-day.ts';
import { makeDatabase, silent } from '../support/database.ts';

/*
 * The data for users: the views, and measurement_experiment_result. Expected values are computed by hand from docs/verdicts.md and
 * docs/analysis-rules.md.
 */
let clickhouse: ClickHouse;
const DAY = '2024-03-05';

/** Stored verdicts. A missing grade is 0. */
const VERDICTS = [
  { uid: 'dns-blocked', cc: 'IT', dns_blocked: 0.75, dns_ok: 0.25, top_dns_rule_id: 'dns_system_answer_unmatched' },
  {
    uid: 'tls-blocked',
    cc: 'IT',
    dns_ok: 1,
    tcp_ok: 1,
    tls_blocked: 0.8,
    tls_down: 0.2,
    top_tls_rule_id: 'failure_ctrl_ok_reset',
  },
  {
    uid: 'down',
    cc: 'IT',
    dns_ok: 0.9,
    tcp_blocked: 0.25,
    tcp_down: 0.75,
    top_tcp_rule_id: 'failure_ctrl_also_failing',
  },
  { uid: 'undecided', cc: 'IT', dns_blocked: 0.5, dns_down: 0.5 },
  { uid: 'fine', cc: 'US', dns_ok: 0.9, tcp_ok: 1, tls_ok: 1 },
  { uid: 'not-judged', cc: 'US' },
];

beforeAll(async () => {
  ({ clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'views'));
  const row = ({ uid, cc, ...grades }: (typeof VERDICTS)[number]) => ({
    measurement_uid: uid,
    probe_cc: cc,
    probe_asn: cc === 'IT' ? 137 : 701,
    domain: 'example.org',
    test_name: 'web_connectivity',
    measurement_start_time: `${DAY} 23:59:59.999`,
    run_generation: 2,
    ...grades,
  });
  await clickhouse.insert('analysis_web_measurement', VERDICTS.map(row));
  // An older verdict that still exists, as while an analysis replaces it.
  await clickhouse.insert('analysis_web_measurement', [{ ...row(VERDICTS[4]!), dns_blocked: 1, run_generation: 1 }]);
});
afterAll(() => clickhouse?.close());

test('each measurement has one outcome, with its layer and its rule', async () => {
  const rows = await clickhouse.select(
    `SELECT measurement_uid AS uid, toString(measurement_day) AS day, outcome, blocked_layer AS layer, blocked_rule_id AS rule
     FROM measurement_verdicts ORDER BY uid`,
  );
  const verdict = (uid: string, outcome: string, layer = '', rule = '') => ({ uid, day: DAY, outcome, layer, rule });
  expect(rows).toEqual([
    verdict('dns-blocked', 'blocked', 'dns', 'dns_system_answer_unmatched'),
    verdict('down', 'down'),
    verdict('fine', 'ok'),
    verdict('not-judged', 'unknown'),
    verdict('tls-blocked', 'blocked', 'tls', 'failure_ctrl_ok_reset'),
    // A failed lookup without a control: no one is blamed, and no layer worked.
    verdict('undecided', 'unknown'),
  ]);
});

test('the views count by country, domain and network, and their outcomes add up', async () => {
  const counted = (key: object, [n, blocked, down, ok, unknown, dns, tls]: number[]) => ({
    ...key,
    ...{ n, blocked, down, ok, unknown, dns, tcp: 0, tls },
    share: Number((blocked! / n!).toFixed(4)),
  });
  const read = (view: string, key: string) =>
    clickhouse.select(
      `SELECT ${key}, measurements AS n, blocked_measurements AS blocked, down_measurements AS down, ok_measurements AS ok,
        unknown_measurements AS unknown, dns_blocked_measurements AS dns, tcp_blocked_measurements AS tcp,
        tls_blocked_measurements AS tls, round(blocked_share, 4) AS share
       FROM ${view} WHERE measurement_day = '${DAY}' ORDER BY ALL`,
    );
  const italy = [4, 2, 1, 0, 1, 1, 1];
  const america = [2, 0, 0, 1, 1, 0, 0];
  expect(await read('blocking_by_country', 'probe_cc')).toEqual([
    counted({ probe_cc: 'IT' }, italy),
    counted({ probe_cc: 'US' }, america),
  ]);
  expect(await read('blocking_by_domain', 'probe_cc, domain')).toEqual([
    counted({ probe_cc: 'IT', domain: 'example.org' }, italy),
    counted({ probe_cc: 'US', domain: 'example.org' }, america),
  ]);
  expect(await read('blocking_by_asn', 'probe_asn')).toEqual([
    counted({ probe_asn: 137 }, italy),
    counted({ probe_asn: 701 }, america),
  ]);
});

test('an outcome claims no more than the grades support', async () => {
  const at = '2024-03-07';
  const block = { dns_ok: 0.9, tcp_ok: 1, tcp_blocked: 0.75, tcp_down: 0.25 };
  const rows = [
    { uid: 'over another address', word: 'partly_blocked', ...block, tls_ok: 1 },
    { uid: 'port 443 alone', word: 'blocked', input: 'https://example.org/', ...block },
    { uid: 'one of two addresses of a plain page', word: 'partly_blocked', input: 'http://example.org/', ...block },
    { uid: 'another family answered', word: 'partly_blocked', dns_blocked: 0.75, dns_ok: 1, tcp_ok: 1, tls_ok: 1 },
    { uid: 'reached by another resolver', word: 'blocked', dns_blocked: 0.9, dns_down: 0.1, tcp_ok: 1, tls_ok: 1 },
    { uid: 'reset once', word: 'partly_blocked', dns_ok: 1, tcp_ok: 1, tls_blocked: 0.8, tls_down: 0.2, tls_ok: 1 },
    { uid: 'a dead address', word: 'ok', dns_ok: 1, tcp_ok: 1, tcp_down: 0.75, tcp_blocked: 0.25, tls_ok: 1 },
    { uid: 'a connect to anything', word: 'unknown', tcp_ok: 1 },
    { uid: 'a reset', word: 'unknown', dns_ok: 0.9, tcp_ok: 1, top_tls_failure: 'connection_reset' },
    { uid: 'a messenger', word: 'unknown', test_name: 'telegram', tls_ok: 1, top_tcp_failure: 'generic_timeout_error' },
    { uid: 'a page', word: 'ok', tls_ok: 1, top_tcp_failure: 'network_unreachable' },
    { uid: 'the same answer', word: 'ok', dns_ok: 0.9 },
  ];
  const common = { test_name: 'web_connectivity', measurement_start_time: `${at} 10:00:00.000`, domain: 'Example.org' };
  await clickhouse.insert(
    'analysis_web_measurement',
    rows.map(({ uid, word, ...row }) => ({ ...common, measurement_uid: uid, ...row })),
  );
  const found = await clickhouse.select<{ uid: string; outcome: string }>(
    `SELECT measurement_uid AS uid, outcome FROM measurement_verdicts WHERE measurement_day = '${at}'`,
  );
  const words = new Map(found.map(({ uid, outcome }) => [uid, outcome]));
  expect(rows.map(({ uid }) => [uid, words.get(uid)])).toEqual(rows.map(({ uid, word }) => [uid, word]));
  // Names are counted in one form.
  const counted = await clickhouse.select(
    `SELECT domain, measurements AS n FROM blocking_by_domain WHERE measurement_day = '${at}' AND test_name = 'telegram'`,
  );
  expect(counted).toEqual([{ domain: 'example.org', n: 1 }]);
});

test('a failure counts for its host, and a day after 2149 is valid', async () => {
  const at = '2200-01-01';
  await clickhouse.insert('analysis_web_measurement', [
    {
      ...{ measurement_uid: 'redirected', measurement_start_time: `${at} 10:00:00.000`, test_name: 'web_connectivity' },
      ...{ domain: 'short.example', dns_ok: 0.9, tcp_ok: 1, tls_blocked: 0.8, tls_down: 0.2, outcome: 'blocked' },
      hosts: ['long.example', 'short.example'],
      host_outcomes: ['blocked', 'ok'],
      host_layers: ['tls', ''],
      host_rule_ids: ['failure_ctrl_ok_reset', ''],
    },
  ]);
  const verdicts = await clickhouse.select(
    `SELECT outcome, blocked_layer AS layer, blocked_rule_id AS rule, blamed_host AS host FROM measurement_verdicts WHERE measurement_day = '${at}'`,
  );
  expect(verdicts).toEqual([{ outcome: 'blocked', layer: 'tls', rule: 'failure_ctrl_ok_reset', host: 'long.example' }]);
  const domains = await clickhouse.select(
    `SELECT domain, measurements AS n, blocked_measurements AS blocked, ok_measurements AS ok, tls_blocked_measurements AS tls
     FROM blocking_by_domain WHERE measurement_day = '${at}' ORDER BY domain`,
  );
  expect(domains).toEqual([
    { domain: 'long.example', n: 1, blocked: 1, ok: 0, tls: 1 },
    { domain: 'short.example', n: 1, blocked: 0, ok: 1, tls: 0 },
  ]);
});

test('Superset has a dataset of each view', () => {
  expect(DATASETS.map(({ name }) => name)).toEqual(expect.arrayContaining(VIEWS.map(({ name }) => name)));
});

test.each(DATASETS.map(each => [each.name, each] as const))(
  'the dataset %s of Superset has the columns of ClickHouse',
  async (_, { name, sql, columns, metrics }) => {
    const from = sql ? `(${sql})` : name;
    const found = await clickhouse.select<{ name: string; type: string }>(`DESCRIBE (SELECT * FROM ${from})`);
    // Superset makes no difference between a type and its low cardinality.
    const typesOf = (of: readonly { name: string; type: string }[]) =>
      new Map(of.map(each => [each.name, each.type.replace(/^LowCardinality\((.*)\)$/, '$1')]));
    expect(typesOf(columns.filter(({ expression }) => expression === undefined))).toEqual(typesOf(found));
    const numbers = Object.entries(metrics).map(([metric, { expression }]) => `${expression} AS ${metric}`);
    await clickhouse.select(`SELECT ${numbers.join(', ')} FROM ${from}`);
  },
);

test('measurement_experiment_result combines the grades of the layers', async () => {
  const at = '2024-03-06';
  const common = {
    ...{
      measurement_start_time: `${at} 10:00:00.000`,
      bucket_date: at,
      run_generation: 1,
      probe_cc: 'IT',
      probe_asn: 137,
    },
    ...{
      test_name: 'web_connectivity',
      input: 'https://www.example.org/',
      hostname: 'www.example.org',
      report_id: 'r',
    },
  };
  const system = { dns_engine: 'system', dns_query_type: 'A', ip: '192.0.2.10', dns_answer: '192.0.2.10' };
  await clickhouse.insert('obs_web', [
    // The control's answer, connected, reset: DNS ok 0.9, TCP ok 1, TLS blocked 0.8 and down 0.2.
    {
      ...common,
      ...system,
      measurement_uid: 'm',
      observation_idx: 0,
      port: 443,
      tcp_success: 1,
      tls_failure: 'connection_reset',
    },
    {
      ...common,
      measurement_uid: 'm',
      observation_idx: 1,
      http_request_url: 'https://www.example.org/',
      http_failure: 'x',
    },
  ]);
  await clickhouse.insert('obs_web_ctrl', [
    {
      ...common,
      measurement_uid: 'm',
      observation_idx: 0,
      ip: '192.0.2.10',
      port: 443,
      dns_success: 1,
      tcp_success: 1,
    },
    {
      ...common,
      measurement_uid: 'c',
      observation_idx: 0,
      ip: '192.0.2.11',
      port: 443,
      dns_success: 1,
      tls_success: 1,
    },
    { ...common, measurement_uid: 'm', observation_idx: 2, ip: '192.0.2.10', port: 8443, tls_success: 1 },
  ]);
  // The control's handshake vouches for the answer (tls_consistent_answer, ok 1).
  const options = { day: at, filter: EVERYTHING, selection: { of: 'day' }, rulesVersion: 3, generation: 5 } as const;
  await analyseDay(clickhouse, options, silent);
  const [row] = await clickhouse.select('SELECT * FROM measurement_experiment_result FINAL');
  expect(row).toMatchObject({
    measurement_uid: 'm',
    input: 'https://www.example.org/',
    target_nettest_group: 'websites',
    target_category: 'MISC',
    target_name: 'example.org',
    target_domain_name: 'www.example.org',
    location_network_asn: 137,
    location_blocking_scope: null,
    // 1 is left after DNS and TCP. TLS takes 0.8 and 0.2 of it.
    loni_blocked_keys: ['tls.failure_ctrl_ok_reset'],
    loni_blocked_values: [0.8],
    loni_down_keys: ['tls.failure_ctrl_ok_reset'],
    loni_down_values: [0.2],
    loni_ok_keys: ['dns.tls_consistent_answer', 'tcp.connect_ok'],
    loni_ok_values: [1, 1],
    loni_ok_value: 0,
    observation_count: 2,
    measurement_count: 1,
    anomaly: 1,
    confirmed: 0,
    run_generation: 5,
  });
});

test('measurement_experiment_result is null if no layer was judged, and confirms only block pages', async () => {
  const at = '2024-03-08';
  await clickhouse.insert('fingerprints_dns', [
    {
      name: 'page',
      scope: 'nat',
      pattern_type: 'full',
      pattern: '203.0.113.9',
      confidence_no_fp: 5,
      expected_countries: 'IT',
    },
  ]);
  const system = { dns_engine: 'system', dns_query_type: 'A' };
  const cases = {
    bogon: { ...system, ip: '0.0.0.0', dns_answer: '0.0.0.0', ip_is_bogon: 1 },
    page: { ...system, ip: '203.0.113.9', dns_answer: '203.0.113.9' },
    unjudged: { ...system, dns_failure: 'dns_nxdomain_error' },
    fine: { ip: '192.0.2.10', port: 443, tcp_success: 1, tls_is_certificate_valid: 1 },
  };
  await clickhouse.insert(
    'obs_web',
    Object.entries(cases).map(([uid, row]) => ({
      ...{ measurement_uid: uid, measurement_start_time: `${at} 10:00:00.000`, bucket_date: at, run_generation: 1 },
      ...{ probe_cc: 'IT', test_name: 'web_connectivity', report_id: uid, input: `https://${uid}.example/` },
      ...{ hostname: `${uid}.example`, observation_idx: 0, ...row },
    })),
  );
  const options = { day: at, filter: EVERYTHING, selection: { of: 'day' }, rulesVersion: 3, generation: 5 } as const;
  await analyseDay(clickhouse, options, silent);
  const rows = await clickhouse.select(
    `SELECT measurement_uid AS uid, loni_ok_value AS ok, anomaly, confirmed FROM measurement_experiment_result
     WHERE measurement_uid IN {uids:Array(String)} ORDER BY uid`,
    { params: { uids: Object.keys(cases) } },
  );
  expect(rows).toEqual([
    { uid: 'bogon', ok: 0, anomaly: 1, confirmed: 0 },
    { uid: 'fine', ok: 1, anomaly: 0, confirmed: 0 },
    { uid: 'page', ok: 0, anomaly: 1, confirmed: 1 },
    { uid: 'unjudged', ok: null, anomaly: null, confirmed: null },
  ]);
});

test('failures of a probe without network are discarded, but not those of a censored network', async () => {
  const at = '2024-03-10';
  const report = (name: string, states: string, more: object = {}) =>
    [...states].map((state, index) => ({
      ...{ measurement_uid: `${name}${index}`, report_id: name, input: `https://s${index}.${name}.example/` },
      measurement_start_time: `${at} 10:0${index}:00.000`,
      hostname: `s${index}.${name}.example`,
      ...{ bucket_date: at, run_generation: 1, probe_cc: 'IT', test_name: 'web_connectivity', observation_idx: 0 },
      ...{ dns_engine: 'system', dns_query_type: 'A' },
      ...(state === 'o' ? { ip: '192.0.2.10', dns_answer: '192.0.2.10' } : { dns_failure: 'dns_nxdomain_error' }),
      ...more,
    }));
  const reports = [
    ...report('middle', 'oooxxx'),
    ...report('late', 'ooooooxxx'),
    ...report('single', 'oxooxooxo'),
    ...report('ids', 'ooxxx').map((row, index) => ({ ...row, report_id: `r${index}`, probe_id: 'p'.repeat(64) })),
    ...report('noids', 'ooxxx').map(row => ({ ...row, report_id: '' })),
    ...report('censored', 'oxxxx'),
    ...report('flapping', 'oxxxx', { dns_failure: null }).map((row, index) => ({
      ...row,
      ...(index > 0 && { dns_failure: 'network_unreachable' }),
    })),
  ];
  await clickhouse.insert('obs_web', reports);
  // The control knows each host. The probes of two reports fetched it themselves.
  await clickhouse.insert(
    'obs_web_ctrl',
    reports.map(row => ({
      ...{
        measurement_start_time: row.measurement_start_time,
        hostname: row.hostname,
        bucket_date: at,
        run_generation: 1,
      },
      measurement_uid: /^(censored|flapping)/.test(row.measurement_uid)
        ? row.measurement_uid
        : `c${row.measurement_uid}`,
      ...{ observation_idx: 0, ip: '192.0.2.10', dns_success: 1 },
    })),
  );
  const options = { day: at, filter: EVERYTHING, selection: { of: 'day' }, rulesVersion: 3, generation: 5 } as const;
  await analyseDay(clickhouse, options, silent);
  const rows = await clickhouse.select<{ name: string; words: string[] }>(
    `SELECT extract(measurement_uid, '^[a-z]+') AS name, arrayMap(each -> each.2, arraySort(groupArray((measurement_uid, outcome)))) AS words
     FROM measurement_verdicts WHERE measurement_day = '${at}' GROUP BY name`,
  );
  const words = Object.fromEntries(rows.map(({ name, words }) => [name, words.map(word => word[0]).join('')]));
  expect(words).toEqual({
    middle: 'ooouuu',
    late: 'oooooouuu',
    single: 'obooboobo',
    ids: 'oouuu',
    noids: 'oobbb',
    censored: 'obbbb',
    flapping: 'ouuuu',
  });
});
