import { AnalysisError } from '../analysis/selection.ts';
import { ArchiveError, ObjectChangedError, ObjectMissingError } from '../archive/archive.ts';
import { BucketError } from '../bucket.ts';
import { IpDatabaseError } from '../reference/ip-files.ts';
import { SettingsError } from '../settings.ts';
import { RowsRefusedError, StatementError, TableError } from '../tables/errors.ts';
import { UnaccountedError } from './observations.ts';
import { ArchiveShrankError } from './shrink.ts';

/**
 * An error, classified where its class is known. It crosses from a thread, and into a workflow's history, as plain data.
 *
 * `always`: an outage, or a setting that someone can correct while the run waits (an unmounted archive, a password), so that a backfill does
 * not fail its buckets one after another while ClickHouse is down. `never`: a retry cannot succeed. `few`: an unexpected error, most likely a
 * defect; it ends the run after a few attempts.
 */
export interface ClassifiedError {
  readonly type: string;
  readonly message: string;
  readonly stack?: string;
  readonly retry: 'always' | 'few' | 'never';
}

/** Type of the error that makes a run plan again: an object changed or vanished between listing and reading, or between two attempts. */
export const ARCHIVE_CHANGED = 'ArchiveChanged';

/** Classifies an error for the run in which it occurred. */
export function classifyError(error: unknown): ClassifiedError {
  if (!(error instanceof Error)) return { type: 'Error', message: String(error).slice(0, 2000), retry: 'few' };
  return {
    type: hasArchiveChanged(error) ? ARCHIVE_CHANGED : errorType(error),
    message: error.message.slice(0, 2000),
    // A few lines show the place of the error. A workflow's history should stay small.
    stack: error.stack?.split('\n').slice(0, 10).join('\n').slice(0, 2000),
    retry: retryOf(error),
  };
}

/** Returns the name of an error's class without `Error`, as failures and status show it: `ClickHouseUnavailable`. */
export function errorType(error: Error): string {
  return error.name.replace(/(.)Error$/, '$1');
}

function hasArchiveChanged(error: Error): boolean {
  return (
    error instanceof ObjectChangedError || error instanceof ObjectMissingError || error instanceof UnaccountedError
  );
}

function retryOf(error: Error): ClassifiedError['retry'] {
  if (hasArchiveChanged(error) || error instanceof ArchiveShrankError) return 'never';
  if (error instanceof BucketError || error instanceof RowsRefusedError) return 'never';
  if (error instanceof StatementError || error instanceof AnalysisError) return 'few';
  if (error instanceof ArchiveError || error instanceof TableError || error instanceof SettingsError) return 'always';
  if (error instanceof IpDatabaseError) return 'always';
  return 'few';
}
