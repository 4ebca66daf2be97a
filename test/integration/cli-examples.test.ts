import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { EMBEDDED_EXAMPLES } from '../../tools/cli-examples.ts';
import { missingLine } from '../support/doc-blocks.ts';
import { programs } from '../support/typed-line.ts';

const dir = mkdtempSync(join(tmpdir(), 'cli-examples-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

// The examples name the fixtures as a user of a clone does, and keep their data beside them.
symlinkSync(join(process.cwd(), 'test'), join(dir, 'test'));
// The archive of the IP databases.
mkdirSync(join(dir, 'archive/ip2country-as'), { recursive: true });
copyFileSync(
  'test/fixtures/geoip/GeoLite2-ASN-Test.mmdb',
  join(dir, 'archive/ip2country-as/20240105-ip2country_as.mmdb'),
);

describe('the examples of docs/cli.md, one after another', () => {
  const { CLICKHOUSE_URL: _, ...rest } = process.env;
  const env = {
    ...rest,
    PATH: programs(dir),
    CLICKHOUSE_URL: 'embedded:data',
    FINGERPRINTS_DNS_SOURCE: 'test/fixtures/fingerprints/fingerprints_dns.csv',
    COLUMNS: '100',
    NO_COLOR: '1',
  };
  test.each(Object.entries(EMBEDDED_EXAMPLES))('%s', (_name, { line, output, status: expected = 0 }) => {
    const { status, stdout, stderr } = spawnSync('bash', ['-c', line], { cwd: dir, env, encoding: 'utf8' });
    expect(status, stderr).toBe(expected);
    expect(missingLine(output, stdout + stderr), stdout + stderr).toBeUndefined();
  });
});
