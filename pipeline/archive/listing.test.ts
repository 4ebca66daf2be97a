import { describe, expect, it } from 'vitest';
import { collect, makeArchive } from '../../test/support/archive.ts';
import { EVERYTHING, normaliseFilter } from '../filter.ts';
import type { Archive, ArchiveObject, ListOptions } from './archive.ts';
import type { BadKey } from './keys.ts';
import { listBucket } from './listing.ts';

/** Passes all calls to an archive and records the listed prefixes. */
class Watched implements Archive {
  readonly url = 'watched';
  readonly prefixes: string[] = [];
  readonly #archive: Archive;
  constructor(archive: Archive) {
    this.#archive = archive;
  }
  list(prefix: string, options?: ListOptions): AsyncIterable<ArchiveObject> {
    this.prefixes.push(prefix);
    return this.#archive.list(prefix, options);
  }
  folders(prefix: string) {
    return this.#archive.folders(prefix);
  }
  open(object: ArchiveObject) {
    return this.#archive.open(object);
  }
  check() {
    return this.#archive.check();
  }
}

const raw = (hour: number, cc: string, test: string, rest: string) => {
  const hh = String(hour).padStart(2, '0');
  return `raw/20210817/${hh}/${cc}/${test}/20210817${hh}_${cc}_${test}.${rest}`;
};
const archiveOf = (keys: string[]) => makeArchive(Object.fromEntries(keys.map(key => [key, 'x']))).archive;
const listed = async (archive: Archive, bucket: string, filter = {}) =>
  (await collect(listBucket(archive, bucket, normaliseFilter(filter)))).map(file => file.key);

describe('listing', () => {
  const keys = [
    raw(0, 'IT', 'signal', 'n0.0.tar.gz'),
    raw(15, 'IT', 'signal', 'n0.0.tar.gz'),
    raw(15, 'US', 'signal', 'n0.0.tar.gz'),
    raw(15, 'US', 'webconnectivity', 'n0.0.tar.gz'),
    raw(23, 'US', 'signal', 'n1.0.tar.gz'),
  ];

  it('applies the bucket and the filter', async () => {
    const archive = archiveOf([...keys, 'raw/20210818/00/IT/signal/2021081800_IT_signal.n0.0.tar.gz']);
    expect(await listed(archive, '2021-08-17')).toEqual(keys);
    expect(await listed(archive, '2021-08-17T15')).toEqual(keys.slice(1, 4));
    expect(await listed(archive, '2021-08-17', { probeCC: ['us'] })).toEqual(keys.slice(2));
    expect(await listed(archive, '2021-08-17', { testNames: ['web_connectivity'] })).toEqual([keys[3]]);
    expect(await listed(archive, '2021-08-17T15', { probeCC: ['IT'], testNames: ['webconnectivity'] })).toEqual([]);
    expect(await listed(archive, '2021-08-19')).toEqual([]);
  });

  it('lists the narrowest prefixes that save requests', async () => {
    const prefixesOf = async (bucket: string, filter = {}) => {
      const archive = new Watched(archiveOf(keys));
      await listed(archive, bucket, filter);
      return archive.prefixes;
    };
    expect(await prefixesOf('2021-08-17')).toEqual(['raw/20210817/']);
    expect(await prefixesOf('2021-08-17T15')).toEqual(['raw/20210817/15/']);
    expect(await prefixesOf('2021-08-17T15', { probeCC: ['US'] })).toEqual(['raw/20210817/15/US/']);
    expect(await prefixesOf('2021-08-17T15', { probeCC: ['US'], testNames: ['signal'] })).toEqual([
      'raw/20210817/15/US/signal/',
    ]);
    const day = await prefixesOf('2021-08-17', { probeCC: ['IT', 'US'], testNames: ['signal'] });
    expect(day).toHaveLength(48);
    expect(day.slice(0, 3)).toEqual([
      'raw/20210817/00/IT/signal/',
      'raw/20210817/00/US/signal/',
      'raw/20210817/01/IT/signal/',
    ]);
    // A test alone is below every country: listing the day costs fewer requests than listing all its folders.
    expect(await prefixesOf('2021-08-17', { testNames: ['signal'] })).toEqual(['raw/20210817/']);
    const many = [...'ABCDEFGHI'].map(letter => `${letter}A`);
    expect(await prefixesOf('2021-08-17', { probeCC: many })).toEqual(['raw/20210817/']);
  });

  it('reads a postcan instead of its JSONL twin, and JSONL without a twin', async () => {
    const archive = archiveOf([
      raw(15, 'US', 'signal', 'n0.0.jsonl.gz'),
      raw(15, 'US', 'signal', 'n0.0.tar.gz'),
      raw(15, 'US', 'signal', 'n0.1.jsonl.gz'),
      raw(15, 'US', 'signal', 'n0.10.tar.gz'),
      raw(15, 'US', 'signal', 'n0.2.jsonl.gz'),
    ]);
    expect(await listed(archive, '2021-08-17')).toEqual([
      raw(15, 'US', 'signal', 'n0.0.tar.gz'),
      raw(15, 'US', 'signal', 'n0.1.jsonl.gz'),
      raw(15, 'US', 'signal', 'n0.10.tar.gz'),
      raw(15, 'US', 'signal', 'n0.2.jsonl.gz'),
    ]);
  });

  it('does not replace a JSONL file with an empty postcan', async () => {
    const { archive } = makeArchive({
      [raw(15, 'US', 'signal', 'n0.0.jsonl.gz')]: 'x',
      [raw(15, 'US', 'signal', 'n0.0.tar.gz')]: '',
    });
    expect(await listed(archive, '2021-08-17')).toHaveLength(2);
  });

  const cans = [
    'canned/2020-09-21/20200921T000000Z-IT-AS137-ndt-20200921T000000Z_AS137_x-0.2.0-probe.json.lz4',
    'canned/2020-09-21/web_connectivity.0.tar.lz4',
  ];
  const l3 = (test: string, cc: string) => `jsonl/${test}/${cc}/20200921/00/20200921_${cc}_${test}.l.0.jsonl.gz`;

  it('lists the folders of the old conversions, in key order', async () => {
    const archive = archiveOf([
      l3('ndt', 'IT'),
      l3('ndt', 'US'),
      l3('webconnectivity', 'IT'),
      'jsonl/ndt/IT/20200922/00/20200922_IT_ndt.l.0.jsonl.gz',
    ]);
    expect(await listed(archive, '2020-09-21')).toEqual([
      l3('ndt', 'IT'),
      l3('ndt', 'US'),
      l3('webconnectivity', 'IT'),
    ]);
    expect(await listed(archive, '2020-09-21', { probeCC: ['IT'] })).toEqual([
      l3('ndt', 'IT'),
      l3('webconnectivity', 'IT'),
    ]);
    expect(await listed(archive, '2020-09-21', { testNames: ['ndt'] })).toEqual([l3('ndt', 'IT'), l3('ndt', 'US')]);
  });

  it('reads cans instead of their conversion, for each test separately', async () => {
    const archive = archiveOf([...cans, l3('ndt', 'IT'), l3('telegram', 'IT'), l3('webconnectivity', 'IT')]);
    expect(await listed(archive, '2020-09-21')).toEqual([...cans, l3('telegram', 'IT')]);
    // The key of a tar can has no country, so it passes. The filter does not decide whether the conversion is omitted.
    expect(await listed(archive, '2020-09-21', { probeCC: ['US'] })).toEqual([cans[1]]);
  });

  it('reads the conversion of a country without report cans', async () => {
    const archive = archiveOf([...cans, l3('ndt', 'IT'), l3('ndt', 'US')]);
    expect(await listed(archive, '2020-09-21')).toEqual([...cans, l3('ndt', 'US')]);
    expect(await listed(archive, '2020-09-21', { probeCC: ['US'] })).toEqual([cans[1], l3('ndt', 'US')]);
  });

  it('assigns files that have only a day to hour 00', async () => {
    const archive = archiveOf([...cans, l3('telegram', 'IT')]);
    expect(await listed(archive, '2020-09-21T00')).toEqual([...cans, l3('telegram', 'IT')]);
    expect(await listed(archive, '2020-09-21T01')).toEqual([]);
  });

  it('lists both layouts on the two days that have both, because neither is complete', async () => {
    const both = [
      'canned/2020-10-20/web_connectivity.0.tar.lz4',
      'raw/20201020/14/IT/ndt/2020102014_IT_ndt.n0.0.tar.gz',
    ];
    expect(await listed(archiveOf(both), '2020-10-20')).toEqual(both);
  });

  it('reports keys that are not valid and continues', async () => {
    const bad: BadKey[] = [];
    const archive = archiveOf([
      raw(3, 'US', 'signal', 'n0.0.tar.gz'),
      'raw/20210817/02/README.txt',
      'raw/20210817/02/US/x/broken.tar.gz',
    ]);
    const files = await collect(listBucket(archive, '2021-08-17', EVERYTHING, { onBadKey: key => bad.push(key) }));
    expect(files).toHaveLength(1);
    expect(bad.map(({ key }) => key)).toEqual(['raw/20210817/02/README.txt', 'raw/20210817/02/US/x/broken.tar.gz']);
  });

  it('rejects a text that is not a bucket', async () => {
    await expect(listed(archiveOf([]), '2021-08-32')).rejects.toThrow('is not a day of the calendar');
  });

  it('lists nothing before the first read', async () => {
    const archive = new Watched(archiveOf(keys));
    const files = listBucket(archive, '2021-08-17', EVERYTHING);
    expect(archive.prefixes).toEqual([]);
    await files.next();
    await files.return(undefined);
    expect(archive.prefixes).toEqual(['raw/20210817/']);
  });
});
