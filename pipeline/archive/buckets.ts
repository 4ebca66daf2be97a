import { boundsOf, bucketAt, type Granularity } from '../bucket.ts';
import { admits, type Filter } from '../filter.ts';
import type { Archive } from './archive.ts';
import { isBadKey, parseKey } from './keys.ts';

/** Where objects with measurements lie (archive.md section 2). */
const PREFIXES = ['canned/', 'jsonl/', 'raw/'] as const;

/**
 * The buckets of which an archive has objects under a filter, oldest first. Every key is listed, so this is for a directory, not
 * for OONI's archive with its hundreds of millions of objects. Throws ArchiveErrors.
 */
export async function findBuckets(
  archive: Archive,
  filter: Filter,
  granularity: Granularity,
  signal?: AbortSignal,
): Promise<string[]> {
  const found = new Set<string>();
  for (const prefix of PREFIXES) {
    for await (const object of archive.list(prefix, { signal })) {
      const file = parseKey(object);
      if (file === undefined || isBadKey(file)) continue;
      if (!admits(filter.probeCC, file.probeCC) || !admits(filter.testNames, file.testName)) continue;
      found.add(bucketAt(boundsOf(file.hour).start, granularity));
    }
  }
  return [...found].sort();
}
