import type { ClickHouse } from '../tables/clickhouse.ts';
import type { Logger } from '../telemetry/log.ts';

/** The changes that a migration would make to the current database. */
export interface PlannedChange {
  /** For people: each text completes the sentence "it would ...". */
  readonly changes: readonly string[];
  readonly statements: readonly string[];
}

/**
 * One change of the database. `apply` may run again after an interruption, so each of its statements must be safe to repeat. Later versions of
 * the program may have run before, so it only adds and does not remove.
 */
export interface Migration {
  readonly number: number;
  readonly name: string;
  /** @param guard throws if another process took over the migration; `apply` calls it before a step that must not happen twice */
  apply(clickhouse: ClickHouse, log: Logger, signal?: AbortSignal, guard?: () => Promise<void>): Promise<void>;
  /**
   * Plans a migration whose statements depend on the results of earlier ones. Without it, the plan runs `apply` with a connection that records
   * the statements instead of sending them.
   */
  plan?(clickhouse: ClickHouse, signal?: AbortSignal): Promise<PlannedChange>;
}
