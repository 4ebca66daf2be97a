import type { Logger } from '../../log.ts';
import type { ClickHouse } from '../clickhouse.ts';

/**
 * One change of the database. `apply` may run again after it was cut off in the middle, so each of its statements must be one that
 * may be repeated; later versions of the program may have run before, so it adds and never takes away.
 */
export interface Migration {
  readonly number: number;
  readonly name: string;
  apply(clickhouse: ClickHouse, log: Logger, signal?: AbortSignal): Promise<void>;
}
