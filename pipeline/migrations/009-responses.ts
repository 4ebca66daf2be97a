import { ensureTable } from '../tables/ensure.ts';
import { OBS_WEB, OBS_WEB_CTRL } from '../tables/schema.ts';
import type { Migration } from './migration.ts';

/**
 * Adds to the observations what is known of a response: its title, the fingerprints that match it, the probe's comparison with the control,
 * and status code and title of the control's response.
 */
export default {
  number: 9,
  name: 'responses',
  async apply(clickhouse, log, signal) {
    await ensureTable(clickhouse, OBS_WEB, log, signal);
    await ensureTable(clickhouse, OBS_WEB_CTRL, log, signal);
  },
} satisfies Migration;
