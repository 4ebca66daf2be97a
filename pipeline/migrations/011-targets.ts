import { VERDICT_VIEWS } from '../analysis/views.ts';
import { ensureTable, ensureViews } from '../tables/ensure.ts';
import { ANALYSIS_WEB_MEASUREMENT, OBS_WEB } from '../tables/schema.ts';
import type { Migration } from './migration.ts';

/**
 * Adds the network of handshakes to the observations and the services of messengers to the verdicts, creates the views again to use them,
 * and adds the view `blocking_by_target`.
 */
export default {
  number: 11,
  name: 'targets',
  async apply(clickhouse, log, signal) {
    await ensureTable(clickhouse, OBS_WEB, log, signal);
    await ensureTable(clickhouse, ANALYSIS_WEB_MEASUREMENT, log, signal);
    await ensureViews(clickhouse, VERDICT_VIEWS, signal);
  },
} satisfies Migration;
