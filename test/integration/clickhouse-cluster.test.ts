import { describe, expect, inject, test } from 'vitest';
import { migrateAutomatically } from '../../pipeline/migrations/migrate.ts';
import { planMigrations } from '../../pipeline/migrations/migration-plan.ts';
import { openClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { syncStatement } from '../../pipeline/tables/cluster.ts';
import { ClickHouseUnavailableError, TableSchemaError } from '../../pipeline/tables/errors.ts';
import { startProxy } from '../support/clickhouse-proxy.ts';
import { makeDatabase, silent } from '../support/database.ts';
import { makePythonTables } from '../support/python-database.ts';

const url = inject('clickhouseUrl');

describe('deletes', () => {
  async function makeTable() {
    const made = await makeDatabase(url, 'deletes', { migrated: false });
    await made.clickhouse.command('CREATE TABLE t (p String, a UInt32) ENGINE = MergeTree PARTITION BY p ORDER BY a');
    await made.clickhouse.command("INSERT INTO t SELECT 'x', number FROM numbers(100)");
    const mutations = () =>
      made.clickhouse.select<{ done: number; killed: number }>(
        "SELECT is_done AS done, is_killed AS killed FROM system.mutations WHERE database = currentDatabase() AND table = 't'",
      );
    const rows = () => made.clickhouse.select('SELECT count() AS n FROM t');
    return { ...made, mutations, rows };
  }

  test('a failed delete leaves no mutation in the queue that would block later ones', async () => {
    const { url: database, clickhouse, mutations, rows } = await makeTable();
    const impatient = openClickHouse({ clickhouse_url: database }, { retry: { attempts: 2, initial: 1, longest: 1 } });
    const failure = await impatient.mutate("t IN PARTITION 'x'", 'throwIf(a = 50)').catch(error => error);
    expect(failure).toBeInstanceOf(ClickHouseUnavailableError);
    expect(failure.message).toMatch(/cannot delete from t IN PARTITION 'x'.*throwIf/s);
    expect((await mutations()).filter(({ done }) => !done)).toEqual([]);
    expect(await clickhouse.mutate("t IN PARTITION 'x'", 'a < 10 OR a > 95')).toBe(true);
    expect(await rows()).toEqual([{ n: 86 }]);
    await impatient.close();
  });

  test('a delete with a lost response is not queued again', async () => {
    const { url: database, mutations, rows } = await makeTable();
    let lost = 0;
    const proxy = await startProxy(database, async passing => {
      const answer = await passing.forward();
      if (/DELETE FROM t /.test(passing.statement) && lost++ === 0) return passing.drop();
      await passing.answer(answer);
    });
    const through = openClickHouse({ clickhouse_url: proxy.url });
    expect(await through.mutate("t IN PARTITION 'x'", 'a < 10')).toBe(true);
    expect(lost).toBe(1);
    expect(await mutations()).toHaveLength(1);
    expect(await rows()).toEqual([{ n: 90 }]);
    await through.close();
    proxy.close();
  });

  test('a rejected delete is not retried', async () => {
    const { clickhouse, mutations } = await makeTable();
    await expect(clickhouse.mutate('t', 'nonsense = 1')).rejects.toThrow(/nonsense/);
    expect(await mutations()).toEqual([]);
  });
});

describe('a cluster', () => {
  test('with a name that the server does not know is rejected at start', async () => {
    const { url: database, clickhouse } = await makeDatabase(url, 'cluster', { migrated: false });
    const settings = { clickhouse_url: database, clickhouse_cluster: 'ooni' };
    const on = openClickHouse(settings);
    const failure = await migrateAutomatically(on, silent, { automatic: 'own', remedy: '' }).catch(error => error);
    expect(failure).toBeInstanceOf(TableSchemaError);
    expect(failure.message).toMatch(/clickhouse_cluster is "ooni", a cluster that this ClickHouse does not know/);
    expect(await clickhouse.select('SELECT name FROM system.tables WHERE database = currentDatabase()')).toEqual([]);
    await on.close();
  });

  test('gets statements that ClickHouse parses, with ON CLUSTER and replicated engines', {
    timeout: 60_000,
  }, async () => {
    for (const python of [false, true]) {
      const { url: database, clickhouse } = await makeDatabase(url, 'cluster', { migrated: false });
      if (python) await makePythonTables(clickhouse);
      const { pending } = await planMigrations({ clickhouse_url: database, clickhouse_cluster: 'ooni' }, silent);
      const statements = pending.flatMap(migration => migration.statements);
      expect(statements.length).toBeGreaterThan(15);
      for (const statement of [...statements, syncStatement('ooni', 'obs_web')]) {
        await clickhouse.select(`EXPLAIN AST ${statement}`);
        if (/^CREATE|^EXCHANGE|^DROP|ADD COLUMN/.test(statement)) expect(statement).toContain('ON CLUSTER `ooni`');
        if (/ENGINE = \w*MergeTree/.test(statement)) expect(statement).toMatch(/ENGINE = Replicated\w*MergeTree/);
      }
    }
  });
});
