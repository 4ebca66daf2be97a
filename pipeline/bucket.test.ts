import { describe, expect, it } from 'vitest';
import {
  BucketError,
  boundsOf,
  bucketAt,
  bucketsBetween,
  countBuckets,
  granularityOf,
  lastCompleteBucket,
  nextBucket,
} from './bucket.ts';

describe('bucket', () => {
  it('determines the granularity from the form', () => {
    expect(granularityOf('2024-02-29')).toBe('Day');
    expect(granularityOf('2024-02-29T23')).toBe('Hour');
  });

  it.each([
    '2024-02-30',
    '2023-02-29',
    '2024-1-1',
    '2024-01-01T24',
    '20240101',
    '2024-01-01T5',
    '',
    '2024-01-01T05:00',
  ])('rejects %j and names it', text => {
    expect(() => granularityOf(text)).toThrow(BucketError);
    expect(() => granularityOf(text)).toThrow(`"${text}"`);
  });

  it('spans a day or an hour of uploads, UTC, end exclusive', () => {
    expect(boundsOf('2024-01-01')).toEqual({ start: Date.UTC(2024, 0, 1), end: Date.UTC(2024, 0, 2) });
    expect(boundsOf('2024-01-01T23')).toEqual({ start: Date.UTC(2024, 0, 1, 23), end: Date.UTC(2024, 0, 2) });
  });

  it('selects the bucket before the one that contains the instant', () => {
    expect(lastCompleteBucket(Date.UTC(2024, 0, 2, 2), 'Day')).toBe('2024-01-01');
    expect(lastCompleteBucket(Date.UTC(2024, 0, 2), 'Day')).toBe('2024-01-01');
    expect(lastCompleteBucket(Date.UTC(2024, 0, 1, 0, 30), 'Hour')).toBe('2023-12-31T23');
  });

  it('yields a half-open range, across leap days and ends of years', () => {
    expect([...bucketsBetween('2024-02-28', '2024-03-02', 'Day')]).toEqual(['2024-02-28', '2024-02-29', '2024-03-01']);
    expect([...bucketsBetween('2023-12-31T22', '2024-01-01T01', 'Hour')]).toEqual([
      '2023-12-31T22',
      '2023-12-31T23',
      '2024-01-01T00',
    ]);
    expect([...bucketsBetween('2024-01-01', '2024-01-01', 'Day')]).toEqual([]);
    expect([...bucketsBetween('2024-01-02', '2024-01-01', 'Day')]).toEqual([]);
  });

  it('counts the buckets of a range', () => {
    expect(countBuckets('2024-01-01', '2025-01-01', 'Day')).toBe(366);
    expect(countBuckets('2024-01-01', '2024-01-03', 'Hour')).toBe(48);
    expect(countBuckets('2024-01-02', '2024-01-01', 'Day')).toBe(0);
  });

  it('gives the next bucket, and the bucket of an instant', () => {
    expect(nextBucket('2024-12-31')).toBe('2025-01-01');
    expect(nextBucket('2024-12-31T23')).toBe('2025-01-01T00');
    expect(bucketAt(Date.UTC(2024, 5, 1, 7, 59), 'Hour')).toBe('2024-06-01T07');
  });
});
