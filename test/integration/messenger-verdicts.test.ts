import { beforeAll, expect, inject, test } from 'vitest';
import { EVERYTHING } from '../../pipeline/filter.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { analyseDay } from '../support/analyse-day.ts';
import { makeDatabase, recordCompleteRun, silent } from '../support/database.ts';

/*
 * The verdict of each service of a messenger. Rows are as the observation stage makes them; what is right follows from OONI's test specifications
 * ts-018 (WhatsApp), ts-019 (Facebook Messenger), ts-020 (Telegram) and ts-029 (Signal).
 */
type Row = Record<string, unknown>;
const DAY = '2024-03-05';
const META = { ip: '157.240.20.35', ip_asn: 32934 };
const TIMEOUT = 'generic_timeout_error';

const lookup = { dns_engine: 'getaddrinfo', dns_query_type: 'A' };
const answered = (ip: string, more: Row = {}): Row => ({ ...lookup, ip, dns_answer: ip, ...more });
const failed = (dns_failure: string): Row => ({ ...lookup, dns_failure });
const connected = { port: 443, tcp_success: 1 };
const refused = { port: 443, tcp_success: 0, tcp_failure: 'connection_refused' };
const timedOut = { port: 443, tcp_success: 0, tcp_failure: TIMEOUT };

const whatsapp = (host: string, row: Row): Row => ({
  hostname: host,
  target_id: host.startsWith('e') ? 'whatsapp/endpoints' : host === 'v.whatsapp.net' ? 'whatsapp/registration' : 'whatsapp/web', // biome-ignore format: one choice
  ...row,
});
const site = (host: string) => ({ ...connected, tls_is_certificate_valid: 1, http_request_url: `https://${host}/`, http_response_status_code: 200 }); // biome-ignore format: a row
const SITES = ['v.whatsapp.net', 'web.whatsapp.com'].map(host => whatsapp(host, answered(META.ip, { ...META, ...site(host) }))); // biome-ignore format: rows
const ENDPOINTS = ['e1.whatsapp.net', 'e2.whatsapp.net', 'e3.whatsapp.net'];

const centre = (last: number, row: Row): Row => ({ ip: `149.154.167.${last}`, port: 80, target_id: 'telegram/dc_pool', http_request_url: `http://149.154.167.${last}/`, ...row }); // biome-ignore format: a row
const alive = { tcp_success: 1, http_response_status_code: 501 };
const telegramWeb = (row: Row): Row => ({ hostname: 'web.telegram.org', target_id: 'telegram/web', ...row });
const WEB = telegramWeb(answered('149.154.167.99', site('web.telegram.org')));

const facebook = (name: string, host: string, row: Row): Row => ({ hostname: host, target_id: `facebook_messenger/${name}`, ...row }); // biome-ignore format: a row
const signal = (name: string, host: string, row: Row): Row => ({ hostname: host, target_id: `signal/${name}`, ...row });
const CHAT = signal('chat', 'chat.signal.org', answered('76.223.92.165', site('chat.signal.org')));

interface Case {
  readonly name: string;
  readonly test: 'whatsapp' | 'telegram' | 'signal' | 'facebook_messenger';
  readonly web: readonly Row[];
  /** Each target with its outcome and layer, in text order. */
  readonly targets: readonly (readonly [target: string, outcome: string, layer: string])[];
  readonly outcome: string;
}

const CASES: readonly Case[] = [
  { name: 'WhatsApp works', test: 'whatsapp', web: [...ENDPOINTS.map(host => whatsapp(host, answered(META.ip, { ...META, ...connected }))), ...SITES], targets: [['whatsapp/endpoints', 'ok', ''], ['whatsapp/registration', 'ok', ''], ['whatsapp/web', 'ok', '']], outcome: 'ok' },
  { name: 'WhatsApp: one endpoint is enough', test: 'whatsapp', web: [whatsapp(ENDPOINTS[0]!, answered(META.ip, { ...META, ...connected })), whatsapp(ENDPOINTS[1]!, answered('157.240.20.36', { ip_asn: 32934, ...refused })), whatsapp(ENDPOINTS[2]!, failed('dns_nxdomain_error')), ...SITES], targets: [['whatsapp/endpoints', 'ok', ''], ['whatsapp/registration', 'ok', ''], ['whatsapp/web', 'ok', '']], outcome: 'ok' },
  { name: 'WhatsApp: every endpoint fails', test: 'whatsapp', web: [...ENDPOINTS.map(host => whatsapp(host, answered(META.ip, { ...META, ...timedOut }))), ...SITES], targets: [['whatsapp/endpoints', 'blocked', 'tcp'], ['whatsapp/registration', 'ok', ''], ['whatsapp/web', 'ok', '']], outcome: 'blocked' },
  { name: 'WhatsApp: connects to a network that is not Meta’s show nothing', test: 'whatsapp', web: [...ENDPOINTS.map(host => whatsapp(host, answered('130.192.182.17', { ip_asn: 137, ...connected }))), ...SITES], targets: [['whatsapp/endpoints', 'unknown', ''], ['whatsapp/registration', 'ok', ''], ['whatsapp/web', 'ok', '']], outcome: 'unknown' },
  { name: 'WhatsApp: bogons for every host', test: 'whatsapp', web: [...ENDPOINTS, 'v.whatsapp.net', 'web.whatsapp.com'].map(host => whatsapp(host, answered('0.0.0.0', { ip_is_bogon: 1, ...refused }))), targets: [['whatsapp/endpoints', 'blocked', 'dns'], ['whatsapp/registration', 'blocked', 'dns'], ['whatsapp/web', 'blocked', 'dns']], outcome: 'blocked' },
  { name: 'WhatsApp: the request in the clear to the site fails, and the one over TLS does not', test: 'whatsapp', web: [...SITES, whatsapp('web.whatsapp.com', { ...META, port: 80, tcp_success: 1, http_request_url: 'http://web.whatsapp.com/', http_failure: 'connection_reset' })], targets: [['whatsapp/registration', 'ok', ''], ['whatsapp/web', 'ok', '']], outcome: 'ok' },
  { name: 'WhatsApp: the site connects on port 80 alone', test: 'whatsapp', web: [SITES[0]!, whatsapp('web.whatsapp.com', answered(META.ip, { ...META, ...timedOut })), whatsapp('web.whatsapp.com', { ...META, port: 80, tcp_success: 1, http_request_url: 'http://web.whatsapp.com/', http_response_status_code: 301 })], targets: [['whatsapp/registration', 'ok', ''], ['whatsapp/web', 'blocked', 'tcp']], outcome: 'blocked' },

  { name: 'Telegram works, with one address that does not', test: 'telegram', web: [centre(51, alive), centre(91, { tcp_success: 0, tcp_failure: TIMEOUT }), WEB], targets: [['telegram/dc_pool', 'ok', ''], ['telegram/web', 'ok', '']], outcome: 'ok' },
  { name: 'Telegram: no address connects', test: 'telegram', web: [centre(51, { tcp_success: 0, tcp_failure: TIMEOUT }), centre(91, { tcp_success: 0, tcp_failure: TIMEOUT }), WEB], targets: [['telegram/dc_pool', 'blocked', 'tcp'], ['telegram/web', 'ok', '']], outcome: 'blocked' },
  { name: 'Telegram: no address responds', test: 'telegram', web: [centre(51, { tcp_success: 1, http_failure: 'eof_error' }), centre(91, { tcp_success: 1, http_failure: TIMEOUT }), WEB], targets: [['telegram/dc_pool', 'blocked', 'http'], ['telegram/web', 'ok', '']], outcome: 'blocked' },
  { name: 'Telegram: the site is reset', test: 'telegram', web: [centre(51, alive), telegramWeb(answered('149.154.167.99', { ...connected, tls_failure: 'connection_reset', http_request_url: 'https://web.telegram.org/', http_failure: 'connection_reset' }))], targets: [['telegram/dc_pool', 'ok', ''], ['telegram/web', 'blocked', 'tls']], outcome: 'blocked' },
  { name: 'Telegram: nothing shows that the probe has a network', test: 'telegram', web: [centre(51, { tcp_success: 0, tcp_failure: 'network_unreachable' }), telegramWeb(failed('android_dns_cache_no_data'))], targets: [['telegram/dc_pool', 'unknown', ''], ['telegram/web', 'unknown', '']], outcome: 'unknown' },

  { name: 'Facebook Messenger works; its STUN server is only looked up', test: 'facebook_messenger', web: [facebook('edge', 'edge-mqtt.facebook.com', answered(META.ip, { ...META, ...connected })), facebook('stun', 'stun.fbsbx.com', answered(META.ip, META))], targets: [['facebook_messenger/edge', 'ok', ''], ['facebook_messenger/stun', 'unknown', '']], outcome: 'ok' },
  { name: 'Facebook Messenger: one host has no address', test: 'facebook_messenger', web: [facebook('edge', 'edge-mqtt.facebook.com', failed('dns_nxdomain_error')), facebook('star', 'star.c10r.facebook.com', answered(META.ip, { ...META, ...connected }))], targets: [['facebook_messenger/edge', 'blocked', 'dns'], ['facebook_messenger/star', 'ok', '']], outcome: 'blocked' },
  { name: 'Facebook Messenger: without IP metadata', test: 'facebook_messenger', web: [facebook('edge', 'edge-mqtt.facebook.com', answered('157.240.20.35', connected))], targets: [['facebook_messenger/edge', 'unknown', '']], outcome: 'unknown' },

  { name: 'Signal works; the name of its status has an address of the loopback network', test: 'signal', web: [CHAT, signal('uptime', 'uptime.signal.org', answered('127.0.0.1', { ip_is_bogon: 1 }))], targets: [['signal/chat', 'ok', ''], ['signal/uptime', 'unknown', '']], outcome: 'ok' },
  { name: 'Signal: a false certificate', test: 'signal', web: [CHAT, signal('storage', 'storage.signal.org', answered('142.250.180.83', { ...connected, tls_is_certificate_valid: 0, tls_failure: 'ssl_unknown_authority' }))], targets: [['signal/chat', 'ok', ''], ['signal/storage', 'blocked', 'tls']], outcome: 'blocked' },
  { name: 'Signal: a test that does not know the certificates', test: 'signal', web: [{ ...CHAT, test_version: '0.2.0' }, signal('sfu', 'sfu.voip.signal.org', answered('34.110.246.208', { ...connected, test_version: '0.2.0', tls_failure: 'ssl_unknown_authority' }))], targets: [['signal/chat', 'ok', ''], ['signal/sfu', 'unknown', '']], outcome: 'unknown' },
  { name: 'Signal: a name that is no longer in use', test: 'signal', web: [CHAT, signal('directory', 'api.directory.signal.org', failed('dns_nxdomain_error'))], targets: [['signal/chat', 'ok', ''], ['signal/directory', 'unknown', '']], outcome: 'unknown' },
  { name: 'Signal: one of three hosts of a service fails', test: 'signal', web: [signal('cdn', 'cdn.signal.org', answered('108.139.1.32', site('cdn.signal.org'))), signal('cdn', 'cdn2.signal.org', answered('104.18.2.43', timedOut))], targets: [['signal/cdn', 'blocked', 'tcp']], outcome: 'blocked' },
]; // biome-ignore format: a table

let clickhouse: ClickHouse;

const uidOf = (index: number) => `20240305120000.000000_IT_messenger_${index}`;

function rowsOf({ test: name, web }: Pick<Case, 'test' | 'web'>, uid: string, more: Row = {}): Row[] {
  return web.map((row, index) => ({
    measurement_uid: uid,
    report_id: uid,
    measurement_start_time: `${DAY} 00:00:00.000`,
    test_name: name,
    test_version: '1.0.0',
    bucket_date: DAY,
    run_generation: 1,
    probe_cc: 'IT',
    probe_asn: 137,
    observation_idx: index + 1,
    ...row,
    ...more,
  }));
}

async function judge(generation: number, version: 2 | 3, day = DAY): Promise<void> {
  const options = { day, filter: EVERYTHING, selection: { of: 'day' }, rulesVersion: version } as const;
  await analyseDay(clickhouse, { ...options, generation }, silent);
}

async function verdict(uid: string): Promise<Row> {
  const [row] = await clickhouse.select<Row>(
    `SELECT outcome, hosts, blamed_host, arrayZip(targets, target_outcomes, target_layers) AS found FROM measurement_verdicts WHERE measurement_uid = '${uid}'`,
  );
  return row!;
}

/** All cases share a day. Every endpoint works in one of them, so none is down. */
beforeAll(async () => {
  ({ clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'messengers'));
  await clickhouse.insert(
    'obs_web',
    CASES.flatMap((each, index) => rowsOf(each, uidOf(index))),
  );
  await judge(1_003, 3);
});

test.each(CASES.map((each, index) => ({ ...each, uid: uidOf(index) })))('$name', async ({ uid, targets, outcome }) => {
  expect(await verdict(uid)).toMatchObject({ found: targets, outcome });
});

test('redundant endpoints are one host', async () => {
  const [index] = [CASES.findIndex(({ name }) => name === 'Telegram: no address connects')];
  expect(await verdict(uidOf(index!))).toMatchObject({
    hosts: ['telegram/dc_pool', 'web.telegram.org'],
    blamed_host: 'telegram/dc_pool',
  });
});

test('the view counts each service', async () => {
  const rows = await clickhouse.select<Row>(
    "SELECT target, measurements, blocked_measurements AS blocked, ok_measurements AS ok FROM blocking_by_target WHERE target LIKE 'telegram/%' ORDER BY target",
  );
  expect(rows).toEqual([
    { target: 'telegram/dc_pool', measurements: 5, blocked: 2, ok: 2 },
    { target: 'telegram/web', measurements: 5, blocked: 1, ok: 3 },
  ]);
});

test('an endpoint that probes of three countries do not reach is down', async () => {
  const day = '2024-03-06';
  const at = (probe_cc: string) => ({ measurement_start_time: `${day} 00:00:00.000`, probe_cc });
  const web = [facebook('edge', 'edge-mqtt.facebook.com', failed('dns_servfail_error'))];
  const insert = (...countries: string[]) =>
    clickhouse.insert(
      'obs_web',
      countries.flatMap(cc =>
        rowsOf({ test: 'facebook_messenger', web }, `20240306120000.000000_${cc}_outage`, at(cc)),
      ),
    );
  await recordCompleteRun(clickhouse, { bucket: DAY, generation: 1 });
  await insert('IT', 'DE');
  await judge(2_003, 3, day);
  // Two countries may both block.
  expect(await verdict('20240306120000.000000_IT_outage')).toMatchObject({ outcome: 'blocked' });
  await insert('US');
  await judge(2_004, 3, day);
  expect(await verdict('20240306120000.000000_IT_outage')).toMatchObject({
    outcome: 'down',
    found: [['facebook_messenger/edge', 'down', 'dns']],
  });
});

test('three countries that a filter selects may all block an endpoint, so it is not down', async () => {
  const day = '2024-03-08';
  const countries = ['CN', 'IR', 'RU'];
  const web = [signal('chat', 'chat.signal.org', answered('76.223.92.165', timedOut))];
  const rows = (bucket: string, generation: number) =>
    countries.flatMap(cc =>
      rowsOf({ test: 'signal', web }, `20240308120000.000000_${cc}_filter`, {
        measurement_start_time: `${day} 00:00:00.000`,
        probe_cc: cc,
        bucket_date: bucket,
        run_generation: generation,
      }),
    );
  await clickhouse.insert('obs_web', rows(day, 5_000));
  await recordCompleteRun(clickhouse, { bucket: day, generation: 5_000, probe_cc: countries });
  await judge(5_001, 3, day);
  expect(await verdict('20240308120000.000000_CN_filter')).toMatchObject({
    outcome: 'unknown',
    found: [['signal/chat', 'unknown', '']],
  });
  // A run over all countries finds no other country either.
  await clickhouse.insert('obs_web', rows(day, 5_002));
  await recordCompleteRun(clickhouse, { bucket: day, generation: 5_002 });
  await judge(5_003, 3, day);
  expect(await verdict('20240308120000.000000_CN_filter')).toMatchObject({
    outcome: 'down',
    found: [['signal/chat', 'down', 'tcp']],
  });
});

test('a late measurement changes the verdicts of the same service on its day', async () => {
  const day = '2024-03-07';
  const uid = (cc: string) => `20240307120000.000000_${cc}_late`;
  const web = [signal('chat', 'chat.signal.org', answered('76.223.92.165', timedOut))];
  const rows = (cc: string, more: Row = {}) =>
    rowsOf({ test: 'signal', web }, uid(cc), {
      measurement_start_time: `${day} 00:00:00.000`,
      probe_cc: cc,
      ip: `192.0.2.${cc.charCodeAt(0)}`,
      ...more,
    });
  await clickhouse.insert('obs_web', [...rows('IT'), ...rows('DE')]);
  await judge(4_003, 3, day);
  const late = { bucket: '2024-03-28', generation: 4_004 };
  await clickhouse.insert('obs_web', rows('US', { bucket_date: late.bucket, run_generation: late.generation }));
  await recordCompleteRun(clickhouse, { bucket: DAY, generation: 1 });
  await recordCompleteRun(clickhouse, late);
  const selection = { of: 'evidence', ...late, filtered: false } as const;
  await analyseDay(clickhouse, { day, filter: EVERYTHING, selection, rulesVersion: 3, generation: 4_005 }, silent);
  const words = await clickhouse.select<Row>(
    "SELECT outcome FROM measurement_verdicts WHERE measurement_uid LIKE '20240307%_late' ORDER BY measurement_uid",
  );
  expect(words).toEqual([{ outcome: 'down' }, { outcome: 'down' }, { outcome: 'down' }]);
});

test('version 2 has no targets', async () => {
  await judge(3_002, 2);
  expect(await verdict(uidOf(0))).toMatchObject({ found: [] });
});
