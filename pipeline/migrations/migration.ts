import type { Logger } from '../log.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';

/** What a migration would do to the database as it is now. */
export interface PlannedChange {
  /** For people: each completes the sentence "it would ...". */
  readonly changes: readonly string[];
  readonly statements: readonly string[];
}

/**
 * One change of the database. `apply` may run again after it was cut off in the middle, so each of its statements must be one that
 * may be repeated; later versions of the program may have run before, so it adds and never takes away.
 */
export interface Migration {
  readonly number: number;
  readonly name: string;
  /** @param guard throws when another process took over the migration; called before a step that must not happen twice */
  apply(clickhouse: ClickHouse, log: Logger, signal?: AbortSignal, guard?: () => Promise<void>): Promise<void>;
  /**
   * For a migration whose statements depend on the results of earlier ones. Without it, `apply` is run with a connection that records statements
   * instead of sending them.
   */
  plan?(clickhouse: ClickHouse, signal?: AbortSignal): Promise<PlannedChange>;
}
