import { VERDICT_VIEWS } from '../analysis/views.ts';
import { ensureTable, ensureViews } from '../tables/ensure.ts';
import { ANALYSIS_WEB_MEASUREMENT } from '../tables/schema.ts';
import type { Migration } from './migration.ts';

/** Adds the grades of HTTP to the verdicts, and creates the views again to use them. */
export default {
  number: 10,
  name: 'http-layer',
  async apply(clickhouse, log, signal) {
    await ensureTable(clickhouse, ANALYSIS_WEB_MEASUREMENT, log, signal);
    await ensureViews(clickhouse, VERDICT_VIEWS, signal);
  },
} satisfies Migration;
