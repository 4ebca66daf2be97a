import { type Command, InvalidArgumentError, Option } from 'commander';
import { boundsOf, bucketAt, type Granularity, granularityOf } from '../pipeline/bucket.ts';
import { checkRange, uploadBucket } from './options.ts';

/** Days before today at which a range begins by default, as in the Python pipeline. */
const DEFAULT_DAYS = 14;
const DAY = 86_400_000;

/**
 * Parses a bucket, or an instant that is the start of one, as the Python pipeline takes it: `2024-01-01`, `2024-01-01T05`,
 * `2024-01-01T05:00:00` or `2024-01-01 05:00:00`, UTC. Midnight is the day.
 */
export function instant(text: string): string {
  const [, day, hour, rest] = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}):(\d{2}:\d{2})$/.exec(text) ?? [];
  if (day === undefined) return uploadBucket(text);
  if (rest !== '00:00') {
    throw new InvalidArgumentError(
      `${text} is not the start of a bucket: write a day, or a full hour such as ${day}T${hour}.`,
    );
  }
  return uploadBucket(hour === '00' ? day : `${day}T${hour}`);
}

export const startAtOption = () =>
  new Option('--start-at <bucket>', 'first bucket: YYYY-MM-DD or YYYY-MM-DDTHH[:00:00], UTC')
    .default(undefined, '14 days ago')
    .argParser(instant);

export const endAtOption = () =>
  new Option('--end-at <bucket>', 'end of the range, exclusive').default(undefined, 'today').argParser(instant);

export interface RangeOptions {
  readonly startAt?: string;
  readonly endAt?: string;
}

/**
 * Returns the range of a command line, with the defaults: the 14 days before today. Ends the program with status 2 for an hour where days
 * are meant, and for a range without buckets. `now` is in milliseconds since 1970.
 */
export function rangeOf(
  command: Command,
  { startAt: start, endAt: end }: RangeOptions,
  granularity: Granularity,
  now: number,
): { startAt: string; endAt: string } {
  for (const [option, bucket] of [
    ['--start-at', start],
    ['--end-at', end],
  ] as const) {
    if (granularity === 'Day' && bucket !== undefined && granularityOf(bucket) === 'Hour') {
      command.error(`error: ${option} ${bucket} is an hour, and the buckets are days: write YYYY-MM-DD`);
    }
  }
  const endAt = end ?? bucketAt(now, 'Day');
  const startAt = start ?? bucketAt(boundsOf(bucketAt(now, 'Day')).start - DEFAULT_DAYS * DAY, 'Day');
  checkRange(command, { startAt, endAt });
  return { startAt, endAt };
}
