import { once } from 'node:events';
import type { Client } from '@temporalio/client';
import { inject, test } from 'vitest';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import type { RunResult } from '../../worker/contract.ts';
import { type Passing, startProxy } from '../support/clickhouse-proxy.ts';
import { makeDatabase } from '../support/database.ts';
import { expectedRows, FIXTURES } from '../support/fixtures.ts';
import { makeNamespace, runInput, startRun, WorkerProcess } from '../support/worker.ts';

/** 134 measurements of web_connectivity in five objects. */
const DAY = '2023-11-27';

/**
 * Steps of a run, by the statements that it sends to ClickHouse and their data. The worker is killed at each of them: in one run before
 * the statement arrives, and in another after it is done and before the worker can know.
 */
const STEPS: readonly [name: string, statement: RegExp, data?: RegExp][] = [
  ['opening the run', /INSERT INTO pipeline_runs\b/],
  ['inserting rows', /INSERT INTO `obs_web_ctrl`/],
  ['recording files', /INSERT INTO pipeline_files/],
  ['recording that all rows are in', /INSERT INTO pipeline_runs\b/, /"state":"inserted"/],
  ['taking away older rows', /^DELETE FROM `obs_web`/],
  ['recording the end', /INSERT INTO pipeline_runs\b/, /"state":"completed"/],
];

/** A database and a Temporal namespace for the test, and one worker at a time, which dies at the chosen statement. */
class Bed {
  readonly clickhouse: ClickHouse;
  readonly client: Client;
  readonly #env: Record<string, string>;
  readonly #closeProxy: () => void;
  #worker: WorkerProcess;
  #armed?: { readonly step: RegExp; readonly carries: RegExp; readonly when: 'before' | 'after' };
  #killed = Promise.withResolvers<void>();

  static async make(): Promise<Bed> {
    const { url, clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'crash', { migrated: false });
    const { namespace, client } = await makeNamespace(inject('temporalAddress'), 'crash');
    const bed: Bed = new Bed(clickhouse, client, await startProxy(url, request => bed.#pass(request)), namespace);
    return bed;
  }

  private constructor(
    clickhouse: ClickHouse,
    client: Client,
    proxy: Awaited<ReturnType<typeof startProxy>>,
    namespace: string,
  ) {
    this.clickhouse = clickhouse;
    this.client = client;
    this.#closeProxy = proxy.close;
    this.#env = {
      TEMPORAL_ADDRESS: inject('temporalAddress'),
      TEMPORAL_NAMESPACE: namespace,
      CLICKHOUSE_URL: proxy.url,
      ARCHIVE_URL: FIXTURES,
    };
    this.#worker = new WorkerProcess(this.#env);
  }

  async #pass({ statement, data, forward, answer, drop }: Passing): Promise<void> {
    const armed = this.#armed;
    if (!armed?.step.test(statement) || !armed.carries.test(data)) return answer(await forward());
    this.#armed = undefined;
    if (armed.when === 'after') await forward();
    await this.#worker.kill();
    this.#killed.resolve();
    drop();
  }

  /** Runs the day with the current worker. */
  async run(): Promise<RunResult> {
    return (await startRun(this.client, runInput(DAY))).result();
  }

  /** Runs the day with the worker killed at a step and then replaced. Resolves when the run is done. */
  async runWithCrash(step: RegExp, carries: RegExp, when: 'before' | 'after'): Promise<RunResult> {
    this.#killed = Promise.withResolvers();
    this.#armed = { step, carries, when };
    const run = await startRun(this.client, runInput(DAY));
    const patience = AbortSignal.timeout(200_000);
    await Promise.race([
      this.#killed.promise,
      once(patience, 'abort').then(() => Promise.reject(new Error(`the run never came to ${step}`))),
    ]);
    this.#worker = new WorkerProcess(this.#env);
    return run.result();
  }

  async close(): Promise<void> {
    await this.#worker.kill();
    this.#closeProxy();
    await Promise.all([this.client.connection.close(), this.clickhouse.close()]);
  }
}

async function rowsOf(clickhouse: ClickHouse, table: string): Promise<Map<string, number>> {
  const rows = await clickhouse.select<{ uid: string; n: number }>(
    `SELECT measurement_uid AS uid, count() AS n FROM ${table} GROUP BY uid`,
  );
  return new Map(rows.map(({ uid, n }) => [uid, n]));
}

test.concurrent.for(STEPS)(
  'a worker killed while %s, before the statement is done and after',
  {
    timeout: 600_000,
  },
  async ([, statement, data = /^/], { expect }) => {
    const bed = await Bed.make();
    const { clickhouse } = bed;
    try {
      let last = await bed.run();
      const generations = [last.generation];
      for (const when of ['before', 'after'] as const) {
        const result = await bed.runWithCrash(statement, data, when);
        expect(result.generation).toBeGreaterThan(last.generation);
        expect(result.counts).toEqual(last.counts);
        for (const table of ['obs_web', 'obs_web_ctrl']) {
          expect(await rowsOf(clickhouse, table)).toEqual(expectedRows(table, [DAY]));
          const found = await clickhouse.select(`SELECT DISTINCT run_generation AS generation FROM ${table}`);
          expect(found).toEqual([{ generation: result.generation }]);
        }
        generations.push(result.generation);
        const runs = await clickhouse.select(
          'SELECT generation, state, read, rows_stored FROM pipeline_runs FINAL ORDER BY generation',
        );
        const common = { state: 'completed', read: 134, rows_stored: result.counts.rows };
        expect(runs).toEqual(generations.map(generation => ({ generation, ...common })));
        const [files] = await clickhouse.select(
          `SELECT count() AS files, sum(read) AS read FROM pipeline_files FINAL WHERE generation = ${result.generation}`,
        );
        expect(files).toEqual({ files: 5, read: 134 });
        last = result;
      }
    } finally {
      await bed.close();
    }
  },
);
