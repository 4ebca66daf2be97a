import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { EVERYTHING } from '../../pipeline/filter.ts';
import { analyseDay } from '../../pipeline/tables/analyse.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { makeDatabase, silent } from '../support/database.ts';

/*
 * What people read: the views, and measurement_experiment_result. Expected values are worked out by hand from docs/verdicts.md and
 * docs/analysis-rules.md.
 */
let clickhouse: ClickHouse;
const DAY = '2024-03-05';

/** Verdicts as they may be stored; a grade that is not given is 0. */
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
  // An older verdict that is still there, as while an analysis replaces it.
  await clickhouse.insert('analysis_web_measurement', [{ ...row(VERDICTS[4]!), dns_blocked: 1, run_generation: 1 }]);
});
afterAll(() => clickhouse?.close());

test('each measurement has one outcome, with the layer and the rule it is for', async () => {
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
    // One half is not more than one half: judged, and nobody is blamed.
    verdict('undecided', 'ok'),
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
  const italy = [4, 2, 1, 1, 0, 1, 1];
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
    // left: 1 after DNS and TCP; TLS takes 0.8 and 0.2 of it.
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
    // 0.8 is not more than 0.9.
    confirmed: 0,
    run_generation: 5,
  });
});
