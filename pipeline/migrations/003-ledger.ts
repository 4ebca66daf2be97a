import { ensureTable } from '../tables/ensure.ts';
import { LEDGER_TABLES } from '../tables/ledger-tables.ts';
import type { Migration } from './migration.ts';

/** Creates the tables of runs, files and failures. */
export default {
  number: 3,
  name: 'ledger',
  async apply(clickhouse, log, signal) {
    for (const table of LEDGER_TABLES) await ensureTable(clickhouse, table, log, signal);
  },
} satisfies Migration;
