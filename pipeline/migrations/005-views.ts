import { VERDICT_VIEWS } from '../analysis/views.ts';
import { identifier } from '../tables/clickhouse.ts';
import { onCluster } from '../tables/ddl.ts';
import type { Migration } from './migration.ts';

/** Creates the views of the verdicts for dashboards. */
export default {
  number: 5,
  name: 'views',
  async apply(clickhouse, _log, signal) {
    for (const { name, select } of VERDICT_VIEWS) {
      await clickhouse.command(`CREATE OR REPLACE VIEW ${identifier(name)}${onCluster(clickhouse)} AS ${select}`, {
        signal,
      });
    }
  },
} satisfies Migration;
