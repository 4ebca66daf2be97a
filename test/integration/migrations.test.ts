import { describe, expect, inject, test } from 'vitest';
import { migrate } from '../../pipeline/migrations/migrate.ts';
import type { Migration } from '../../pipeline/migrations/migration.ts';
import { MIGRATIONS } from '../../pipeline/migrations/migrations.ts';
import { openClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { columnsOf } from '../../pipeline/tables/ensure.ts';
import { TableSchemaError } from '../../pipeline/tables/errors.ts';
import { ANALYSIS_WEB_MEASUREMENT, OBS_WEB, OBSERVATION_TABLES } from '../../pipeline/tables/schema.ts';
import { makeDatabase, silent } from '../support/database.ts';

const url = inject('clickhouseUrl');

describe('migrations', () => {
  test('an empty database gets all tables of the schema, once', async () => {
    const { clickhouse } = await makeDatabase(url, 'migrate', { migrated: false });
    expect(await migrate(clickhouse, silent)).toEqual(MIGRATIONS.map(each => each.number));
    expect(await migrate(clickhouse, silent)).toEqual([]);
    for (const table of OBSERVATION_TABLES) {
      const columns = await clickhouse.select<{ name: string; type: string }>(
        `SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '${table.name}' ORDER BY position`,
      );
      expect(columns.map(({ name, type }) => [name, type])).toEqual(table.columns.map(column => [...column]));
      const [made] = await clickhouse.select<Record<string, string>>(
        `SELECT engine_full, partition_key, sorting_key FROM system.tables WHERE database = currentDatabase() AND name = '${table.name}'`,
      );
      expect(made).toMatchObject({ partition_key: table.partitionBy, sorting_key: table.orderBy.join(', ') });
      expect(made?.engine_full).toContain('ReplacingMergeTree(run_generation)');
    }
    const leftovers = await clickhouse.select(
      "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE 'pipeline_migrating%'",
    );
    expect(leftovers).toEqual([]);
  });

  test('one of many processes migrates, the others wait for it', async () => {
    const { clickhouse, url: database } = await makeDatabase(url, 'migrate', { migrated: false });
    let inside = 0;
    let most = 0;
    let applied = 0;
    const slow: Migration = {
      number: 1,
      name: 'slow',
      async apply() {
        most = Math.max(most, ++inside);
        await new Promise(resolve => setTimeout(resolve, 300));
        inside--;
        applied++;
      },
    };
    const clients = Array.from({ length: 5 }, () => openClickHouse({ clickhouse_url: database }));
    const results = await Promise.all(clients.map(client => migrate(client, silent, { migrations: [slow], poll: 20 })));
    expect({ most, applied, by: results.filter(each => each.length > 0).length }).toEqual({
      most: 1,
      applied: 1,
      by: 1,
    });
    await Promise.all([clickhouse, ...clients].map(client => client.close()));
  });

  test('another process acquires the lock of a dead one, and repeats its incomplete migration', async () => {
    const { clickhouse } = await makeDatabase(url, 'migrate', { migrated: false });
    let runs = 0;
    const halfDone: Migration = {
      number: 1,
      name: 'half-done',
      async apply(client) {
        await client.command('CREATE TABLE IF NOT EXISTS half (x UInt8) ENGINE = MergeTree ORDER BY x');
        runs++;
      },
    };
    // State after a process is killed right after it has acquired the lock and run its first statement.
    await clickhouse.command(
      "CREATE TABLE pipeline_migrating_1 (token String, at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')) ENGINE = MergeTree ORDER BY at",
    );
    await clickhouse.command('CREATE TABLE half (x UInt8) ENGINE = MergeTree ORDER BY x');
    const options = { migrations: [halfDone], lockExpiry: 2, poll: 50 };
    const applied = await Promise.all([migrate(clickhouse, silent, options), migrate(clickhouse, silent, options)]);
    expect(applied.flat()).toEqual([1]);
    expect(runs).toBe(1);
  });

  test('a failed migration leaves no lock, and the next start retries it', async () => {
    const { clickhouse } = await makeDatabase(url, 'migrate', { migrated: false });
    const broken: Migration = {
      number: 1,
      name: 'broken',
      apply: client => client.command('CREATE TABLE x (y Nonsense) ENGINE = MergeTree ORDER BY y'),
    };
    await expect(migrate(clickhouse, silent, { migrations: [broken] })).rejects.toThrow(/Nonsense/);
    expect(await migrate(clickhouse, silent, { migrations: [{ ...broken, apply: async () => {} }] })).toEqual([1]);
  });

  test('a database of the Python pipeline becomes usable and keeps its rows', async () => {
    const { clickhouse } = await makeDatabase(url, 'python', { migrated: false });
    const python = OBS_WEB.columns
      .filter(([name]) => name !== 'run_generation' && name !== 'probe_id')
      .map(([name, type]) => `${name} ${type.replace('UInt32', 'Int32')}`);
    await clickhouse.command(
      `CREATE TABLE obs_web (${python.join(', ')}) ENGINE = ReplacingMergeTree PARTITION BY ${OBS_WEB.partitionBy} ORDER BY (${OBS_WEB.orderBy.join(', ')})`,
    );
    await clickhouse.insert('obs_web', [{ measurement_uid: 'old', bucket_date: '2024-01-01', probe_asn: 30722 }]);
    const grades = ['dns', 'tcp', 'tls'].flatMap(layer => ['blocked', 'down', 'ok'].map(grade => `${layer}_${grade}`));
    const common = ANALYSIS_WEB_MEASUREMENT.columns.slice(0, 16).map(([name, type]) => `${name} ${type}`);
    await clickhouse.command(
      `CREATE TABLE analysis_web_measurement (${[...common, ...grades.map(name => `${name}_max Float32`)].join(', ')})
       ENGINE = ReplacingMergeTree PRIMARY KEY measurement_uid ORDER BY (${ANALYSIS_WEB_MEASUREMENT.orderBy.join(', ')})`,
    );
    await clickhouse.insert('analysis_web_measurement', [{ measurement_uid: 'old', dns_blocked_max: 0.75 }]);

    await migrate(clickhouse, silent);

    expect(await clickhouse.select('SELECT measurement_uid, probe_asn, run_generation FROM obs_web')).toEqual([
      { measurement_uid: 'old', probe_asn: 30722, run_generation: 0 },
    ]);
    expect(new Set(await columnsOf(clickhouse, 'obs_web'))).toEqual(new Set(OBS_WEB.columns.map(([name]) => name)));
    expect(await clickhouse.select('SELECT dns_blocked, analysis_rules_version FROM analysis_web_measurement')).toEqual(
      [{ dns_blocked: 0.75, analysis_rules_version: 0 }],
    );
    expect(new Set(await columnsOf(clickhouse, 'analysis_web_measurement'))).toEqual(
      new Set(ANALYSIS_WEB_MEASUREMENT.columns.map(([name]) => name)),
    );
  });

  test('an object that has the name of a table but is not a table stays unchanged', async () => {
    const { clickhouse } = await makeDatabase(url, 'foreign', { migrated: false });
    await clickhouse.command('CREATE TABLE obs_web (x UInt8) ENGINE = Memory');
    const failure = await migrate(clickhouse, silent).catch(error => error);
    expect(failure).toBeInstanceOf(TableSchemaError);
    expect(failure.message).toMatch(/obs_web of engine Memory/);
    expect(await columnsOf(clickhouse, 'obs_web')).toEqual(['x']);
  });
});
