import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AsNames, packAsNames } from './as-names.ts';
import { isBogon } from './bogons.ts';
import { IpDatabaseError } from './ip-files.ts';
import { addressForm, isIpLiteral } from './ip-literal.ts';
import { openIpMetadata } from './ip-metadata.ts';

const fixtures = join(import.meta.dirname, '../../test/fixtures/geoip');
const asn = join(fixtures, 'GeoLite2-ASN-Test.mmdb');
const country = join(fixtures, 'GeoLite2-Country-Test.mmdb');
const at = (day: string) => Date.parse(`${day}T12:00:00Z`);

/** Expected values come from the source-data of MaxMind-DB for the same networks. */
const TELSTRA = { asn: 1221, as_org_name: 'Telstra Pty Ltd', as_cc: '', cc: 'ZZ', is_bogon: false };

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'geoip-'));
});
afterAll(() => rmSync(dir, { recursive: true }));

describe('IP lookups (observations.md section 4)', () => {
  it('use separate databases for AS and country together', () => {
    const view = openIpMetadata(fixtures).at(at('2024-01-01'));
    expect(view.ip('1.128.0.1')).toEqual(TELSTRA);
    expect(view.ip('2.125.160.216')).toMatchObject({ asn: 0, cc: 'GB' });
  });

  it.each([
    ['10.1.2.3', { asn: 64666, as_org_name: 'Bogon', as_cc: 'ZZ', cc: 'ZZ', is_bogon: true }],
    ['fe80::1%eth0', { asn: 64666, as_org_name: 'Bogon', as_cc: 'ZZ', cc: 'ZZ', is_bogon: true }],
    ['scrubbed', { asn: 0, as_org_name: '', as_cc: '', cc: 'ZZ', is_bogon: false }],
    ['8.8.8.8', { asn: 0, as_org_name: '', as_cc: '', cc: 'ZZ', is_bogon: false }],
  ])('%s without databases', (address, expected) => {
    expect(openIpMetadata(undefined).at(0).ip(address)).toEqual(expected);
  });

  it('use the newest database that is not newer than the day, or the first one for earlier days', () => {
    const dated = join(dir, 'dated');
    writeDatabases(dated, {
      '20200101-ip2country_as.mmdb.gz': gzipSync(readFileSync(asn)),
      '20210601-ip2country_as.mmdb': readFileSync(country),
    });
    const metadata = openIpMetadata(dated);
    expect(metadata.at(at('2019-01-01')).ip('1.128.0.1')).toEqual(TELSTRA);
    expect(metadata.at(at('2021-05-31')).ip('1.128.0.1')).toEqual(TELSTRA);
    expect(metadata.at(at('2021-06-01')).ip('1.128.0.1').asn).toBe(0);
    expect(metadata.at(at('2021-06-01')).ip('2.125.160.216').cc).toBe('GB');
    // Opening more databases than are kept open, and returning to an earlier one, changes nothing.
    expect(metadata.at(at('2019-01-01')).ip('1.128.0.1')).toEqual(TELSTRA);
    expect(metadata.version).toContain('20210601-ip2country_as.mmdb');
  });

  it('are shared with threads without loading again, even if the file was removed', async () => {
    const shared = join(dir, 'shared');
    writeDatabases(shared, { '20200101-asn.mmdb': readFileSync(asn) });
    const handed = openIpMetadata(shared).share([at('2022-01-01')]);
    rmSync(shared, { recursive: true });
    const module = pathToFileURL(join(import.meta.dirname, 'ip-metadata.ts')).href;
    const source = `
      import { parentPort, workerData } from 'node:worker_threads';
      const { IpMetadata } = await import(${JSON.stringify(module)});
      parentPort.postMessage(new IpMetadata(workerData).at(0).ip('1.128.0.1'));`;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: handed });
    const answer = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    expect(answer).toEqual(TELSTRA);
    await worker.terminate();
  });

  it('have a version that depends only on the content', () => {
    const content = { '20200101-ip2country_as.mmdb.gz': gzipSync(readFileSync(asn)) };
    const version = (name: string, files: Record<string, Buffer>) => {
      writeDatabases(join(dir, name), files);
      return openIpMetadata(join(dir, name)).version;
    };
    const first = version('one', content);
    expect(version('two', content)).toBe(first);
    const other = gzipSync(readFileSync(asn));
    other[other.length - 5]! ^= 1;
    expect(version('three', { '20200101-ip2country_as.mmdb.gz': other })).not.toBe(first);
    expect(version('four', { ...content, 'all_as_org_map.json': Buffer.from('{}') })).not.toBe(first);
  });

  it('throw if a file changed since it was opened', () => {
    const swapped = join(dir, 'swapped');
    writeDatabases(swapped, { '20200101-ip2country_as.mmdb': readFileSync(asn) });
    const metadata = openIpMetadata(swapped);
    writeDatabases(swapped, { '20200101-ip2country_as.mmdb': readFileSync(country) });
    for (const look of [() => metadata.at(0), () => metadata.share([0])]) {
      expect(look).toThrow(/20200101-ip2country_as\.mmdb is another file than when this process began; restart it/);
    }
  });

  it('name a database that is damaged inside when it is read', () => {
    const bytes = Buffer.from(readFileSync(asn));
    // The end of the file has the metadata, which is read at once. The tree before it is not read.
    bytes.fill(0xff, 0, bytes.lastIndexOf('\xab\xcd\xefMaxMind.com', undefined, 'latin1'));
    writeDatabases(join(dir, 'damaged'), { '20200101-ip2country_as.mmdb': bytes });
    const view = openIpMetadata(join(dir, 'damaged')).at(0);
    expect(() => view.ip('1.128.0.1')).toThrow(/20200101-ip2country_as\.mmdb is damaged/);
    writeDatabases(join(dir, 'cut'), { '20200101-x.mmdb.gz': gzipSync(readFileSync(asn)).subarray(0, -20) });
    expect(() => openIpMetadata(join(dir, 'cut')).at(0)).toThrow(/20200101-x\.mmdb\.gz cannot be read/);
  });

  it.each(['[]', 'null', '{"137": "GARR"}', '{"137": [["GARR", "IT"]]}', '{"137": [[1, 2, 3]]}', '{'])(
    'reject %s as the map of AS numbers',
    map => {
      writeDatabases(join(dir, 'map'), {
        '20200101-x.mmdb': readFileSync(asn),
        'all_as_org_map.json': Buffer.from(map),
      });
      expect(() => openIpMetadata(join(dir, 'map'))).toThrow(/all_as_org_map\.json/);
    },
  );

  const shared = join(import.meta.dirname, '../../../shared/data/geoip/probe-assets-202103');
  it.skipIf(!existsSync(shared))('read the databases that probes use', () => {
    const view = openIpMetadata(shared).at(at('2021-08-17'));
    // The RIPE and ARIN registers list AS 137 and AS 13335 for these networks.
    expect(view.ip('193.205.3.1')).toMatchObject({ asn: 137, as_org_name: 'Consortium GARR', cc: 'IT' });
    expect(view.ip('2606:4700:4700::1111')).toMatchObject({ asn: 13335, is_bogon: false });
  });

  it('name the file that cannot be used', () => {
    const broken = join(dir, 'broken');
    writeDatabases(broken, { '20200101-ip2country_as.mmdb': Buffer.from('not a database') });
    expect(() => openIpMetadata(broken).at(0)).toThrow(/20200101-ip2country_as\.mmdb is not a MaxMind DB/);
    writeDatabases(broken, { '20209901-x.mmdb': Buffer.alloc(1) });
    expect(() => openIpMetadata(broken)).toThrow(IpDatabaseError);
    expect(() => openIpMetadata(join(dir, 'nowhere'))).toThrow(/nowhere, which does not exist/);
    const empty = mkdtempSync(join(dir, 'empty-'));
    expect(() => openIpMetadata(empty)).toThrow(/leave geoip_dir empty/);
  });
});

function writeDatabases(folder: string, files: Record<string, Buffer>): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
}

describe('AS names', () => {
  const names = new AsNames(
    packAsNames({
      '137': [
        ['GARR old', 'IT', '20100101', 'ASGARR-OLD', 'ripe'],
        ['GARR', 'IT', '20200101', 'ASGARR', 'ripe'],
      ],
      '4294967295': [['Ünïcode', 'DE', 'latest', 'LAST', 'ripe']],
      '9': [
        ['Later', 'FR', '20300101', 'LATER'],
        ['Unordered', 'FR', '20000101', 'X'],
      ],
    }),
  );

  it.each([
    [137, '2005-01-01', { org_name: 'GARR old', cc: 'IT', name: 'ASGARR-OLD' }],
    [137, '2019-12-31', { org_name: 'GARR old', cc: 'IT', name: 'ASGARR-OLD' }],
    [137, '2020-01-01', { org_name: 'GARR', cc: 'IT', name: 'ASGARR' }],
    [0, '2020-01-01', { org_name: 'Unknown', cc: 'ZZ', name: 'Unknown' }],
    [64512, '2020-01-01', { org_name: 'Private use (RFC1930)', cc: 'ZZ', name: 'Private use (RFC1930)' }],
    [65536, '2020-01-01', { org_name: '', cc: '', name: '' }],
    [136, '2020-01-01', { org_name: '', cc: '', name: '' }],
    [9, '2020-01-01', { org_name: 'Later', cc: 'FR', name: 'LATER' }],
    [4294967295, '2020-01-01', { org_name: 'Ünïcode', cc: 'DE', name: 'LAST' }],
  ])('AS%d on %s', (number, day, expected) => {
    expect(names.lookup(number, at(day))).toEqual(expected);
  });
});

it('AS names are found except for an AS with entries of another form', () => {
  const names = new AsNames(
    packAsNames({
      '1': [['A', 'US', '20100101', null]],
      '2': [['B', 'US'], 'x', ['C', 'DE', '20100101', 'NAME']],
      '3': 'D',
      '4': [],
      AS5: [['E', 'US', '20100101', 'E']],
      '99999999999': [['F', 'US', '20100101', 'F']],
    }),
  );
  const all = [1, 2, 3, 4].map(asn => names.lookup(asn, at('2020-01-01')));
  const unknown = { org_name: '', cc: '', name: '' };
  expect(all).toEqual([
    { org_name: 'A', cc: 'US', name: '' },
    { org_name: 'C', cc: 'DE', name: 'NAME' },
    unknown,
    unknown,
  ]);
});

describe('addresses', () => {
  it.each(['1.2.3.4', '::1', '2001:db8::1', 'fe80::1%eth0', '::ffff:1.2.3.4', '2A00::1'])('%s is a literal', text => {
    expect(isIpLiteral(text)).toBe(true);
  });

  it.each([
    '',
    '1.2.3',
    '01.2.3.4',
    '1.2.3.4:80',
    '[::1]',
    'scrubbed',
    'fe80::1%',
    '1.2.3.4%eth0',
    '::1%a%b',
    'example.com',
    'de:ad',
  ])('"%s" is not a literal', text => {
    expect(isIpLiteral(text)).toBe(false);
  });

  it.each([
    '0.1.2.3',
    '100.64.0.1',
    '172.31.255.255',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::ffff:8.8.8.8',
    '2002:a00::1',
    '64:ff9b:1::1',
  ])('%s is a bogon', address => {
    expect(isBogon(address)).toBe(true);
  });

  it.each(['1.1.1.1', '172.32.0.1', '64:ff9b::808:808', '2a00:1450::1', '2001:0:4136:e378::1', '0:ffff::1'])(
    '%s is none',
    address => {
      expect(isBogon(address)).toBe(false);
    },
  );
});

describe('addressForm', () => {
  it.each([
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::FFFF:102:304', '1.2.3.4'],
    ['0:0:0:0:0:ffff:102:304', '1.2.3.4'],
    ['0000:0000:0000:0000:0000:ffff:0102:0304', '1.2.3.4'],
    ['::ffff:1.2.3.4%eth0', '1.2.3.4'],
    ['::1.2.3.4', '::102:304'],
    ['::ffff:0:1.2.3.4', '::ffff:0:102:304'],
    ['64:ff9b::8.8.4.4', '64:ff9b::808:404'],
    ['2001:DB8::A', '2001:db8::a'],
    ['2001:0db8::1', '2001:db8::1'],
    ['2001:db8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:1:0:0:0:1', '2001:db8:0:1::1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2:3:4:5:6'],
    ['FE80::1%Eth0', 'fe80::1%Eth0'],
  ])('%s is %s', (text, inside) => expect(addressForm(text)).toBe(inside));

  it.each(['::', '::ffff', '0.0.0.0', '2001:db8::ffff:102:304', 'A.example', 'x:A', ':x', '0', ''])('%j stays', text =>
    expect(addressForm(text)).toBe(text),
  );
});
