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

/* Tests that the Python pipeline does not support, on real documents. Expected values are read in the documents. */

const ARCHIVE = join(import.meta.dirname, '../../test/fixtures/archive');

/** Returns the rows of each document of an object in a table. */
function rowsOf(object: string, table: ObservationTable = 'obs_web'): PlainRow[][] {
  const [path] = globSync(`**/${object}.n1.0.jsonl.gz`, { cwd: ARCHIVE });
  const lines = gunzipSync(readFileSync(join(ARCHIVE, path!))).toString().trimEnd().split('\n'); // biome-ignore format: one reading
  return lines.map((text, index) => {
    const encoder = new RowEncoder();
    const facts = { bucket: '2024-01-02', generation: 1, createdAt: 1, filter: EVERYTHING };
    const transformer = new Transformer({ ...facts, ipMetadata: openIpMetadata(undefined), encoder });
    const outcome = transformer.transform({ line: index + 1, bytes: Buffer.from(`${text}\n`) }, 'key');
    expect(outcome).toMatchObject({ status: 'transformed' });
    return takePlainRows(encoder)[table] ?? [];
  });
}

const pick = (rows: readonly PlainRow[], ...columns: string[]) => rows.map(row => columns.map(column => row[column]));

describe('rows of', () => {
  test('openvpn: one connect, as an object or in a list', () => {
    const endpoint = (object: string) => rowsOf(object).map(rows => pick(rows, 'ip', 'port', 'tcp_success'));
    expect(endpoint('2022091414_ES_openvpn')).toEqual([[['212.129.18.154', 443, 1]]]);
    expect(endpoint('2024040310_IT_openvpn')).toEqual([[['51.15.187.53', 1194, 1]]]);
  });

  test('riseupvpn: the request to its API', () => {
    const [rows] = rowsOf('2022022000_AF_riseupvpn');
    const failure = 'ssl_invalid_certificate';
    // The request has no address, so it has its own row.
    expect(pick(rows!, 'hostname', 'ip', 'port', 'dns_answer', 'tcp_success', 'tls_failure', 'http_failure')).toEqual([
      ['black.riseup.net', '198.252.153.107', 443, '198.252.153.107', 1, failure, undefined],
      ['black.riseup.net', undefined, undefined, undefined, undefined, undefined, failure],
    ]);
  });

  test('simplequicping: QUIC handshakes, in both versions of the format', () => {
    for (const [object, name] of [
      ['2022050908_IT_simplequicping', 'dns.google'],
      ['2022081707_IT_simplequicping', 'dns.google.com'],
    ] as const) {
      const [rows] = rowsOf(object);
      expect(rows).toHaveLength(10);
      expect(pick(rows!, 'ip', 'port', 'tls_server_name', 'tls_network', 'tls_version', 'tcp_success')[0]).toEqual([
        '8.8.8.8',
        443,
        name,
        'udp',
        'TLSv1.3',
        undefined,
      ]);
    }
  });

  test('tlsping and tcpping: each repetition', () => {
    const [tls] = rowsOf('2022050908_IT_tlsping');
    expect(
      pick(tls!, 'ip', 'port', 'tcp_success', 'tls_server_name', 'tls_network', 'tls_is_certificate_valid'),
    ).toEqual(Array.from({ length: 10 }, () => ['8.8.8.8', 443, 1, 'dns.google', 'tcp', 1]));
    const [tcp] = rowsOf('2022062213_IT_tcpping');
    expect(pick(tcp!, 'ip', 'port', 'tcp_success')).toEqual(Array.from({ length: 10 }, () => ['8.8.8.8', 443, 1]));
  });

  test('dnsping: each repetition, in both versions of the format', () => {
    for (const object of ['2022050912_IT_dnsping', '2022082506_IN_dnsping']) {
      const [rows] = rowsOf(object);
      expect(rows!.length).toBeGreaterThanOrEqual(20);
      expect(pick(rows!, 'hostname', 'dns_engine', 'dns_engine_resolver_address', 'dns_answer')[0]).toEqual([
        'example.com',
        'udp',
        '8.8.8.8:53',
        '93.184.216.34',
      ]);
    }
  });

  test('tlsmiddlebox: lookups and connects', () => {
    const [rows] = rowsOf('2022072208_IN_tlsmiddlebox');
    expect(pick(rows!, 'hostname', 'dns_answer', 'tcp_success', 'tcp_failure')).toEqual([
      ['example.com', '93.184.216.34', 1, undefined],
      ['example.com', '2606:2800:220:1:248:1893:25c8:1946', 0, 'network_unreachable'],
    ]);
  });

  test('sni_blocking: control and target; an early version has neither', () => {
    const [rows] = rowsOf('2020012815_IT_sniblocking');
    const handshakes = rows!.filter(row => row.tls_network === 'tcp');
    expect(pick(handshakes, 'target_id', 'ip', 'tls_failure')).toEqual([
      ['control', '37.218.245.90', undefined],
      ['target', '37.218.245.90', 'ssl_invalid_hostname'],
    ]);
    expect(rowsOf('2019100816_IT_sniblocking')).toEqual([[]]);
  });

  test('stun_reachability and portfiltering', () => {
    const [stun] = rowsOf('2020060116_IT_stunreachability');
    expect(pick(stun!, 'hostname', 'dns_engine', 'dns_answer')[0]).toEqual([
      'stun.l.google.com',
      'system',
      '108.177.15.127',
    ]);
    expect(pick(rowsOf('2022100317_IN_portfiltering')[0]!, 'ip', 'port', 'tcp_failure')).toEqual([
      ['127.0.0.1', 5000, 'connection_refused'],
    ]);
    expect(rowsOf('2022091414_IN_portfiltering')[0]).toHaveLength(63);
  });
});

describe('tunnels of', () => {
  const tunnels = (object: string, ...columns: string[]) =>
    rowsOf(object, 'obs_tunnel').map(rows => pick(rows, ...columns.map(column => `tunnel_${column}`)));

  test('psiphon', () => {
    const columns = ['protocol', 'success', 'failure', 'bootstrap_time', 'timeout', 'connected'];
    expect(tunnels('2019123015_IT_psiphon', ...columns)).toEqual([[['psiphon', 1, undefined, 5.597476747, 60, 1]]]);
    expect(rowsOf('2019123015_IT_psiphon')).toEqual([[]]);
  });

  test('torsf: with and without a bootstrap', () => {
    const columns = ['protocol', 'transport', 'success', 'failure', 'bootstrap_time', 'connected'];
    expect(tunnels('2021061810_IT_torsf', ...columns)).toEqual([[['tor', 'snowflake', 1, undefined, 41.677585167, 1]]]);
    expect(tunnels('2021071409_IT_torsf', ...columns)).toEqual([
      [['tor', 'snowflake', 0, 'generic_timeout_error', undefined, undefined]],
    ]);
  });

  test('vanilla_tor: of the Python probe and of the Go probe', () => {
    const columns = ['transport', 'success', 'failure', 'timeout', 'progress', 'progress_tag', 'connected'];
    expect(tunnels('2017100707_CN_vanillator', ...columns)).toEqual([
      [['vanilla', 0, 'timeout-reached', 300, 5, 'conn_dir', 0]],
    ]);
    expect(tunnels('2022080221_CN_vanillator', ...columns)).toEqual([
      [['vanilla', 0, 'generic_timeout_error', 200, 5, 'conn', 0]],
    ]);
    expect(tunnels('2022081211_US_vanillator', ...columns)).toEqual([[['vanilla', 1, undefined, 200, 100, 'done', 1]]]);
  });

  test('openvpn: of early and of later versions', () => {
    const columns = ['transport', 'provider', 'endpoint', 'success', 'bootstrap_time', 'connected'];
    expect(tunnels('2022091414_ES_openvpn', ...columns)).toEqual([
      [['tcp', 'tunnelbear', '212.129.18.154:443', 1, 1.46414319, 1]],
    ]);
    expect(tunnels('2022112117_RO_openvpn', ...columns)[0]).toMatchObject([
      ['tcp+obfs4', 'riseup', '198.252.153.109:443', 1, 1.5671859910000001, 1],
    ]);
    expect(tunnels('2024040310_IT_openvpn', ...columns)).toEqual([
      [['tcp', 'riseup', '51.15.187.53:1194', 1, 0.177719632, 1]],
    ]);
  });
});

describe('speed and latency of', () => {
  const speeds = (object: string, ...columns: string[]) =>
    rowsOf(object, 'obs_performance').map(rows => pick(rows, ...columns));

  test('ndt', () => {
    const columns = ['server_hostname', 'ndt_protocol', 'ndt_download', 'ndt_upload', 'ndt_min_rtt', 'ndt_mss'];
    expect(speeds('2020040810_IT_ndt', ...columns)).toEqual([
      [['ndt-iupui-mlab1-mil02.measurement-lab.org', 7, 86735.17865757788, 19788.436651446274, 23.172, 1460]],
    ]);
    // A rate of zero was measured.
    expect(speeds('2022111010_DE_ndt', 'server_site', 'ndt_retransmit_rate')).toEqual([[['prg02', 0]]]);
  });

  test('dash: zero delay was measured, and a failed test has no values', () => {
    const columns = ['performance_failure', 'dash_median_bitrate', 'dash_connect_latency', 'dash_min_playout_delay'];
    expect(speeds('2019040723_US_dash', ...columns)).toEqual([[[undefined, 66260, 0.020868063, 0]]]);
    expect(speeds('2019093021_US_dash', ...columns)).toEqual([[['json_parse_error', undefined, undefined, undefined]]]);
  });
});
