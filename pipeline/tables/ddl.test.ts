import { expect, test } from 'vitest';
import { addColumns, createTable, engineFor } from './ddl.ts';
import { PIPELINE_RUNS } from './ledger-tables.ts';
import { ANALYSIS_WEB_MEASUREMENT, type Table } from './schema.ts';

const one = { cluster: '' };
const cluster = { cluster: 'ooni-prod' };
const table: Table = {
  name: 't',
  columns: [
    ['a', 'String'],
    ['b', 'UInt8'],
  ],
  engine: 'ReplacingMergeTree(b)',
  partitionBy: 'a',
  orderBy: ['a'],
};

test('a table is created on one server and on a cluster', () => {
  expect(createTable(table, one)).toBe(
    'CREATE TABLE IF NOT EXISTS `t` (\n  `a` String,\n  `b` UInt8\n) ENGINE = ReplacingMergeTree(b)\nPARTITION BY a\nORDER BY (`a`)',
  );
  expect(createTable(table, cluster)).toBe(
    'CREATE TABLE IF NOT EXISTS `t` ON CLUSTER `ooni-prod` (\n  `a` String,\n  `b` UInt8\n) ENGINE = ReplicatedReplacingMergeTree(b)\nPARTITION BY a\nORDER BY (`a`)',
  );
  expect(createTable(ANALYSIS_WEB_MEASUREMENT, one)).toContain(
    'PRIMARY KEY (`measurement_uid`)\nORDER BY (`measurement_uid`, `measurement_start_time`',
  );
});

test('only engines that support replication are replicated', () => {
  expect(engineFor('MergeTree', cluster)).toBe('ReplicatedMergeTree');
  expect(engineFor('EmbeddedRocksDB', cluster)).toBe('EmbeddedRocksDB');
  expect(engineFor(PIPELINE_RUNS.engine, cluster)).toBe('ReplicatedReplacingMergeTree(revision)');
});

test('only missing columns are added', () => {
  expect(addColumns(table, ['b', 'a', 'more'], one)).toBeUndefined();
  expect(addColumns(table, ['a'], cluster)).toBe(
    'ALTER TABLE `t` ON CLUSTER `ooni-prod` ADD COLUMN IF NOT EXISTS `b` UInt8',
  );
});
