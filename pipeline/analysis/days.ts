import { boundsOf, bucketAt } from '../bucket.ts';
import type { Query, Selection } from './selection.ts';

/** A measurement day that a bucket's run has brought rows for. */
export interface TouchedDay {
  /** YYYY-MM-DD */
  readonly day: string;
  readonly measurements: number;
}

/** What is to be analysed of a day. */
export interface DayTask {
  readonly day: string;
  readonly selection: Selection;
}

const DAY = 86_400_000;

/** The measurement days that a bucket's run touched: result rows are TouchedDay. `generation` is that of its observations. */
export function touchedDaysQuery(bucket: string, generation: number): Query {
  return {
    sql: `SELECT toString(toDate(measurement_start_time, 'UTC')) AS day, uniqExact(measurement_uid) AS measurements
FROM obs_web
WHERE bucket_date = {bucket:String} AND run_generation = {generation:UInt64}
GROUP BY day
ORDER BY day`,
    params: { bucket, generation },
  };
}

/**
 * What to analyse after a bucket's observations (DESIGN section 6): the bucket's own day and the one before it in full, because
 * most of their measurements and of their control arrive with it; of other days the measurements that this bucket brought. So
 * late uploads get verdicts, and an old day is not judged again as a whole for each straggler.
 *
 * Recent is counted from the bucket, not from today: a backfill years later makes the verdicts the daily runs would have made.
 * Oldest day first.
 */
export function planDays(touched: readonly TouchedDay[], bucket: string, generation: number): DayTask[] {
  const ownDay = boundsOf(bucket.slice(0, 10)).start;
  const recent = new Set([bucketAt(ownDay - DAY, 'Day'), bucketAt(ownDay, 'Day')]);
  return touched
    .filter(({ measurements }) => measurements > 0)
    .map(({ day }) => day)
    .sort()
    .map(day => ({ day, selection: recent.has(day) ? { of: 'day' } : { of: 'bucket', bucket, generation } }));
}
