import { expect, test } from 'vitest';
import { Ledger } from './ledger.ts';

const query = {
  filter: { probeCC: [], testNames: [] },
  filterID: 'x',
  stages: [],
  from: '2024-01-01',
  before: '2024-01-02',
};

test.each(['http://127.0.0.1:1/db', 'embedded:.ooni/x'])('a ledger at %s that cannot be read is unknown', async url => {
  let now = 0;
  const ledger = new Ledger({ clickhouse_url: url, clickhouse_cluster: '' }, { monotonic: () => now });
  const read = () => ledger.history('data/daily', query, new AbortController().signal);
  const first = await read();
  expect(first).toEqual({ known: false, message: expect.stringContaining('clickhouse_url') });
  // The answer is shared for a minute.
  expect(await read()).toBe(first);
  now = 60_000;
  expect(await read()).not.toBe(first);
  await ledger.close();
});
