/**
 * Cost of late uploads: a bucket with a few measurements of many older days.
 *
 *     npm run bench -- late [DAYS] [MEASUREMENTS]         default 200 days of 300 measurements
 *
 * The days are filled with synthetic measurements of 100 hosts and their control, and analysed. Then a bucket adds three
 * measurements to each day, and the benchmark measures its analysis, from the plan to the ledger. Data and ClickHouse are new;
 * CLICKHOUSE_URL is not used. Prints seconds, processor seconds of both processes, statements and, last, one line of JSON.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { startClickHouse } from '../../local/clickhouse.ts';
import { EVERYTHING, filterIDOf } from '../../pipeline/filter.ts';
import { analyseBucket } from '../../pipeline/runs/analysis.ts';
import { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { parseClickHouseUrl } from '../../pipeline/tables/clickhouse-url.ts';
import { createLogger } from '../../pipeline/telemetry/log.ts';
import { openMigrated } from '../fidelity/verdicts.ts';
import { processorTime } from './processor-time.ts';

const [days = 200, measurements = 300] = process.argv.slice(2).map(Number);
if (![days, measurements].every(value => Number.isInteger(value) && value > 0)) {
  console.error('usage: npm run bench -- late [DAYS] [MEASUREMENTS], whole numbers');
  process.exit(2);
}
const BUCKET = '2024-01-02';
const FIRST_DAY = "toDateTime64('2023-01-01 12:00:00', 3, 'UTC')";
const LATE_PER_DAY = 3;
const LATE = 5000;

/** Counts its statements. */
class Counting extends ClickHouse {
  statements = 0;
  override select: ClickHouse['select'] = (...args) => this.#counted(() => super.select(...args));
  override command: ClickHouse['command'] = (...args) => this.#counted(() => super.command(...args));
  override commandOnce: ClickHouse['commandOnce'] = (...args) => this.#counted(() => super.commandOnce(...args));
  override mutate: ClickHouse['mutate'] = (...args) => this.#counted(() => super.mutate(...args));
  override insert: ClickHouse['insert'] = (...args) => this.#counted(() => super.insert(...args));

  #counted<T>(work: () => T): T {
    this.statements++;
    return work();
  }
}

delete process.env.CLICKHOUSE_URL;
const dir = mkdtempSync(join(tmpdir(), 'ooni-bench-'));
const server = await startClickHouse({ dir });
const log = createLogger('bench', { log_level: 'error', log_format: 'human' });
const tools = { log, rulesVersion: 3 } as const;
const clickhouse = await openMigrated(server.url, 'bench_late');
const counting = new Counting(parseClickHouseUrl(`${server.url}/bench_late`), '');
try {
  await fill('2023-12-31', 1, measurements);
  const judged = await analyse(clickhouse, '2023-12-31', 1);
  await fill(BUCKET, LATE, LATE_PER_DAY);
  const processors = () => processorTime(process.pid) + processorTime(server.process!.child.pid!);
  const before = processors();
  const started = performance.now();
  const late = await analyse(counting, BUCKET, LATE);
  const seconds = Number(((performance.now() - started) / 1000).toFixed(2));
  const cpu = Number((processors() - before).toFixed(2));
  const figures = { days: late.days.length, verdicts: late.verdicts, seconds, cpu, statements: counting.statements };
  console.log(
    `${late.verdicts} late measurements of ${late.days.length} days, of which ${judged.verdicts} were judged before:`,
  );
  console.log(`${seconds} s, ${cpu} processor seconds, ${counting.statements} statements`);
  console.log(JSON.stringify({ bench: 'late', cores: availableParallelism(), ...figures }));
} finally {
  await Promise.all([clickhouse.close(), counting.close()]);
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
}

/** Writes the observations and controls of `each` measurements per day, as a run of the bucket would. */
async function fill(bucket: string, generation: number, each: number): Promise<void> {
  const common = `'${bucket}' AS bucket_date, toUInt64(${generation}) AS run_generation, 'web_connectivity' AS test_name,
    intDiv(number, ${each}) AS day, number % ${each} AS nth,
    ${FIRST_DAY} + toIntervalDay(day) + toIntervalSecond(nth) AS measurement_start_time,
    concat('${bucket.replaceAll('-', '')}120000.', toString(number), '_IT_webconnectivity_x') AS measurement_uid,
    concat('host', toString(nth % 100), '.example') AS hostname, concat('192.0.2.', toString(nth % 100)) AS ip,
    concat('report', toString(day), '-', toString(intDiv(nth, 50))) AS report_id`;
  const shared =
    'bucket_date, run_generation, test_name, measurement_start_time, measurement_uid, hostname, ip, report_id';
  const web = `443 AS port, 'IT' AS probe_cc, 1 AS probe_asn, 'system' AS dns_engine, 'A' AS dns_query_type, ip AS dns_answer,
    nth % 3 != 0 AS tcp_success, if(nth % 3 = 0, 'connection_refused', NULL) AS tcp_failure`;
  const columns = {
    obs_web: ['port, probe_cc, probe_asn, dns_engine, dns_query_type, dns_answer, tcp_success, tcp_failure', web],
    obs_web_ctrl: ['port, dns_success, tcp_success', '443 AS port, 1 AS dns_success, 1 AS tcp_success'],
  };
  for (const [table, [names, values]] of Object.entries(columns)) {
    await clickhouse.command(
      `INSERT INTO ${table} (${shared}, ${names}) SELECT ${shared}, ${names} FROM (SELECT ${common}, ${values} FROM numbers(${days * each}))`,
    );
  }
}

function analyse(database: ClickHouse, bucket: string, observations: number) {
  const key = { bucket, filter: EVERYTHING, filterID: filterIDOf(EVERYTHING) };
  const origin = { workflowID: 'bench', runID: bucket, backfill: '', codeVersion: '', referenceVersions: {} };
  return analyseBucket(
    { ...tools, clickhouse: database },
    { bucket: key, observations, startedAt: Date.now() },
    origin,
  );
}
