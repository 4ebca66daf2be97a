import { expect, test } from 'vitest';
import { SettingsError } from '../settings.ts';
import { identifier, openClickHouse, quote } from './clickhouse.ts';
import { parseClickHouseUrl } from './clickhouse-url.ts';

test.each([
  ['http://localhost:8123', 'http://localhost:8123', 'default', 'default', ''],
  ['http://localhost', 'http://localhost:8123', 'default', 'default', ''],
  ['https://me:pass@ch.example.org/ooni', 'https://ch.example.org:8443', 'ooni', 'me', 'pass'],
  ['https://ch.example.org:443/ooni', 'https://ch.example.org:443', 'ooni', 'default', ''],
  ['clickhouse://localhost', 'http://localhost:8123', 'default', 'default', ''],
  ['clickhouse://user:p%40ss%2Fword@host:9000/db?compression=lz4', 'http://host:8123', 'db', 'user', 'p@ss/word'],
  ['clickhouse://host/db?secure=False&user_id=x', 'http://host:8123', 'db', 'default', ''],
  ['clickhouses://host:9440/db', 'https://host:8443', 'db', 'default', ''],
  ['clickhouse://host:18123/db', 'http://host:18123', 'db', 'default', ''],
  ['http://[::1]:9999/x', 'http://[::1]:9999', 'x', 'default', ''],
])('%s', (text, url, database, username, password) => {
  expect(parseClickHouseUrl(text)).toEqual({ url, database, username, password });
});

test.each([
  'localhost:8123',
  'mysql://me:s3cret@host/db',
  '',
  'http://me:s3cret@host/a/b',
  'http://',
  'http://host:8123/?user=me&password=s3cret',
  'http://host:8123/?password=s3cret',
  'http://host:8123/?database=ooni',
  'clickhouse://me:s3cret@host/db?secure=True',
])('"%s" is rejected', text => {
  const error = (() => {
    try {
      return parseClickHouseUrl(text);
    } catch (error) {
      return error;
    }
  })();
  expect(error).toBeInstanceOf(SettingsError);
  expect(String(error)).toContain('clickhouse_url');
  expect(String(error)).not.toContain('s3cret');
});

test('the name of a server shows no credentials', async () => {
  const clickhouse = openClickHouse({ clickhouse_url: 'https://me:s3cret@host/db' });
  expect(clickhouse.name).toBe('https://host:8443/db');
  expect(JSON.stringify(clickhouse)).not.toContain('s3cret');
  await clickhouse.close();
});

test('text and names are quoted', () => {
  expect(quote(`it's \\ a`)).toBe(`'it\\'s \\\\ a'`);
  expect(identifier('a`b')).toBe('`a\\`b`');
});
