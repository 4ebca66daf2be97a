import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { MIGRATIONS } from '../../pipeline/migrations/migrations.ts';
import { identifier, openClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { eventually, type OperatorProcess } from '../support/operator.ts';
import { OperatorBed } from '../support/operator-bed.ts';

/** The operator migrates the database before any worker runs. */
const database = `operator_migration_${randomBytes(4).toString('hex')}`;
const url = `${inject('clickhouseUrl')}/${database}`;
const bed = new OperatorBed('operator-migration', { OPERATOR_MIGRATES: 'true', CLICKHOUSE_URL: url });
const server = openClickHouse({ clickhouse_url: inject('clickhouseUrl') });
const clickhouse = openClickHouse({ clickhouse_url: url });

const start = (automaticMigration: string): OperatorProcess => {
  bed.env.AUTOMATIC_MIGRATION = automaticMigration;
  return bed.startOperator();
};

beforeAll(() => bed.prepare());

afterAll(async () => {
  await bed.stop();
  await clickhouse.close();
  await server.command(`DROP DATABASE IF EXISTS ${identifier(database)}`);
  await server.close();
});

test('where automatic_migration is never, the operator makes no table and names the command once', async () => {
  const never = start('never');
  await eventually(async () => never.output.includes('cannot prepare the database'));
  expect(never.output).toMatch(
    /lacks the migrations 1, .* automatic_migration is never\. To migrate it, type: node cli\/main\.ts migrate --yes/,
  );
  const tables = await server.select('SELECT name FROM system.tables WHERE database = {database:String}', {
    params: { database },
  });
  expect(tables).toEqual([]);
  expect(await never.stop()).toBe(0);
  expect(never.output.split('cannot prepare the database')).toHaveLength(2);
});

test('otherwise the leader creates the tables, without a worker', async () => {
  const leader = start('own');
  await eventually(async () => leader.output.includes('is prepared'));
  expect(leader.output).not.toContain('cannot prepare the database');
  const recorded = await clickhouse.select<{ number: number }>(
    'SELECT number FROM pipeline_migrations ORDER BY number',
  );
  expect(recorded.map(({ number }) => number)).toEqual(MIGRATIONS.map(({ number }) => number));
  expect(await leader.stop()).toBe(0);
});
