import { type ClickHouse, identifier } from './clickhouse.ts';
import { TableSchemaError } from './errors.ts';

/** A cluster according to system.clusters. */
export interface ClusterShape {
  readonly shards: number;
  readonly known: readonly string[];
}

/** Returns a sentence that says why a cluster cannot be used; undefined if it can be used. */
export function clusterProblem(cluster: string, { shards, known }: ClusterShape): string | undefined {
  if (shards === 1) return undefined;
  if (shards === 0) {
    const names = known.length > 0 ? `it knows ${known.join(', ')}` : 'it knows none';
    return `clickhouse_cluster is "${cluster}", a cluster that this ClickHouse does not know; ${names}`;
  }
  return (
    `clickhouse_cluster is "${cluster}", which has ${shards} shards. Each shard would hold a part of the rows, and verdicts would be made from that part. ` +
    'Name a cluster with one shard and any number of replicas; Distributed tables are not supported'
  );
}

/** Throws TableSchemaError unless the cluster of the settings, if any, has exactly one shard. */
export async function assertOneShard(clickhouse: ClickHouse, signal?: AbortSignal): Promise<void> {
  if (clickhouse.cluster === '') return;
  const [found] = await clickhouse.select<ClusterShape>(
    'SELECT uniqExactIf(shard_num, cluster = {cluster:String}) AS shards, groupUniqArray(cluster) AS known FROM system.clusters',
    { params: { cluster: clickhouse.cluster }, signal },
  );
  const problem = clusterProblem(clickhouse.cluster, found ?? { shards: 0, known: [] });
  if (problem) throw new TableSchemaError(`${clickhouse.name}: ${problem}`);
}

/** Timeout for replicas to fetch missing parts, seconds. */
const SYNC_TIMEOUT = 60;

/**
 * Waits until all active replicas have the rows that were inserted into the given tables up to now. Does nothing on one server. It is needed
 * before a statement that has to see rows from other workers, which may have used another replica, and before a DELETE with a subquery.
 * Every replica evaluates the subquery on its own rows, and NOT IN would delete too much where rows are missing. It does not wait for an
 * inactive replica, which fetches the mutated parts of the others when it is back.
 */
export async function syncReplicas(
  clickhouse: ClickHouse,
  tables: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  if (clickhouse.cluster === '') return;
  for (const table of tables) {
    await clickhouse.command(syncStatement(clickhouse.cluster, table), {
      settings: {
        distributed_ddl_task_timeout: String(SYNC_TIMEOUT),
        distributed_ddl_output_mode: 'null_status_on_timeout',
      },
      signal,
    });
    // The replica that receives the next statement must have the rows, independent of the others.
    await clickhouse.command(`SYSTEM SYNC REPLICA ${identifier(table)} LIGHTWEIGHT`, { signal });
  }
}

/** Returns the statement that synchronises the replicas. LIGHTWEIGHT waits for fetches, but not for merges and mutations. */
export function syncStatement(cluster: string, table: string): string {
  return `SYSTEM SYNC REPLICA ON CLUSTER ${identifier(cluster)} ${identifier(table)} LIGHTWEIGHT`;
}
