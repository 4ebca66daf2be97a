import { createHash } from 'node:crypto';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../test/support/archive.ts';
import type { RawDocument } from '../archive/document.ts';
import { EVERYTHING, type Filter } from '../filter.ts';
import { type IpMetadata, openIpMetadata } from '../reference/ip-metadata.ts';
import { RowEncoder } from '../tables/encoder.ts';
import { takePlainRows } from './plain-rows.ts';
import { Transformer } from './transformer.ts';

/** Expected values are derived by hand from observations.md. test/fidelity compares the collection of real measurements. */

const START = '2024-01-02 03:04:05';
const UID = '20240102030405.123456_IT_signal_0123456789abcdef';

function measurement(testName: string, testKeys: object, more: object = {}): object {
  return {
    input: 'https://www.example.com/',
    report_id: 'r',
    measurement_start_time: START,
    test_start_time: START,
    probe_asn: 'AS137',
    probe_cc: 'IT',
    test_name: testName,
    test_version: '0.1',
    test_runtime: 1.5,
    software_name: 's',
    software_version: '1',
    measurement_uid: UID,
    test_keys: testKeys,
    ...more,
  };
}

function transformer(encoder = new RowEncoder(), filter: Filter = EVERYTHING, ipMetadata = openIpMetadata(undefined)) {
  return new Transformer({ bucket: '2024-01-02', generation: 1, createdAt: 1, filter, ipMetadata, encoder });
}

function run(document: object | string, filter?: Filter, ipMetadata?: IpMetadata) {
  const encoder = new RowEncoder();
  const bytes = Buffer.from(typeof document === 'string' ? document : JSON.stringify(document));
  const outcome = transformer(encoder, filter, ipMetadata).transform({ line: 1, bytes }, 'key');
  return { outcome, tables: takePlainRows(encoder) };
}

const webRows = (testName: string, testKeys: object, more?: object) => {
  const { outcome, tables } = run(measurement(testName, testKeys, more));
  expect(outcome.error).toBeUndefined();
  return tables.obs_web ?? [];
};

/** Returns the named columns of each row. */
const pick = (rows: readonly object[], ...columns: string[]) =>
  rows.map(row => columns.map(column => (row as Record<string, unknown>)[column]));

const dns = (answers: object[], more: object = {}) => ({
  hostname: 'www.example.com',
  query_type: 'A',
  answers,
  ...more,
});
const a = (ipv4: string) => ({ answer_type: 'A', ipv4 });
const tcp = (ip: string, port: number, more: object = {}) => ({ ip, port, status: { success: true }, ...more });

describe('outcomes (archive.md section 9)', () => {
  it.each([
    ['a test without transformer', measurement('shadowsocks', { x: 1 }), 'unsupported'],
    ['no test keys', { ...measurement('signal', {}), test_keys: undefined }, 'skipped'],
    ['empty test keys', measurement('signal', {}), 'skipped'],
    ['test keys that are null', measurement('signal', null as never), 'skipped'],
    ['a measurement', measurement('signal', { queries: [] }), 'transformed'],
  ])('%s', (_what, document, status) => {
    const { outcome, tables } = run(document);
    expect(outcome).toMatchObject({ status, uid: UID });
    expect(tables).toEqual({});
  });

  it('a country outside the filter is skipped, before any other check', () => {
    const filter = { probeCC: ['US'], testNames: [] };
    expect(run({ probe_cc: 'IT', measurement_uid: UID }, filter).outcome.status).toBe('skipped');
    expect(run(measurement('signal', { queries: [dns([])] }, { probe_cc: 'US' }), filter).outcome.status).toBe(
      'transformed',
    );
  });

  it.each([
    ['{"a": ', 'decode', 'InvalidJSON', /not JSON/],
    ['[]', 'decode', 'InvalidJSON', /not a JSON object/],
    [
      measurement('signal', { queries: [{}] }),
      'decode',
      'MissingField',
      /^test_keys\.queries\[0\]\.hostname is missing$/,
    ],
    [measurement('signal', { queries: 5 }), 'decode', 'InvalidField', /^test_keys\.queries must be a list, is 5$/],
    [measurement('signal', { queries: [] }, { measurement_start_time: 'now' }), 'transform', 'InvalidTime', /"now"/],
    [measurement('signal', { queries: [] }, { probe_asn: 'ASx' }), 'transform', 'InvalidASN', /probe_asn/],
    [
      measurement('signal', { queries: [] }, { probe_asn: 'AS5000000000' }),
      'encode',
      'EncodeError',
      /probe_asn cannot hold 5000000000/,
    ],
    [measurement('signal', { requests: [{ request: { url: 'http://[x' } }] }), 'transform', 'InvalidURL', /bracket/],
    [measurement('signal', { requests: [{ request: {}, address: 'a:b' }] }), 'transform', 'InvalidAddress', /a:b/],
    [
      measurement('signal', { requests: [{ request: { headers_list: [['a', null]] } }] }),
      'transform',
      'InvalidHeaders',
      /pair/,
    ],
    [
      measurement('signal', { requests: [{ request: {}, response: { body: { format: 'base64', data: 'a' } } }] }),
      'transform',
      'InvalidBase64',
      /base64/,
    ],
  ])('%j fails with the expected stage and class', (document, stage, kind, message) => {
    const { outcome, tables } = run(document);
    expect(outcome).toMatchObject({
      status: 'failed',
      error: { stage, class: kind, message: expect.stringMatching(message) },
    });
    expect(tables).toEqual({});
  });

  it('a measurement that fails at its last row leaves no rows', () => {
    const queries = [dns([a('1.2.3.4')]), dns([a('1.2.3.5')])];
    const { outcome, tables } = run(measurement('signal', { queries, tcp_connect: [tcp('9.9.9.9', 2 ** 31)] }));
    expect(outcome.error).toMatchObject({ stage: 'encode', message: 'port cannot hold 2147483648' });
    expect(tables).toEqual({});
  });

  it('the message is short', () => {
    const { outcome } = run(measurement('signal', { queries: [] }, { measurement_start_time: 'x'.repeat(5000) }));
    expect(outcome.error!.message.length).toBeLessThanOrEqual(160);
  });

  it('the uid comes from the container, otherwise from the document, otherwise it is the trivial id', () => {
    const transform = (document: RawDocument) => transformer().transform(document, 'k');
    const bytes = (document: object) => Buffer.from(JSON.stringify(document));
    const own = bytes(measurement('ndt', { x: 1 }));
    expect(transform({ line: 1, bytes: own, uid: 'container' }).uid).toBe('container');
    expect(transform({ line: 1, bytes: own }).uid).toBe(UID);
    const none = bytes(measurement('ndt', { x: 1 }, { measurement_uid: null }));
    const hash = createHash('shake128', { outputLength: 15 }).update(none).update('\n').digest('hex');
    expect(transform({ line: 1, bytes: none }).uid).toBe(`0120240102${hash}`);
    expect(transform({ line: 1, bytes: none, unterminated: true }).uid).not.toBe(`0120240102${hash}`);
  });

  it('the error of the reader is passed on', () => {
    const error = { class: 'DocumentTooLong', message: 'long', skipped: false } as const;
    const outcome = transformer().transform({ line: 1, bytes: Buffer.alloc(0), error }, 'k');
    expect(outcome).toMatchObject({ status: 'failed', error: { stage: 'read', class: 'DocumentTooLong' } });
  });

  it('nesting that would overflow the stack is a failure', () => {
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    const text = JSON.stringify(measurement('signal', { queries: [] })).replace(
      '"queries":[]',
      `"queries":[],"x":${deep}`,
    );
    expect(run(text).outcome.status).toBe('transformed');
    expect(run(text.replace('"report_id":"r"', `"report_id":${deep}`)).outcome).toMatchObject({
      status: 'failed',
      error: { class: 'TooDeep' },
    });
  });

  it('a uid of up to 200 characters from the container is accepted', () => {
    const bytes = Buffer.from(JSON.stringify(measurement('signal', { queries: [] })));
    const outcomeOf = (uid: string) => transformer().transform({ line: 1, bytes, uid }, 'k');
    expect(outcomeOf('u'.repeat(200))).toMatchObject({ status: 'transformed', uid: 'u'.repeat(200) });
    expect(outcomeOf('u'.repeat(201))).toMatchObject({
      status: 'failed',
      uid: 'u'.repeat(200),
      error: { stage: 'decode', class: 'InvalidField', message: 'measurement_uid has 201 characters, more than 200' },
    });
  });

  it.each(['u', 'x'.repeat(40), '', 5, true, {}, [UID], `${UID} `, UID.toUpperCase()])(
    'the trivial id replaces the uid %j of a document',
    uid => {
      const { outcome } = run(measurement('signal', { queries: [] }, { measurement_uid: uid }));
      expect(outcome).toMatchObject({ status: 'transformed', uid: expect.stringMatching(/^0120240102[0-9a-f]{30}$/) });
    },
  );
});

describe('the field input', () => {
  it.each(['web_connectivity', 'urlgetter', 'dnscheck', 'stunreachability', 'echcheck', 'browser_web'])(
    'is required for %s',
    test => {
      const { outcome } = run(measurement(test, { x: 1 }, { input: undefined }));
      expect(outcome.error).toMatchObject({ class: 'MissingField', message: 'input is missing' });
    },
  );

  const tests = [
    'signal',
    'telegram',
    'whatsapp',
    'facebook_messenger',
    'tor',
    'http_invalid_request_line',
    'http_header_field_manipulation',
    'ndt',
  ];
  it.each(tests)('may be absent for %s, which has no input', test => {
    const keys = {
      queries: [dns([])],
      targets: { t: { target_address: 'a', target_protocol: 'p', queries: [dns([])] } },
    };
    const { outcome, tables } = run(measurement(test, keys, { input: undefined }));
    expect(outcome.error).toBeUndefined();
    expect(tables).toEqual(run(measurement(test, keys, { input: null })).tables);
  });
});

describe('metadata (observations.md section 3)', () => {
  const rowOf = (more: object, keys: object = {}) => webRows('signal', { queries: [dns([])], ...keys }, more)[0]!;

  it('joins a list of inputs, keeps null, and sets defaults of annotations', () => {
    expect(rowOf({ input: ['a', 'b'] }).input).toBe('a:b');
    expect(rowOf({ input: null }).input).toBeUndefined();
    expect(rowOf({ annotations: { platform: 'ios', ooni_run_link_id: 10123 } })).toMatchObject({
      platform: 'ios',
      origin: 'unknown',
      ooni_run_link_id: '10123',
    });
  });

  it('writes a number in a text field as Python would', () => {
    expect(rowOf({ software_version: 1.0 }).software_version).toBe('1');
    const text = JSON.stringify(measurement('signal', { queries: [dns([])] })).replace(
      '"software_version":"1"',
      '"software_version":1.0',
    );
    expect(run(text).tables.obs_web![0]!.software_version).toBe('1.0');
  });

  it.each([
    [{ resolver_ip: '[scrubbed]', resolver_asn: 'AS5', resolver_network_name: 'n' }, {}, ['', 5, 'n', '', '', 1]],
    [{ resolver_asn: 'AS5', resolver_network_name: 'n' }, {}, ['', 0, '', '', '', 0]],
    [{ resolver_ip: '10.0.0.1' }, {}, ['10.0.0.1', 64666, 'Bogon', 'ZZ', 'ZZ', 0]],
    [{}, { client_resolver: '8.8.8.8' }, ['8.8.8.8', 0, '', 'ZZ', '', 0]],
    [{ resolver_ip: '8.8.8.8' }, { client_resolver: '[scrubbed]' }, ['8.8.8.8', 0, '', 'ZZ', '', 1]],
  ])('resolver of %j %j', (more, keys, expected) => {
    const columns = [
      'resolver_ip',
      'resolver_asn',
      'resolver_as_org_name',
      'resolver_cc',
      'resolver_as_cc',
      'resolver_is_scrubbed',
    ];
    expect(pick([rowOf(more, keys)], ...columns)).toEqual([expected]);
  });

  it.each([
    ['AS137', 137],
    ['as137', 137],
    ['137', 137],
    [137, 137],
    [' AS137 ', 137],
    ['AS0', 0],
    ['0', 0],
    ['AS4200000000', 4_200_000_000],
  ])('parses the ASN %j as %d', (probe_asn, expected) => {
    expect(rowOf({ probe_asn }).probe_asn).toBe(expected);
    expect(rowOf({ resolver_asn: probe_asn }).resolver_asn_probe).toBe(expected);
  });

  it.each(['ASx', 'XX137', 'AS', '', 'AS-1', 'AS1_3', 'AS13 7', '13.7', null, true])(
    'rejects the ASN %j',
    probe_asn => {
      const { outcome } = run(measurement('signal', { queries: [dns([])] }, { probe_asn }));
      expect(outcome).toMatchObject({ status: 'failed', error: { stage: 'transform', class: 'InvalidASN' } });
    },
  );

  it.each([
    ['1970-01-01 00:00:00', 'transformed'],
    ['2099-12-31 23:59:59', 'transformed'],
    ['1969-12-31 23:59:59', 'failed'],
    ['1899-12-31 23:59:59', 'failed'],
    ['0001-01-01 00:00:00', 'failed'],
    ['2100-01-01 00:00:00', 'failed'],
    ['9999-12-31 23:59:59', 'failed'],
  ])('a start at %s: %s', (measurement_start_time, status) => {
    const { outcome } = run(measurement('signal', { queries: [dns([])] }, { measurement_start_time }));
    expect(outcome.status).toBe(status);
    if (status === 'failed') expect(outcome.error).toMatchObject({ class: 'InvalidTime' });
  });
});

describe('IP metadata (section 4)', () => {
  const fixtures = join(import.meta.dirname, '../../test/fixtures/geoip');
  const TELSTRA = '1.128.0.1';
  const UNITED_KINGDOM = '2.125.160.216';

  /** Until 2021-06 a database with AS data, after that one with countries. */
  function twoDatabases(): IpMetadata {
    const dir = temporaryDirectory();
    cpSync(join(fixtures, 'GeoLite2-ASN-Test.mmdb'), join(dir, '20200101-ip2country_as.mmdb'));
    cpSync(join(fixtures, 'GeoLite2-Country-Test.mmdb'), join(dir, '20210601-ip2country_as.mmdb'));
    const names = { '1221': [['Telstra', 'AU', '20100101', 'ASN-TELSTRA', 'apnic']] };
    writeFileSync(join(dir, 'all_as_org_map.json'), JSON.stringify(names));
    return openIpMetadata(dir);
  }

  it('is that of the measurement day: for addresses, the resolver, the control, and the network of the probe', () => {
    const control = { tcp_connect: { [`${TELSTRA}:443`]: { status: true, failure: null } } };
    const testKeys = { queries: [dns([a(TELSTRA), a(UNITED_KINGDOM), a('10.0.0.1')])], control };
    const rows = (start: string) => {
      const more = { measurement_start_time: start, probe_asn: 'AS1221', resolver_ip: TELSTRA };
      const { tables } = run(measurement('web_connectivity', testKeys, more), EVERYTHING, twoDatabases());
      return {
        web: pick(tables.obs_web!, 'ip_asn', 'ip_as_org_name', 'ip_cc', 'ip_is_bogon'),
        resolver: pick(tables.obs_web!.slice(0, 1), 'resolver_asn', 'resolver_as_org_name', 'resolver_cc'),
        probe: pick(tables.obs_web!.slice(0, 1), 'probe_as_org_name', 'probe_as_cc', 'probe_as_name'),
        control: pick(tables.obs_web_ctrl!, 'ip_asn', 'ip_cc'),
      };
    };
    const probe = [['Telstra', 'AU', 'ASN-TELSTRA']];
    const bogon = [64666, 'Bogon', 'ZZ', 1];
    expect(rows('2021-05-31 23:59:59')).toEqual({
      web: [[1221, 'Telstra Pty Ltd', 'ZZ', 0], [0, '', 'ZZ', 0], bogon],
      resolver: [[1221, 'Telstra Pty Ltd', 'ZZ']],
      probe,
      control: [[1221, 'ZZ']],
    });
    expect(rows('2021-06-01 00:00:00')).toEqual({
      web: [[0, '', 'ZZ', 0], [0, '', 'GB', 0], bogon],
      resolver: [[0, '', 'ZZ']],
      probe,
      control: [[0, 'ZZ']],
    });
  });
});

describe('joining', () => {
  it('joins by address without regard to ports if no id is known', () => {
    const rows = webRows('urlgetter', {
      queries: [dns([a('1.1.1.1'), a('2.2.2.2')]), dns([a('1.1.1.1')], { engine: 'doh' })],
      tcp_connect: [tcp('1.1.1.1', 80), tcp('2.2.2.2', 80), tcp('3.3.3.3', 80)],
      tls_handshakes: [
        { address: '1.1.1.1:443', server_name: 'www.example.com' },
        { address: '4.4.4.4:443', server_name: 'four' },
      ],
      requests: [{ request: { url: 'http://other/' }, address: '3.3.3.3:80' }],
    });
    expect(pick(rows, 'observation_idx', 'ip', 'port', 'hostname', 'tls_server_name', 'http_request_url')).toEqual([
      [1, '1.1.1.1', 80, 'www.example.com', 'www.example.com', undefined],
      [2, '2.2.2.2', 80, 'www.example.com', undefined, undefined],
      [3, '1.1.1.1', undefined, 'www.example.com', undefined, undefined],
      [4, '3.3.3.3', 80, 'other', undefined, 'http://other/'],
      [5, '4.4.4.4', 443, 'four', 'four', undefined],
    ]);
  });

  const block = { url: 'https://block.example/' };
  /** Port 80 of the requested host redirects to a block page at port 443 of the same address. */
  const hijacked = (ids: (id: number) => object) => ({
    queries: [dns([a('1.1.1.1')]), dns([a('1.1.1.1')], { hostname: 'block.example' })],
    tcp_connect: [tcp('1.1.1.1', 443, ids(2)), tcp('1.1.1.1', 80, ids(1))],
    tls_handshakes: [{ address: '1.1.1.1:443', server_name: 'block.example', no_tls_verify: false, ...ids(2) }],
    requests: [
      { request: block, address: '1.1.1.1:443', ...ids(2) },
      { request: { url: 'http://www.example.com/' }, address: '1.1.1.1:80', ...ids(1) },
    ],
  });

  it.each([
    ['transaction ids', (id: number) => ({ transaction_id: id })],
    ['transaction ids and the dial ids of the lookup', (id: number) => ({ transaction_id: id, dial_id: 9 })],
  ])('joins by %s, and never joins a handshake for one host with the lookup of another', (_what, ids) => {
    const rows = webRows('urlgetter', hijacked(ids));
    expect(pick(rows, 'hostname', 'port', 'tls_is_certificate_valid', 'http_request_url')).toEqual([
      ['www.example.com', 80, undefined, 'http://www.example.com/'],
      ['block.example', 443, 1, 'https://block.example/'],
    ]);
  });

  it('does not join a handshake for one host with the lookup of another if no id is known', () => {
    const rows = webRows(
      'urlgetter',
      hijacked(() => ({})),
    );
    const claims = pick(rows, 'hostname', 'tls_is_certificate_valid').filter(([, valid]) => valid === 1);
    expect(claims).toEqual([['block.example', 1]]);
  });

  it('does not join a connection for an address instead of a host with the lookup of a name', () => {
    const rows = webRows('urlgetter', {
      queries: [dns([a('1.1.1.1')])],
      tcp_connect: [tcp('1.1.1.1', 443, { transaction_id: 2 })],
      tls_handshakes: [{ address: '1.1.1.1:443', server_name: '1.1.1.1', no_tls_verify: false, transaction_id: 2 }],
      requests: [{ request: { url: 'https://1.1.1.1/' }, address: '1.1.1.1:443', transaction_id: 2 }],
    });
    expect(pick(rows, 'hostname', 'tls_is_certificate_valid')).toEqual([
      ['www.example.com', undefined],
      ['1.1.1.1', 1],
    ]);
  });

  it('uses the server name as the host of a connection with a request for another host', () => {
    const rows = webRows('urlgetter', {
      queries: [dns([a('1.1.1.1')])],
      tls_handshakes: [
        { address: '1.1.1.1:443', server_name: 'Block.example', no_tls_verify: false, transaction_id: 2 },
      ],
      requests: [{ request: { url: 'https://www.example.com/' }, address: '1.1.1.1:443', transaction_id: 2 }],
    });
    expect(pick(rows, 'hostname', 'tls_is_certificate_valid', 'http_request_url')).toEqual([
      ['www.example.com', undefined, undefined],
      ['block.example', 1, 'https://www.example.com/'],
    ]);
  });

  it('joins by conn_id, which older probes have, and only observations with the same endpoint', () => {
    const rows = webRows('urlgetter', {
      queries: [dns([a('1.1.1.1'), a('2.2.2.2')], { transaction_id: 1 })],
      tcp_connect: [
        tcp('2.2.2.2', 443, { transaction_id: 1, conn_id: 3, status: { success: false, failure: 'x' } }),
        tcp('1.1.1.1', 443, { transaction_id: 1, conn_id: 4 }),
      ],
      tls_handshakes: [{ address: '1.1.1.1:443', server_name: 'www.example.com', transaction_id: 1 }],
    });
    expect(pick(rows, 'ip', 'tcp_success', 'tls_server_name')).toEqual([
      ['1.1.1.1', 1, 'www.example.com'],
      ['2.2.2.2', 0, undefined],
    ]);
  });

  it('gives a connection its own id, never that of a lookup, and joins a lookup only with its own answer', () => {
    const rows = webRows('urlgetter', {
      queries: [dns([a('1.1.1.1')], { transaction_id: 7 })],
      tcp_connect: [tcp('1.1.1.1', 80, { transaction_id: 8 }), tcp('2.2.2.2', 443, { transaction_id: 7 })],
    });
    expect(pick(rows, 'ip', 'port', 'transaction_id')).toEqual([
      ['1.1.1.1', 80, 8],
      ['2.2.2.2', 443, 7],
    ]);
  });

  it('gives a connection the host with a lookup that answered its address, if there is only one such host', () => {
    const rows = webRows('urlgetter', {
      queries: [dns([a('1.1.1.1'), a('2.2.2.2')]), dns([a('2.2.2.2')], { hostname: 'b' })],
      tcp_connect: ['1.1.1.1', '1.1.1.1', '2.2.2.2', '2.2.2.2', '2.2.2.2'].map(ip => tcp(ip, 80)),
    });
    expect(pick(rows.slice(3), 'ip', 'hostname')).toEqual([
      ['1.1.1.1', 'www.example.com'],
      ['2.2.2.2', undefined],
    ]);
  });

  it('omits connects without a valid address, and keeps the scrubbed address', () => {
    const rows = webRows('urlgetter', { tcp_connect: [tcp('example.org', 80), tcp('[scrubbed]', 80)] });
    expect(pick(rows, 'ip', 'ip_asn', 'ip_cc', 'ip_is_bogon')).toEqual([['scrubbed', 0, 'ZZ', 0]]);
  });

  it('writes one row for a query without an answer, and no address for an answer that is a name', () => {
    const rows = webRows('urlgetter', {
      queries: [dns([], { failure: 'dns_nxdomain_error' }), dns([{ answer_type: 'CNAME', hostname: 'x.example' }])],
    });
    expect(pick(rows, 'ip', 'dns_failure', 'dns_answer', 'dns_answer_asn')).toEqual([
      [undefined, 'dns_nxdomain_error', undefined, undefined],
      [undefined, undefined, 'x.example', 0],
    ]);
  });
});

describe('HTTP (section 6.5)', () => {
  const http = (requests: object[]) => webRows('urlgetter', { requests });

  it('stores facts of request and response', () => {
    const body = `<html>${'é"\n'.repeat(200)}`;
    const [row] = http([
      {
        request: { url: 'https://WWW.example.com/', method: 'GET', body: 'é', x_transport: 'quic' },
        response: {
          code: 200,
          body,
          headers_list: [
            ['LOCATION', 'first'],
            ['location', 'second'],
            ['Server', { format: 'base64', data: '6Q==' }],
          ],
        },
        t0: 1.5,
        t: 2,
        failure: '',
      },
    ]);
    expect(row).toMatchObject({
      hostname: 'www.example.com',
      http_network: 'udp',
      http_request_body_length: 2,
      http_runtime: 0.5,
      http_response_body_length: 6 + 4 * 200,
      http_response_body_sha1: createHash('sha1').update(body).digest('hex'),
      http_response_status_code: 200,
      http_response_header_location: 'first',
      http_response_header_server: 'é',
    });
    expect(row).not.toHaveProperty('http_failure');
  });

  it.each([2, 3000])('hashes the decoded bytes of binary bodies of %i bytes, of requests and responses', length => {
    const bytes = Buffer.alloc(length, 0xff);
    const body = { format: 'base64', data: bytes.toString('base64') };
    const rows = http([{ request: { body }, response: { body } }]);
    expect(pick(rows, 'http_request_body_length', 'http_response_body_length', 'http_response_body_sha1')).toEqual([
      [length, length, createHash('sha1').update(bytes).digest('hex')],
    ]);
  });

  it('decodes binary header values of the map like those of the list', () => {
    const binary = (text: string) => ({ format: 'base64', data: Buffer.from(text, 'latin1').toString('base64') });
    const location = 'http://www.example.com/été';
    const response = (headers: object) => ({ code: 302, headers });
    const rows = webRows('urlgetter', {
      requests: [
        { request: { url: location }, response: response({ server: binary('Apaché') }) },
        { request: { url: 'http://a/' }, response: response({ Location: binary(location), X: binary('é'), Y: 5 }) },
      ],
    });
    const columns = ['http_response_header_location', 'http_response_header_server', 'http_request_redirect_from'];
    expect(pick(rows, ...columns)).toEqual([
      [undefined, 'Apaché', 'http://a/'],
      [location, undefined, undefined],
    ]);
  });

  it('stores no length for an empty body', () => {
    const rows = http([{ request: {}, response: { body: '' } }]);
    expect(pick(rows, 'http_response_body_length', 'http_response_body_sha1')).toEqual([[undefined, undefined]]);
  });

  it('gives a document with an unexpected long binary the same outcome as without reduction', () => {
    const body = { format: 'base64', data: 'abcd'.repeat(100) };
    const control = { tcp_connect: { body } };
    expect(run(measurement('web_connectivity', { control })).outcome.status).toBe('transformed');
    expect(run(measurement('web_connectivity', { control: { ...control, dns: 1 } })).outcome.error).toBeDefined();
  });

  it('takes the origin of a redirect from the next transaction of the list', () => {
    const rows = http([
      { request: { url: 'https://b/' }, response: { headers: { Server: 'x' } } },
      { request: { url: 'http://a/' }, response: { headers: { location: 'https://b/' } } },
      { response: { headers: { location: 'http://a/' } } },
    ]);
    expect(pick(rows, 'http_request_url', 'http_request_redirect_from')).toEqual([
      ['https://b/', 'http://a/'],
      ['http://a/', undefined],
    ]);
  });
});

describe('web_connectivity (section 10)', () => {
  const control = {
    dns: { failure: null, addrs: ['1.1.1.1', '5.5.5.5', '5.5.5.5', '6.6.6.6'] },
    tcp_connect: {
      '1.1.1.1:443': { status: true, failure: null },
      '1.1.1.1:80': { status: false, failure: 'x' },
      '[::1': {},
      '7.7.7.7:b': {},
    },
    tls_handshake: {
      '1.1.1.1:443': { failure: null, server_name: 'sni' },
      '8.8.8.8:443': { failure: 'unknown_failure: y' },
    },
    http_request: { failure: null, body_length: -1 },
  };

  it('writes control rows in order, keeps failures unchanged, and keeps the valid parts', () => {
    const { tables } = run(measurement('web_connectivity', { control }));
    const columns = [
      'observation_idx',
      'ip',
      'port',
      'tcp_success',
      'tcp_failure',
      'tls_success',
      'tls_failure',
      'dns_success',
      'ip_cc',
    ];
    expect(pick(tables.obs_web_ctrl!, ...columns)).toEqual([
      [0, '1.1.1.1', 443, 1, undefined, 1, undefined, 1, 'ZZ'],
      [1, '1.1.1.1', 80, 0, 'x', undefined, undefined, 1, 'ZZ'],
      [2, '8.8.8.8', 443, undefined, undefined, 0, 'unknown_failure: y', undefined, 'ZZ'],
      [3, '5.5.5.5', undefined, undefined, undefined, undefined, undefined, 1, undefined],
      [4, '6.6.6.6', undefined, undefined, undefined, undefined, undefined, 1, undefined],
      [5, '', undefined, undefined, undefined, undefined, undefined, undefined, undefined],
    ]);
    expect(tables.obs_web_ctrl!.at(-1)).toMatchObject({
      http_success: 1,
      http_response_body_length: -1,
      hostname: 'www.example.com',
    });
  });

  it.each([
    ['the control failed', { control, control_failure: 'x' }, {}],
    ['there is no control', { blocking: false }, {}],
    ['the input has no host', { control }, { input: 'example.com' }],
    ['the input is a list', { control }, { input: ['https://a/'] }],
  ])('writes no control rows when %s', (_what, keys, more) => {
    expect(run(measurement('web_connectivity', keys, more)).tables.obs_web_ctrl).toBeUndefined();
  });

  it('takes the host names of rows without one from the control, and stores the verdict of the probe', () => {
    const keys = { control, blocking: false, tcp_connect: [tcp('5.5.5.5', 80), tcp('9.9.9.9', 80)] };
    expect(pick(webRows('web_connectivity', keys), 'ip', 'hostname', 'probe_analysis')).toEqual([
      ['5.5.5.5', 'www.example.com', 'false'],
      ['9.9.9.9', undefined, 'false'],
    ]);
    expect(webRows('web_connectivity', { blocking: 'dns', queries: [dns([])] })[0]!.probe_analysis).toBe('dns');
    expect(webRows('web_connectivity', { blocking: null, queries: [dns([])] })[0]).not.toHaveProperty('probe_analysis');
  });
});

describe('other tests (sections 9, 11 and 12)', () => {
  it('numbers the rows of dnscheck continuously through all its parts', () => {
    const keys = {
      bootstrap: { queries: [dns([])] },
      lookups: { a: { queries: [dns([])] }, b: { tcp_connect: [tcp('1.1.1.1', 53)] } },
    };
    expect(pick(webRows('dnscheck', keys), 'observation_idx')).toEqual([[1], [2], [3]]);
  });

  it('names the targets of tor by their key, and those of telegram by address', () => {
    const target = { target_address: 'x', target_protocol: 'y', tcp_connect: [tcp('1.1.1.1', 9001)] };
    expect(pick(webRows('tor', { targets: { key1: target, key2: target } }), 'target_id')).toEqual([
      ['key1'],
      ['key2'],
    ]);
    expect(pick(webRows('telegram', { tcp_connect: [tcp('1.1.1.1', 80)] }), 'target_id')).toEqual([
      ['telegram/dc_pool'],
    ]);
  });

  it('reads members with the names of unread ones where they replace others', () => {
    const target = { target_address: 'x', target_protocol: 'y', tcp_connect: [tcp('1.1.1.1', 9001)] };
    expect(pick(webRows('tor', { targets: { x_doh: target }, x_do53: target }), 'target_id')).toEqual([['x_doh']]);
    expect(pick(webRows('signal', { queries: [dns([])], x_doh: target }), 'probe_analysis')).toEqual(
      pick(webRows('signal', { queries: [dns([])] }), 'probe_analysis'),
    );
  });

  it('pairs control and target of echcheck without a list of handshakes', () => {
    const keys = { control: { server_name: 'c' }, target: { server_name: 't' } };
    expect(pick(webRows('echcheck', keys), 'tls_server_name', 'tls_echconfig')).toEqual([
      ['c', ''],
      ['t', 'GREASE'],
    ]);
  });

  it('reads the connects of echcheck under both names of their list', () => {
    const failed = { ip: '1.1.1.1', port: 443, status: { success: false, failure: 'connection_refused' } };
    for (const keys of [{ tcp_connects: [failed] }, { tcp_connect: [failed], tcp_connects: null }]) {
      expect(pick(webRows('echcheck', keys), 'ip', 'port', 'tcp_failure')).toEqual([
        ['1.1.1.1', 443, 'connection_refused'],
      ]);
    }
  });

  it('writes host names of lookups, requests, handshakes and the control in one form', () => {
    const { tables } = run(
      measurement(
        'web_connectivity',
        {
          queries: [dns([], { hostname: 'ПРИМЕР.рф.' }), dns([], { hostname: 'XN--E1afmkfd.xn--p1ai' })],
          requests: [{ request: { url: 'http://Пример.РФ:8080/' } }],
          tls_handshakes: [{ server_name: 'XN--E1AFMKFD.XN--P1AI.' }],
          tcp_connect: [tcp('1.1.1.1', 80)],
          control: { dns: { addrs: ['1.1.1.1'] } },
        },
        { input: 'http://пример.рф.:8080/' },
      ),
    );
    const hosts = [...(tables.obs_web ?? []), ...(tables.obs_web_ctrl ?? [])].map(row => row.hostname);
    expect(new Set(hosts)).toEqual(new Set(['xn--e1afmkfd.xn--p1ai']));
    expect(hosts.length).toBe(6);
  });

  it.each([
    ['https://8.8.4.4/', '8.8.4.4', '8.8.4.4:443', '8.8.4.4'],
    ['https://[2001:4860:4860::8844]/', '2001:4860:4860::8844', '[2001:4860:4860::8844]:443', '2001:4860:4860::8844'],
    [
      'https://[2001:4860:4860:0:0:0:0:8844]:443/',
      '2001:4860:4860::8844',
      '[2001:4860:4860::8844]:443',
      '2001:4860:4860::8844',
    ],
    ['https://[2001:4860:4860::8844]/', '2001:4860:4860:0::8844', '[2001:4860:4860::8844]:443', '2001:4860:4860::8844'],
  ])('gives the connect to the address of the input %s this address as host name', (input, ip, endpoint, hostname) => {
    const keys = {
      tcp_connect: [tcp(ip, 443), tcp('9.9.9.9', 443)],
      control: { dns: null, tcp_connect: { [endpoint]: { status: true, failure: null } } },
    };
    const { tables } = run(measurement('web_connectivity', keys, { input }));
    expect(pick(tables.obs_web!, 'hostname')).toEqual([[hostname], [undefined]]);
    expect(pick(tables.obs_web_ctrl!, 'hostname')).toEqual([[hostname]]);
  });

  it.each([
    ['the probe and the control write it', '::ffff:8.8.4.4', '[::ffff:8.8.4.4]:443'],
    ['the probe writes IPv4', '8.8.4.4', '[::FFFF:808:404]:443'],
    ['the control writes IPv4', '0:0:0:0:0:ffff:808:404', '8.8.4.4:443'],
  ])('reads an IPv4-mapped address of the input as IPv4: %s', (_case, ip, endpoint) => {
    const keys = {
      tcp_connect: [tcp(ip, 443)],
      tls_handshakes: [{ address: endpoint, server_name: '::ffff:8.8.4.4' }],
      requests: [{ request: { url: 'https://[::ffff:8.8.4.4]/' }, address: endpoint }],
      control: { dns: { addrs: [ip] }, tcp_connect: { [endpoint]: { status: true, failure: null } } },
    };
    const { tables } = run(measurement('web_connectivity', keys, { input: 'https://[::ffff:8.8.4.4]/' }));
    expect(pick(tables.obs_web!, 'hostname', 'ip', 'port', 'ip_is_bogon')).toEqual([['8.8.4.4', '8.8.4.4', 443, 0]]);
    expect(pick(tables.obs_web_ctrl!, 'hostname', 'ip', 'port', 'dns_success')).toEqual([
      ['8.8.4.4', '8.8.4.4', 443, 1],
    ]);
  });

  it('joins an IPv4-mapped answer with the connect to its IPv4 address, and keeps the text of the answer', () => {
    const answer = { answer_type: 'AAAA', ipv6: '::ffff:10.0.0.1' };
    const keys = { queries: [dns([answer], { query_type: 'AAAA' })], tcp_connect: [tcp('10.0.0.1', 443)] };
    expect(pick(webRows('web_connectivity', keys), 'dns_answer', 'ip', 'port', 'ip_is_bogon')).toEqual([
      ['::ffff:10.0.0.1', '10.0.0.1', 443, 1],
    ]);
  });

  it('writes the one row of browser_web', () => {
    const [row] = webRows('browser_web', { result: 'unknown_failure: connect: no route to host', load_time_ms: 1500 });
    expect(row).toMatchObject({
      observation_idx: 0,
      http_failure: 'unknown_failure: connect: no route to host',
      http_runtime: 1500,
      tls_certificate_chain_fingerprints: [],
    });
  });

  const lines = (sent: string[], received: unknown[]) =>
    run(measurement('http_invalid_request_line', { sent, received })).tables.obs_http_middlebox![0]!;
  const base64 = (text: string) => ({ base64: Buffer.from(text).toString('base64') });

  it('stores request lines that were returned changed, by the kind of line', () => {
    const sent = [
      'ABCD / HTTP/1.1\n\r',
      'a b c d\n\r',
      `${'X'.repeat(1024)} / HTTP/1.1`,
      'GET / HTTP/XYZ',
      'GET cache_object://localhost/ HTTP/1.0',
    ];
    const row = lines(sent, [sent[0], 'é', sent[2], { format: 'base64', data: '/w==' }, 'z']);
    expect(row).toMatchObject({
      hirl_success: 1,
      hirl_sent_1: base64('a b c d\n\r'),
      hirl_received_1: base64('é'),
      hirl_received_3: { base64: '/w==' },
      hirl_received_4: base64('z'),
    });
    expect(row).not.toHaveProperty('hirl_received_0');
    expect(row).not.toHaveProperty('hirl_failure');
  });

  it('reports which line is missing, and keeps the lines before', () => {
    expect(lines(['ABCD x'], ['y'])).toMatchObject({
      hirl_failure: 'missing_received_1',
      hirl_success: 0,
      hirl_received_0: base64('y'),
    });
    expect(lines([], ['y'])).toMatchObject({ hirl_failure: 'missing_sent', hirl_success: 0 });
    expect(lines(['x'], [])).toMatchObject({ hirl_failure: 'missing_received', hirl_success: 0 });
    expect(lines(['GET /'], ['y'])).toMatchObject({ hirl_failure: 'missing_received_0' });
    expect(run(measurement('http_invalid_request_line', { sent: ['x'], received: ['y'] })).outcome.error!.class).toBe(
      'UnknownRequestLine',
    );
  });

  it.each([
    [{ requests: [] }, 'missing_requests'],
    [{ requests: [{ failure: 'unknown_failure: x' }] }, 'unknown_failure: x'],
    [{ requests: [{}] }, 'missing_response'],
    [{ requests: [{ response: {} }] }, 'missing_response_body'],
    [{ requests: [{ response: { body: '' }, request: {} }] }, 'malformed_request'],
    [{ requests: [{ response: { body: '' }, request: { headers: {} } }] }, undefined],
  ])('http_header_field_manipulation: %j', (keys, failure) => {
    const [row] = run(measurement('http_header_field_manipulation', keys)).tables.obs_http_middlebox!;
    expect(pick([row!], 'hfm_failure', 'hfm_success')).toEqual([[failure, failure === undefined ? 1 : 0]]);
  });
});
