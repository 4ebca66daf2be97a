import { setTimeout as sleep } from 'node:timers/promises';
import { type ClickHouse, identifier, quote } from '../tables/clickhouse.ts';
import { StatementError } from '../tables/errors.ts';
import type { Logger } from '../telemetry/log.ts';
import type { PlannedChange } from './migration.ts';

/** An index of a table. Each table with such an index has no other index. */
export interface TableIndex {
  readonly table: string;
  readonly index: string;
}

/** Interval between the looks at a mutation, milliseconds. */
const POLL = 500;

/** A partition with parts that were written before the index was added. */
interface PartitionWithoutIndex {
  readonly id: string;
  readonly rows: number;
}

async function partitionsWithoutIndex(
  clickhouse: ClickHouse,
  { table }: TableIndex,
  signal?: AbortSignal,
): Promise<PartitionWithoutIndex[]> {
  return clickhouse.select<PartitionWithoutIndex>(
    `SELECT partition_id AS id, sum(p.rows) AS rows FROM system.parts AS p
     WHERE database = currentDatabase() AND table = {table:String} AND active AND p.rows > 0 AND secondary_indices_marks_bytes = 0
     GROUP BY id ORDER BY id`,
    { params: { table }, signal },
  );
}

function statement({ table, index }: TableIndex, partition: string): string {
  return `ALTER TABLE ${identifier(table)} MATERIALIZE INDEX ${identifier(index)} IN PARTITION ID ${quote(partition)}`;
}

/** Returns the changes that `materialiseIndex` would make now. */
export async function planIndex(
  clickhouse: ClickHouse,
  index: TableIndex,
  signal?: AbortSignal,
): Promise<PlannedChange> {
  const partitions = await partitionsWithoutIndex(clickhouse, index, signal);
  if (partitions.length === 0) return { changes: [], statements: [] };
  const rows = partitions.reduce((sum, each) => sum + each.rows, 0);
  return {
    changes: [`write the index ${index.index} of ${index.table} for ${rows} rows in ${partitions.length} partitions`],
    statements: partitions.map(({ id }) => statement(index, id)),
  };
}

/**
 * Writes an index for the rows that existed before it, one partition at a time. If a mutation for a partition is already in progress, it waits
 * for it and does not queue another. It kills a failing mutation, because later mutations of the partition would wait for it. Throws
 * TableErrors.
 */
export async function materialiseIndex(
  clickhouse: ClickHouse,
  index: TableIndex,
  log: Logger,
  signal?: AbortSignal,
): Promise<void> {
  const partitions = await partitionsWithoutIndex(clickhouse, index, signal);
  if (partitions.length > 0) log.info(`${index.table}: writing ${index.index} for ${partitions.length} partitions`);
  for (const { id } of partitions) {
    if ((await unfinishedMutations(clickhouse, index, id, signal)).length === 0) {
      await clickhouse.commandOnce(statement(index, id), {
        settings: { mutations_sync: '0', alter_sync: '1' },
        signal,
      });
    }
    for (;;) {
      const [mutation] = await unfinishedMutations(clickhouse, index, id, signal);
      if (!mutation) break;
      if (mutation.failure !== '') {
        await clickhouse.command(
          `KILL MUTATION WHERE database = currentDatabase() AND table = ${quote(index.table)} AND mutation_id = ${quote(mutation.id)}`,
          { signal },
        );
        throw new StatementError(`the index ${index.index} of ${index.table} cannot be written: ${mutation.failure}`);
      }
      await sleep(POLL, undefined, { signal });
    }
  }
}

/** Returns the mutations that write the index of a partition, with the reason of the last failure (empty: none). */
async function unfinishedMutations(
  clickhouse: ClickHouse,
  { table, index }: TableIndex,
  partition: string,
  signal?: AbortSignal,
) {
  return clickhouse.select<{ id: string; failure: string }>(
    `SELECT mutation_id AS id, latest_fail_reason AS failure FROM system.mutations
     WHERE database = currentDatabase() AND table = {table:String} AND NOT is_done AND NOT is_killed
       AND position(command, {command:String}) > 0 AND position(command, {partition:String}) > 0`,
    { params: { table, command: `MATERIALIZE INDEX ${index}`, partition: quote(partition) }, signal },
  );
}
