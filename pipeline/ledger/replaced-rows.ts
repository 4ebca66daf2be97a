import { granularityOf } from '../bucket.ts';
import type { Filter } from '../filter.ts';
import { identifier, quote } from '../tables/clickhouse.ts';
import { literals } from '../tables/ddl.ts';
import { PIPELINE_FILES } from '../tables/ledger-tables.ts';
import { OBS_WEB, OBSERVATION_TABLES, type ObservationTable } from '../tables/schema.ts';
import type { OpenedRun, PastRun, RunKey } from './ledger.ts';

/**
 * The older rows that a run replaces after all its own rows are inserted ("repeat means replace"). The main rule: a row is deleted only if
 * the run has read the row's source again. Rows do not name their object, so the bucket and filter of the run are compared with those of
 * the older run:
 *
 * - `everything`: the older run has ended, and its bucket and filter are within those of this run.
 * - `matching`: the older run has ended, but it read more than this run. Rows are deleted if their own country, test name and (by their
 *   uid) upload hour are within this run, except for strays: measurements that contradict their key (pipeline_files). Measurements that
 *   this run has written again are always replaced.
 * - `replaced`: the older run is unknown, or both runs were active at the same time, so each may have read objects that the other did
 *   not. Only measurements that this run has written again are replaced.
 */
export type Reach = 'everything' | 'matching' | 'replaced';

/** Older rows to delete: those in one bucket with one of these generations. */
export interface Retirement {
  readonly bucket: string;
  readonly generations: readonly number[];
  readonly reach: Reach;
}

/** A group of rows found in the tables. */
export interface FoundRows {
  readonly bucket: string;
  readonly generation: number;
}

/** Returns the buckets that can contain rows of `bucket`: a day and its hours overlap. */
export function overlappingBuckets(bucket: string): string[] {
  const day = bucket.slice(0, 10);
  if (granularityOf(bucket) === 'Hour') return [day, bucket];
  return [day, ...Array.from({ length: 24 }, (_, hour) => `${day}T${String(hour).padStart(2, '0')}`)];
}

/** Returns whether every measurement that passes `inner` also passes `outer`. */
export function covers(outer: Filter, inner: Filter): boolean {
  const within = (wide: readonly string[], narrow: readonly string[]) =>
    wide.length === 0 || (narrow.length > 0 && narrow.every(value => wide.includes(value)));
  return within(outer.probeCC, inner.probeCC) && within(outer.testNames, inner.testNames);
}

const ENDED = new Set(['completed', 'failed', 'cancelled']);

/**
 * Plans which older rows a run replaces.
 *
 * @param found groups of rows in the buckets that overlap the run's
 * @param past runs in the ledger over the same buckets
 * @param complete false for a failed or cancelled run, which has not read its whole bucket
 */
export function planRetirement(
  run: OpenedRun,
  found: readonly FoundRows[],
  past: readonly PastRun[],
  complete: boolean,
): Retirement[] {
  const groups = new Map<string, { bucket: string; generations: number[]; reach: Reach }>();
  for (const { bucket, generation } of found) {
    if (generation >= run.generation) continue;
    const writers = past.filter(each => each.bucket === bucket && each.generation === generation);
    const reach = complete ? reachOver(run, bucket, writers) : 'replaced';
    const group = groups.get(`${bucket} ${reach}`) ?? { bucket, generations: [], reach };
    group.generations.push(generation);
    groups.set(`${bucket} ${reach}`, group);
  }
  return [...groups.values()];
}

function reachOver(run: OpenedRun, bucket: string, writers: readonly PastRun[]): Reach {
  const within = bucket === run.bucket || granularityOf(run.bucket) === 'Day';
  if (writers.length === 0) {
    // The Python pipeline has no ledger. A run without a filter reads everything that the Python pipeline can have read.
    return within && covers(run.filter, { probeCC: [], testNames: [] }) ? 'everything' : 'replaced';
  }
  // A run that ended before this one recorded its start, by the server's clock, does not overlap it in time.
  // Workflow ids prevent two runs of one bucket and filter from overlapping in time, even if one ended without a record.
  const over = (writer: PastRun) =>
    (writer.bucket === run.bucket && writer.filterID === run.filterID) ||
    (ENDED.has(writer.state) && writer.recordedAt < run.openedAt);
  if (!writers.every(over)) return 'replaced';
  return within && writers.every(writer => covers(run.filter, writer.filter)) ? 'everything' : 'matching';
}

/** The partition that contains the rows of a bucket. */
export function partitionOf(bucket: string): string {
  return bucket.slice(0, 4) + bucket.slice(5, 7);
}

/** Older rows of one table that a run replaces. */
export interface RetiredRows {
  readonly retirements: readonly Retirement[];
  /**
   * As for planRetirement. An incomplete run may lack the rows of a measurement in one table, so each table is checked apart for measurements
   * written again. A complete run also deletes rows from a table in which a measurement no longer has rows.
   */
  readonly complete: boolean;
  /** Uids that straysQuery has found; undefined: each replica queries its own ledger, which may lack some. */
  readonly strays: readonly string[] | undefined;
}

/** Returns the condition of the DELETE for one table. */
export function retireCondition(
  table: ObservationTable,
  run: RunKey,
  { retirements, complete, strays }: RetiredRows,
): string {
  return retirements
    .map(({ bucket, generations, reach }) => {
      const own = `bucket_date = ${quote(bucket)} AND run_generation IN (${generations.join(', ')})`;
      if (reach === 'everything') return `(${own})`;
      const again = cameAgain(run, complete ? OBSERVATION_TABLES.map(each => each.name) : [table]);
      if (reach === 'replaced') return `(${own} AND ${again})`;
      return `(${own} AND (${again} OR (${withinRun(table, run, bucket, strays)})))`;
    })
    .join(' OR ');
}

/** Condition on rows of `run` whose measurements a newer run has written again. */
export function supersededCondition(table: ObservationTable, run: RunKey, newer: RunKey): string {
  return `bucket_date = ${quote(run.bucket)} AND run_generation = ${run.generation} AND ${cameAgain(newer, [table])}`;
}

function cameAgain(run: RunKey, tables: readonly ObservationTable[]): string {
  const uids = tables.map(
    table =>
      `SELECT measurement_uid FROM ${identifier(table)} WHERE bucket_date = ${quote(run.bucket)} AND run_generation = ${run.generation}`,
  );
  return `measurement_uid IN (${uids.join(' UNION ALL ')})`;
}

/** Returns the query for the uids of strays in the buckets that overlap a run's. The result is one row {uids}. */
export function straysQuery(run: RunKey): string {
  return `SELECT groupUniqArray(uid) AS uids FROM (${straysOf(run)})`;
}

function straysOf(run: RunKey): string {
  return `SELECT arrayJoin(strays) AS uid FROM ${PIPELINE_FILES.name} WHERE bucket IN ${literals(overlappingBuckets(run.bucket))} AND notEmpty(strays)`;
}

/** Condition on rows whose own columns are within the run's filter and hour, without the strays. */
function withinRun(table: ObservationTable, run: RunKey, bucket: string, strays?: readonly string[]): string {
  const { probeCC, testNames } = run.filter;
  const overlapping = literals(overlappingBuckets(run.bucket));
  const conditions: string[] = [];
  if (strays === undefined) conditions.push(`measurement_uid NOT IN (${straysOf(run)})`);
  else if (strays.length > 0) conditions.push(`measurement_uid NOT IN ${literals(strays)}`);
  if (testNames.length > 0)
    conditions.push(`replaceAll(lower(trimBoth(test_name)), '_', '') IN ${literals(testNames)}`);
  if (probeCC.length > 0) {
    conditions.push(
      table === 'obs_web_ctrl'
        ? // Control rows have no country; it is in the rows of their measurement.
          `measurement_uid IN (SELECT measurement_uid FROM ${OBS_WEB.name} WHERE bucket_date IN ${overlapping} AND probe_cc IN ${literals(probeCC)})`
        : `probe_cc IN ${literals(probeCC)}`,
    );
  }
  if (granularityOf(run.bucket) === 'Hour' && bucket !== run.bucket) {
    // Rows of a day's run do not contain the hour. A uid that the collector assigned does: it begins with the upload time.
    conditions.push(`startsWith(measurement_uid, ${quote(run.bucket.replace(/\D/g, ''))})`);
  }
  return conditions.join(' AND ') || '1';
}
