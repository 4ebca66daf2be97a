import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { makeArchive, temporaryDirectory } from '../../test/support/archive.ts';
import { fetchGeoip } from './geoip.ts';

const DATABASE = readFileSync(join(import.meta.dirname, '../../test/fixtures/geoip/GeoLite2-ASN-Test.mmdb'));
const PACKED = gzipSync(DATABASE);
const NAMES = '{"137": [["GARR", "IT", "20100101", "ASGARR", "ripe"]]}';

const OBJECTS = {
  'ip2country-as/20180101-ip2country_as.mmdb.gz': PACKED,
  'ip2country-as/20230105-ip2country_as.mmdb.gz': PACKED,
  'ip2country-as/20240105-ip2country_as.mmdb': DATABASE,
  'ip2country-as/20240205-ip2country_as.mmdb.gz': '',
  'ip2country-as/all_as_org_map.json': NAMES,
  'ip2country-as/README.txt': 'x',
  'raw/20240101/00/IT/ndt/2024010100_IT_ndt.n0.0.tar.gz': 'x',
};

async function fetch(objects: Record<string, Uint8Array | string>, dir: string, since?: string) {
  const said: string[] = [];
  const { root } = makeArchive(objects);
  const env = { ARCHIVE_URL: root, GEOIP_DIR: dir };
  const status = await fetchGeoip({ ...(since && { since }) }, env, message => said.push(message)).catch(
    (error: Error) => error,
  );
  return { status, said, files: existsSync(dir) ? readdirSync(dir).sort() : [] };
}

describe('oonipipeline geoip', () => {
  it('fetches missing databases, once', async () => {
    const dir = temporaryDirectory();
    const { status, said, files } = await fetch(OBJECTS, dir);
    expect(status).toBe(0);
    expect(files).toEqual([
      '20180101-ip2country_as.mmdb.gz',
      '20230105-ip2country_as.mmdb.gz',
      '20240105-ip2country_as.mmdb',
      'all_as_org_map.json',
    ]);
    expect(readFileSync(join(dir, '20180101-ip2country_as.mmdb.gz'))).toEqual(PACKED);
    expect(said.at(-1)).toMatch(
      /4 files, 4 of them new\. Version: 20240105-ip2country_as\.mmdb and 2 more \([0-9a-f]{12}\)$/,
    );
    writeFileSync(join(dir, 'all_as_org_map.json'), 'cut off');
    const again = await fetch(OBJECTS, dir);
    expect(again.said.at(-1)).toContain('4 files, 1 of them new');
    expect(readFileSync(join(dir, 'all_as_org_map.json'), 'utf8')).toBe(NAMES);
  });

  it.each([
    ['2017-06-01', ['20180101', '20230105', '20240105']],
    ['2023-01-04', ['20180101', '20230105', '20240105']],
    ['2023-01-05', ['20230105', '20240105']],
    ['2025-01-01', ['20240105']],
  ])('since %s fetches the database of that day and the later ones', async (since, dates) => {
    const { files } = await fetch(OBJECTS, temporaryDirectory(), since);
    expect(files.map(name => name.slice(0, 8))).toEqual([...dates, 'all_as_o']);
  });

  it.each([
    ['an archive without databases', { 'ip2country-as/README.txt': 'x' }, /has no YYYYMMDD-\*\.mmdb/],
    ['a broken database', { 'ip2country-as/20180101-x.mmdb.gz': PACKED.subarray(0, -9) }, /cannot be read/],
    ['a file that is not a database', { 'ip2country-as/20180101-x.mmdb': 'no' }, /is not a MaxMind DB/],
    ['a broken map', { ...OBJECTS, 'ip2country-as/all_as_org_map.json': '[]' }, /is not a map from AS number/],
  ])('fails and leaves no files behind for %s', async (_what, objects, message) => {
    const { status, files } = await fetch(objects, temporaryDirectory());
    expect(status).toMatchObject({ name: 'IpDatabaseError', message: expect.stringMatching(message) });
    expect(files.filter(name => name.includes('part') || name.endsWith('.json') || name.includes('-x'))).toEqual([]);
  });

  it('requires a directory', async () => {
    expect((await fetch(OBJECTS, '')).status).toMatchObject({ message: expect.stringContaining('give --dir') });
  });

  it('reports a directory that cannot be written', async () => {
    const dir = join(temporaryDirectory(), 'file', 'geoip');
    writeFileSync(join(dir, '..'), '');
    const { status } = await fetch(OBJECTS, dir);
    expect(status).toMatchObject({ name: 'IpDatabaseError', message: expect.stringContaining(`${dir} cannot take`) });
    const taken = temporaryDirectory();
    mkdirSync(join(taken, '20180101-ip2country_as.mmdb.gz'));
    expect((await fetch(OBJECTS, taken)).status).toMatchObject({ message: expect.stringContaining('EISDIR') });
    expect(readdirSync(taken)).toEqual(['20180101-ip2country_as.mmdb.gz']);
  });
});
