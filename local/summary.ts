import { createClient } from '@clickhouse/client';
import { parseClickHouseUrl } from '../pipeline/tables/clickhouse-url.ts';
import { PIPELINE_FILES, PIPELINE_RUNS } from '../pipeline/tables/ledger-tables.ts';
import {
  ANALYSIS_WEB_MEASUREMENT,
  MEASUREMENT_EXPERIMENT_RESULT,
  OBSERVATION_TABLES,
} from '../pipeline/tables/schema.ts';
import { NO_VERDICTS, readVerdicts, type Select, type Verdicts } from './verdicts.ts';

/** Contents of ClickHouse, over all starts on the same data. */
export interface Summary {
  /** Buckets with complete observations. */
  readonly buckets: number;
  /** Measurements read from these buckets, and how many of them failed. */
  readonly measurements: number;
  readonly failed: number;
  /** Rows by table. */
  readonly rows: Readonly<Record<string, number>>;
}

const TABLES = [...OBSERVATION_TABLES, ANALYSIS_WEB_MEASUREMENT, MEASUREMENT_EXPERIMENT_RESULT].map(({ name }) => name);

/** Reads the summary and the verdicts. A missing table counts as empty. */
export async function summarise(clickhouseUrl: string): Promise<{ summary: Summary; verdicts: Verdicts }> {
  const { url, database, username, password } = parseClickHouseUrl(clickhouseUrl);
  const client = createClient({ url, database, username, password });
  const select: Select = async <T>(query: string): Promise<T[]> => {
    const result = await client.query({ query, format: 'JSONEachRow' });
    return result.json<T>();
  };
  try {
    const found = await select<{ name: string }>('SELECT name FROM system.tables WHERE database = currentDatabase()');
    const there = new Set(found.map(({ name }) => name));
    return {
      summary: await readSummary(select, there),
      verdicts: there.has('measurement_verdicts') ? await readVerdicts(select) : NO_VERDICTS,
    };
  } finally {
    await client.close();
  }
}

async function readSummary(select: Select, there: ReadonlySet<string>): Promise<Summary> {
  const rows: Record<string, number> = {};
  for (const table of TABLES) {
    const [count] = there.has(table) ? await select<{ n: string }>(`SELECT count() AS n FROM ${table} FINAL`) : [];
    rows[table] = Number(count?.n ?? 0);
  }
  if (!there.has(PIPELINE_RUNS.name)) return { buckets: 0, measurements: 0, failed: 0, rows };
  const [runs] = await select<{ buckets: string }>(`
    SELECT uniqExact(bucket) AS buckets
    FROM ${PIPELINE_RUNS.name} FINAL
    WHERE stage = 'Observations' AND state = 'completed'`);
  // The last read of each object counts: runs of several filters may have read it.
  const [files] = await select<{ measurements: string; failed: string }>(`
    SELECT sum(last.1) AS measurements, sum(last.2) AS failed
    FROM (SELECT argMax((read, failed), generation) AS last FROM ${PIPELINE_FILES.name} FINAL GROUP BY key)`);
  return {
    buckets: Number(runs?.buckets ?? 0),
    measurements: Number(files?.measurements ?? 0),
    failed: Number(files?.failed ?? 0),
    rows,
  };
}
