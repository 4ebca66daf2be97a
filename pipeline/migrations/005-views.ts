import { VERDICT_VIEWS } from '../analysis/views.ts';
import { ensureViews } from '../tables/ensure.ts';
import type { Migration } from './migration.ts';

/** Creates the views of the verdicts for dashboards. */
export default {
  number: 5,
  name: 'views',
  async apply(clickhouse, _log, signal) {
    await ensureViews(clickhouse, VERDICT_VIEWS, signal);
  },
} satisfies Migration;
