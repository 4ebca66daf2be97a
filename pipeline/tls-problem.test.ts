import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { S3ServiceException } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openArchive } from './archive/open.ts';
import { toArchiveError } from './archive/s3-errors.ts';
import { loadSettings } from './settings.ts';
import { openClickHouse } from './tables/clickhouse.ts';

const server = createServer((_, response) => response.end('not TLS'));
let url: string;
beforeAll(async () => {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
});

const REMEDY = /does not answer: the server does not use TLS on this port; write http:\/\/ instead of https:\/\//;

test('ClickHouse without TLS behind https:// is named as such', async () => {
  const once = { attempts: 1, initial: 0, longest: 0 };
  const clickhouse = openClickHouse({ ...loadSettings({}), clickhouse_url: url }, { retry: once });
  await expect(clickhouse.select('SELECT 1')).rejects.toThrow(REMEDY);
  await clickhouse.close();
});

test('an archive without TLS behind https:// is named as such', { timeout: 60_000 }, async () => {
  const settings = { ...loadSettings({}), archive_url: 's3://bucket', archive_endpoint: url, archive_path_style: true };
  await expect(openArchive(settings).check()).rejects.toThrow(REMEDY);
});

test('a wrong region of the archive has another remedy than wrong credentials', () => {
  // The answers of versitygw 1.8.0.
  const answer = (name: string, message: string, httpStatusCode: number) =>
    toArchiveError(
      new S3ServiceException({ name, message, $fault: 'client', $metadata: { httpStatusCode } }),
      's3://bucket',
      { prefix: 'raw/' },
    ).message;
  const region = answer(
    'AuthorizationHeaderMalformed',
    'The authorization header is malformed; the region "eu-central-1" is wrong; expecting "us-east-1"',
    400,
  );
  expect(region).toMatch(
    /^the archive s3:\/\/bucket is in another region; check archive_region and archive_endpoint\./,
  );
  expect(region).toContain('expecting "us-east-1"');
  expect(answer('AccessDenied', 'Access Denied.', 403)).toContain('check archive_access_key_id');
});
