import { ensureTable } from '../tables/ensure.ts';
import { PIPELINE_UIDS } from '../tables/uids.ts';
import type { Migration } from './migration.ts';

/** Creates the table of the contents that own the uids of documents. */
export default {
  number: 7,
  name: 'uids',
  async apply(clickhouse, log, signal) {
    await ensureTable(clickhouse, PIPELINE_UIDS, log, signal);
  },
} satisfies Migration;
