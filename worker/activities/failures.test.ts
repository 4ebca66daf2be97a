import { describe, expect, test } from 'vitest';
import {
  ArchiveMissingError,
  ArchiveUnavailableError,
  ObjectChangedError,
  ObjectMissingError,
} from '../../pipeline/archive/archive.ts';
import { BucketError } from '../../pipeline/bucket.ts';
import { noCounts } from '../../pipeline/counts.ts';
import { IpDatabaseError } from '../../pipeline/reference/ip-files.ts';
import { classifyError } from '../../pipeline/runs/failure.ts';
import { UnaccountedError } from '../../pipeline/runs/observations.ts';
import {
  ClickHouseAccessError,
  ClickHouseUnavailableError,
  RowsRefusedError,
  StatementError,
  TableSchemaError,
} from '../../pipeline/tables/errors.ts';
import { ThreadError } from '../../pipeline/threads/errors.ts';
import { toFailure } from './failures.ts';

describe('the failure that Temporal gets for an error', () => {
  test.each([
    [new ArchiveUnavailableError('x'), 'ArchiveUnavailable', 'always'],
    [new ArchiveMissingError('x'), 'ArchiveMissing', 'always'],
    [new ObjectChangedError('x'), 'ArchiveChanged', 'never'],
    [new ObjectMissingError('x'), 'ArchiveChanged', 'never'],
    [new IpDatabaseError('x'), 'IpDatabase', 'always'],
    [new UnaccountedError('x'), 'ArchiveChanged', 'never'],
    [new ClickHouseUnavailableError('x'), 'ClickHouseUnavailable', 'always'],
    [new ClickHouseAccessError('x'), 'ClickHouseAccess', 'always'],
    [new TableSchemaError('x'), 'TableSchema', 'always'],
    [new RowsRefusedError('x'), 'RowsRefused', 'never'],
    [new StatementError('x'), 'Statement', 'few'],
    [new BucketError('x'), 'Bucket', 'never'],
    [new ThreadError('x'), 'Thread', 'few'],
    [new TypeError('x'), 'Type', 'few'],
    [new Error('x'), 'Error', 'few'],
    ['a text', 'Error', 'few'],
  ])('%s', (error, type, retry) => {
    expect(classifyError(error)).toMatchObject({ type, retry });
  });

  test('errors that are always retried stay retryable, an unexpected one ends after five attempts', () => {
    const retryable = (error: Error, attempt: number) => !toFailure(classifyError(error), attempt).nonRetryable;
    expect([1, 1000].map(attempt => retryable(new ClickHouseUnavailableError('x'), attempt))).toEqual([true, true]);
    expect([1, 4, 5].map(attempt => retryable(new TypeError('x'), attempt))).toEqual([true, true, false]);
    expect(retryable(new RowsRefusedError('x'), 1)).toBe(false);
  });

  test('the counts of stored data are included', () => {
    const counts = { ...noCounts(), read: 3, transformed: 3 };
    expect(toFailure(classifyError(new RowsRefusedError('x')), 1, counts).details).toEqual([counts]);
    expect(toFailure(classifyError(new RowsRefusedError('x')), 1).details ?? []).toEqual([]);
  });

  test('a history gets a sentence and a few lines, not megabytes', () => {
    const huge = new Error('x'.repeat(1e6));
    const failure = toFailure(classifyError(huge), 1);
    expect(JSON.stringify([failure.message, failure.stack]).length).toBeLessThan(5000);
  });
});
