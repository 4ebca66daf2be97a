import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { EVERYTHING } from '../filter.ts';
import { openIpMetadata } from '../reference/ip-metadata.ts';
import { RowEncoder } from '../tables/encoder.ts';
import { type PlainRow, takePlainRows } from './plain-rows.ts';
import { Transformer } from './transformer.ts';

/* What rows have of a transaction of web_connectivity 0.5. Expected values are read in the documents. */

/** Two scenarios of the QA suite, in which the network throttles. */
const THROTTLED =
  '../../test/fixtures/archive/raw/20240205/19/IT/webconnectivity/2024020519_IT_webconnectivity.n1.0.jsonl.gz';
const [CLEAR, SECURE] = gunzipSync(readFileSync(join(import.meta.dirname, THROTTLED))).toString().trimEnd().split('\n'); // biome-ignore format: one reading

function rowsOf(document: string): PlainRow[] {
  const encoder = new RowEncoder();
  const facts = { bucket: '2024-02-05', generation: 1, createdAt: 1, filter: EVERYTHING };
  const transformer = new Transformer({ ...facts, ipMetadata: openIpMetadata(undefined), encoder });
  const outcome = transformer.transform({ line: 1, bytes: Buffer.from(`${document}\n`) }, 'key');
  expect(outcome).toMatchObject({ status: 'transformed' });
  return takePlainRows(encoder).obs_web ?? [];
}

const transfersOf = (rows: readonly PlainRow[]) =>
  rows
    .filter(({ transfer_t }) => (transfer_t as readonly number[]).length > 0)
    .sort((a, b) => Number(a.transaction_id) - Number(b.transaction_id))
    .map(({ transaction_id, ip, port, transfer_t, transfer_bytes }) => [transaction_id, ip, port, transfer_t, transfer_bytes]); // biome-ignore format: a row

/** Returns the document with other test keys. */
function changed(document: string, change: (keys: Record<string, Record<string, unknown>[]>) => void): string {
  const parsed = JSON.parse(document) as { test_keys: Record<string, Record<string, unknown>[]> };
  change(parsed.test_keys);
  return JSON.stringify(parsed);
}

describe('a throttled page', () => {
  test('has the bytes over time in the row of its connection: each count when it was first and last seen', () => {
    expect(transfersOf(rowsOf(CLEAR!))).toEqual([
      [5, '35.161.85.189', 80, [1.4209990000000001, 1.762203, 2.123442, 10.639249], [4096, 4096, 17128, 17128]],
      [6, '52.35.36.75', 443, [0.046424], [2286]],
      [7, '35.161.85.189', 443, [0.046092], [2286]],
    ]);
    const [, request] = transfersOf(rowsOf(SECURE!));
    expect(request).toEqual([
      ...[4, '35.161.85.189', 443],
      [0.638299, 0.901232, 1.403292, 3.058387, 3.708394, 4.318096, 6.00097, 6.452244, 6.788515, 6.81632, 7.2915659999999995, 7.474597, 9.18643, 9.661956, 10.626325],
      [2287, 2287, 3495, 3495, 6449, 9345, 9345, 14111, 14111, 17167, 17167, 21511, 21511, 22959, 22959],
    ]); // biome-ignore format: two lists
  });

  test('says which connection fetches the page, after how many redirects, and the ids of lookups', () => {
    const rows = rowsOf(CLEAR!);
    const connections = rows.filter(({ port }) => port !== undefined);
    expect(connections.map(row => [row.transaction_id, row.transaction_depth, row.transaction_fetch_body]).sort()).toEqual([
      [4, 0, 1],
      [5, 0, 1],
      [6, 0, 0],
      [7, 0, 0],
    ]); // biome-ignore format: a table
    expect([...new Set(rows.map(({ dns_transaction_id }) => dns_transaction_id))].sort()).toEqual([1, 2, 3]);
    expect(new Set(rows.map(({ transaction_depth }) => transaction_depth))).toEqual(new Set([0]));
  });
});

describe('hostile events and tags', () => {
  test('a count without a usable number, address or transaction is omitted, and others stay', () => {
    const rows = rowsOf(
      changed(CLEAR!, keys => {
        const event = { operation: 'bytes_received_cumulative', address: '35.161.85.189:80', transaction_id: 5, t: 11 };
        keys.network_events = [
          { ...event, num_bytes: -1 },
          { ...event, num_bytes: 2 ** 60 },
          { ...event, num_bytes: null },
          { ...event, num_bytes: 7, address: null },
          { ...event, num_bytes: 7, address: '[' },
          { ...event, num_bytes: 7, transaction_id: null },
          // Out of order.
          { ...event, num_bytes: 30 },
          { ...event, num_bytes: 20, t: 10 },
        ];
      }),
    );
    expect(transfersOf(rows)).toEqual([[5, '35.161.85.189', 80, [10, 11], [20, 30]]]);
  });

  test('counts at an IPv4-mapped address belong to the connection to the IPv4 address', () => {
    const rows = rowsOf(
      changed(CLEAR!, keys => {
        const event = {
          operation: 'bytes_received_cumulative',
          address: '[::FFFF:35.161.85.189]:80',
          transaction_id: 5,
        };
        keys.network_events = [{ ...event, num_bytes: 7, t: 10 }];
      }),
    );
    expect(transfersOf(rows)).toEqual([[5, '35.161.85.189', 80, [10], [7]]]);
  });

  test('rows of one transaction do not repeat its bytes', () => {
    const rows = rowsOf(
      changed(CLEAR!, keys => {
        const [connect] = keys.tcp_connect!.filter(({ transaction_id }) => transaction_id === 5);
        keys.tcp_connect = [connect!, { ...connect }, { ...connect }];
      }),
    );
    expect(transfersOf(rows).filter(([id]) => id === 5)).toHaveLength(1);
  });

  test.each([
    ['text', 'depth=1'],
    ['a number', 7],
    ['a list of other values', [null, 7, {}, 'depth=', 'depth=-1', 'depth=9999999999', 'fetch_body=maybe']],
    ['an object', { depth: 1 }],
  ])('tags that are %s are ignored', (_, tags) => {
    const rows = rowsOf(
      changed(CLEAR!, keys => {
        for (const list of ['queries', 'tcp_connect', 'requests']) for (const each of keys[list]!) each.tags = tags;
        keys.tls_handshakes = [];
      }),
    );
    expect(rows.length).toBeGreaterThan(3);
    expect(rows.filter(row => row.transaction_depth !== undefined || row.transaction_fetch_body !== undefined)).toEqual(
      [],
    );
  });

  test('an id of a lookup that fits no column is null', () => {
    const rows = rowsOf(
      changed(CLEAR!, keys => {
        for (const each of keys.queries!) each.transaction_id = 2 ** 40;
      }),
    );
    expect(rows.filter(row => row.dns_transaction_id !== undefined)).toEqual([]);
  });
});
