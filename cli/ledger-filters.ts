import type { Command } from 'commander';
import { nextBucket } from '../pipeline/bucket.ts';
import { filterIDOf, normaliseFilter } from '../pipeline/filter.ts';
import { bucket, checkRange } from './options.ts';

/** Options that select records of the ledger. */
export interface LedgerOptions {
  readonly bucket?: string;
  readonly startAt?: string;
  readonly endAt?: string;
  readonly limit: number;
}

/** Adds `--bucket`, `--start-at` and `--end-at`. */
export function withBucketOptions(command: Command): Command {
  return command
    .option('--bucket <bucket>', 'upload day YYYY-MM-DD with its hours, or hour YYYY-MM-DDTHH', bucket)
    .option('--start-at <bucket>', 'first bucket of a range', bucket)
    .option('--end-at <bucket>', 'end of the range, exclusive', bucket);
}

/** Ends the program with status 2 for a bucket beside a range, and for a range without buckets. */
export function checkBuckets(command: Command, options: LedgerOptions): void {
  if (options.bucket !== undefined && (options.startAt ?? options.endAt) !== undefined) {
    command.error('error: --bucket names one bucket, --start-at and --end-at a range: give one of the two');
  }
  checkRange(command, options);
}

/** Returns the condition on the column `bucket`, with its parameters. Buckets compare as text: `2024-01-01` < `2024-01-01T00`. */
export function bucketCondition({ bucket, startAt, endAt }: LedgerOptions): {
  readonly sql: string;
  readonly params: Record<string, string>;
} {
  const [from, before] = bucket === undefined ? [startAt, endAt] : [bucket, nextBucket(bucket)];
  if (from === undefined || before === undefined) return { sql: '1', params: {} };
  return { sql: 'bucket >= {from:String} AND bucket < {before:String}', params: { from, before } };
}

/** Returns the id of the filter on the command line, or undefined without one: then runs of all filters count. */
export function filterOf(options: { probeCc: readonly string[]; testName: readonly string[] }): string | undefined {
  if (options.probeCc.length === 0 && options.testName.length === 0) return undefined;
  return filterIDOf(normaliseFilter({ probeCC: options.probeCc, testNames: options.testName }));
}
