import { ensureTable } from '../tables/ensure.ts';
import { OBS_WEB } from '../tables/schema.ts';
import type { Migration } from './migration.ts';

/** Adds to the observations why a probe made a transaction, and how its bytes arrived. */
export default {
  number: 13,
  name: 'transactions',
  async apply(clickhouse, log, signal) {
    await ensureTable(clickhouse, OBS_WEB, log, signal);
  },
} satisfies Migration;
