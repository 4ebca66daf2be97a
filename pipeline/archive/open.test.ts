import { describe, expect, it } from 'vitest';
import { collect, makeArchive, readAll } from '../../test/support/archive.ts';
import { EVERYTHING } from '../filter.ts';
import { loadSettings, SettingsError } from '../settings.ts';
import { listBucket } from './listing.ts';
import { openArchive } from './open.ts';

const open = (env: Record<string, string>) => openArchive(loadSettings(env));

describe('the archive of the settings', () => {
  it('is a directory or a bucket, with or without a prefix', () => {
    expect(open({ ARCHIVE_URL: '/data/archive' }).url).toBe('file:///data/archive');
    expect(open({}).url).toBe('s3://ooni-data-eu-fra');
    expect(open({ ARCHIVE_URL: 's3://bucket/' }).url).toBe('s3://bucket');
    expect(open({ ARCHIVE_URL: 's3://bucket/some/where/' }).url).toBe('s3://bucket/some/where');
  });

  it.each(['https://bucket.s3.amazonaws.com/', 's3://', 's3://Bucket', 's3:///raw', 'gs://bucket'])(
    'is not %s',
    url => {
      expect(() => open({ ARCHIVE_URL: url })).toThrow(SettingsError);
      expect(() => open({ ARCHIVE_URL: url })).toThrow(
        `archive_url = "${url}": must be a directory or s3://bucket[/prefix]`,
      );
      expect(() => open({ ARCHIVE_LEGACY_URL: url })).toThrow('archive_legacy_url');
    },
  );

  it('reads cans before 2020-06-02 from the legacy archive, and everything else from the current one', async () => {
    const can = (day: string) => `canned/${day}/web_connectivity.0.tar.lz4`;
    const conversion = 'jsonl/ndt/IT/20200601/00/20200601_IT_ndt.l.0.jsonl.gz';
    const legacy = makeArchive({ [can('2020-06-01')]: 'legacy', [can('2020-06-02')]: 'legacy' });
    const current = makeArchive({ [can('2020-06-01')]: '', [can('2020-06-02')]: 'now', [conversion]: '' });
    const archive = open({ ARCHIVE_URL: current.root, ARCHIVE_LEGACY_URL: legacy.root });
    const files = async (day: string) => {
      const listed = await collect(listBucket(archive, day, EVERYTHING));
      return listed.map(({ key, size }) => [key, size]);
    };
    expect(await files('2020-06-01')).toEqual([
      [can('2020-06-01'), 6],
      [conversion, 0],
    ]);
    expect(await files('2020-06-02')).toEqual([[can('2020-06-02'), 3]]);
    expect((await readAll(archive, can('2020-06-01'))).end.compressedBytes).toBe(6);
    expect((await readAll(archive, can('2020-06-02'))).end.compressedBytes).toBe(3);
  });
});
