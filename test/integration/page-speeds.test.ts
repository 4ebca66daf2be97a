import { beforeAll, expect, inject, test } from 'vitest';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { makeDatabase } from '../support/database.ts';

/*
 * The outcomes of the view page_speeds. The expected ones are those that a person would conclude: a page is throttled if it is slow again and again in
 * one network, the same probe loads other hosts fast, and other networks load the page fast.
 */
type Row = Record<string, unknown>;

interface Load {
  readonly host: string;
  readonly cc?: string;
  readonly asn?: number;
  /** Bytes and seconds of the response, at an even speed. */
  readonly bytes: number;
  readonly seconds: number;
  readonly probe?: string;
  readonly failure?: string;
}

const KB = 1024;
const PAGE = 'example.org';
/** 20 kB per second, and 1 MB in half a second. */
const slow = { bytes: 100 * KB, seconds: 5 };
const fast = { bytes: 1024 * KB, seconds: 0.5 };
const load = (host: string, speed: Pick<Load, 'bytes' | 'seconds'>, more: Partial<Load> = {}): Load => ({
  host,
  ...speed,
  ...more,
});
const many = (number: number, each: (index: number) => Load): Load[] =>
  Array.from({ length: number }, (_, i) => each(i));
/** Other hosts that the probe loads fast, and networks that load the page fast. */
const hosts = (number: number) => many(number, i => load(`fast${i}.example`, fast));
const networks = (number: number) =>
  many(number, i => load(PAGE, fast, { cc: 'DE', asn: 3320 + i, probe: `other${i}` }));
const twice = (each: Load) => [each, each];

const CASES: readonly { name: string; loads: readonly Load[]; outcome: string }[] = [
  { name: 'slow twice here alone', loads: [...twice(load(PAGE, slow)), ...hosts(3), ...networks(2)], outcome: 'throttled' },
  { name: 'the same, until time ran out', loads: [...twice(load(PAGE, slow, { failure: 'generic_timeout_error' })), ...hosts(3), ...networks(2)], outcome: 'throttled' },
  { name: 'fast', loads: [load(PAGE, fast)], outcome: 'fast' },
  { name: 'slow once: an accident', loads: [load(PAGE, slow), ...hosts(3), ...networks(2)], outcome: 'slow' },
  { name: 'the site is slow: one other network alone loads it fast', loads: [...twice(load(PAGE, slow)), ...hosts(3), ...networks(1)], outcome: 'slow' },
  { name: 'the probe is slow: it loads only two other hosts fast', loads: [...twice(load(PAGE, slow)), ...hosts(2), ...networks(2)], outcome: 'slow' },
  { name: 'the probe is slow: it loads as many hosts slowly as fast', loads: [...twice(load(PAGE, slow)), ...hosts(3), load('slow1.example', slow), load('slow2.example', slow), ...networks(2)], outcome: 'slow' },
  { name: 'fast in this network as well', loads: [...twice(load(PAGE, slow)), load(PAGE, fast, { probe: 'neighbour' }), ...hosts(3), ...networks(2)], outcome: 'slow' },
  { name: 'another probe of the network is fast with other hosts', loads: [...twice(load(PAGE, slow)), ...hosts(3).map(each => ({ ...each, probe: 'neighbour' })), ...networks(2)], outcome: 'slow' },
  { name: 'a small page, of which the round trips take the time', loads: [...twice(load(PAGE, { bytes: 8 * KB, seconds: 3 })), ...hosts(3), ...networks(2)], outcome: 'unknown' },
  { name: 'neither fast nor slow', loads: [...twice(load(PAGE, { bytes: 300 * KB, seconds: 5 })), ...hosts(3), ...networks(2)], outcome: 'unknown' },
]; // biome-ignore format: a table

let clickhouse: ClickHouse;
const dayOf = (index: number) => `2024-07-${String(index + 1).padStart(2, '0')}`;
const uidOf = (index: number) => `${dayOf(index).replaceAll('-', '')}120000.000000_IT_speed`;

function rowOf(
  { host, cc = 'IT', asn = 137, bytes, seconds, probe = 'here', failure }: Load,
  index: number,
  place: number,
): Row {
  // The handshake takes 4 kB before the request; a fourth of the response arrives in each fourth of the time.
  const quarters = [0, 1, 2, 3, 4];
  return {
    measurement_uid: `${uidOf(index)}${place}`,
    report_id: `${probe}-${index}`,
    measurement_start_time: `${dayOf(index)} 00:00:00.000`,
    bucket_date: dayOf(index),
    run_generation: 1,
    observation_idx: 1,
    test_name: 'web_connectivity',
    probe_cc: cc,
    probe_asn: asn,
    hostname: host,
    ip: '192.0.2.1',
    http_request_url: `https://${host}/`,
    http_t: 1 + seconds,
    http_runtime: seconds,
    http_failure: failure ?? null,
    transfer_t: [0.9, ...quarters.map(each => 1.01 + (each * (seconds - 0.01)) / 4)],
    transfer_bytes: [4 * KB, ...quarters.map(each => 4 * KB + (each * bytes) / 4)],
  };
}

beforeAll(async () => {
  ({ clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'speeds'));
  await clickhouse.insert(
    'obs_web',
    CASES.flatMap(({ loads }, index) => loads.map((each, place) => rowOf(each, index, place))),
  );
});

test.each(CASES.map((each, index) => ({ ...each, uid: `${uidOf(index)}0` })))('$name', async ({ uid, outcome }) => {
  const found = await clickhouse.select<Row>(`SELECT outcome FROM page_speeds WHERE measurement_uid = '${uid}'`);
  expect(found).toEqual([{ outcome }]);
});

test('the speed is that of the response, without the handshake and the time before it', async () => {
  const [row] = await clickhouse.select<Row>(
    `SELECT received, seconds, round(bytes_per_second / 1024) AS speed, fast_hosts, slow_hosts, fast_networks, slow_measurements
     FROM page_speeds WHERE measurement_uid = '${uidOf(0)}0'`,
  );
  // Three fourths of the response arrive in three fourths of its time, after the first count.
  expect(row).toEqual({
    received: 100 * KB,
    seconds: 5,
    speed: 20,
    fast_hosts: 3,
    slow_hosts: 1,
    fast_networks: 2,
    slow_measurements: 2,
  });
});

test('a request without counts of bytes has no row', async () => {
  await clickhouse.insert('obs_web', [
    { ...rowOf(load(PAGE, slow), 20, 0), transfer_t: [], transfer_bytes: [] },
    { ...rowOf(load(PAGE, slow), 20, 1), http_runtime: null },
  ]);
  expect(await clickhouse.select(`SELECT 1 FROM page_speeds WHERE measurement_day = '${dayOf(20)}'`)).toEqual([]);
});
