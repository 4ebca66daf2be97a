import { ensureTable } from '../tables/ensure.ts';
import { OBS_HTTP_MIDDLEBOX, OBS_WEB, OBS_WEB_CTRL } from '../tables/schema.ts';
import type { Migration } from './migration.ts';

/** Creates the tables of observations that the Python pipeline has, too. */
export default {
  number: 1,
  name: 'observations',
  async apply(clickhouse, log, signal) {
    for (const table of [OBS_WEB, OBS_WEB_CTRL, OBS_HTTP_MIDDLEBOX]) await ensureTable(clickhouse, table, log, signal);
  },
} satisfies Migration;
