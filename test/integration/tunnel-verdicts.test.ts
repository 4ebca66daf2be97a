import { beforeAll, describe, expect, inject, test } from 'vitest';
import { explain } from '../../pipeline/analysis/explain.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { makeDatabase, recordCompleteRun } from '../support/database.ts';

/* The outcomes of tunnels in the view tunnel_verdicts. The expected ones are those that a person would conclude from an attempt and the other attempts of its day. */
type Row = Record<string, unknown>;
const TIMEOUT = 'generic_timeout_error';
const works = { tunnel_success: 1, tunnel_connected: 1 };
const fails = { tunnel_success: 0, tunnel_failure: TIMEOUT };
const vanilla = { tunnel_protocol: 'tor', tunnel_transport: 'vanilla' };
const snowflake = { tunnel_protocol: 'tor', tunnel_transport: 'snowflake' };
const psiphon = { tunnel_protocol: 'psiphon', tunnel_transport: 'psiphon' };
const openvpn = { tunnel_protocol: 'openvpn', tunnel_transport: 'tcp', tunnel_endpoint: '192.0.2.1:1194' };

interface Attempt {
  readonly name: string;
  readonly row: Row;
  /** Other attempts of the day. */
  readonly others: readonly Row[];
  readonly outcome: string;
  /** Countries of the run's filter; absent: all. */
  readonly filter?: readonly string[];
}

const at = (probe_cc: string, probe_asn: number, row: Row): Row => ({ ...row, probe_cc, probe_asn });
const elsewhere = (row: Row) => [at('DE', 3320, row), at('FR', 3215, row)];

const ATTEMPTS: readonly Attempt[] = [
  { name: 'psiphon works', row: { ...psiphon, ...works }, others: [], outcome: 'ok' },
  { name: 'psiphon fails, and works elsewhere: the probe may be offline', row: { ...psiphon, ...fails }, others: elsewhere({ ...psiphon, ...works }), outcome: 'unknown' },
  { name: 'psiphon fails in three countries', row: { ...psiphon, ...fails }, others: elsewhere({ ...psiphon, ...fails }), outcome: 'down' },
  { name: 'psiphon fails in three countries that a filter selects: all of them may block it', row: { ...psiphon, ...fails }, others: elsewhere({ ...psiphon, ...fails }), outcome: 'unknown', filter: ['DE', 'FR', 'IT'] },
  { name: 'openvpn is refused in three countries that a filter selects', row: { ...openvpn, tunnel_success: 0, tunnel_failure: 'connection_refused', tunnel_connected: 0 }, others: elsewhere({ ...openvpn, ...fails }), outcome: 'unknown', filter: ['DE', 'FR', 'IT'] },
  { name: 'psiphon fails in two countries', row: { ...psiphon, ...fails }, others: [at('DE', 3320, { ...psiphon, ...fails })], outcome: 'unknown' },
  { name: 'a test that does not say whether it worked', row: psiphon, others: elsewhere({ ...psiphon, ...works }), outcome: 'unknown' },
  { name: 'tor does not connect: the probe may be offline', row: { ...vanilla, ...fails, tunnel_progress: 5 }, others: elsewhere({ ...vanilla, ...works }), outcome: 'unknown' },
  { name: 'tor connects, and no handshake ends', row: { ...vanilla, ...fails, tunnel_progress: 10, tunnel_connected: 1 }, others: elsewhere({ ...vanilla, ...works }), outcome: 'blocked' },
  { name: 'the same, and tor works in only one other network', row: { ...vanilla, ...fails, tunnel_progress: 10, tunnel_connected: 1 }, others: [at('DE', 3320, { ...vanilla, ...works })], outcome: 'unknown' },
  { name: 'the same, and tor works in this network as well', row: { ...vanilla, ...fails, tunnel_progress: 10, tunnel_connected: 1 }, others: [...elsewhere({ ...vanilla, ...works }), at('IT', 137, { ...vanilla, ...works })], outcome: 'unknown' },
  { name: 'tor is slow behind the handshake', row: { ...vanilla, ...fails, tunnel_progress: 50, tunnel_connected: 1 }, others: elsewhere({ ...vanilla, ...works }), outcome: 'unknown' },
  { name: 'snowflake fails: its transport reports a connect that need not be one', row: { ...snowflake, ...fails }, others: elsewhere({ ...snowflake, ...works }), outcome: 'unknown' },
  { name: 'openvpn connects, and the handshake fails', row: { ...openvpn, ...fails, tunnel_connected: 1 }, others: elsewhere({ ...openvpn, ...works }), outcome: 'blocked' },
  { name: 'openvpn is refused', row: { ...openvpn, tunnel_success: 0, tunnel_failure: 'connection_refused', tunnel_connected: 0 }, others: elsewhere({ ...openvpn, ...works }), outcome: 'blocked' },
  { name: 'openvpn works elsewhere at another server', row: { ...openvpn, ...fails, tunnel_connected: 1 }, others: elsewhere({ ...openvpn, ...works, tunnel_endpoint: '192.0.2.2:1194' }), outcome: 'unknown' },
  { name: 'openvpn over UDP gets no answer', row: { ...openvpn, ...fails, tunnel_transport: 'udp' }, others: elsewhere({ ...openvpn, ...works, tunnel_transport: 'udp' }), outcome: 'unknown' },
]; // biome-ignore format: a table

let clickhouse: ClickHouse;
const dayOf = (index: number) => `2024-05-${String(index + 1).padStart(2, '0')}`;
const uidOf = (index: number) => `${dayOf(index).replaceAll('-', '')}120000.000000_IT_tunnel_x`;

beforeAll(async () => {
  ({ clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'tunnels'));
  const rows = ATTEMPTS.flatMap(({ row, others }, index) =>
    [at('IT', 137, row), ...others].map((each, place) => ({
      measurement_uid: place === 0 ? uidOf(index) : `${uidOf(index)}${place}`,
      measurement_start_time: `${dayOf(index)} 00:00:00.000`,
      bucket_date: dayOf(index),
      run_generation: 1,
      observation_idx: 1,
      ...each,
    })),
  );
  await clickhouse.insert('obs_tunnel', rows);
  for (const [index, { filter }] of ATTEMPTS.entries()) {
    await recordCompleteRun(clickhouse, { bucket: dayOf(index), generation: 1, ...(filter && { probe_cc: filter }) });
  }
});

describe('the outcome of a tunnel', () => {
  test.each(ATTEMPTS.map((each, index) => ({ ...each, uid: uidOf(index) })))('$name', async ({ uid, outcome }) => {
    const found = await clickhouse.select<Row>(`SELECT outcome FROM tunnel_verdicts WHERE measurement_uid = '${uid}'`);
    expect(found).toEqual([{ outcome }]);
  });
});

test('a run over all countries that did not complete is not a sample of them', async () => {
  const down = uidOf(ATTEMPTS.findIndex(({ outcome }) => outcome === 'down'));
  const row = { ...psiphon, ...fails, bucket_date: '2024-06-01', run_generation: 7, observation_idx: 1 };
  const rows = ['IT', 'DE', 'FR'].map(cc => ({
    ...at(cc, 1, row),
    measurement_uid: `20240601120000.000000_${cc}_tunnel_y`,
    measurement_start_time: '2024-06-01 00:00:00.000',
  }));
  await clickhouse.insert('obs_tunnel', rows);
  const outcomes = () =>
    clickhouse.select<Row>("SELECT DISTINCT outcome FROM tunnel_verdicts WHERE measurement_day = '2024-06-01'");
  expect(await outcomes()).toEqual([{ outcome: 'unknown' }]);
  await recordCompleteRun(clickhouse, { bucket: '2024-06-01', generation: 7 });
  expect(await outcomes()).toEqual([{ outcome: 'down' }]);
  // A later run with a filter replaces rows of its countries, so fewer countries are a sample.
  await clickhouse.insert('obs_tunnel', [{ ...rows[0]!, run_generation: 8 }]);
  await recordCompleteRun(clickhouse, { bucket: '2024-06-01', generation: 8, probe_cc: ['IT'] });
  expect(await outcomes()).toEqual([{ outcome: 'unknown' }]);
  expect(await clickhouse.select<Row>(`SELECT outcome FROM tunnel_verdicts WHERE measurement_uid = '${down}'`)).toEqual(
    [{ outcome: 'down' }],
  );
});

test('explain names the outcome of a tunnel, which has no observations of web requests', async () => {
  const blocked = ATTEMPTS.findIndex(({ name }) => name === 'openvpn connects, and the handshake fails');
  await expect(explain(clickhouse, uidOf(blocked), { otherwise: 3 })).rejects.toThrow(
    'It tried a tunnel (openvpn), and its outcome in the view tunnel_verdicts is blocked',
  );
});
