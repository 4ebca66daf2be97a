import { createHash } from 'node:crypto';
import { boundsOf, bucketAt, type Granularity } from '../bucket.ts';
import { admits, type Filter } from '../filter.ts';
import { type Archive, type ArchiveObject, MEASUREMENT_FOLDERS } from './archive.ts';
import { isBadKey, parseKey } from './keys.ts';
import { type ListingOptions, listBucket } from './listing.ts';

/**
 * Finds the buckets that have objects under a filter, oldest first. It lists every key, so use it for a directory, not for OONI's
 * archive with its hundreds of millions of objects. Throws ArchiveErrors.
 */
export async function findBuckets(
  archive: Archive,
  filter: Filter,
  granularity: Granularity,
  signal?: AbortSignal,
): Promise<string[]> {
  const found = new Set<string>();
  for (const prefix of MEASUREMENT_FOLDERS) {
    for await (const object of archive.list(prefix, { signal })) {
      const file = parseKey(object);
      if (file === undefined || isBadKey(file)) continue;
      if (!admits(filter.probeCC, file.probeCC) || !admits(filter.testNames, file.testName)) continue;
      found.add(bucketAt(boundsOf(file.hour).start, granularity));
    }
  }
  return [...found].sort();
}

/** Summary of the objects of a bucket. Two sets of objects with equal keys and sizes have equal extents. */
export interface Extent {
  readonly files: number;
  /** Compressed bytes. */
  readonly bytes: number;
  /** Digest of keys and sizes, in any order. ETags are not included, because a mirror has its own. */
  readonly digest: number;
}

/** Reports whether an archive has no object of a bucket. Stops at the first object. Throws ArchiveErrors. */
export async function isEmptyBucket(
  archive: Archive,
  bucket: string,
  filter: Filter,
  options: Pick<ListingOptions, 'folders' | 'signal'> = {},
): Promise<boolean> {
  if (options.folders && !options.folders.mayHold(bucket.slice(0, 10))) return true;
  let empty = true;
  // The run of the bucket records a key that is not valid as a failure, so the bucket is not empty.
  const onBadKey = () => {
    empty = false;
  };
  for await (const _ of listBucket(archive, bucket, filter, { ...options, onBadKey })) return false;
  return empty;
}

/** Summarises the objects of a bucket. Throws ArchiveErrors. */
export async function extentOf(objects: AsyncIterable<ArchiveObject> | Iterable<ArchiveObject>): Promise<Extent> {
  let [files, bytes, low, high] = [0, 0, 0, 0];
  for await (const { key, size } of objects) {
    files++;
    bytes += size;
    const hash = createHash('md5').update(`${key} ${size}`).digest();
    low ^= hash.readUIntLE(0, 3);
    high ^= hash.readUIntLE(3, 3);
  }
  return { files, bytes, digest: high * 2 ** 24 + low };
}
