import { quote } from '../tables/clickhouse.ts';
import { literals } from '../tables/ddl.ts';
import type { ObservationTable } from '../tables/schema.ts';
import { overlappingBuckets } from './replaced-rows.ts';

/** Uploads of these days lie in cans and, in part, under `raw/` as well (archive.md section 4). */
const DAYS_WITH_TWO_LAYOUTS = ['2020-10-20', '2020-10-21'];

/** A trivial id, as measurements of cans have it; the ids that the collector gave have underscores. */
const TRIVIAL = "(length(measurement_uid) = 40 AND startsWith(measurement_uid, '01'))";

/**
 * What makes two uploads one measurement: a report has an input once at a time. A measurement without a report is like no other.
 */
const IDENTITY = "(report_id, test_name, ifNull(input, ''), measurement_start_time)";

/**
 * The condition of the DELETE that takes away, on the two days on which cans and `raw/` overlap, the rows of a measurement out of a
 * can whose rows out of `raw/` are there too; undefined for every other bucket. Neither layout holds the whole of these days, so
 * both are read, and the one with the collector's uid stays, because that uid is the one people know the measurement by. A can
 * belongs to hour 00 and its twin to its own hour, so the whole day is looked at.
 */
export function duplicateUploadCondition(table: ObservationTable, bucket: string): string | undefined {
  const day = bucket.slice(0, 10);
  if (!DAYS_WITH_TWO_LAYOUTS.includes(day)) return undefined;
  const uploaded = `bucket_date IN ${literals(overlappingBuckets(day))} AND report_id != ${quote('')}`;
  return `${uploaded} AND ${TRIVIAL} AND ${IDENTITY} IN (SELECT ${IDENTITY} FROM ${table} WHERE ${uploaded} AND NOT ${TRIVIAL})`;
}

/** What identifies the measurement of a row as a person reads it (view.ts); has the columns of IDENTITY. */
export interface Identity {
  readonly report_id: string;
  readonly test_name: string;
  readonly input?: string;
  readonly measurement_start_time: string;
}

/**
 * On the two days: of some measurements, those whose rows are in a table under the collector's uid, and whose rows under a trivial id are
 * therefore rightly absent. Undefined for every other bucket. Result rows have the columns of Identity as `r`, `t`, `i` (empty for none), `s`.
 */
export function firstCopiesQuery(
  table: ObservationTable,
  bucket: string,
  measurements: readonly Identity[],
): string | undefined {
  const day = bucket.slice(0, 10);
  if (!DAYS_WITH_TWO_LAYOUTS.includes(day)) return undefined;
  const wanted = measurements.map(
    each =>
      `(${quote(each.report_id)}, ${quote(each.test_name)}, ${quote(each.input ?? '')}, toDateTime64(${quote(each.measurement_start_time)}, 3, 'UTC'))`,
  );
  return `SELECT DISTINCT report_id AS r, test_name AS t, ifNull(input, '') AS i, toString(measurement_start_time) AS s
    FROM ${table} WHERE bucket_date IN ${literals(overlappingBuckets(day))} AND report_id != ${quote('')} AND NOT ${TRIVIAL}
      AND ${IDENTITY} IN (${wanted.join(', ')})`;
}
