import { expect, test } from 'vitest';
import { changedWithoutMigration, type SchemaRecord } from './schema-record.ts';

const recorded: SchemaRecord = {
  migration: 14,
  tables: { obs_web: { ip: 'Nullable(String)' }, obs_tunnel: { ip: 'String' } },
  views: { blocking_by_country: 'a' },
};
const change = (of: Partial<SchemaRecord>) => changedWithoutMigration(recorded, { ...recorded, ...of });

test.each<[string, Partial<SchemaRecord>, string[]]>([
  ['nothing', {}, []],
  ['a new column', { tables: { ...recorded.tables, obs_web: { ip: 'Nullable(String)', port: 'Int32' } } }, ['obs_web']],
  ['another type', { tables: { ...recorded.tables, obs_tunnel: { ip: 'Nullable(String)' } } }, ['obs_tunnel']],
  ['a new table', { tables: { ...recorded.tables, obs_new: { ip: 'String' } } }, ['obs_new']],
  ['a table that is gone', { tables: { obs_web: recorded.tables.obs_web! } }, ['obs_tunnel']],
  ['another statement of a view', { views: { blocking_by_country: 'b' } }, ['blocking_by_country']],
  ['a new column and a migration', { migration: 15, tables: { obs_web: { port: 'Int32' } } }, []],
])('%s is found if it has no migration', (_, changed, names) => {
  expect(change(changed)).toEqual(names);
});
