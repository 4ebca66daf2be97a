import { describe, expect, inject, test } from 'vitest';
import { materialiseIndex, planIndex } from '../../pipeline/migrations/indexes.ts';
import { migrate } from '../../pipeline/migrations/migrate.ts';
import { planMigrations } from '../../pipeline/migrations/migration-plan.ts';
import { MIGRATIONS } from '../../pipeline/migrations/migrations.ts';
import { besideName, repartition } from '../../pipeline/migrations/repartition.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { createTable } from '../../pipeline/tables/ddl.ts';
import { MEASUREMENT_EXPERIMENT_RESULT as RESULTS } from '../../pipeline/tables/schema.ts';
import { makeDatabase, silent } from '../support/database.ts';

const url = inject('clickhouseUrl');
const BESIDE = besideName(RESULTS.name);
const BEFORE = MIGRATIONS.filter(({ number }) => number < 6);

/** Creates a database as of version 5: the table of results is not partitioned, and has rows from before the index. */
async function oldDatabase(rows: number): Promise<{ clickhouse: ClickHouse; url: string }> {
  const made = await makeDatabase(url, 'repartition', { migrated: false });
  const { clickhouse } = made;
  const { partitionBy: _, ...unpartitioned } = RESULTS;
  await clickhouse.command(createTable(unpartitioned, clickhouse));
  await fill(clickhouse, RESULTS.name, rows, 1);
  await migrate(clickhouse, silent, { migrations: BEFORE });
  return made;
}

/** Inserts rows of four upload months, with legacy uids and with uids that are short or not UTF-8. */
async function fill(clickhouse: ClickHouse, table: string, rows: number, generation: number): Promise<void> {
  await clickhouse.command(
    `INSERT INTO ${table} (measurement_uid, timeofday, measurement_start_time, input, probe_asn, loni_blocked_keys, loni_blocked_values, anomaly, run_generation)
     SELECT
       multiIf(number % 50 = 0, concat('012024010', toString(number)), number % 50 = 1, substring(toString(number), 1, 1), number % 50 = 2, concat(unhex('ff00fe'), toString(number)),
         concat(toString(202309 + number % 4), '01000000.', toString(number), '_IT_webconnectivity_', hex(sipHash64(number)))),
       toDateTime64('2023-09-01 00:00:00', 3, 'UTC') + number, toDateTime64('2023-09-01 00:00:00', 3, 'UTC') + number,
       if(number % 3 = 0, NULL, concat('https://', toString(number), '/')), 4200000000 + number, ['dns', 'tcp'], [number / 7, 0.5], if(number % 2 = 0, NULL, 1), ${generation}
     FROM numbers(${rows})`,
  );
}

/** Returns all rows and columns, as FINAL shows them. */
async function contents(clickhouse: ClickHouse, table: string = RESULTS.name) {
  const columns = RESULTS.columns.map(([name]) => name).join(', ');
  const [found] = await clickhouse.select<{ rows: number; digest: string }>(
    `SELECT count() AS rows, toString(groupBitXor(sipHash64(toString((${columns}))))) AS digest FROM ${table} FINAL`,
  );
  return found;
}

async function shape(clickhouse: ClickHouse) {
  const tables = await clickhouse.select<{ name: string; partition_key: string; sorting_key: string }>(
    `SELECT name, partition_key, sorting_key FROM system.tables WHERE database = currentDatabase() AND startsWith(name, '${RESULTS.name}')`,
  );
  const [plain] = await clickhouse.select<{ rows: number }>(`SELECT count() AS rows FROM ${RESULTS.name}`);
  return { tables, plain: plain?.rows };
}

const PARTITIONED = [
  { name: RESULTS.name, partition_key: 'substring(measurement_uid, 1, 6)', sorting_key: 'measurement_uid, timeofday' },
];

class Crash extends Error {}

describe('partitions for the table of results', () => {
  test('the migration copies every row and column, and writes the index', { timeout: 120_000 }, async () => {
    const { clickhouse, url: database } = await oldDatabase(20_000);
    // A repeated analysis: a later generation of some rows, not merged yet.
    await fill(clickhouse, RESULTS.name, 3000, 2);
    const before = await contents(clickhouse);

    const plan = await planMigrations({ clickhouse_url: database }, silent);
    expect(plan.origin).toBe('own');
    expect(plan.pending.map(({ number }) => number)).toContain(6);
    expect(plan.pending.find(({ number }) => number === 6)?.changes[0]).toMatch(
      /^partition measurement_experiment_result by .* copy 23000 rows in \d+ partitions/,
    );
    expect(await contents(clickhouse)).toEqual(before);
    expect((await shape(clickhouse)).tables).toMatchObject([{ partition_key: '' }]);

    expect(await migrate(clickhouse, silent)).toContain(6);
    expect(await contents(clickhouse)).toEqual(before);
    expect(await shape(clickhouse)).toEqual({ tables: PARTITIONED, plain: before?.rows });
    const index = { table: RESULTS.name, index: 'measurement_start_time_minmax' };
    expect(await planIndex(clickhouse, index)).toEqual({ changes: [], statements: [] });
    const [parts] = await clickhouse.select<{ without: number }>(
      `SELECT countIf(secondary_indices_marks_bytes = 0) AS without FROM system.parts WHERE active AND database = currentDatabase() AND table = '${RESULTS.name}'`,
    );
    expect(parts).toEqual({ without: 0 });
  });

  test('a crash at any step leaves the rows readable, and the next start finishes', { timeout: 300_000 }, async () => {
    const { clickhouse } = await oldDatabase(600);
    const before = await contents(clickhouse);
    const crashed: string[] = [];
    const onStep = (step: string) => {
      if (crashed.includes(step)) return;
      crashed.push(step);
      throw new Crash();
    };
    for (let done = false; !done; ) {
      done = await repartition(clickhouse, RESULTS, silent, { onStep }).then(
        () => true,
        error => {
          if (error instanceof Crash) return false;
          throw error;
        },
      );
      expect(await contents(clickhouse)).toEqual(before);
      // An incomplete copy, like the one of a killed statement.
      if (crashed.at(-1)!.startsWith('copy')) {
        await clickhouse.command(`INSERT INTO ${BESIDE} SELECT * FROM ${RESULTS.name} LIMIT 100`);
      }
    }
    expect(crashed).toEqual(expect.arrayContaining(['create', 'exchange', 'drop']));
    expect(await contents(clickhouse)).toEqual(before);
    expect(await shape(clickhouse)).toEqual({ tables: PARTITIONED, plain: 600 });
  });

  test('rows written and deleted meanwhile are correct in the end', { timeout: 120_000 }, async () => {
    const { clickhouse } = await oldDatabase(600);
    let seen = new Set<string>();
    const once = (step: string) => !seen.has(step) && seen.add(step);
    await repartition(clickhouse, RESULTS, silent, {
      onStep: async step => {
        if (step.startsWith('copy') && once('copy')) await fill(clickhouse, RESULTS.name, 700, 3);
        if (step === 'exchange' && once('exchange')) {
          // After the last comparison, an analysis replaces rows, and another adds some.
          await fill(clickhouse, RESULTS.name, 100, 4);
          await clickhouse.command(
            `DELETE FROM ${RESULTS.name} WHERE run_generation < 4 AND measurement_uid IN (SELECT measurement_uid FROM ${RESULTS.name} WHERE run_generation = 4)`,
          );
          await fill(clickhouse, RESULTS.name, 900, 4);
        }
        if (step.startsWith('move') && once('move')) await fill(clickhouse, RESULTS.name, 50, 5);
      },
    });
    expect([...seen].sort()).toEqual(['copy', 'exchange', 'move']);
    seen = new Set();
    const generations = await clickhouse.select(
      `SELECT run_generation, count() AS rows FROM ${RESULTS.name} FINAL GROUP BY 1 ORDER BY 1`,
    );
    expect(generations).toEqual([
      { run_generation: 4, rows: 850 },
      { run_generation: 5, rows: 50 },
    ]);
    expect((await shape(clickhouse)).tables).toEqual(PARTITIONED);
  });

  test('columns that a user added are kept, and a foreign partition key is not changed', {
    timeout: 60_000,
  }, async () => {
    const { clickhouse } = await oldDatabase(100);
    await clickhouse.command(
      `ALTER TABLE ${RESULTS.name} ADD COLUMN note String DEFAULT 'mine', ADD COLUMN year UInt16 MATERIALIZED toYear(timeofday)`,
    );
    await repartition(clickhouse, RESULTS, silent);
    expect(await clickhouse.select(`SELECT DISTINCT note, year FROM ${RESULTS.name}`)).toEqual([
      { note: 'mine', year: 2023 },
    ]);

    await clickhouse.command(
      `CREATE TABLE other AS ${RESULTS.name} ENGINE = ReplacingMergeTree(run_generation) PARTITION BY toYYYYMM(timeofday) ORDER BY (measurement_uid, timeofday)`,
    );
    await repartition(clickhouse, { ...RESULTS, name: 'other' } as never, silent);
    expect(
      await clickhouse.select(
        "SELECT partition_key FROM system.tables WHERE database = currentDatabase() AND name = 'other'",
      ),
    ).toEqual([{ partition_key: 'toYYYYMM(timeofday)' }]);
  });

  test('a failed mutation is killed, and an index is written once', { timeout: 60_000 }, async () => {
    const { clickhouse } = await oldDatabase(1000);
    const index = { table: RESULTS.name, index: 'measurement_start_time_minmax' };
    expect((await planIndex(clickhouse, index)).statements).toHaveLength(1);
    await Promise.all([materialiseIndex(clickhouse, index, silent), materialiseIndex(clickhouse, index, silent)]);
    expect(await planIndex(clickhouse, index)).toEqual({ changes: [], statements: [] });
    const left = await clickhouse.select(
      'SELECT command FROM system.mutations WHERE database = currentDatabase() AND NOT is_done',
    );
    expect(left).toEqual([]);
  });
});
