import type { Logger } from '../log.ts';
import type { ClickHouse } from './clickhouse.ts';
import observations from './migrations/001-observations.ts';
import analysis from './migrations/002-analysis.ts';
import ledger from './migrations/003-ledger.ts';
import reference from './migrations/004-reference.ts';
import views from './migrations/005-views.ts';

/**
 * One change of the database. `apply` may run again after it was cut off in the middle, so each of its statements must be one that
 * may be repeated; later versions of the program may have run before, so it adds and never takes away.
 */
export interface Migration {
  readonly number: number;
  readonly name: string;
  apply(clickhouse: ClickHouse, log: Logger, signal?: AbortSignal): Promise<void>;
}

/** All migrations, in order. A new one gets a file of its own and the next number; what has been released is not changed. */
export const MIGRATIONS: readonly Migration[] = [observations, analysis, ledger, reference, views];
