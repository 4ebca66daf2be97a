import { ensureTable } from '../tables/ensure.ts';
import { OBSERVATION_TABLES } from '../tables/schema.ts';
import type { Migration } from './migration.ts';

/** Creates the tables of the observation stage. */
export default {
  number: 1,
  name: 'observations',
  async apply(clickhouse, log, signal) {
    for (const table of OBSERVATION_TABLES) await ensureTable(clickhouse, table, log, signal);
  },
} satisfies Migration;
