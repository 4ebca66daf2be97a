import { VIEWS } from '../analysis/views.ts';
import { ensureViews } from '../tables/ensure.ts';
import type { Migration } from './migration.ts';

/** Creates the view of the speeds of pages, and creates the view of tunnels again, which now counts only countries that no filter selected. */
export default {
  number: 14,
  name: 'comparisons',
  async apply(clickhouse, _log, signal) {
    await ensureViews(clickhouse, VIEWS, signal);
  },
} satisfies Migration;
