import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { bucketAt, granularityOf } from '../../pipeline/bucket.ts';
import { EVERYTHING, type Filter, filterIDOf, normaliseFilter } from '../../pipeline/filter.ts';
import { finalizeRows } from '../../pipeline/ledger/finalize-rows.ts';
import { ledgerTime, openRun, type RunOrigin, recordRun } from '../../pipeline/ledger/ledger.ts';
import { overlappingBuckets } from '../../pipeline/ledger/replaced-rows.ts';
import { analyseBucket } from '../../pipeline/runs/analysis.ts';
import { ClickHouse, type StatementOptions } from '../../pipeline/tables/clickhouse.ts';
import { parseClickHouseUrl } from '../../pipeline/tables/clickhouse-url.ts';
import { ClickHouseUnavailableError, StatementError } from '../../pipeline/tables/errors.ts';
import { analyseDay } from '../support/analyse-day.ts';
import { makeDatabase, silent } from '../support/database.ts';

/*
 * Runs over the same days that overlap in time. For any order of their statements, starts and clocks, the final verdicts are those of one
 * analysis after all observations.
 */
const RULES = 3;
const FIRST_DAY = Date.UTC(2024, 0, 2);
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** Hours of the two upload days that have measurements. */
const HOURS = [0, 23, 24, 47];
const CASES = Number(process.env.OVERLAP_CASES ?? 6);

let url: string;
let clickhouse: ClickHouse;
beforeAll(async () => {
  ({ url, clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'overlap'));
});
afterAll(() => clickhouse?.close());
beforeEach(empty);

interface Measurement {
  /** Hours since the first upload day. */
  readonly hour: number;
  /** Minutes from its start to its upload; negative: the probe's clock is ahead. */
  readonly age: number;
  readonly cc: 'IT' | 'US';
  readonly host: string;
  readonly ip: string;
  readonly connects: boolean;
  readonly certified: boolean;
  readonly control: 'none' | 'ok' | 'failing';
  readonly report: string;
  readonly probe: string;
}

interface Fault {
  /** Index of the statement in the analysis. */
  readonly at: number;
  /**
   * The process is killed before or after the statement; or the response is `lost`; or the statement is `leftOver`: the process dies, and
   * the server executes the statement later.
   */
  readonly how: 'killedBefore' | 'killedBehind' | 'lost' | 'leftOver';
}

interface Run {
  readonly bucket: string;
  readonly filter: Filter;
  /** Milliseconds by which the clock of its machine is wrong. */
  readonly skew: number;
  readonly fault: Fault | undefined;
  /** For an hour of a plan: the hour that judges the day. */
  readonly settledBy?: string;
}

const measurement: fc.Arbitrary<Measurement> = fc.record({
  hour: fc.constantFrom(...HOURS),
  age: fc.constantFrom(-90, 5, 300, 1200),
  cc: fc.constantFrom('IT', 'US'),
  host: fc.constantFrom('a.example', 'A.example', 'b.example'),
  ip: fc.constantFrom('192.0.2.1', '192.0.2.2', '2001:db8::1'),
  connects: fc.boolean(),
  certified: fc.boolean(),
  control: fc.constantFrom('none', 'ok', 'failing'),
  report: fc.constantFrom('r1', 'r2', 'r3', ''),
  probe: fc.constantFrom('', '', 'p1'),
});

/** Uploaded ten days late or more. Its control changes verdicts that its day has already. */
const late: fc.Arbitrary<Measurement> = fc
  .tuple(measurement, fc.integer({ min: 10, max: 14 }))
  .map(([each, days]) => ({ ...each, age: days * 24 * 60 }));

const fault: fc.Arbitrary<Fault | undefined> = fc.option(
  fc.record({ at: fc.nat(16), how: fc.constantFrom('killedBefore', 'killedBehind', 'lost', 'leftOver') }),
  { nil: undefined, freq: 2 },
);
const skew = fc.constantFrom(0, 0, -3 * DAY, 400 * DAY, 1);

/** Each upload day is run as a day or by the hour. Some buckets are repeated, some of them with a filter. */
const runs: fc.Arbitrary<Run[]> = fc
  .tuple(
    fc.tuple(fc.boolean(), fc.boolean()),
    fc.array(
      fc.record({
        hour: fc.constantFrom(...HOURS),
        hourly: fc.boolean(),
        probeCC: fc.constantFrom([], ['IT'], ['US']),
      }),
      { maxLength: 3 },
    ),
  )
  .chain(([hourly, extra]) => {
    const bucketOf = (hour: number, byHour: boolean) => bucketAt(FIRST_DAY + hour * HOUR, byHour ? 'Hour' : 'Day');
    const base = new Set(HOURS.map(hour => bucketOf(hour, hourly[hour < 24 ? 0 : 1])));
    const all = [
      ...[...base].map(bucket => {
        const last = [...base].findLast(each => each.slice(0, 10) === bucket.slice(0, 10));
        return { bucket, filter: EVERYTHING, ...(granularityOf(bucket) === 'Hour' && { settledBy: last! }) };
      }),
      ...extra.map(each => ({
        bucket: bucketOf(each.hour, each.hourly),
        filter: normaliseFilter({ probeCC: each.probeCC }),
      })),
    ];
    return fc.tuple(...all.map(each => fc.record({ skew, fault }).map(more => ({ ...each, ...more }))));
  });

async function empty(): Promise<void> {
  for (const table of ['obs_web', 'obs_web_ctrl', 'pipeline_runs', ...FILLED])
    await clickhouse.command(`TRUNCATE TABLE ${table}`);
}

const FILLED = ['analysis_web_measurement', 'measurement_experiment_result'];

/** Returns whether a bucket contains the uploads of an hour. */
function holds(bucket: string, hour: number): boolean {
  return bucketAt(FIRST_DAY + hour * HOUR, granularityOf(bucket)) === bucket;
}

/** A client that lets its statements wait for their turn. One of them may fail. */
class TurnTaking extends ClickHouse {
  readonly #turn: fc.Scheduler;
  readonly #name: string;
  #fault: Fault | undefined;
  #statements = 0;
  readonly leftOver: Promise<unknown>[] = [];

  constructor(turn: fc.Scheduler, name: string, fault?: Fault) {
    super(parseClickHouseUrl(url), '');
    this.#turn = turn;
    this.#name = name;
    this.#fault = fault;
  }

  async #take<T>(sql: string, work: () => Promise<T>, once = false): Promise<T> {
    const fault = this.#fault?.at === this.#statements++ ? this.#fault.how : undefined;
    if (fault) this.#fault = undefined;
    const go = () => this.#schedule(`${this.#name} ${sql.slice(0, 60)}`, work);
    if (fault === 'leftOver' && once) this.leftOver.push(go());
    else if (fault !== 'killedBefore' && fault !== 'leftOver') {
      const done = await go();
      if (!fault) return done;
    }
    if (fault === 'lost' && once) throw new ClickHouseUnavailableError('the answer was lost');
    throw new StatementError('killed');
  }

  /** The scheduler releases the next statement when this one has ended, so that a case can be repeated. */
  async #schedule<T>(label: string, work: () => Promise<T>): Promise<T> {
    const ended = Promise.withResolvers<void>();
    await this.#turn.schedule(Promise.resolve(), label, undefined, async release => {
      await release();
      await ended.promise;
    });
    try {
      return await work();
    } finally {
      ended.resolve();
    }
  }

  override command(sql: string, options?: StatementOptions) {
    return this.#take(sql, () => super.command(sql, options));
  }
  override mutate(target: string, condition: string, options?: StatementOptions) {
    return this.#take(`DELETE FROM ${target} WHERE ${condition}`, () => super.mutate(target, condition, options));
  }
  override commandOnce(sql: string, options?: StatementOptions & { readonly queryId?: string }) {
    return this.#take(sql, () => super.commandOnce(sql, options), true);
  }
  override select<Row>(sql: string, options?: StatementOptions) {
    return this.#take(sql, () => super.select<Row>(sql, options));
  }
  override insert(table: string, rows: readonly object[], options?: StatementOptions) {
    return this.#take(`INSERT ${table}`, () => super.insert(table, rows, options));
  }
}

function rowsOf(measurements: readonly Measurement[], run: { bucket: string; filter: Filter }, generation: number) {
  const web: object[] = [];
  const ctrl: object[] = [];
  for (const [index, each] of measurements.entries()) {
    if (!holds(run.bucket, each.hour)) continue;
    if (run.filter.probeCC.length > 0 && !run.filter.probeCC.includes(each.cc)) continue;
    const uploaded = FIRST_DAY + each.hour * HOUR + 30 * 60_000;
    const digits = new Date(uploaded).toISOString().replace(/\D/g, '').slice(0, 14);
    const common = {
      measurement_uid: `${digits}.${index}_${each.cc}_webconnectivity_x`,
      measurement_start_time: new Date(uploaded - each.age * 60_000).toISOString().replace('Z', ''),
      bucket_date: run.bucket,
      run_generation: generation,
      test_name: 'web_connectivity',
      report_id: each.report,
      hostname: each.host,
      input: `https://${each.host}/`,
    };
    web.push({
      ...common,
      ...{ probe_cc: each.cc, probe_asn: 1, probe_id: each.probe, observation_idx: 0, ip: each.ip, port: 443 },
      ...{ dns_engine: 'system', dns_query_type: 'A', dns_answer: each.ip },
      ...(each.connects ? { tcp_success: 1 } : { tcp_success: 0, tcp_failure: 'connection_refused' }),
      ...(each.certified && { tls_is_certificate_valid: 1 }),
    });
    if (each.control !== 'none') {
      const ok = each.control === 'ok';
      const success = { dns_success: 1, tcp_success: Number(ok), tls_success: Number(ok) };
      ctrl.push({ ...common, observation_idx: 0, ip: each.ip, port: 443, ...success });
    }
  }
  return { web, ctrl };
}

let runIDs = 0;

/** Runs a bucket from start to end. After a kill, it repeats the run, as a workflow would. */
async function perform(
  turn: fc.Scheduler,
  run: Run,
  measurements: readonly Measurement[],
  planned: number,
): Promise<TurnTaking> {
  const { bucket, filter } = run;
  const key = { bucket, filter, filterID: filterIDOf(filter) };
  const runID = `${++runIDs}`;
  const origin: RunOrigin = { workflowID: 'w', runID, backfill: '', codeVersion: 'test', referenceVersions: {} };
  const startedAt = Date.now() + run.skew;
  const name = `${bucket} ${key.filterID}`;
  const observing = new TurnTaking(turn, name);
  const opened = await openRun(
    { clickhouse: observing, origin },
    { ...key, stage: 'Observations' },
    overlappingBuckets(bucket),
    startedAt,
  );
  const { web, ctrl } = rowsOf(measurements, run, opened.generation);
  if (web.length > 0) await observing.insert('obs_web', web);
  if (ctrl.length > 0) await observing.insert('obs_web_ctrl', ctrl);
  await recordRun({ clickhouse: observing, origin }, opened, { state: 'inserted' });
  await finalizeRows({ clickhouse: observing, log: silent }, opened, true);
  await recordRun({ clickhouse: observing, origin }, opened, { state: 'completed' });
  await observing.close();

  const analysing = new TurnTaking(turn, `${name} analysis`, run.fault);
  const settledBy = run.settledBy === undefined ? undefined : { bucket: run.settledBy, since: planned };
  const task = { bucket: key, observations: opened.generation, startedAt, ...(settledBy && { settledBy }) };
  for (;;) {
    try {
      await analyseBucket({ clickhouse: analysing, log: silent, rulesVersion: RULES }, task, origin);
      return analysing;
    } catch (error) {
      if (!(error instanceof StatementError && error.message === 'killed')) throw error;
    }
  }
}

/** Returns verdicts and results without the columns that name their analysis. */
async function contents(final: 'FINAL' | ''): Promise<unknown[]> {
  const [verdicts, results] = FILLED;
  return Promise.all([
    clickhouse.select(`SELECT * EXCEPT run_generation FROM ${verdicts} ${final} ORDER BY ALL`),
    clickhouse.select(`SELECT * EXCEPT (run_generation, created_at) FROM ${results} ${final} ORDER BY ALL`),
  ]);
}

/** Analyses each day once, and returns the contents. */
async function oneAnalysis(): Promise<unknown[]> {
  for (const table of FILLED) await clickhouse.command(`TRUNCATE TABLE ${table}`);
  const days = await clickhouse.select<{ day: string }>(
    "SELECT DISTINCT toString(toDate(measurement_start_time, 'UTC')) AS day FROM obs_web ORDER BY day",
  );
  for (const { day } of days) {
    const options = { day, filter: EVERYTHING, selection: { of: 'day' }, rulesVersion: RULES, generation: 1 } as const;
    await analyseDay(clickhouse, options, silent);
  }
  return contents('');
}

async function checkCase(turn: fc.Scheduler, measurements: readonly Measurement[], planned: readonly Run[]) {
  await empty();
  const since = await ledgerTime(clickhouse);
  const ended = await turn.waitFor(Promise.all(planned.map(run => perform(turn, run, measurements, since))));
  const leftOver = ended.flatMap(each => each.leftOver);
  if (leftOver.length > 0) await turn.waitFor(Promise.all(leftOver));
  await Promise.all(ended.map(each => each.close()));
  const found = await contents('FINAL');
  // A statement that the server executes after the process died is older than later verdicts. It stays in plain reads until the day is
  // judged again.
  if (leftOver.length === 0) expect(await contents('')).toEqual(found);

  expect(found).toEqual(await oneAnalysis());
}

const overlappingRuns = fc.asyncProperty(
  fc.scheduler(),
  fc
    .tuple(fc.array(measurement, { minLength: 4, maxLength: 14 }), fc.array(late, { maxLength: 6 }))
    .map(all => all.flat()),
  runs,
  checkCase,
);

test('overlapping runs leave the verdicts of one analysis after all observations', { timeout: 900_000 }, async () => {
  await fc.assert(overlappingRuns, { numRuns: CASES, endOnFailure: true });
});

// The analyses of a worker with a fast clock and of another took the same generation three times, and the bucket failed.
test('analyses that take the same generation are repeated until they differ', { timeout: 120_000 }, async () => {
  await fc.assert(overlappingRuns, { numRuns: 1, endOnFailure: true, seed: -672841294, path: '3' });
});

test('of late uploads, the control of one day says nothing about the other days', async () => {
  const common = {
    cc: 'IT',
    host: 'a.example',
    ip: '192.0.2.1',
    connects: false,
    report: '',
    probe: '',
    hour: 24,
  } as const;
  const late = (days: number) => ({ ...common, age: days * 24 * 60 });
  const bucket = bucketAt(FIRST_DAY + DAY, 'Day');
  const key = { bucket, filter: EVERYTHING, filterID: filterIDOf(EVERYTHING) };
  const { web, ctrl } = rowsOf(
    [
      { ...late(10), certified: false, control: 'ok' },
      { ...late(12), certified: true, control: 'none' },
    ],
    key,
    1000,
  );
  await clickhouse.insert('obs_web', web);
  await clickhouse.insert('obs_web_ctrl', ctrl);
  const origin = { workflowID: 'w', runID: 'late', backfill: '', codeVersion: '', referenceVersions: {} };
  const task = { bucket: key, observations: 1000, startedAt: 0 };
  const { days } = await analyseBucket({ clickhouse, log: silent, rulesVersion: RULES }, task, origin);
  expect(days.length).toBe(2);
  const found = await contents('');
  expect(found).toEqual(await oneAnalysis());
});

test('older results are replaced, also those of lost verdicts', async () => {
  const made: Measurement = {
    ...{ hour: 0, age: 5, cc: 'IT', host: 'a.example', ip: '192.0.2.1', connects: true, certified: true },
    ...{ control: 'ok', report: '', probe: '' },
  };
  const bucket = bucketAt(FIRST_DAY, 'Day');
  const { web, ctrl } = rowsOf([made], { bucket, filter: EVERYTHING }, 1000);
  await clickhouse.insert('obs_web', web);
  await clickhouse.insert('obs_web_ctrl', ctrl);
  const options = { day: bucket, filter: EVERYTHING, selection: { of: 'day' }, rulesVersion: RULES } as const;
  await analyseDay(clickhouse, { ...options, generation: 1 }, silent);
  await clickhouse.command('TRUNCATE TABLE analysis_web_measurement');
  await analyseDay(clickhouse, { ...options, generation: 5 }, silent);
  for (const table of FILLED) {
    const found = await clickhouse.select(`SELECT run_generation AS generation FROM ${table}`);
    expect([table, found]).toEqual([table, [{ generation: 5 }]]);
  }
});

/** A client that records the ids of its statements. */
class Listening extends ClickHouse {
  readonly ids: string[] = [];

  override commandOnce(...args: Parameters<ClickHouse['commandOnce']>): Promise<void> {
    this.ids.push(args[1]?.queryId ?? '');
    return super.commandOnce(...args);
  }
}

test('the last hour of a plan judges the day in full, for any number of hours', async () => {
  const listening = new Listening(parseClickHouseUrl(url), '');
  const hours = [0, 9, 13, 23].map(hour => bucketAt(FIRST_DAY + hour * HOUR, 'Hour'));
  const since = await ledgerTime(clickhouse);
  for (const [index, bucket] of hours.entries()) {
    const each = {
      cc: 'IT',
      host: 'a.example',
      ip: '192.0.2.1',
      certified: false,
      report: `r${index}`,
      probe: '',
    } as const;
    const made: Measurement = {
      ...{ ...each, hour: Number(bucket.slice(-2)), age: 5 },
      ...{ connects: false, control: index === 3 ? 'ok' : 'none' },
    };
    const key = { bucket, filter: EVERYTHING, filterID: filterIDOf(EVERYTHING) };
    const origin = { workflowID: 'w', runID: bucket, backfill: '', codeVersion: '', referenceVersions: {} };
    const { web, ctrl } = rowsOf([made], key, 1000 + index);
    await clickhouse.insert('obs_web', web);
    await clickhouse.insert('obs_web_ctrl', ctrl);
    const task = { bucket: key, observations: 1000 + index, startedAt: 0, settledBy: { bucket: hours[3]!, since } };
    await analyseBucket({ clickhouse: listening, log: silent, rulesVersion: RULES }, task, origin);
  }
  await listening.close();
  const kinds = listening.ids.filter(id => id.startsWith('analysis_web')).map(id => id.split('-').at(-1));
  expect(kinds).toEqual(['bucket', 'bucket', 'bucket', 'day']);
  // The control came with the last hour, and the earlier hours are compared with it.
  const rules = await clickhouse.select('SELECT DISTINCT top_tcp_rule_id AS rule FROM analysis_web_measurement');
  expect(rules).toEqual([{ rule: 'endpoint_failure_ctrl_ok' }]);
});
