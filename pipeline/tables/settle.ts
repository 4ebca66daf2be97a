import type { Logger } from '../log.ts';
import { type ClickHouse, identifier, quote } from './clickhouse.ts';
import { literals } from './ddl.ts';
import { StatementError } from './errors.ts';
import { type OpenedRun, type PastRun, pastRuns, type RunKey } from './ledger.ts';
import { PIPELINE_FAILURES } from './ledger-tables.ts';
import {
  type FoundRows,
  overlappingBuckets,
  partitionOf,
  planRetirement,
  retireCondition,
  supersededCondition,
} from './retire.ts';
import { OBS_HTTP_MIDDLEBOX, OBS_WEB, OBS_WEB_CTRL, type ObservationTable, type Table } from './schema.ts';

/** Control rows go first: for a filter by country they are found through their measurements' rows in obs_web. */
const ORDER = [OBS_WEB_CTRL, OBS_HTTP_MIDDLEBOX, OBS_WEB] as const;

/** Merges may move rows while duplicates are being deleted; what moved is found in the next round. */
const DEDUPLICATION_ROUNDS = 5;

export interface Settled {
  /** Rows in the tables with the run's generation, by table; tables without any are left out. */
  readonly rowsStored: Record<string, number>;
  /** Groups of older rows that were taken away, for the log. */
  readonly retired: number;
}

/**
 * Makes plain reads right after a run (DESIGN section 5). Call it when no row of the run is written any more and its state in the
 * ledger says so (`inserted` or later). May be repeated. In this order:
 *
 * 1. Rows that the run replaces are deleted, as retire.ts plans it.
 * 2. The run's own rows are deleted where a newer run has brought the measurement again: that run has retired before
 *    these rows were in, or it would have done so. Each run records `inserted` first and looks at the others then, so
 *    of two runs that end at the same time at least one sees the other.
 * 3. Rows that are there twice are deleted once: an INSERT whose answer was lost, or whose worker was killed before it could say so, is
 *    repeated. Both copies have key and generation in common, so FINAL has shown one all along.
 *
 * @param complete false for a run that failed or was cancelled: it takes away only what it has brought again
 */
export async function settle(
  clickhouse: ClickHouse,
  run: OpenedRun,
  complete: boolean,
  log: Logger,
  signal?: AbortSignal,
): Promise<Settled> {
  const past = await pastRuns(clickhouse, 'Observations', overlappingBuckets(run.bucket), signal);
  const newer = past.filter(each => each.generation > run.generation && each.state !== 'started');
  let retired = 0;
  const rowsStored: Record<string, number> = {};
  for (const table of ORDER) {
    retired += await retireOlder(clickhouse, table.name, run, past, complete, signal);
    for (const other of newer)
      await deleteRows(clickhouse, table.name, run.bucket, supersededCondition(table.name, run, other), signal);
    const stored = await deduplicate(clickhouse, table, run, log, signal);
    if (stored > 0) rowsStored[table.name] = stored;
  }
  if (complete) await retireFailures(clickhouse, run, past, signal);
  return { rowsStored, retired };
}

async function retireOlder(
  clickhouse: ClickHouse,
  table: ObservationTable,
  run: OpenedRun,
  past: readonly PastRun[],
  complete: boolean,
  signal?: AbortSignal,
): Promise<number> {
  const found = await clickhouse.select<FoundRows>(
    `SELECT DISTINCT bucket_date AS bucket, run_generation AS generation FROM ${identifier(table)}
     WHERE bucket_date IN ${literals(overlappingBuckets(run.bucket))} AND run_generation < ${run.generation}`,
    { signal },
  );
  const plan = planRetirement(run, found, past, run.openedAt, complete);
  if (plan.length > 0) {
    await deleteRows(clickhouse, table, run.bucket, retireCondition(table, run, plan, complete), signal);
  }
  return plan.length;
}

/** Failures that older runs recorded go with their rows, where all that those runs read was read again. */
async function retireFailures(
  clickhouse: ClickHouse,
  run: OpenedRun,
  past: readonly PastRun[],
  signal?: AbortSignal,
): Promise<void> {
  const found = await clickhouse.select<FoundRows>(
    `SELECT DISTINCT bucket, generation FROM ${PIPELINE_FAILURES.name}
     WHERE bucket IN ${literals(overlappingBuckets(run.bucket))} AND generation < ${run.generation}`,
    { signal },
  );
  const gone = planRetirement(run, found, past, run.openedAt, true).filter(each => each.reach === 'everything');
  if (gone.length === 0) return;
  const conditions = gone.map(
    each => `(bucket = ${quote(each.bucket)} AND generation IN (${each.generations.join(', ')}))`,
  );
  await clickhouse.command(`DELETE FROM ${PIPELINE_FAILURES.name} WHERE ${conditions.join(' OR ')}`, { signal });
}

/** Rows of the run in a table, each once. */
async function deduplicate(
  clickhouse: ClickHouse,
  table: Table & { readonly name: ObservationTable },
  run: RunKey,
  log: Logger,
  signal?: AbortSignal,
): Promise<number> {
  const own = `bucket_date = ${quote(run.bucket)} AND run_generation = ${run.generation}`;
  const from = `FROM ${identifier(table.name)} WHERE ${own}`;
  const key = table.orderBy.map(identifier).join(', ');
  for (let round = 1; ; round++) {
    const [counted] = await clickhouse.select<{ all: number; distinct: number }>(
      `SELECT count() AS all, uniqExact(sipHash128(${key})) AS distinct ${from}`,
      { signal },
    );
    const { all, distinct } = counted ?? { all: 0, distinct: 0 };
    if (all === distinct) return distinct;
    if (round > DEDUPLICATION_ROUNDS) {
      log.warn(`${table.name} still shows ${all - distinct} rows of ${run.bucket} twice; FINAL reads are right`);
      return distinct;
    }
    log.info(`${table.name}: ${all - distinct} rows of ${run.bucket} were inserted twice; deleting one of each`);
    const twice = `SELECT sipHash128(${key}) ${from} GROUP BY 1 HAVING count() > 1`;
    const copies = `SELECT _part, _part_offset ${from} AND sipHash128(${key}) IN (${twice})
      QUALIFY row_number() OVER (PARTITION BY ${key} ORDER BY _part, _part_offset) > 1`;
    try {
      await deleteRows(clickhouse, table.name, run.bucket, `(_part, _part_offset) IN (${copies})`, signal);
    } catch (error) {
      if (!(error instanceof StatementError)) throw error;
      // An older server that cannot address rows by place: merging removes the copies, in its own time.
      log.warn(
        `${table.name} shows ${all - distinct} rows of ${run.bucket} twice until it is merged: ${error.message}`,
      );
      return distinct;
    }
  }
}

async function deleteRows(
  clickhouse: ClickHouse,
  table: ObservationTable,
  bucket: string,
  condition: string,
  signal?: AbortSignal,
): Promise<void> {
  // Without the partition a delete looks at every part of the table, years of them.
  await clickhouse.command(
    `DELETE FROM ${identifier(table)} IN PARTITION ${quote(partitionOf(bucket))} WHERE ${condition}`,
    // Subqueries count as nondeterministic on replicated tables. They are not, here: a delete ends on all replicas before the next begins.
    { settings: { allow_nondeterministic_mutations: 1 }, signal },
  );
}
