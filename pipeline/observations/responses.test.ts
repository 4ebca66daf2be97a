import { describe, expect, it } from 'vitest';
import { EVERYTHING } from '../filter.ts';
import { HttpFingerprints } from '../reference/http-fingerprints.ts';
import { openIpMetadata } from '../reference/ip-metadata.ts';
import { RowEncoder } from '../tables/encoder.ts';
import { takePlainRows } from './plain-rows.ts';
import { Transformer } from './transformer.ts';

const fingerprint = (name: string, location_found: string, pattern_type: string, pattern: string, scope = 'nat') => ({
  name,
  location_found,
  pattern_type,
  pattern,
  scope,
});

const FINGERPRINTS = new HttpFingerprints(
  [
    fingerprint('page', 'body', 'contains', 'This page is blocked by order of the court'),
    fingerprint('short', 'body', 'contains', 'BUSY'),
    fingerprint('redirect', 'header.location', 'prefix', 'http://block.example/'),
    fingerprint('product', 'header.via', 'full', '1.1 filter'),
    fingerprint('ordinary', 'body', 'contains', 'This page is', 'fp'),
    fingerprint('unsupported', 'body', 'regexp', '(a+)+b'),
  ],
  '2024-01-01-0123456789ab',
);

const PAGE = '<html><head><TITLE>\n Blocked </TITLE></head><body>This page is blocked by order of the court';
const LONG = PAGE + '.'.repeat(300);

function rowsOf(testKeys: object, httpFingerprints: HttpFingerprints | null = FINGERPRINTS, more: object = {}) {
  const encoder = new RowEncoder();
  const facts = {
    bucket: '2024-01-02',
    generation: 1,
    createdAt: 1,
    filter: EVERYTHING,
    httpFingerprints: httpFingerprints ?? undefined,
  };
  const transformer = new Transformer({ ...facts, ipMetadata: openIpMetadata(undefined), encoder });
  const document = {
    input: 'http://www.example.com/',
    report_id: 'r',
    measurement_start_time: '2024-01-02 03:04:05',
    test_start_time: '2024-01-02 03:04:05',
    probe_asn: 'AS137',
    probe_cc: 'IT',
    test_name: 'web_connectivity',
    test_version: '0.4',
    test_runtime: 1.5,
    software_name: 's',
    software_version: '1',
    test_keys: testKeys,
    ...more,
  };
  const outcome = transformer.transform({ line: 1, bytes: Buffer.from(JSON.stringify(document)) }, 'key');
  expect(outcome.error).toBeUndefined();
  return takePlainRows(encoder);
}

const responseRow = (response: object, more?: object) =>
  rowsOf({ requests: [{ request: { url: 'http://www.example.com/' }, response }] }, FINGERPRINTS, more).obs_web![0]!;

describe('fingerprints of a response', () => {
  it.each([
    ['a long body', { body: LONG }, ['page']],
    ['a short body', { body: 'the line is BUSY' }, ['short']],
    ['a binary body', { body: { format: 'base64', data: Buffer.from(LONG).toString('base64') } }, ['page']],
    ['a header in the map', { headers: { Location: 'http://block.example/?u=1' } }, ['redirect']],
    ['a header in the list', { headers_list: [['VIA', '1.1 filter']] }, ['product']],
    ['a binary header', { headers_list: [['Via', { format: 'base64', data: 'MS4xIGZpbHRlcg==' }]] }, ['product']],
    ['body and header', { body: LONG, headers: { Location: 'http://block.example/' } }, ['page', 'redirect']],
    ['the text of a body in a header', { body: 'x', headers: { Location: PAGE } }, []],
    ['a header that begins otherwise', { headers: { Location: 'https://a/?http://block.example/' } }, []],
    ['a page that an ordinary site may have', { body: `This page is empty${' '.repeat(300)}` }, []],
  ])('%s', (_what, response, names) => {
    const row = responseRow(response);
    expect(row.http_fingerprints).toEqual(names);
    expect(row.http_fingerprints_version).toBe('2024-01-01-0123456789ab');
  });

  it('of a document that is parsed exactly', () => {
    // The text of a number needs the exact document, in which bodies are complete.
    const row = responseRow({ body: LONG }, { software_version: 3 });
    expect(row).toMatchObject({ software_version: '3', http_fingerprints: ['page'], http_response_title: 'Blocked' });
  });

  it('of another request are not those of the first', () => {
    const requests = [LONG, 'BUSY', 'x'.repeat(300)].map(body => ({
      request: { url: 'http://a/' },
      response: { body },
    }));
    const { obs_web } = rowsOf({ requests });
    expect(obs_web!.map(row => row.http_fingerprints)).toEqual([['page'], ['short'], []]);
  });

  it('have no version without fingerprints', () => {
    const requests = [{ request: { url: 'http://a/' }, response: { body: LONG } }];
    const row = rowsOf({ requests }, null).obs_web![0]!;
    expect(row).toMatchObject({ http_fingerprints: [], http_fingerprints_version: '', http_response_title: 'Blocked' });
  });
});

describe('title of a response', () => {
  it.each([
    ['<title>A</title>', 'A'],
    [`<title lang="en">${'é'.repeat(200)}</title>`, 'é'.repeat(128)],
    ['<title></title>', undefined],
    ['<p>no title', undefined],
    ['<title>never closed', undefined],
  ])('%s', (body, title) => {
    expect(responseRow({ body }).http_response_title).toBe(title);
    expect(responseRow({ body: body + ' '.repeat(300) }).http_response_title).toBe(title);
  });
});

describe('comparison with the control', () => {
  it('is in the rows of probe and control', () => {
    const { obs_web, obs_web_ctrl } = rowsOf({
      requests: [{ request: { url: 'http://www.example.com/' }, response: { body: LONG } }],
      status_code_match: false,
      headers_match: true,
      title_match: null,
      body_length_match: false,
      body_proportion: 0.25,
      control: { http_request: { body_length: 1000, failure: null, title: 'Example', status_code: 200 } },
    });
    expect(obs_web![0]).toMatchObject({
      probe_status_code_match: 0,
      probe_headers_match: 1,
      probe_body_length_match: 0,
      probe_body_proportion: 0.25,
    });
    expect(obs_web![0]).not.toHaveProperty('probe_title_match');
    expect(obs_web_ctrl![0]).toMatchObject({ http_response_status_code: 200, http_response_title: 'Example' });
  });

  it('has no response of a control that failed', () => {
    const http_request = { body_length: -1, failure: 'timed_out', title: '', status_code: -1 };
    const { obs_web_ctrl } = rowsOf({ requests: [], control: { http_request } });
    expect(obs_web_ctrl![0]).not.toHaveProperty('http_response_status_code');
    expect(obs_web_ctrl![0]).not.toHaveProperty('http_response_title');
  });
});
