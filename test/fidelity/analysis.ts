/**
 * Fidelity of the analysis: loads the expected observation rows into ClickHouse, analyses every measurement day with the same code
 * as a run, and compares the verdicts with the expected ones, column by column.
 *
 *     npm run fidelity -- analysis [DATA_DIR]
 *
 * DATA_DIR has expected/ and fingerprints/. The default is `../shared/data` if it exists, otherwise test/fixtures. Exits with
 * status 1 if there is a difference without a listed reason.
 */
import { join } from 'node:path';
import { startClickHouse } from '../../local/clickhouse.ts';
import type { RulesVersion } from '../../pipeline/analysis/rules.ts';
import { ANALYSIS_WEB_MEASUREMENT } from '../../pipeline/tables/schema.ts';
import { SCENARIOS, type Seen } from './scenarios.ts';
import {
  collect,
  dataDirectory,
  GENERATION,
  JUDGED_TABLES,
  judgeDay,
  lines,
  loadExpected,
  openMigrated,
  type Row,
  selectVerdicts,
} from './verdicts.ts';

interface Difference {
  readonly measurement: string;
  readonly column: string;
  readonly expected: unknown;
  readonly got: unknown;
  /** Id of the listed reason; absent if there is none. */
  readonly reason?: string;
}

export interface AnalysisFidelity {
  readonly compared: number;
  readonly equal: number;
  readonly differences: readonly Difference[];
  /** QA scenarios with a verdict that does not match the scenario, with the listed reason if there is one. */
  readonly scenarios: { readonly judged: number; readonly misjudged: readonly Seen[] };
}

/** Columns that the Python pipeline does not have. */
const OURS = new Set([
  ...['fingerprints_version', 'run_generation', 'outcome', 'hosts', 'host_outcomes', 'host_layers', 'host_rule_ids'],
  ...['ip_metadata_missing', 'http_blocked', 'http_down', 'http_ok', 'top_http_failure', 'top_http_rule_id'],
  ...['targets', 'target_outcomes', 'target_layers'],
]);

/** Version of the rules that produced the expected verdicts. */
const EXPECTED_RULES: RulesVersion = 2;

export async function analysisFidelity(data: string, clickhouseUrl: string): Promise<AnalysisFidelity> {
  const clickhouse = await openMigrated(clickhouseUrl, 'fidelity_analysis');
  const loaded = await loadExpected(clickhouse, data);

  const expected = lines(join(data, 'expected/analysis.jsonl.gz'));
  const differences: Difference[] = [];
  let equal = 0;
  for (const day of new Set(expected.map(row => row.window as string))) {
    const verdicts = await judgeDay(clickhouse, day, EXPECTED_RULES, GENERATION);
    const got = new Map(verdicts.map(row => [row.measurement_uid, row]));
    for (const row of expected.filter(each => each.window === day)) {
      const found = compare(row, got.get(row.measurement_uid), loaded.obs_web as Row[]);
      got.delete(row.measurement_uid);
      if (found.length === 0) equal++;
      differences.push(...found);
    }
    for (const uid of got.keys()) {
      differences.push({ measurement: String(uid), column: '(row)', expected: 'absent', got: 'present' });
    }
  }

  // The QA scenarios, without fingerprints.
  const qa = {
    2: await openMigrated(clickhouseUrl, 'fidelity_qa'),
    3: await openMigrated(clickhouseUrl, 'fidelity_qa_networks'),
  };
  const cases = lines(join(data, 'expected/qa_rows.jsonl.gz'));
  const apart: Record<string, Row[]> = { obs_web: [], obs_web_ctrl: [] };
  for (const each of cases) collect(apart, setApart(each.tables as Record<string, Row[]>, String(each.case)));
  for (const table of JUDGED_TABLES) {
    await qa[2].insert(table, apart[table] as Row[]);
    await qa[3].insert(table, (apart[table] as Row[]).map(withNetwork));
  }
  const seen: Seen[] = [];
  const dayOf = (each: Row) => String((each.analysis as Row).measurement_start_time).slice(0, 10);
  for (const day of new Set(cases.map(dayOf))) {
    for (const version of [2, 3] as const) {
      const verdicts = new Map(
        (await selectVerdicts(qa[version], day, version)).map(row => [row.measurement_uid, row]),
      );
      for (const each of cases.filter(one => dayOf(one) === day)) {
        const upstream = each.analysis as Row;
        const got = verdicts.get(upstream.measurement_uid);
        const scenario = SCENARIOS[each.case as string];
        if (!scenario) throw new Error(`the scenario ${each.case} is not in test/fidelity/scenarios.ts`);
        seen.push({ scenario: String(each.case), version, ...scenario.see(got as Row, version) });
        if (version !== EXPECTED_RULES) continue;
        const found = compare(upstream, got, apart.obs_web as Row[]);
        if (found.length === 0) equal++;
        differences.push(...found);
      }
    }
  }
  await Promise.all([clickhouse, ...Object.values(qa)].map(each => each.close()));
  return {
    compared: expected.length + cases.length,
    equal,
    differences,
    scenarios: { judged: seen.length, misjudged: seen.filter(each => !each.right) },
  };
}

/**
 * Makes the hosts and the report of a scenario unique. Scenarios share hosts, addresses and a report, and a verdict also depends on
 * other measurements of the same host and report.
 */
export function setApart(tables: Record<string, Row[]>, scenario: string): Record<string, Row[]> {
  const own = (row: Row, column: string) => (row[column] ? { [column]: `${scenario}.${row[column]}` } : {});
  const apart = (row: Row): Row => ({ ...row, ...own(row, 'hostname'), ...own(row, 'report_id') });
  return Object.fromEntries(Object.entries(tables).map(([table, rows]) => [table, rows.map(apart)]));
}

/**
 * Adds the network of its address to a row of a scenario. The rows were made without an IP database, and version 3 does not compare
 * answers with unknown networks. Addresses of different operators in the scenarios differ in their first 16 bits, so these bits
 * serve as the AS number.
 */
export function withNetwork(row: Row): Row {
  const [first, second] = String(row.ip ?? '')
    .split('.')
    .map(Number);
  return row.ip_asn === 0 && first && second !== undefined ? { ...row, ip_asn: 100_000 + first * 256 + second } : row;
}

function compare(expected: Row, got: Row | undefined, observations: readonly Row[]): Difference[] {
  const measurement = String(expected.measurement_uid);
  if (!got) return [{ measurement, column: '(row)', expected: 'present', got: 'absent' }];
  const found: Difference[] = [];
  for (const [column, type] of ANALYSIS_WEB_MEASUREMENT.columns) {
    if (OURS.has(column)) continue;
    // The file omits a column that is null in the query's result. The table has the type's default value there.
    const value = expected[column] ?? (type.startsWith('Nullable') ? null : '');
    let is = got[column];
    if (column === 'probe_id') is = String(is).replaceAll('\0', '');
    if (type === 'Float32' ? Math.fround(Number(value)) === Math.fround(Number(is)) : value === is) continue;
    const reason = reasonFor(column, measurement, is, observations);
    found.push({ measurement, column, expected: value, got: is, ...(reason && { reason }) });
  }
  return found;
}

/**
 * Returns `A1` (docs/deviations.md) if failures are equally frequent: the expected rows then have the one that came first, our rows
 * the first one in text order.
 */
function reasonFor(column: string, uid: string, got: unknown, observations: readonly Row[]): string | undefined {
  const failure = /^top_(dns|tcp|tls)_failure$/.exec(column)?.[1];
  if (!failure) return undefined;
  const counts = new Map<unknown, number>();
  for (const row of observations) {
    const value = row[`${failure}_failure`];
    if (row.measurement_uid === uid && value != null) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const most = Math.max(...counts.values());
  const tied = [...counts].filter(([, count]) => count === most).map(([value]) => String(value));
  return tied.length > 1 && tied.sort()[0] === got ? 'A1' : undefined;
}

/** Prints the comparison. Returns true if every difference has a listed reason. */
export async function printAnalysisFidelity(data = dataDirectory()): Promise<boolean> {
  const server = await startClickHouse();
  try {
    const report = await analysisFidelity(data, server.url);
    const unexplained = report.differences.filter(({ reason }) => !reason);
    const explained = report.differences.filter(({ reason }) => reason);
    console.log(`analysis: ${report.compared} verdicts compared, ${report.equal} equal in every column`);
    for (const reason of new Set(explained.map(each => each.reason))) {
      console.log(`  ${explained.filter(each => each.reason === reason).length} values deviate by ${reason}`);
    }
    for (const each of unexplained.slice(0, 20)) {
      console.log(`  ${each.measurement} ${each.column}: expected ${each.expected}, got ${each.got}`);
    }
    const { judged, misjudged } = report.scenarios;
    console.log(`scenarios: ${judged} judgements, ${judged - misjudged.length} as the scenario says`);
    for (const each of misjudged) {
      console.log(`  ${each.scenario}, rules ${each.version}: ${each.got}; ${each.known ?? 'unexplained'}`);
    }
    const failed = unexplained.length + misjudged.filter(each => !each.known).length;
    console.log(`unexplained: ${failed}`);
    return failed === 0;
  } finally {
    await server.stop();
  }
}
