import { boundsOf, granularityOf } from '../bucket.ts';
import type { Filter } from '../filter.ts';
import { IS_MESSENGER } from './messengers.ts';

/** The measurements of a day to judge. The control that they are compared with is always that of the whole day. */
export type Selection =
  /** Every measurement of the day that passes the filter. */
  | { readonly of: 'day' }
  /** Measurements of a bucket's run: rows of this bucket with this generation. For days that are judged in full later. */
  | { readonly of: 'bucket'; readonly bucket: string; readonly generation: number }
  /**
   * Measurements whose verdict the rows of a bucket's run can change: its own, and those of any country and test that share a host of its control,
   * a host of its valid certificates, a service of a messenger, or a report with them. With `filtered`, also all that pass the filter.
   */
  | { readonly of: 'evidence'; readonly bucket: string; readonly generation: number; readonly filtered: boolean }
  /** Named measurements; for `explain` and for repairs by hand. */
  | { readonly of: 'measurements'; readonly uids: readonly string[] };

/** SQL text with ClickHouse's `{name:Type}` placeholders, and the values of the parameters. */
export interface Query {
  readonly sql: string;
  readonly params: Readonly<Record<string, unknown>>;
}

/** An analysis cannot be made: its days are not valid, or ClickHouse lacks what it needs. */
export class AnalysisError extends Error {
  override name = 'AnalysisError';
}

/** Returns the measurement day [00:00, 24:00) UTC as parameters. Throws AnalysisError when the text is not a day. */
export function dayParams(day: string): { start: string; end: string } {
  const { start, end } = boundsOfDay(day);
  return { start: instant(start), end: instant(end) };
}

function boundsOfDay(day: string): { start: number; end: number } {
  if (granularityOf(day) !== 'Day') {
    throw new AnalysisError(`"${day}" is not a measurement day; write it as YYYY-MM-DD`);
  }
  return boundsOf(day);
}

/** Returns an instant (milliseconds since 1970) as the value of a DateTime64(3, 'UTC') parameter. */
export function instant(at: number): string {
  return new Date(at).toISOString().replace('T', ' ').slice(0, 23);
}

/** Half-open, unlike (start, end] of the Python pipeline, so that a measurement at midnight meets the control of its own day. */
export const IN_DAY =
  "measurement_start_time >= {start:DateTime64(3, 'UTC')} AND measurement_start_time < {end:DateTime64(3, 'UTC')}";

/** The measurement day of a row, for statements about several days. A Date holds only 1970 to 2149, and clocks of probes exceed it. */
export const ROW_DAY = "toDate32(measurement_start_time, 'UTC')";

/** Returns the condition on rows of these measurement days: IN_DAY for one day, otherwise the span and the list of all days. Throws AnalysisError. */
export function inDays(days: readonly string[]): Query {
  const [first] = days;
  if (first === undefined) throw new AnalysisError('an analysis needs a measurement day');
  if (days.length === 1) return { sql: IN_DAY, params: dayParams(first) };
  const bounds = days.map(boundsOfDay);
  const start = instant(Math.min(...bounds.map(each => each.start)));
  const end = instant(Math.max(...bounds.map(each => each.end)));
  // With the span, ClickHouse skips rows by the sorting key; the list is exact.
  return { sql: `${IN_DAY} AND ${ROW_DAY} IN {days:Array(Date32)}`, params: { start, end, days } };
}

/** Condition on rows of a bucket's run, in addition to the days. Needs the parameters `bucket` and `observed`. */
const OF_THE_RUN = 'bucket_date = {bucket:String} AND run_generation = {observed:UInt64}';

/**
 * Returns the conditions of filter and selection on the experiment side, as SQL (which begins with AND, or is empty) and parameters. The
 * conditions of the days are not part of it. Test names compare without case and underscores, as everywhere (filter.ts), so `webconnectivity`
 * judges the tests that the observation stage read.
 */
export function experimentCondition(filter: Filter, selection: Selection, days: readonly string[]): Query {
  const passes = filterCondition(filter);
  const params: Record<string, unknown> = { ...passes.params };
  if (selection.of === 'day') return { sql: passes.sql && `AND ${passes.sql}`, params };
  if (selection.of === 'measurements') {
    const named = 'measurement_uid IN {uids:Array(String)}';
    return { sql: `AND ${all([passes.sql, named])}`, params: { ...params, uids: selection.uids } };
  }
  params.bucket = selection.bucket;
  params.observed = selection.generation;
  const within = inDays(days).sql;
  const brought = `SELECT measurement_uid FROM obs_web WHERE ${within} AND ${OF_THE_RUN}`;
  if (selection.of === 'bucket') {
    // With the times, ClickHouse skips rows by the sorting key: late uploads are few among the rows of their days.
    const times = `measurement_start_time IN (SELECT measurement_start_time FROM obs_web WHERE ${within} AND ${OF_THE_RUN})`;
    return { sql: `AND ${all([passes.sql, times, `measurement_uid IN (${brought})`])}`, params };
  }
  const affected = `measurement_uid IN (${brought} UNION ALL ${evidenceOf(days)})`;
  if (!selection.filtered) return { sql: `AND ${affected}`, params };
  return { sql: passes.sql && `AND (${passes.sql} OR ${affected})`, params };
}

/**
 * Returns a subquery of the measurements whose verdict depends on the rows of a bucket's run: on each day those that share a host with its control
 * or its valid certificates, or a service of a messenger, and those of the same report or probe. It follows the signals that reach beyond one measurement
 * (judgement.ts). A measurement too many costs time and changes nothing.
 */
function evidenceOf(days: readonly string[]): string {
  const within = inDays(days).sql;
  // Each day is judged separately.
  const ofDay = (column: string) => (days.length > 1 ? `${ROW_DAY}, ${column}` : column);
  const of = (column: string, table: string, more = '') =>
    `SELECT ${ofDay(column)} FROM ${table} WHERE ${within} AND ${OF_THE_RUN}${more}`;
  const hosts = `${of(HOST, 'obs_web_ctrl')} UNION ALL ${of(HOST, 'obs_web', ' AND tls_is_certificate_valid = 1')}`;
  const isIn = (column: string, found: string) => `(${ofDay(column)}) IN (${found})`;
  const ofProbes = `probe_id != '' AND ${isIn('probe_id', of('probe_id', 'obs_web'))}`;
  const services = of('assumeNotNull(target_id)', 'obs_web', ` AND ${IS_MESSENGER} AND target_id IS NOT NULL`);
  const ofServices = `target_id IS NOT NULL AND ${IS_MESSENGER} AND ${isIn('assumeNotNull(target_id)', services)}`;
  return `SELECT measurement_uid FROM obs_web WHERE ${within} AND (${isIn(HOST, hosts)} OR (${ofServices}) OR ${isIn('report_id', of('report_id', 'obs_web'))} OR ${ofProbes})`;
}

/** Returns the SQL of a host name in the widest form in which any version of the rules compares names. */
const HOST = "lower(trimRight(ifNull(hostname, ''), '.'))";

/** Returns the filter as a condition; empty when it selects everything. */
function filterCondition(filter: Filter): Query {
  const conditions: string[] = [];
  const params: Record<string, unknown> = {};
  if (filter.probeCC.length > 0) {
    conditions.push('probe_cc IN {probe_cc:Array(String)}');
    params.probe_cc = filter.probeCC;
  }
  if (filter.testNames.length > 0) {
    conditions.push("replaceAll(lower(test_name), '_', '') IN {test_names:Array(String)}");
    params.test_names = filter.testNames;
  }
  return { sql: all(conditions), params };
}

function all(conditions: readonly string[]): string {
  return conditions.filter(Boolean).join(' AND ');
}
