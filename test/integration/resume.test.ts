import { appendFileSync, cpSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { EVERYTHING, filterIDOf, normaliseFilter } from '../../pipeline/filter.ts';
import { type RunOrigin, readLedger } from '../../pipeline/ledger/ledger.ts';
import { analyseBucket } from '../../pipeline/runs/analysis.ts';
import { observationsToKeep } from '../../pipeline/runs/resume.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { makeDatabase, silent } from '../support/database.ts';
import { FIXTURES } from '../support/fixtures.ts';
import { runTools, runWhole } from '../support/runs.ts';

const DAY = '2023-05-30';
const key = { bucket: DAY, filter: EVERYTHING, filterID: filterIDOf(EVERYTHING) };
let root: string;
let clickhouse: ClickHouse;
let tools: ReturnType<typeof runTools>;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'ooni-resume-'));
  for (const file of globSync(`raw/${DAY.replaceAll('-', '')}/*/*/signal/*`, { cwd: FIXTURES }))
    cpSync(join(FIXTURES, file), join(root, file), { recursive: true });
  ({ clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'resume'));
  tools = runTools(clickhouse, root);
});
afterAll(async () => {
  await clickhouse?.close();
  rmSync(root, { recursive: true, force: true });
});

let analyses = 0;
async function analyse(observations: number): Promise<void> {
  const runID = `analysis ${++analyses}`;
  const origin: RunOrigin = { workflowID: 'w', runID, backfill: '', codeVersion: '0', referenceVersions: {} };
  const task = { bucket: key, observations, startedAt: Date.now() };
  await analyseBucket({ clickhouse, log: silent, rulesVersion: 3 }, task, origin);
}

async function newest(): Promise<number> {
  const [row] = await clickhouse.select<{ g: number }>(
    "SELECT max(generation) AS g FROM pipeline_runs WHERE stage = 'Observations'",
  );
  return row?.g ?? 0;
}

test('observations are kept while only their verdicts are missing and the archive has not changed since', async () => {
  const kept = async (bucket = key) => {
    const ledger = await readLedger(clickhouse, ['Observations', 'Analysis'], [bucket.bucket]);
    return (await observationsToKeep(tools, bucket, ledger))?.generation;
  };
  expect(await kept()).toBeUndefined();
  await runWhole(tools, DAY);
  const first = await newest();
  expect(await kept()).toBe(first);
  const italy = normaliseFilter({ probeCC: ['IT'] });
  expect(await kept({ ...key, filter: italy, filterID: filterIDOf(italy) })).toBeUndefined();

  await analyse(first);
  expect(await kept()).toBeUndefined();
  // Observed again. The run ended without a record before its analysis.
  await runWhole(tools, DAY);
  expect(await kept()).toBe(await newest());

  const [file] = globSync('raw/*/*/*/signal/*.jsonl.gz', { cwd: root });
  const copy = join(root, file!.replace('.n1.0.', '.n1.1.'));
  cpSync(join(root, file!), copy);
  expect(await kept()).toBeUndefined();
  rmSync(copy);
  expect(await kept()).toBe(await newest());
  appendFileSync(join(root, file!), 'more');
  expect(await kept()).toBeUndefined();
});
