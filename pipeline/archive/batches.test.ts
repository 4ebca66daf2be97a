import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { collect, makeArchive } from '../../test/support/archive.ts';
import { EVERYTHING } from '../filter.ts';
import { listBatch, planBatches } from './batches.ts';
import type { ArchiveFile } from './keys.ts';
import { listBucket } from './listing.ts';

const MB = 1_000_000;
const files = (sizes: number[]): ArchiveFile[] =>
  sizes.map((size, index) => ({
    key: `raw/20210817/00/IT/ndt/${String(index).padStart(6, '0')}`,
    size,
    etag: '',
    layout: 'jsonl',
    testName: 'ndt',
    hour: '2021-08-17T00',
  }));

describe('batches', () => {
  it('contain at least 60 MB each, except the last', () => {
    expect(planBatches(files([])).length).toBe(0);
    expect(planBatches(files([1])).map(batch => batch.files)).toEqual([1]);
    expect(planBatches(files([30 * MB, 30 * MB, 30 * MB])).map(batch => batch.files)).toEqual([2, 1]);
    // A file is never split: the batch exceeds its size by its last file.
    expect(planBatches(files([59 * MB, 500 * MB, 1])).map(batch => batch.bytes)).toEqual([559 * MB, 1]);
  });

  it('number about a hundred at most, however large the day is', () => {
    const batches = planBatches(files(Array.from({ length: 30_000 }, () => MB)));
    expect(batches).toHaveLength(100);
    expect(batches.every(batch => batch.bytes === 300 * MB)).toBe(true);
  });

  it('cover the listing once and in order', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 200 * MB }), { maxLength: 200 }), sizes => {
        const listing = files(sizes);
        const batches = planBatches(listing);
        const covered = batches.flatMap(({ first, last }) => listing.filter(({ key }) => key >= first && key <= last));
        expect(covered).toEqual(listing);
        expect(batches.reduce((sum, batch) => sum + batch.bytes, 0)).toBe(sizes.reduce((sum, size) => sum + size, 0));
        expect(batches.length).toBeLessThanOrEqual(101);
      }),
    );
  });

  it('can be listed again by their first and last key, wherever they split the listing', async () => {
    const names = ['n0.0.jsonl.gz', 'n0.0.tar.gz', 'n0.1.jsonl.gz', 'n0.10.jsonl.gz', 'n0.10.tar.gz'];
    const keys = [
      'canned/2020-10-20/20201020T000000Z-IT-AS137-ndt-x-0.2.0-probe.json.lz4',
      'canned/2020-10-20/web_connectivity.0.tar.lz4',
      ...['ndt', 'telegram', 'webconnectivity'].flatMap(test =>
        ['IT', 'US'].map(cc => `jsonl/${test}/${cc}/20201020/00/20201020_${cc}_${test}.l.0.jsonl.gz`),
      ),
      ...['00', '14'].flatMap(hour => names.map(name => `raw/20201020/${hour}/IT/ndt/20201020${hour}_IT_ndt.${name}`)),
    ];
    const { archive } = makeArchive(Object.fromEntries(keys.map(key => [key, 'x'])));
    const listing = await collect(listBucket(archive, '2020-10-20', EVERYTHING));
    expect(listing).toHaveLength(2 + 3 + 6);
    for (let from = 0; from < listing.length; from++) {
      for (let to = from; to < listing.length; to++) {
        const batch = { first: listing[from]!.key, last: listing[to]!.key };
        const again = await collect(listBatch(archive, '2020-10-20', EVERYTHING, batch));
        expect(again).toEqual(listing.slice(from, to + 1));
      }
    }
  });
});
