/**
 * A bucket is an upload day `YYYY-MM-DD` or an upload hour `YYYY-MM-DDTHH`, UTC. It is the unit of work of a run (archive.md section 3).
 * Ranges are half-open: start inclusive, end exclusive.
 */
export type Granularity = 'Day' | 'Hour';

const HOUR = 3_600_000;
const LENGTH = { Day: 24 * HOUR, Hour: HOUR } as const;
const SHAPE = /^\d{4}-\d{2}-\d{2}(T\d{2})?$/;

/** A text is not a bucket. */
export class BucketError extends Error {
  override name = 'BucketError';
}

/** Returns the granularity of a bucket from its form. Throws BucketError when the text is not a bucket or not a date of the calendar. */
export function granularityOf(bucket: string): Granularity {
  if (SHAPE.test(bucket)) {
    const start = new Date(bucket.length === 10 ? `${bucket}T00:00:00Z` : `${bucket}:00:00Z`);
    if (!Number.isNaN(start.getTime()) && start.toISOString().startsWith(bucket))
      return bucket.length === 10 ? 'Day' : 'Hour';
    throw new BucketError(`"${bucket}" is not ${bucket.length === 10 ? 'a day' : 'an hour'} of the calendar`);
  }
  throw new BucketError(
    `"${bucket}" is not a bucket; write an upload day as YYYY-MM-DD or an upload hour as YYYY-MM-DDTHH (UTC)`,
  );
}

/** Returns the first and last instant of the uploads in a bucket (milliseconds since 1970, end exclusive). */
export function boundsOf(bucket: string): { start: number; end: number } {
  const granularity = granularityOf(bucket);
  const start = Date.parse(granularity === 'Day' ? `${bucket}T00:00:00Z` : `${bucket}:00:00Z`);
  return { start, end: start + LENGTH[granularity] };
}

/** Returns the bucket that contains an instant. */
export function bucketAt(instant: number, granularity: Granularity): string {
  return new Date(instant).toISOString().slice(0, granularity === 'Day' ? 10 : 13);
}

/** Returns the last bucket that is complete at an instant: the one before the bucket that contains the instant. */
export function lastCompleteBucket(instant: number, granularity: Granularity): string {
  return bucketAt(instant - LENGTH[granularity], granularity);
}

/**
 * Yields the buckets of `[startAt, endAt)`, oldest first. Both ends may be days or hours; they are cut to the granularity.
 * Nothing is materialised: a century of hours uses no memory.
 */
export function* bucketsBetween(startAt: string, endAt: string, granularity: Granularity): Generator<string> {
  const end = boundsOf(endAt).start;
  for (let at = boundsOf(bucketAt(boundsOf(startAt).start, granularity)).start; at < end; at += LENGTH[granularity]) {
    yield bucketAt(at, granularity);
  }
}

/** Returns the number of buckets that `bucketsBetween` yields. */
export function countBuckets(startAt: string, endAt: string, granularity: Granularity): number {
  const start = boundsOf(bucketAt(boundsOf(startAt).start, granularity)).start;
  return Math.max(0, Math.ceil((boundsOf(endAt).start - start) / LENGTH[granularity]));
}

/** Returns the bucket that follows. */
export function nextBucket(bucket: string): string {
  return bucketAt(boundsOf(bucket).end, granularityOf(bucket));
}
