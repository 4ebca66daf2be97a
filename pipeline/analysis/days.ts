import { boundsOf, bucketAt, granularityOf } from '../bucket.ts';
import { EVERYTHING, type Filter, filterId } from '../filter.ts';
import { inDays, type Query, ROW_DAY, type Selection } from './selection.ts';

/** A measurement day that a bucket's run has brought rows for. */
export interface TouchedDay {
  /** YYYY-MM-DD */
  readonly day: string;
}

/** What is to be analysed with one statement. */
export interface DayTask {
  /** Oldest first. */
  readonly days: readonly string[];
  /** Which of the run's filter and other measurements. */
  readonly filter: Filter;
  readonly selection: Selection;
}

/** The observations of a run whose days are to be analysed. */
export interface Observed {
  readonly bucket: string;
  readonly filter: Filter;
  /** Generation of the observations. */
  readonly generation: number;
  /**
   * False while more buckets of the upload day are still to come: then a bucket of an hour judges what it brought, and a later one the day.
   */
  readonly settled: boolean;
  /** Whether it is the bucket that judges the day, and does so even if it has brought nothing. */
  readonly last: boolean;
}

const DAY = 86_400_000;
/** Days of late uploads that one statement judges at most. */
const DAYS_AT_ONCE = 400;

/** The measurement days that a bucket's run touched, oldest first: result rows are TouchedDay. */
export function touchedDaysQuery({ bucket, generation }: Pick<Observed, 'bucket' | 'generation'>): Query {
  const touched = (table: string) =>
    `SELECT DISTINCT toString(${ROW_DAY}) AS day FROM ${table} WHERE bucket_date = {bucket:String} AND run_generation = {generation:UInt64}`;
  return {
    // A measurement may have rows of its control alone, and those are evidence for others.
    sql: `SELECT day FROM (${touched('obs_web')} UNION DISTINCT ${touched('obs_web_ctrl')}) ORDER BY day`,
    params: { bucket, generation },
  };
}

/** Which of some days have observations, of any bucket: result rows are TouchedDay. */
export function presentDaysQuery(days: readonly string[]): Query {
  const { sql, params } = inDays(days);
  return { sql: `SELECT DISTINCT toString(${ROW_DAY}) AS day FROM obs_web WHERE ${sql}`, params };
}

/** The bucket's own day and the one before it: most of their measurements and of their control arrive with it. */
export function recentDays(bucket: string): readonly [before: string, own: string] {
  const own = boundsOf(bucket.slice(0, 10)).start;
  return [bucketAt(own - DAY, 'Day'), bucketAt(own, 'Day')];
}

/** Whether a bucket is the last hour of its day. */
export function isLastHour(bucket: string): boolean {
  return bucket.endsWith('T23');
}

/**
 * What to analyse after a bucket's observations, oldest day first. `touched` are the days that it brought rows for;
 * `present` those of its recent days that have observations of any bucket, for a bucket of an hour.
 *
 * - Days before the recent ones: what the bucket brought, and what has evidence in common with it, many days at once. Late uploads get
 *   verdicts and change those that depend on them, and an old day is not judged again as a whole for each of them.
 * - The recent days, in full. A bucket of an hour does so only when its upload day is settled, then also for days that only earlier hours
 *   touched; before, it judges what it brought. So a day of 24 buckets is judged in full as often as a day of one bucket.
 * - Under a filter, the recent days as far as the filter goes, and beyond it what has evidence in common with the rows that came: a verdict
 *   depends on the control of all measurements of its day.
 * - Days after the bucket, where a probe's clock is ahead: what the bucket brought, and what has evidence in common with it.
 *
 * Recent is counted from the bucket, not from today: a backfill years later makes the verdicts the daily runs would have made.
 */
export function planDays(touched: readonly string[], present: readonly string[], observed: Observed): DayTask[] {
  const { bucket, filter, generation, settled, last } = observed;
  const [before, own] = recentDays(bucket);
  const hourly = granularityOf(bucket) === 'Hour';
  if (touched.length === 0 && !(hourly && last)) return [];
  const everything = filterId(filter) === filterId(EVERYTHING);
  const came = { bucket, generation } as const;
  const one = (day: string, selection: Selection): DayTask => ({ days: [day], filter, selection });

  const days = [...touched].sort();
  const inPart = hourly && everything && !settled;
  const tasks: DayTask[] = [];
  const old = days.filter(day => day < before);
  for (let first = 0; first < old.length; first += DAYS_AT_ONCE) {
    const some = old.slice(first, first + DAYS_AT_ONCE);
    tasks.push({ days: some, filter: EVERYTHING, selection: { of: 'evidence', ...came, filtered: false } });
  }
  const part = inPart ? days.filter(day => day >= before && day <= own) : [];
  // What it brought has passed its filter, or contradicts its key and is to be judged nonetheless.
  if (part.length > 0) tasks.push({ days: part, filter: EVERYTHING, selection: { of: 'bucket', ...came } });
  for (const day of inPart ? [] : [before, own]) {
    if (everything && (days.includes(day) || (hourly && present.includes(day)))) tasks.push(one(day, { of: 'day' }));
    else if (!everything && days.includes(day)) tasks.push(one(day, { of: 'evidence', ...came, filtered: !hourly }));
  }
  for (const day of days.filter(each => each > own)) tasks.push(one(day, { of: 'evidence', ...came, filtered: false }));
  return tasks;
}
