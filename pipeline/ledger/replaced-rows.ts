import { granularityOf } from '../bucket.ts';
import type { Filter } from '../filter.ts';
import { identifier, quote } from '../tables/clickhouse.ts';
import { literals } from '../tables/ddl.ts';
import { PIPELINE_FILES } from '../tables/ledger-tables.ts';
import { OBS_WEB, OBSERVATION_TABLES, type ObservationTable } from '../tables/schema.ts';
import type { PastRun, RunKey } from './ledger.ts';

/**
 * Which older rows a run takes away once all of its own are in ("repeat means replace"). One rule stands above
 * all: a row goes only if the run has read again what the row came from. Rows do not name their object, so what a run has read
 * is told from what it was asked to read, compared with what the older run was asked to read:
 *
 * - `everything`: the older run is over, and whatever it read lies within the bucket and filter of this one.
 * - `matching`: the older run is over, but read more than this one. Rows go whose own country, test name and (by their uid)
 *   upload hour lie within this run, save the strays: measurements that contradict their key (pipeline_files). Measurements
 *   that came again go in any case.
 * - `replaced`: nothing is known of the older run, or both were at work at the same time, so that either may have seen
 *   objects the other did not. Only measurements that came again go.
 */
export type Reach = 'everything' | 'matching' | 'replaced';

/** Older rows to take away: those of one bucket with one of these generations. */
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

/** The buckets whose rows a run over `bucket` may hold as well: a day and its hours overlap. */
export function overlappingBuckets(bucket: string): string[] {
  const day = bucket.slice(0, 10);
  if (granularityOf(bucket) === 'Hour') return [day, bucket];
  return [day, ...Array.from({ length: 24 }, (_, hour) => `${day}T${String(hour).padStart(2, '0')}`)];
}

/** Whether every measurement that passes `inner` passes `outer`. */
export function covers(outer: Filter, inner: Filter): boolean {
  const within = (wide: readonly string[], narrow: readonly string[]) =>
    wide.length === 0 || (narrow.length > 0 && narrow.every(value => wide.includes(value)));
  return within(outer.probeCC, inner.probeCC) && within(outer.testNames, inner.testNames);
}

const ENDED = new Set(['completed', 'failed', 'cancelled']);

/**
 * Plans the retirement for a run.
 *
 * @param found rows of older generations, over the buckets that overlap the run's
 * @param past runs the ledger knows over the same buckets
 * @param since when the run recorded its start, by the server's clock: what ended before did not overlap it in time
 * @param complete false for a run that failed or was cancelled: it has not read all it was asked to
 */
export function planRetirement(
  run: RunKey,
  found: readonly FoundRows[],
  past: readonly PastRun[],
  since: number,
  complete: boolean,
): Retirement[] {
  const groups = new Map<string, { bucket: string; generations: number[]; reach: Reach }>();
  for (const { bucket, generation } of found) {
    if (generation >= run.generation) continue;
    const writers = past.filter(each => each.bucket === bucket && each.generation === generation);
    const reach = complete ? reachOver(run, bucket, writers, since) : 'replaced';
    const group = groups.get(`${bucket} ${reach}`) ?? { bucket, generations: [], reach };
    group.generations.push(generation);
    groups.set(`${bucket} ${reach}`, group);
  }
  return [...groups.values()];
}

function reachOver(run: RunKey, bucket: string, writers: readonly PastRun[], since: number): Reach {
  const within = bucket === run.bucket || granularityOf(run.bucket) === 'Day';
  if (writers.length === 0) {
    // The Python pipeline keeps no ledger: a run without filter reads all that it can have read.
    return within && covers(run.filter, { probeCC: [], testNames: [] }) ? 'everything' : 'replaced';
  }
  // Workflow ids keep two runs of one bucket and filter apart in time, even where one ended without a record.
  const over = (writer: PastRun) =>
    (writer.bucket === run.bucket && writer.filterID === run.filterID) ||
    (ENDED.has(writer.state) && writer.recordedAt < since);
  if (!writers.every(over)) return 'replaced';
  return within && writers.every(writer => covers(run.filter, writer.filter)) ? 'everything' : 'matching';
}

/** The partition that holds a bucket's rows. */
export function partitionOf(bucket: string): string {
  return bucket.slice(0, 4) + bucket.slice(5, 7);
}

/**
 * The condition of the DELETE for one table.
 *
 * @param complete as for planRetirement: an incomplete run may lack a measurement's rows of one table, so "came again" is
 *   asked of each table apart; a complete one takes away rows of a table that a measurement no longer has
 * @param strays uids that straysQuery has found; absent: each replica asks its own ledger, which may lack some
 */
export function retireCondition(
  table: ObservationTable,
  run: RunKey,
  retirements: readonly Retirement[],
  complete: boolean,
  strays?: readonly string[],
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

/** Condition on rows of `run` that a newer run has written again. */
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

/** Uids of the strays over the buckets that overlap a run's: one row {uids}. */
export function straysQuery(run: RunKey): string {
  return `SELECT groupUniqArray(uid) AS uids FROM (${straysOf(run)})`;
}

function straysOf(run: RunKey): string {
  return `SELECT arrayJoin(strays) AS uid FROM ${PIPELINE_FILES.name} WHERE bucket IN ${literals(overlappingBuckets(run.bucket))} AND notEmpty(strays)`;
}

/** The rows that by their own word lie within the run, without the strays. */
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
        ? // Control rows have no country; their measurement has.
          `measurement_uid IN (SELECT measurement_uid FROM ${OBS_WEB.name} WHERE bucket_date IN ${overlapping} AND probe_cc IN ${literals(probeCC)})`
        : `probe_cc IN ${literals(probeCC)}`,
    );
  }
  if (granularityOf(run.bucket) === 'Hour' && bucket !== run.bucket) {
    // Rows of the day's run do not tell their hour. The uid does, where the collector gave it: it begins with the upload time.
    conditions.push(`startsWith(measurement_uid, ${quote(run.bucket.replace(/\D/g, ''))})`);
  }
  return conditions.join(' AND ') || '1';
}
