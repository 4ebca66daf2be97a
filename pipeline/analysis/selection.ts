import { boundsOf, granularityOf } from '../bucket.ts';
import type { Filter } from '../filter.ts';

/** Which measurements of a day are judged. The control they are compared with is always that of the whole day. */
export type Selection =
  /** Every measurement of the day. */
  | { readonly of: 'day' }
  /** Those that a bucket's run brought: rows of this bucket with this generation. For late uploads. */
  | { readonly of: 'bucket'; readonly bucket: string; readonly generation: number }
  /** Those named; for `explain` and for repairs by hand. */
  | { readonly of: 'measurements'; readonly uids: readonly string[] };

/** SQL text with ClickHouse's `{name:Type}` placeholders, and what to bind to them. */
export interface Query {
  readonly sql: string;
  readonly params: Readonly<Record<string, unknown>>;
}

export class AnalysisError extends Error {
  override name = 'AnalysisError';
}

/** The measurement day [00:00, 24:00) UTC as bound parameters. Throws AnalysisError when the text is no day. */
export function dayParams(day: string): { start: string; end: string } {
  if (granularityOf(day) !== 'Day') {
    throw new AnalysisError(`"${day}" is no measurement day; write it as YYYY-MM-DD`);
  }
  const { start, end } = boundsOf(day);
  return { start: instant(start), end: instant(end) };
}

/** An instant (milliseconds since 1970) as ClickHouse reads it in a DateTime64(3, 'UTC') parameter. */
export function instant(at: number): string {
  return new Date(at).toISOString().replace('T', ' ').slice(0, 23);
}

/** Half-open, unlike the Python pipeline's (start, end], so that a measurement at midnight meets the control of its own day. */
export const IN_DAY =
  "measurement_start_time >= {start:DateTime64(3, 'UTC')} AND measurement_start_time < {end:DateTime64(3, 'UTC')}";

/**
 * Conditions on the experiment side: filter and selection, as SQL (beginning with AND, or empty) and parameters. Test names compare
 * without case and underscores, as everywhere (filter.ts), so `webconnectivity` judges what the observation stage took.
 */
export function experimentCondition(filter: Filter, selection: Selection): Query {
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
  if (selection.of === 'measurements') {
    conditions.push('measurement_uid IN {uids:Array(String)}');
    params.uids = selection.uids;
  }
  if (selection.of === 'bucket') {
    conditions.push(
      `measurement_uid IN (SELECT measurement_uid FROM obs_web WHERE ${IN_DAY}` +
        ' AND bucket_date = {bucket:String} AND run_generation = {observed:UInt64})',
    );
    params.bucket = selection.bucket;
    params.observed = selection.generation;
  }
  return { sql: conditions.map(condition => `AND ${condition}`).join(' '), params };
}
