import { ApplicationFailure } from '@temporalio/common';
import { AnalysisError } from '../../pipeline/analysis/selection.ts';
import { ArchiveError, ObjectChangedError, ObjectMissingError } from '../../pipeline/archive/archive.ts';
import { BucketError } from '../../pipeline/bucket.ts';
import { IpDatabaseError } from '../../pipeline/reference/ip-files.ts';
import { UnaccountedError } from '../../pipeline/runs/bucket.ts';
import { SettingsError } from '../../pipeline/settings.ts';
import { RowsRefusedError, StatementError, TableError } from '../../pipeline/tables/errors.ts';
import type { RunCounts } from '../contract.ts';

/**
 * An error, judged where its class is known: it crosses from a thread, and into a workflow's history, as plain data.
 *
 * `always`: an outage, or a setting that someone can mend while the run waits (an archive that is not mounted, a password); a backfill
 * does not burn its buckets one by one because ClickHouse is down. `never`: no waiting mends it. `few`: nobody has foreseen it, so it
 * is a defect most likely, and ends the run after a few attempts.
 */
export interface Judged {
  readonly type: string;
  readonly message: string;
  readonly stack?: string;
  readonly retry: 'always' | 'few' | 'never';
}

/** Attempts after which an unforeseen error ends the run. */
const FEW = 5;

/** The type that makes a run plan anew: an object changed or vanished between listing and reading, or between two attempts. */
export const ARCHIVE_CHANGED = 'ArchiveChanged';

export function judge(error: unknown): Judged {
  if (!(error instanceof Error)) return { type: 'Error', message: String(error).slice(0, 2000), retry: 'few' };
  return {
    type: hasArchiveChanged(error) ? ARCHIVE_CHANGED : error.name.replace(/(.)Error$/, '$1'),
    message: error.message.slice(0, 2000),
    // A few lines say where; a history is no place for more.
    stack: error.stack?.split('\n').slice(0, 10).join('\n').slice(0, 2000),
    retry: retryOf(error),
  };
}

function hasArchiveChanged(error: Error): boolean {
  return (
    error instanceof ObjectChangedError || error instanceof ObjectMissingError || error instanceof UnaccountedError
  );
}

function retryOf(error: Error): Judged['retry'] {
  if (hasArchiveChanged(error)) return 'never';
  if (error instanceof BucketError || error instanceof RowsRefusedError) return 'never';
  if (error instanceof StatementError || error instanceof AnalysisError) return 'few';
  if (error instanceof ArchiveError || error instanceof TableError || error instanceof SettingsError) return 'always';
  if (error instanceof IpDatabaseError) return 'always';
  return 'few';
}

/** What Temporal is told. `counts`: what had been stored by then, for the run that failed to count. */
export function toFailure(
  { type, message, stack, retry }: Judged,
  attempt: number,
  counts?: RunCounts,
): ApplicationFailure {
  const nonRetryable = retry === 'never' || (retry === 'few' && attempt >= FEW);
  const failure = ApplicationFailure.create({ type, message, nonRetryable, ...(counts && { details: [counts] }) });
  if (stack) failure.stack = stack;
  return failure;
}
