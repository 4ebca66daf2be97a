import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { EVERYTHING } from '../filter.ts';
import { openIpMetadata } from '../reference/ip-metadata.ts';
import { RowEncoder } from '../tables/encoder.ts';
import { type PlainRow, takePlainRows } from './plain-rows.ts';
import { Transformer } from './transformer.ts';

/* Tests that the Python pipeline does not support, on real documents. Expected values are read in the documents. */

const ARCHIVE = join(import.meta.dirname, '../../test/fixtures/archive');

/** Returns the rows of each document of an object. */
function rowsOf(object: string): PlainRow[][] {
  const [path] = globSync(`**/${object}.n1.0.jsonl.gz`, { cwd: ARCHIVE });
  const lines = gunzipSync(readFileSync(join(ARCHIVE, path!))).toString().trimEnd().split('\n'); // biome-ignore format: one reading
  return lines.map((text, index) => {
    const encoder = new RowEncoder();
    const facts = { bucket: '2024-01-02', generation: 1, createdAt: 1, filter: EVERYTHING };
    const transformer = new Transformer({ ...facts, ipMetadata: openIpMetadata(undefined), encoder });
    const outcome = transformer.transform({ line: index + 1, bytes: Buffer.from(`${text}\n`) }, 'key');
    expect(outcome).toMatchObject({ status: 'transformed' });
    return takePlainRows(encoder).obs_web ?? [];
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
