import { quote } from '../tables/clickhouse.ts';
import { literals } from '../tables/ddl.ts';
import type { ObservationTable } from '../tables/schema.ts';
import { overlappingBuckets } from './replaced-rows.ts';

/** Days whose uploads are in cans and some of them also under `raw/` (archive.md section 4). */
const DAYS_WITH_TWO_LAYOUTS = ['2020-10-20', '2020-10-21'];

/** Condition on a trivial id, which measurements in cans have. Ids that the collector assigned contain underscores. */
const TRIVIAL = "(length(measurement_uid) = 40 AND startsWith(measurement_uid, '01'))";

/**
 * Columns that are equal in two uploads of the same measurement: a report tests an input once at a time. A measurement without a report
 * has no duplicate.
 */
const IDENTITY = "(report_id, test_name, ifNull(input, ''), measurement_start_time)";

/**
 * Returns the condition of the DELETE that removes duplicate uploads on the two days on which cans and `raw/` overlap; undefined for every
 * other bucket. It matches the rows of a measurement from a can when the table also has its rows from `raw/`. Neither layout has all
 * uploads of these days, so both are read. The rows with the collector's uid are kept, because people know the measurement by that uid.
 * The measurement in a can belongs to hour 00 and its duplicate to its own hour, so the condition covers the whole day.
 */
export function duplicateUploadCondition(table: ObservationTable, bucket: string): string | undefined {
  const day = bucket.slice(0, 10);
  if (!DAYS_WITH_TWO_LAYOUTS.includes(day)) return undefined;
  const uploaded = `bucket_date IN ${literals(overlappingBuckets(day))} AND report_id != ${quote('')}`;
  return `${uploaded} AND ${TRIVIAL} AND ${IDENTITY} IN (SELECT ${IDENTITY} FROM ${table} WHERE ${uploaded} AND NOT ${TRIVIAL})`;
}

/** Columns of IDENTITY in a decoded row (plain-rows.ts). */
export interface Identity {
  readonly report_id: string;
  readonly test_name: string;
  readonly input?: string;
  readonly measurement_start_time: string;
}

/**
 * Returns a query for those of the given measurements that have rows under the collector's uid, so that their rows under a trivial id are
 * correctly absent. Undefined for every bucket outside the two days. Result rows have the columns of Identity as `r`, `t`, `i` (empty
 * without an input) and `s`.
 */
export function firstCopiesQuery(
  table: ObservationTable,
  bucket: string,
  measurements: readonly Identity[],
): string | undefined {
  const day = bucket.slice(0, 10);
  if (!DAYS_WITH_TWO_LAYOUTS.includes(day)) return undefined;
  const identities = measurements.map(
    each =>
      `(${quote(each.report_id)}, ${quote(each.test_name)}, ${quote(each.input ?? '')}, toDateTime64(${quote(each.measurement_start_time)}, 3, 'UTC'))`,
  );
  return `SELECT DISTINCT report_id AS r, test_name AS t, ifNull(input, '') AS i, toString(measurement_start_time) AS s
    FROM ${table} WHERE bucket_date IN ${literals(overlappingBuckets(day))} AND report_id != ${quote('')} AND NOT ${TRIVIAL}
      AND ${IDENTITY} IN (${identities.join(', ')})`;
}
