import { expect, test } from 'vitest';
import { YamlReport } from '../archive/yaml-report.ts';
import { EVERYTHING } from '../filter.ts';
import { openIpMetadata } from '../reference/ip-metadata.ts';
import { RowEncoder } from '../tables/encoder.ts';
import { takePlainRows } from './plain-rows.ts';
import { Transformer } from './transformer.ts';

/** Returns the outcomes and rows of a report in the form of 2013 with one entry. */
function transform(testName: string, entry: string) {
  const header = [
    'probe_asn: AS137',
    'probe_cc: IT',
    'software_name: ooniprobe',
    "software_version: '1.0'",
    'start_time: 1379000000.0',
    `test_name: ${testName}`,
    "test_version: '0.1'",
  ];
  const reader = new YamlReport(100_000);
  const documents = [
    ...reader.push(Buffer.from(`---\n${header.join('\n')}\n...\n---\n${entry}\n...\n`)),
    ...reader.end(),
  ];
  const encoder = new RowEncoder();
  const transformer = new Transformer({
    ...{ bucket: '2013-09-12', generation: 1, createdAt: 1, filter: EVERYTHING, encoder },
    ipMetadata: openIpMetadata(undefined),
  });
  const statuses = documents.map(document => transformer.transform(document, 'key').status);
  return { statuses, tables: takePlainRows(encoder) };
}

const RAN = 'test_runtime: 1.5\ninput: null\n';

test.each([
  ['http_invalid_request_line', 'sent: ["GET / HTTP/1.1"]\nreceived: ["GET / HTTP/1.1"]\ntampering: false'],
  ['http_header_field_manipulation', 'tampering: {total: false, header_name_diff: []}\nrequests: []'],
])('an old report of %s gives a row of obs_http_middlebox', (name, keys) => {
  const { statuses, tables } = transform(name, `${RAN}${keys}`);
  expect(statuses).toEqual(['transformed']);
  expect(tables.obs_http_middlebox).toMatchObject([
    { test_name: name, measurement_start_time: '2013-09-12 15:33:20.000' },
  ]);
});

test('an old report of http_requests: a direct request, and one over Tor with the scheme of its time', () => {
  const request = (url: string, tor: string) =>
    `{request: {url: '${url}', method: GET, headers: [], tor: ${tor}}, response: {code: 200, body: abc, headers: [[Server, [nginx]]]}}`;
  const requests = [request('http://example.org/', 'false'), request('shttp://example.org/', '{is_tor: true}')];
  const { statuses, tables } = transform('http_requests', `${RAN}requests: [${requests}]\nbody_length_match: true`);
  expect(statuses).toEqual(['transformed']);
  const response = { hostname: 'example.org', http_response_status_code: 200, http_response_body_length: 3 };
  const row = { ...response, http_response_header_server: 'nginx', probe_body_length_match: 1 };
  expect(tables.obs_web).toMatchObject([row]);
  expect(tables.obs_web_ctrl).toMatchObject([{ ...response, http_success: 1 }]);
});

test('an old report of dns_consistency: queries and answers in the notation of Python', () => {
  const answer = '["<RR name=example.org type=A class=IN ttl=86s auth=False>", "<A address=93.184.216.34 ttl=86>"]';
  const queries = [
    `{query: "[Query('example.org', 1, 1)]", query_type: A, resolver: [192.0.2.1, 53], answers: [${answer}], addrs: []}`,
    '{query: "[Query(\'example.org\', 1, 1)]", query_type: A, resolver: [192.0.2.2, 53]}',
  ];
  const { statuses, tables } = transform('dns_consistency', `${RAN}queries: [${queries}]`);
  expect(statuses).toEqual(['transformed']);
  const row = { target_id: 'target', hostname: 'example.org', dns_query_type: 'A' };
  expect(tables.obs_web).toMatchObject([
    { ...row, dns_engine_resolver_address: '192.0.2.1:53', dns_answer: '93.184.216.34' },
    { ...row, dns_engine_resolver_address: '192.0.2.2:53', dns_failure: 'no_answer' },
  ]);
});

test('an old report of http_test, which has no transformer, gives no rows and is not a failure', () => {
  const { statuses, tables } = transform('http_test', `${RAN}agent: x`);
  expect(statuses).toEqual(['unsupported']);
  expect(Object.values(tables).flat()).toEqual([]);
});
