import type { RulesVersion } from '../../pipeline/analysis/rules.ts';
import type { Archive } from '../../pipeline/archive/archive.ts';
import type { RunMetrics } from '../../pipeline/runs/metrics.ts';
import type { Settings } from '../../pipeline/settings.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import type { Logger } from '../../pipeline/telemetry/log.ts';
import type { ThreadPool } from '../../pipeline/threads/pool.ts';
import type { ClickHouseWatch } from './clickhouse-watch.ts';

/** Objects that the activities of a worker share. */
export interface ActivityTools {
  readonly settings: Settings;
  readonly archive: Archive;
  readonly clickhouse: ClickHouse;
  readonly pool: ThreadPool;
  readonly metrics: RunMetrics;
  readonly rulesVersion: RulesVersion;
  /** Versions of reference data by name, for the ledger. */
  readonly referenceVersions: Readonly<Record<string, string>>;
  readonly log: Logger;
  /** Stops activities while ClickHouse hangs. */
  readonly watch?: ClickHouseWatch;
}
