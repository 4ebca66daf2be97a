/**
 * Cost of the analysis of one measurement day: time and memory for several numbers of observations.
 *
 *     npm run bench -- analysis [--rules VERSION]... [ROWS...]
 *
 * ROWS is 100000 and 1000000 by default; 10000000 takes minutes. VERSION is a version of the rules; the default is all versions.
 *
 * The day consists of real rows (those of npm run fidelity). They are repeated with other measurements, reports and times, and with
 * twenty variants of each host name, with their control. Each number of rows has its own data, and each version a newly started
 * ClickHouse, so that no cache is warm; CLICKHOUSE_URL is not used. Merges are stopped, because they would add their time and memory to those of the
 * statement. The benchmark measures the question for the contents of the day and the statement that produces the verdicts, as a run executes them,
 * and the same for a day without rows, which is nearly all planning. Times are wall-clock seconds and processor seconds; those of the day without
 * rows are the median of five. Memory is the peak
 * resident size of the server during the statement, and its growth since before the statement. Prints a table and, last, one line of JSON.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startClickHouse } from '../../local/clickhouse.ts';
import { type ContentsRow, contentsOf, contentsQuery } from '../../pipeline/analysis/contents.ts';
import { RULES_VERSIONS, type RulesVersion } from '../../pipeline/analysis/rules.ts';
import { makeStep } from '../../pipeline/analysis/steps.ts';
import { EVERYTHING } from '../../pipeline/filter.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { ANALYSIS_WEB_MEASUREMENT } from '../../pipeline/tables/schema.ts';
import { dataDirectory, JUDGED_TABLES, loadExpected, openMigrated } from '../fidelity/verdicts.ts';
import { processorTime } from './processor-time.ts';

const DAY = '2024-01-01';
const EMPTY_DAY = '2020-01-01';
const EMPTY_RUNS = 5;
const HOST_VARIANTS = 20;
/** Number of copies per INSERT. It limits memory, and gives the parts of a day with many inserts. */
const COPIES_AT_ONCE = 40;

interface Figures {
  readonly rules: RulesVersion;
  readonly observations: number;
  readonly control: number;
  readonly hosts: number;
  readonly measurements: number;
  readonly seconds: number;
  /** Processor seconds of all cores. Other work on the machine does not add to it. */
  readonly cpu: number;
  /** Processor seconds of the statement for a day without rows. */
  readonly emptyCpu: number;
  /** Megabytes (10^6 bytes). */
  readonly peak: number;
  readonly growth: number;
}

delete process.env.CLICKHOUSE_URL;
const { values, positionals } = parseArgs({
  options: { rules: { type: 'string', multiple: true, default: RULES_VERSIONS.map(String) } },
  allowPositionals: true,
});
const versions = RULES_VERSIONS.filter(version => values.rules.includes(String(version)));
const sizes = positionals.map(Number);
if (sizes.some(rows => !Number.isInteger(rows) || rows < 1) || versions.length !== new Set(values.rules).size) {
  console.error(
    `usage: npm run bench -- analysis [--rules VERSION]... [ROWS...], where VERSION is one of ${RULES_VERSIONS.join(', ')} and ROWS are whole numbers of observation rows`,
  );
  process.exit(2);
}
const figures: Figures[] = [];
for (const rows of sizes.length > 0 ? sizes : [100_000, 1_000_000]) await measure(rows);
console.log(JSON.stringify({ bench: 'analysis', cores: availableParallelism(), days: figures }));

async function measure(rows: number): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'ooni-bench-'));
  try {
    await withClickHouse(dir, clickhouse => makeDay(clickhouse, rows));
    for (const version of versions) {
      figures.push(await withClickHouse(dir, (clickhouse, pid) => measureStatement(clickhouse, pid, version)));
      print(figures.at(-1)!, figures.length === 1);
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function withClickHouse<T>(dir: string, work: (clickhouse: ClickHouse, pid: number) => Promise<T>): Promise<T> {
  const server = await startClickHouse({ dir });
  const clickhouse = await openMigrated(server.url, 'bench_analysis');
  try {
    const pid = server.process?.child.pid;
    if (!pid) throw new Error('there is no server process to measure');
    return await work(clickhouse, pid);
  } finally {
    await clickhouse.close();
    await server.stop();
  }
}

async function measureStatement(clickhouse: ClickHouse, pid: number, rules: RulesVersion): Promise<Figures> {
  const judge = async (day: string) => {
    const used = processorTime(pid);
    const started = performance.now();
    const question = contentsQuery([day], rules);
    const [row] = await clickhouse.select<ContentsRow>(question.sql, { params: question.params });
    const { sql, params } = makeStep(ANALYSIS_WEB_MEASUREMENT.name, {
      days: [day],
      contents: contentsOf(row),
      filter: EVERYTHING,
      selection: { of: 'day' },
      rulesVersion: rules,
      generation: rules,
      runID: 'bench',
    });
    await clickhouse.command(sql, { params });
    return { seconds: (performance.now() - started) / 1000, cpu: processorTime(pid) - used };
  };
  await clickhouse.command(`TRUNCATE TABLE ${ANALYSIS_WEB_MEASUREMENT.name}`);
  await clickhouse.command('SYSTEM STOP MERGES');
  const before = resident(pid, 'VmRSS');
  // Resets the peak size (proc(5)).
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  const { seconds, cpu } = await judge(DAY);
  const peak = resident(pid, 'VmHWM');
  const empty: number[] = [];
  for (let run = 0; run < EMPTY_RUNS; run++) empty.push((await judge(EMPTY_DAY)).cpu);
  const [counted] = await clickhouse.select<Pick<Figures, 'observations' | 'control' | 'hosts' | 'measurements'>>(
    `SELECT (SELECT count() FROM obs_web) AS observations, (SELECT count() FROM obs_web_ctrl) AS control,
        (SELECT uniqExact(hostname) FROM obs_web) AS hosts, (SELECT count() FROM analysis_web_measurement) AS measurements`,
  );
  return {
    rules,
    ...counted!,
    seconds: Number(seconds.toFixed(2)),
    cpu: Number(cpu.toFixed(2)),
    emptyCpu: empty.sort((a, b) => a - b)[(EMPTY_RUNS - 1) / 2]!,
    peak,
    growth: peak - before,
  };
}

/** Fills the day with at least `rows` observations. */
async function makeDay(clickhouse: ClickHouse, rows: number): Promise<void> {
  await loadExpected(clickhouse, dataDirectory());
  for (const table of JUDGED_TABLES) {
    await clickhouse.command(`CREATE TABLE real_${table} AS ${table} ENGINE = Memory`);
    await clickhouse.command(`INSERT INTO real_${table} SELECT * FROM ${table}`);
    await clickhouse.command(`TRUNCATE TABLE ${table}`);
  }
  const [real] = await clickhouse.select<{ n: number }>('SELECT count() AS n FROM real_obs_web');
  const copies = Math.ceil(rows / real!.n);
  for (let first = 0; first < copies; first += COPIES_AT_ONCE) {
    for (const table of JUDGED_TABLES) {
      await clickhouse.command(
        `INSERT INTO ${table} SELECT r.* REPLACE (
          concat(r.measurement_uid, '_', toString(copy)) AS measurement_uid,
          concat(r.report_id, '_', toString(copy)) AS report_id,
          if(copy % ${HOST_VARIANTS} = 0, r.hostname, concat('v', toString(copy % ${HOST_VARIANTS}), '.', r.hostname)) AS hostname,
          toDateTime64('${DAY} 00:00:00', 3, 'UTC') + toIntervalMillisecond(cityHash64(r.measurement_uid, copy) % 86400000) AS measurement_start_time,
          '${DAY}' AS bucket_date)
        FROM real_${table} AS r
        CROSS JOIN (SELECT number AS copy FROM numbers(${first}, ${Math.min(COPIES_AT_ONCE, copies - first)})) AS n`,
      );
    }
  }
}

/** Returns a value of /proc/PID/status in megabytes. */
function resident(pid: number, key: 'VmRSS' | 'VmHWM'): number {
  const found = new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (!found) throw new Error(`/proc/${pid}/status has no line ${key}`);
  return Math.round((Number(found[1]) * 1024) / 1e6);
}

function print(found: Figures, first: boolean): void {
  const columns: [string, string][] = [
    ['rules', String(found.rules)],
    ['observations', found.observations.toLocaleString('en')],
    ['control rows', found.control.toLocaleString('en')],
    ['hosts', found.hosts.toLocaleString('en')],
    ['measurements', found.measurements.toLocaleString('en')],
    ['seconds', found.seconds.toFixed(2)],
    ['cpu seconds', found.cpu.toFixed(2)],
    ['cpu, empty day', found.emptyCpu.toFixed(2)],
    ['peak MB', String(found.peak)],
    ['growth MB', String(found.growth)],
  ];
  const width = 16;
  if (first) console.log(columns.map(([name]) => name.padStart(width)).join(''));
  console.log(columns.map(([, value]) => value.padStart(width)).join(''));
}
