import { boundsOf, bucketAt, granularityOf } from '../bucket.ts';
import { EVERYTHING, type Filter, filterIDOf } from '../filter.ts';
import { inDays, type Query, ROW_DAY, type Selection } from './selection.ts';

/** The measurement days of which a bucket's run has written rows. */
export interface TouchedDays {
  /** YYYY-MM-DD, oldest first. */
  readonly days: readonly string[];
  /** ClickHouse's clock, milliseconds since 1970. */
  readonly now: number;
}

/** The measurements that one statement analyses. */
export interface DayTask {
  /** Oldest first. */
  readonly days: readonly string[];
  /** Measurements of the run's filter, and others that depend on them. */
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
   * False while more buckets of the upload day follow. Then a bucket of an hour judges its own measurements, and a later bucket judges the day.
   */
  readonly settled: boolean;
  /** Whether this is the bucket that judges the day, even if it has no objects. */
  readonly last: boolean;
}

const DAY = 86_400_000;
/** Maximum number of days of late uploads that one statement judges. */
const DAYS_AT_ONCE = 400;

/** Returns the query for the measurement days that a bucket's run touched, and the clock. Its only row is TouchedDays. */
export function touchedDaysQuery({ bucket, generation }: Pick<Observed, 'bucket' | 'generation'>): Query {
  const touched = (table: string) =>
    `SELECT DISTINCT toString(${ROW_DAY}) AS day FROM ${table} WHERE bucket_date = {bucket:String} AND run_generation = {generation:UInt64}`;
  return {
    // A measurement can have rows of its control only, and these are evidence for other measurements.
    sql: `SELECT arraySort(groupUniqArray(day)) AS days, toUnixTimestamp64Milli(now64(3, 'UTC')) AS now FROM (${touched('obs_web')} UNION ALL ${touched('obs_web_ctrl')})`,
    params: { bucket, generation },
  };
}

/** Returns the query for those of some days that have observations, of any bucket. Its rows are {day}. */
export function presentDaysQuery(days: readonly string[]): Query {
  const { sql, params } = inDays(days);
  return { sql: `SELECT DISTINCT toString(${ROW_DAY}) AS day FROM obs_web WHERE ${sql}`, params };
}

/** Returns the bucket's own day and the day before it: most of their measurements and controls arrive with the bucket. */
export function recentDays(bucket: string): readonly [before: string, own: string] {
  const own = boundsOf(bucket.slice(0, 10)).start;
  return [bucketAt(own - DAY, 'Day'), bucketAt(own, 'Day')];
}

/** Returns whether a bucket is the last hour of its day. */
export function isLastHour(bucket: string): boolean {
  return bucket.endsWith('T23');
}

/**
 * Returns the statements to run after a bucket's observations, oldest day first. `touched`: the days of which it wrote rows. `present`, for a
 * bucket of an hour: those of its recent days that have observations of any bucket.
 *
 * - Days before the recent ones: the measurements of the bucket, and those that share evidence with them, many days at once. Late uploads get
 *   verdicts and change those that depend on them, but an old day is not judged again as a whole.
 * - The recent days: in full. A bucket of an hour judges them in full only when its upload day is settled, and then also the days that only
 *   earlier hours touched. Before, it judges its own measurements. So a day of 24 buckets is judged in full as often as a day of one bucket.
 * - With a filter: the recent days within the filter, and beyond it the measurements that share evidence with the rows of the run, because a
 *   verdict depends on the control of all measurements of its day.
 * - Days after the bucket, when the clock of a probe is ahead: the measurements of the bucket, and those that share evidence with them.
 *
 * *Recent* counts from the bucket and not from today, so a backfill years later makes the verdicts that the daily runs would have made.
 */
export function planDays(touched: readonly string[], present: readonly string[], observed: Observed): DayTask[] {
  const { bucket, filter, generation, settled, last } = observed;
  const [before, own] = recentDays(bucket);
  const hourly = granularityOf(bucket) === 'Hour';
  if (touched.length === 0 && !(hourly && last)) return [];
  const everything = filterIDOf(filter) === filterIDOf(EVERYTHING);
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
  // The measurements of the bucket passed its filter, or contradict their key and are judged nevertheless.
  if (part.length > 0) tasks.push({ days: part, filter: EVERYTHING, selection: { of: 'bucket', ...came } });
  for (const day of inPart ? [] : [before, own]) {
    if (everything && (days.includes(day) || (hourly && present.includes(day)))) tasks.push(one(day, { of: 'day' }));
    else if (!everything && days.includes(day)) tasks.push(one(day, { of: 'evidence', ...came, filtered: !hourly }));
  }
  for (const day of days.filter(each => each > own)) tasks.push(one(day, { of: 'evidence', ...came, filtered: false }));
  return tasks;
}
