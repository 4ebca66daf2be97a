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

test.each(['http_requests', 'dns_consistency'])('an old report of %s gives no rows and is not a failure', name => {
  const { statuses, tables } = transform(name, `${RAN}agent: x`);
  expect(statuses).toEqual(['unsupported']);
  expect(Object.values(tables).flat()).toEqual([]);
});
