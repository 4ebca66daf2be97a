import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, inject, test } from 'vitest';
import { makeDatabase } from '../support/database.ts';
import { blocksOf } from '../support/doc-blocks.ts';
import { runTools, runWhole } from '../support/runs.ts';

test('the failures query of docs/troubleshooting.md counts each measurement once, for any number of runs of its day', async () => {
  const { clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'troubleshooting');
  const root = mkdtempSync(join(tmpdir(), 'ooni-archive-'));
  try {
    const key = 'raw/20240122/20/IT/webconnectivity/2024012220_IT_webconnectivity.n1.0.jsonl.gz';
    mkdirSync(dirname(join(root, key)), { recursive: true });
    writeFileSync(join(root, key), gzipSync('{"broken":\n[]\n'));
    const tools = runTools(clickhouse, root, 1);
    for (let runs = 0; runs < 3; runs++) await runWhole(tools, '2024-01-22');
    const page = 'docs/troubleshooting.md';
    const query = blocksOf(page, readFileSync(page, 'utf8')).find(({ text }) =>
      text.includes('pipeline_failures'),
    )!.text;
    const rows = await clickhouse.select<{ n: number; example: string }>(query);
    expect(rows.reduce((sum, { n }) => sum + Number(n), 0)).toBe(2);
    expect(rows[0]?.example).toBe(key);

    // A later run of the day without failures: its object was replaced.
    writeFileSync(join(root, key), gzipSync(''));
    await runWhole(tools, '2024-01-22');
    expect(await clickhouse.select(query)).toEqual([]);
  } finally {
    rmSync(root, { recursive: true, force: true });
    await clickhouse.close();
  }
});
