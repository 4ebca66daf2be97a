import { VIEWS_TO_TUNNELS } from '../analysis/views.ts';
import { ensureTable, ensureViews } from '../tables/ensure.ts';
import { OBS_PERFORMANCE, OBS_TUNNEL } from '../tables/schema.ts';
import type { Migration } from './migration.ts';

/** Creates the tables of tunnels and of the speed of networks, and the view of the tunnels' outcomes. */
export default {
  number: 12,
  name: 'tunnels',
  async apply(clickhouse, log, signal) {
    await ensureTable(clickhouse, OBS_TUNNEL, log, signal);
    await ensureTable(clickhouse, OBS_PERFORMANCE, log, signal);
    await ensureViews(clickhouse, VIEWS_TO_TUNNELS, signal);
  },
} satisfies Migration;
