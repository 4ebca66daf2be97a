import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { describe, inject, test } from 'vitest';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { makeDatabase } from '../support/database.ts';
import { expectedRows, FIXTURES } from '../support/fixtures.ts';
import { startProxy } from '../support/proxy.ts';
import { makeNamespace, runInput, startRun, WorkerProcess } from '../support/worker.ts';

/** 134 measurements of web_connectivity in five objects. */
const DAY = '2023-11-27';

/**
 * The steps of a run, by the statements it sends to ClickHouse, and what they carry. The worker is killed at each of them, before the statement gets there
 * and, in a run of its own, after it has been done and before the worker can know.
 */
const STEPS: readonly [name: string, statement: RegExp, data?: RegExp][] = [
  ['opening the run', /INSERT INTO pipeline_runs\b/],
  ['inserting rows', /INSERT INTO `obs_web_ctrl`/],
  ['recording files', /INSERT INTO pipeline_files/],
  ['recording that all rows are in', /INSERT INTO pipeline_runs\b/, /"state":"inserted"/],
  ['taking away older rows', /^DELETE FROM `obs_web`/],
  ['recording the end', /INSERT INTO pipeline_runs\b/, /"state":"completed"/],
];

/** A run over a bucket that has been run before, with the worker killed at a step; then another worker. Resolves when it is done. */
async function runWithCrash(step: RegExp, carries: RegExp, when: 'before' | 'after') {
  const { url, clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'crash', { migrated: false });
  const { namespace, client } = await makeNamespace(inject('temporalAddress'), 'crash');
  const victim: { process?: WorkerProcess; armed: boolean; killed: boolean } = { armed: false, killed: false };
  const proxy = await startProxy(url, async ({ statement, data, forward, answer, drop }) => {
    if (!victim.armed || !step.test(statement) || !carries.test(data)) return answer(await forward());
    victim.armed = false;
    if (when === 'after') await forward();
    await victim.process?.kill();
    victim.killed = true;
    drop();
  });
  const env = {
    TEMPORAL_ADDRESS: inject('temporalAddress'),
    TEMPORAL_NAMESPACE: namespace,
    CLICKHOUSE_URL: proxy.url,
    ARCHIVE_URL: FIXTURES,
  };
  victim.process = new WorkerProcess(env);
  let second: WorkerProcess | undefined;
  try {
    const first = await (await startRun(client, runInput(DAY))).result();
    victim.armed = true;
    const run = await startRun(client, runInput(DAY));
    for (let waited = 0; !victim.killed; waited++) {
      if (waited > 600) throw new Error(`the run never came to ${step}`);
      await sleep(100);
    }
    second = new WorkerProcess(env);
    const result = await run.result();
    return { clickhouse, client, first, result };
  } finally {
    await Promise.all([victim.process.kill(), second?.kill()]);
    proxy.close();
  }
}

async function rowsOf(clickhouse: ClickHouse, table: string): Promise<Map<string, number>> {
  const rows = await clickhouse.select<{ uid: string; n: number }>(
    `SELECT measurement_uid AS uid, count() AS n FROM ${table} GROUP BY uid`,
  );
  return new Map(rows.map(({ uid, n }) => [uid, n]));
}

describe.concurrent.for(STEPS)('a worker killed while %s', ([, statement, data = /^/]) => {
  test.for(['before', 'after'] as const)('%s the statement is done', { timeout: 240_000 }, async (when, { expect }) => {
    const { clickhouse, client, first, result } = await runWithCrash(statement, data, when);
    try {
      expect(result.generation).toBeGreaterThan(first.generation);
      expect(result.counts).toEqual(first.counts);
      for (const table of ['obs_web', 'obs_web_ctrl']) {
        expect(await rowsOf(clickhouse, table)).toEqual(expectedRows(table, [DAY]));
        const generations = await clickhouse.select(`SELECT DISTINCT run_generation AS generation FROM ${table}`);
        expect(generations).toEqual([{ generation: result.generation }]);
      }
      const runs = await clickhouse.select(
        'SELECT generation, state, read, rows_stored FROM pipeline_runs FINAL ORDER BY generation',
      );
      const common = { state: 'completed', read: 134, rows_stored: result.counts.rows };
      expect(runs).toEqual([
        { generation: first.generation, ...common },
        { generation: result.generation, ...common },
      ]);
      const [files] = await clickhouse.select(
        `SELECT count() AS files, sum(read) AS read FROM pipeline_files FINAL WHERE generation = ${result.generation}`,
      );
      expect(files).toEqual({ files: 5, read: 134 });
    } finally {
      await close(client, clickhouse);
    }
  });
});

async function close(client: Client, clickhouse: ClickHouse): Promise<void> {
  await Promise.all([client.connection.close(), clickhouse.close()]);
}
