import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { RulesVersion } from '../../pipeline/analysis/rules.ts';
import { verdictsQuery } from '../../pipeline/analysis/verdicts.ts';
import { EVERYTHING } from '../../pipeline/filter.ts';
import { ensureDatabase, migrate } from '../../pipeline/migrations/migrate.ts';
import { readFingerprints } from '../../pipeline/reference/fingerprints.ts';
import { type ClickHouse, openClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { FINGERPRINTS_DNS } from '../../pipeline/tables/reference-tables.ts';
import { createLogger } from '../../pipeline/telemetry/log.ts';
import { analyseDay } from '../support/analyse-day.ts';

export type Row = Record<string, unknown>;

/** Observation tables that the analysis reads. */
export const JUDGED_TABLES = ['obs_web', 'obs_web_ctrl'] as const;

/** `run_generation` of the inserted rows. */
export const GENERATION = 1;

const log = createLogger('fidelity', { log_level: 'error', log_format: 'human' });

/** Returns the folder with expected/ and fingerprints/: the larger data if they exist, otherwise those in the repository. */
export function dataDirectory(): string {
  const shared = join(import.meta.dirname, '../../../shared/data');
  return existsSync(join(shared, 'expected')) ? shared : join(import.meta.dirname, '../fixtures');
}

/** Creates a database with all tables. */
export async function openMigrated(clickhouseUrl: string, name: string): Promise<ClickHouse> {
  const url = `${clickhouseUrl}/${name}`;
  await ensureDatabase({ clickhouse_url: url });
  const clickhouse = openClickHouse({ clickhouse_url: url });
  await migrate(clickhouse, log);
  return clickhouse;
}

/**
 * Inserts the expected observations and the fingerprints of a data folder into ClickHouse, and returns the rows by table. The rows
 * were made without an IP database.
 *
 * @param asnOf returns the network of an address instead
 */
export async function loadExpected(
  clickhouse: ClickHouse,
  data: string,
  asnOf?: (address: string, row: Row) => number,
): Promise<Record<string, Row[]>> {
  const { rows } = readFingerprints(readFileSync(join(data, 'fingerprints/fingerprints_dns.csv')), 'dns');
  await clickhouse.insert(FINGERPRINTS_DNS.name, rows);
  const loaded: Record<string, Row[]> = { obs_web: [], obs_web_ctrl: [] };
  for (const line of lines(join(data, 'expected/rows.jsonl.gz'))) collect(loaded, line.tables as Record<string, Row[]>);
  for (const table of JUDGED_TABLES) {
    const stored = loaded[table] as Row[];
    if (asnOf) for (const row of stored) if (row.ip) row.ip_asn = asnOf(String(row.ip), row);
    await clickhouse.insert(table, stored);
  }
  return loaded;
}

/** Analyses a measurement day with the code of a run, and returns all its verdicts by uid. */
export async function judgeDay(
  clickhouse: ClickHouse,
  day: string,
  rulesVersion: RulesVersion,
  generation: number,
): Promise<Row[]> {
  await analyseDay(clickhouse, { day, filter: EVERYTHING, selection: { of: 'day' }, rulesVersion, generation }, log);
  return clickhouse.select<Row>(
    'SELECT * FROM analysis_web_measurement WHERE toDate(measurement_start_time) = {day:Date} ORDER BY measurement_uid',
    { params: { day } },
  );
}

/**
 * Selects the verdicts of a day with the statement of a run, without storing them, because the steps around the statement take most
 * of the time of a day.
 */
export function selectVerdicts(clickhouse: ClickHouse, day: string, rulesVersion: RulesVersion): Promise<Row[]> {
  const { sql, params } = verdictsQuery({ days: [day], filter: EVERYTHING, selection: { of: 'day' }, rulesVersion });
  return clickhouse.select<Row>(sql, { params: { ...params, generation: GENERATION } });
}

/** Adds the rows of one measurement to all rows, in the form in which they are inserted. */
export function collect(into: Record<string, Row[]>, tables: Record<string, Row[]>): void {
  for (const table of JUDGED_TABLES) {
    (tables[table] ?? []).forEach((row, index) => {
      // Expected control rows are sorted and have no index.
      (into[table] as Row[]).push({ observation_idx: index, ...row, run_generation: GENERATION });
    });
  }
}

export function lines(file: string): Row[] {
  return gunzipSync(readFileSync(file))
    .toString('utf8')
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line) as Row);
}
