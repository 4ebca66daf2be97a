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
  const ask = (inputs: unknown) =>
    ledger.ask('data/daily', { query, inputs, summarise: () => 1 }, new AbortController().signal);
  const read = () => ask(['2024-01-01']);
  const first = await read();
  expect(first).toEqual({ known: false, message: expect.stringContaining('clickhouse_url') });
  // The answer is shared for a minute.
  expect(await read()).toBe(first);
  const other = await ask([]);
  expect(other).not.toBe(first);
  expect(await ask([])).toBe(other);
  now = 60_000;
  expect(await read()).not.toBe(first);
  await ledger.close();
});
