import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { EVERYTHING } from '../filter.ts';
import { openIpMetadata } from '../reference/ip-metadata.ts';
import { RowEncoder } from '../tables/encoder.ts';
import type { ObservationTable } from '../tables/schema.ts';
import { type PlainRow, takePlainRows } from './plain-rows.ts';
import { Transformer } from './transformer.ts';

/* Tests of the Python probe, and doh and ddr, on real documents. Expected values are read in the documents. */

const ARCHIVE = join(import.meta.dirname, '../../test/fixtures/archive');
type Json = Record<string, unknown>;

/** Returns the only document of an object. */
function documentOf(object: string): Json {
  const [path] = globSync(`**/${object}.n1.0.jsonl.gz`, { cwd: ARCHIVE });
  return JSON.parse(gunzipSync(readFileSync(join(ARCHIVE, path!))).toString()) as Json;
}

/** Returns the rows of a document with some members changed. Some examples of the specification have no start or no AS. */
function rowsOf(document: Json, change: Json = {}): Partial<Record<ObservationTable, PlainRow[]>> {
  const encoder = new RowEncoder();
  const facts = { bucket: '2018-12-31', generation: 1, createdAt: 1, filter: EVERYTHING };
  const transformer = new Transformer({ ...facts, ipMetadata: openIpMetadata(undefined), encoder });
  const bytes = Buffer.from(`${JSON.stringify({ ...document, ...change })}\n`);
  expect(transformer.transform({ line: 1, bytes }, 'key')).toMatchObject({ status: 'transformed' });
  return takePlainRows(encoder);
}

const pick = (rows: readonly PlainRow[] = [], ...columns: string[]) =>
  rows.map(row => columns.map(column => row[column]));
const STARTED = { measurement_start_time: '2015-11-25 21:40:03' };

describe('http_requests', () => {
  const columns = ['http_request_url', 'http_response_status_code', 'http_response_body_length'];
  const matches = ['probe_body_length_match', 'probe_headers_match', 'probe_body_proportion'];

  test('the request of the probe is a row, the response over Tor is its control', () => {
    const rows = rowsOf(documentOf('2015033023_CA_httprequests'));
    expect(pick(rows.obs_web, 'hostname', ...columns, ...matches)).toEqual([
      ['cryptbin.com', 'https://cryptbin.com', 200, 21618, 1, 1, 1],
    ]);
    expect(pick(rows.obs_web_ctrl, 'hostname', ...columns, 'http_response_title', 'http_success', 'ip')).toEqual([
      ['cryptbin.com', 'https://cryptbin.com', 200, 21618, 'Cryptbin | Encrypted Pastes', 1, ''],
    ]);
  });

  test('a redirect is not followed', () => {
    const { obs_web } = rowsOf(documentOf('2016070600_GB_httprequests'));
    expect(pick(obs_web, ...columns, 'http_response_header_location', ...matches)).toEqual([
      ['http://8thstreetlatinas.com', 302, 316, 'http://www.8thstreetlatinas.com/', 1, 1, 1],
    ]);
  });

  test('repeated requests that failed are rows, and failures of Tor are not a control', () => {
    const rows = rowsOf(documentOf('2015112210_CH_httprequests'), STARTED);
    expect(pick(rows.obs_web, 'hostname', 'http_failure', ...matches)).toEqual(
      Array.from({ length: 3 }, () => ['googleusercontent.com', 'dns_lookup_error', undefined, undefined, undefined]),
    );
    expect(rows.obs_web_ctrl).toBeUndefined();
  });
});

test('http_host: the tested host is that of the input, not the helper that echoes', () => {
  const document = documentOf('2015112521_IT_httphost');
  const columns = ['hostname', 'http_request_url', 'http_response_status_code', 'http_request_method'];
  const requests = (host: string) => [
    [host, 'http://216.156.197.144:80', 200, 'GET'],
    [host, 'http://216.156.197.144:80', 200, '\nGET'],
  ];
  expect(pick(rowsOf(document, STARTED).obs_web, ...columns)).toEqual(requests(''));
  for (const input of ['torproject.org', 'http://TorProject.org/download']) {
    expect(pick(rowsOf(document, { ...STARTED, input }).obs_web, ...columns)).toEqual(requests('torproject.org'));
  }
  // A page of the helper is not a page of this address.
  expect(pick(rowsOf(document, { ...STARTED, input: '192.0.2.1' }).obs_web, ...columns)).toEqual(requests(''));
});

describe('dns_consistency', () => {
  const columns = [
    'target_id',
    'dns_engine_resolver_address',
    'dns_query_type',
    'hostname',
    'dns_answer',
    'dns_failure',
  ];

  test('each answer of each resolver is a row, with those of the control resolver apart', () => {
    const { obs_web, obs_web_ctrl } = rowsOf(documentOf('2018123118_ZZ_dnsconsistency'));
    const control = '37.218.247.110:57004';
    const [site, reverse] = ['tainiesonline.tv', '23.217.82.185.in-addr.arpa'];
    const forged = (resolver: string) => [
      ['target', resolver, 'A', site, '83.235.64.18', undefined],
      ['target', resolver, 'PTR', '18.64.235.83.in-addr.arpa', 'edppi.otenet.gr', undefined],
    ];
    const real = (resolver: string) => ['target', resolver, 'A', site, '185.82.217.23', undefined];
    expect(pick(obs_web, ...columns)).toEqual([
      ['control', control, 'A', site, '185.82.217.23', undefined],
      ['control', control, 'PTR', reverse, 'hey.hey.hey', undefined],
      ['control', control, 'PTR', reverse, 'hey.hey.hey', undefined],
      ...forged('195.170.0.1:53'),
      real('195.170.0.2:53'),
      real('195.170.2.1:53'),
      ...forged('195.170.2.2:53'),
      real('8.8.8.8:53'),
      ['target', '83.212.2.77:53', 'A', site, undefined, 'deferred_timeout_error'],
    ]);
    // People choose the control resolver, also one behind the network that forges answers.
    expect(obs_web_ctrl).toBeUndefined();
  });

  test('a query with two answers is two rows', () => {
    const { obs_web } = rowsOf(documentOf('2017122022_BE_dnsconsistency'));
    expect(pick(obs_web, 'target_id', 'dns_query_type', 'dns_answer')).toEqual([
      ['control', 'A', '216.58.211.110'],
      ['control', 'PTR', 'ams15s32-in-f14.1e100.net'],
      ['control', 'PTR', 'ams15s32-in-f14.1e100.net'],
      ['target', 'A', '216.58.212.238'],
      ['target', 'PTR', 'ams16s22-in-f14.1e100.net'],
      ['target', 'PTR', 'ams16s22-in-f238.1e100.net'],
    ]);
  });
});

describe('tcp_connect', () => {
  const columns = ['hostname', 'ip', 'port', 'tcp_success', 'tcp_failure'];
  const connect = (input: string, connection: unknown = 'success') =>
    pick(rowsOf(documentOf('2018020809_US_tcpconnect'), { input, test_keys: { connection } }).obs_web, ...columns);

  test('the connect to a name has no address', () => {
    const [name] = pick(rowsOf(documentOf('2018020809_US_tcpconnect')).obs_web, ...columns);
    expect(name).toEqual(['www.kernel.org', undefined, undefined, 1, undefined]);
    const [endpoint] = pick(rowsOf(documentOf('2015122520_US_tcpconnect'), STARTED).obs_web, ...columns);
    expect(endpoint).toEqual(['github.com', undefined, 443, 1, undefined]);
  });

  test.each([
    ['8.8.8.8:53', [undefined, '8.8.8.8', 53]],
    ['http://www.Google.com', ['www.google.com', undefined, 80]],
    ['https://www.google.com/search?q=1', ['www.google.com', undefined, 443]],
    ['https://www.google.com:8443/', ['www.google.com', undefined, 8443]],
    ['obfs4 192.0.2.1:443 AF9F66B7B04F8FF6F32D455F05135250A16543C9', [undefined, '192.0.2.1', 443]],
    ['Bridge obfs3 192.0.2.1:31493', [undefined, '192.0.2.1', 31493]],
  ])('the input %s', (input, endpoint) => {
    expect(connect(input)).toEqual([[...endpoint, 1, undefined]]);
  });

  test('a failure, and a test that did not end', () => {
    expect(connect('8.8.8.8:53', 'tcp_timed_out_error')).toEqual([
      [undefined, '8.8.8.8', 53, 0, 'tcp_timed_out_error'],
    ]);
    expect(connect('8.8.8.8:53', null)).toEqual([]);
  });
});

describe('meek_fronted_requests_test', () => {
  const tunnel = ['protocol', 'transport', 'endpoint', 'success', 'connected'].map(name => `tunnel_${name}`);
  const request = ['hostname', 'http_response_status_code', 'http_response_header_server'];

  test('a front that refuses', () => {
    const { obs_web, obs_tunnel } = rowsOf(documentOf('2021012202_US_meekfrontedrequeststest'));
    expect(pick(obs_web, ...request)).toEqual([['a0.awsstatic.com', 403, 'CloudFront']]);
    expect(pick(obs_tunnel, ...tunnel)).toEqual([
      ['tor', 'meek', 'a0.awsstatic.com:d2cly7j4zqgua7.cloudfront.net', 0, 1],
    ]);
  });

  test('headers as lists of values, of which one is empty, and no exit of Tor', () => {
    const document = documentOf('2015082812_ZZ_meekfrontedrequeststest');
    const { obs_web, obs_tunnel } = rowsOf(document, { probe_asn: 'AS0', probe_cc: 'ZZ' });
    expect(pick(obs_web, ...request)).toEqual([['ajax.aspnetcdn.com', 200, undefined]]);
    expect(pick(obs_tunnel, ...tunnel)).toEqual([['tor', 'meek', 'ajax.aspnetcdn.com:az668014.vo.msecnd.net', 1, 1]]);
  });
});

describe('bridge_reachability', () => {
  const columns = ['transport', 'endpoint', 'success', 'failure', 'timeout', 'progress', 'connected'];
  const tunnel = (change: Json = {}) => {
    const document = documentOf('2018082714_IT_bridgereachability');
    const keys = { ...(document.test_keys as Json), ...change };
    return pick(rowsOf(document, { test_keys: keys }).obs_tunnel, ...columns.map(name => `tunnel_${name}`));
  };

  test('a bridge that people mistyped', () => {
    expect(tunnel()).toEqual([['vanilla', '\\cb3', 0, 'timeout-reached', 120, 0, 0]]);
  });

  test('an attempt at a bridge without address and hash is not compared with others', () => {
    const done = { bridge_address: null, tor_progress: 100, error: null, success: true };
    expect(tunnel({ bridge_address: null })[0]).toEqual(['vanilla', '', undefined, 'timeout-reached', 120, 0, 0]);
    expect(tunnel(done)[0]).toEqual(['vanilla', '', 1, undefined, 120, 100, 1]);
    const hashed = { bridge_address: null, bridge_hashed_fingerprint: 'AF9F66', transport_name: 'obfs3' };
    expect(tunnel(hashed)[0]).toEqual(['obfs3', 'AF9F66', 0, 'timeout-reached', 120, 0, 0]);
  });

  test('a bridge that was not tried, because a program is missing', () => {
    const missing = {
      success: null,
      error: 'missing-obfsproxy',
      bridge_address: '192.0.2.1:443',
      transport_name: 'obfs3',
    };
    expect(tunnel(missing)[0]).toEqual(['obfs3', '192.0.2.1:443', undefined, 'missing-obfsproxy', 120, 0, 0]);
  });
});

test('openvpn_client_test: the tunnel of an unknown server', () => {
  const { obs_tunnel } = rowsOf(documentOf('2016121119_RU_openvpnclienttest'));
  const columns = ['protocol', 'transport', 'endpoint', 'success', 'failure', 'connected'].map(
    name => `tunnel_${name}`,
  );
  expect(pick(obs_tunnel, ...columns)).toEqual([
    ['openvpn', '', '', 1, 'unknown_failure openvpn_exited_unexpectedly', undefined],
  ]);
});

describe('lookups of', () => {
  const columns = [
    'hostname',
    'dns_engine',
    'dns_engine_resolver_address',
    'dns_query_type',
    'dns_answer',
    'dns_failure',
  ];

  test('doh', () => {
    const document = documentOf('2019100812_IT_doh');
    const url = 'https://mozilla.cloudflare-dns.com/dns-query';
    expect(pick(rowsOf(document).obs_web, ...columns)).toEqual([
      ['www.google.com', 'doh', url, 'A', '216.58.205.132', undefined],
      ['www.google.com', 'doh', url, 'AAAA', '2a00:1450:4002:808::2004', undefined],
    ]);
    const test_keys = { failure: 'connection_reset', url, 'x-addresses': null };
    expect(pick(rowsOf(document, { test_keys }).obs_web, ...columns)).toEqual([
      ['www.google.com', 'doh', url, undefined, undefined, 'connection_reset'],
    ]);
  });

  test('ddr', () => {
    const document = documentOf('2025012110_DE_ddr');
    const row = ['_dns.resolver.arpa', 'udp', '192.168.10.1:53', 'SVCB'];
    expect(pick(rowsOf(document).obs_web, ...columns)).toEqual([
      [...row, 'dns.quad9.net.', undefined],
      [...row, 'dns.quad9.net.', undefined],
    ]);
    const test_keys = {
      ddr_responses: null,
      supports_ddr: false,
      resolver: '192.168.10.1:53',
      failure: 'dns_no_answer',
    };
    expect(pick(rowsOf(document, { test_keys }).obs_web, ...columns)).toEqual([[...row, undefined, 'dns_no_answer']]);
  });
});
