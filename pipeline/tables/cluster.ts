import { type ClickHouse, identifier } from './clickhouse.ts';
import { TableSchemaError } from './errors.ts';

/** A cluster as system.clusters has it. */
export interface ClusterShape {
  readonly shards: number;
  readonly known: readonly string[];
}

/** What keeps a cluster from being used, in a sentence; undefined when nothing does. */
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

/** Throws TableSchemaError unless the cluster of the settings, if there is one, has exactly one shard. */
export async function assertOneShard(clickhouse: ClickHouse, signal?: AbortSignal): Promise<void> {
  if (clickhouse.cluster === '') return;
  const [found] = await clickhouse.select<ClusterShape>(
    'SELECT uniqExactIf(shard_num, cluster = {cluster:String}) AS shards, groupUniqArray(cluster) AS known FROM system.clusters',
    { params: { cluster: clickhouse.cluster }, signal },
  );
  const problem = clusterProblem(clickhouse.cluster, found ?? { shards: 0, known: [] });
  if (problem) throw new TableSchemaError(`${clickhouse.name}: ${problem}`);
}

/** Seconds that replicas have to fetch what they lack. */
const SYNC_TIMEOUT = 60;

/**
 * Makes all active replicas hold the rows that were inserted into some tables up to now; on one server it does nothing. For a statement that has to
 * see what other workers inserted, perhaps through another replica; and before a DELETE with a subquery, which every replica
 * evaluates on its own rows: NOT IN would delete too much where rows are missing. An inactive replica is not waited for: when it is back, it fetches
 * parts that the others have mutated.
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
    // The replica that is asked next must have them, whatever the others do.
    await clickhouse.command(`SYSTEM SYNC REPLICA ${identifier(table)} LIGHTWEIGHT`, { signal });
  }
}

/** LIGHTWEIGHT: fetches are waited for, merges and mutations are not. */
export function syncStatement(cluster: string, table: string): string {
  return `SYSTEM SYNC REPLICA ON CLUSTER ${identifier(cluster)} ${identifier(table)} LIGHTWEIGHT`;
}
