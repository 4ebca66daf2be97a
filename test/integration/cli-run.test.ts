import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { openClickHouse } from '../../cli/clickhouse.ts';
import type { RunSummary } from '../../cli/commands/run.ts';
import { ask as askTo } from '../../cli/commands/sql.ts';
import { runBuckets } from '../../cli/run/run-buckets.ts';
import { openArchive } from '../../pipeline/archive/open.ts';
import { EVERYTHING, filterIDOf } from '../../pipeline/filter.ts';
import { readHistory } from '../../pipeline/ledger/history.ts';
import { openIpMetadata } from '../../pipeline/reference/ip-metadata.ts';
import { loadSettings } from '../../pipeline/settings.ts';
import { ThreadPool } from '../../pipeline/threads/pool.ts';
import { makeDatabase, silent } from '../support/database.ts';
import { dayOfKey, expectedMeasurements, expectedRows, FIXTURES } from '../support/fixtures.ts';

const ROOT = join(import.meta.dirname, '../..');
const FINGERPRINTS = join(ROOT, 'test/fixtures/fingerprints/fingerprints_dns.csv');
/** Five days with 160 measurements, all of which become rows. */
const DAYS = ['2022-05-09', '2022-09-14', '2022-11-10', '2023-05-30', '2023-11-27'];

let root: string;
let archive: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'ooni-cli-'));
  archive = join(root, 'archive');
  for (const { key } of expectedMeasurements()) {
    if (!DAYS.includes(dayOfKey(key)) || existsSync(join(archive, key))) continue;
    mkdirSync(dirname(join(archive, key)), { recursive: true });
    cpSync(join(FIXTURES, key), join(archive, key));
  }
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function start(...args: string[]): ChildProcess {
  const env = { ...process.env, CLICKHOUSE_URL: 'http://127.0.0.1:1', LOG_FORMAT: 'json', NODE_OPTIONS: '' };
  return spawn(process.execPath, [join(ROOT, 'cli/main.ts'), ...args], { env });
}

async function ended(child: ChildProcess): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout!),
    text(child.stderr!),
    once(child, 'close'),
  ]);
  return { status: status as number | null, stdout, stderr };
}

const oonipipeline = (...args: string[]) => ended(start(...args));

async function run(place: string, ...args: string[]): Promise<RunSummary & { status: number | null }> {
  const all = [
    'run',
    '--archive',
    archive,
    '--clickhouse',
    place,
    '--fingerprints',
    FINGERPRINTS,
    '-o',
    'json',
    ...args,
  ];
  const { status, stdout, stderr } = await oonipipeline(...all);
  expect(stdout, stderr).not.toBe('');
  return { ...(JSON.parse(stdout) as RunSummary), status };
}

async function sql<Row>(place: string, statement: string): Promise<Row[]> {
  const { status, stdout, stderr } = await oonipipeline('sql', statement, '-o', 'json', '--clickhouse', place);
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line) as Row);
}

const UIDS = 'SELECT measurement_uid AS uid, count() AS n FROM obs_web GROUP BY uid';
const VERDICTS = `SELECT measurement_uid AS uid, count() AS n, any(top_dns_failure) AS dns FROM analysis_web_measurement GROUP BY uid ORDER BY uid`;
const measurements = () => expectedMeasurements().filter(({ key }) => DAYS.includes(dayOfKey(key))).length;
const total = (rows: Map<string, number>) => [...rows.values()].reduce((sum, n) => sum + n, 0);

describe('oonipipeline run, without any server', () => {
  test('turns files into verdicts; a repetition does nothing unless requested; verify finds no problems', async () => {
    const place = `embedded:${join(root, 'whole')}`;
    const first = await run(place);
    expect(first).toMatchObject({
      status: 0,
      buckets: DAYS.length,
      bucketsFailed: [],
      bucketsSkipped: {},
      bucketsLeft: 0,
      measurements: measurements(),
      failed: 0,
      rows: {
        obs_web: total(expectedRows('obs_web', DAYS)),
        obs_web_ctrl: total(expectedRows('obs_web_ctrl', DAYS)),
      },
    });
    expect(first.verdicts).toBeGreaterThan(0);
    const rows = await sql<{ uid: string; n: number }>(place, UIDS);
    expect(new Map(rows.map(({ uid, n }) => [uid, n]))).toEqual(expectedRows('obs_web', DAYS));
    const verdicts = await sql<{ uid: string; n: number }>(place, VERDICTS);
    expect(verdicts.length).toBe(first.verdicts);
    expect(verdicts.every(({ n }) => n === 1)).toBe(true);

    expect(await run(place)).toMatchObject({
      status: 0,
      buckets: 0,
      bucketsSkipped: { Completed: DAYS.length },
      measurements: 0,
    });
    const range = ['--start-at', '2023-05-30', '--end-at', '2023-06-01', '--reprocess', 'All'];
    // The second day of the range has no files, and needs no run.
    expect(await run(place, ...range)).toMatchObject({
      status: 0,
      buckets: 1,
      bucketsSkipped: { Empty: 1 },
      measurements: 1,
    });
    expect(await sql(place, VERDICTS)).toEqual(verdicts);

    const verified = await oonipipeline('verify', '--archive', archive, '--clickhouse', place);
    expect(verified.stdout).toContain(`${DAYS.length} buckets, `);
    expect(verified.stdout).toContain('nothing is missing or surplus');
    expect(verified.status).toBe(0);
    const some = ['--start-at', DAYS[0]!, '--end-at', DAYS[2]!];
    const ofRange = await oonipipeline('verify', '--archive', archive, '--clickhouse', place, ...some, '-o', 'json');
    const { ok, buckets } = JSON.parse(ofRange.stdout) as { ok: boolean; buckets: { bucket: string }[] };
    expect([ok, buckets.map(({ bucket }) => bucket)]).toEqual([true, DAYS.slice(0, 2)]);
  });

  test('the output names a filter without matches, a misspelled name and missing fingerprints', async () => {
    const place = `embedded:${join(root, 'without')}`;
    const range = ['--start-at', '2022-05-09', '--end-at', '2022-05-10'];
    const args = ['run', '--archive', archive, '--clickhouse', place, ...range];
    const misspelled = await oonipipeline(...args, '--test-name', 'web_conectivity', '--fingerprints', 'none');
    expect(misspelled.status).toBe(1);
    for (const sentence of [
      '--test-name "web_conectivity" is not a known test; did you mean web_connectivity?',
      `no object of ${archive} from 2022-05-09 to 2022-05-10 matched web_conectivity: nothing was read`,
    ]) {
      expect(misspelled.stderr).toContain(`oonipipeline run: ${sentence}\n`);
    }
    const everywhere = await oonipipeline(
      ...args.slice(0, 5),
      ...['--test-name', 'web_conectivity', '--fingerprints', 'none'],
    );
    expect([everywhere.status, everywhere.stdout]).toEqual([1, '']);
    expect(everywhere.stderr).toContain('holds no measurements of web_conectivity');
    const missing = await oonipipeline(...args, '--fingerprints', join(root, 'nowhere.csv'));
    expect([missing.status, missing.stdout]).toEqual([2, '']);
    expect(missing.stderr).toContain('nowhere.csv does not exist');
    for (const source of [join(ROOT, 'README.md'), 'http://127.0.0.1:1/fingerprints.csv']) {
      const useless = await oonipipeline(...args, '--fingerprints', source, '--reprocess', 'All');
      expect([useless.status, useless.stdout]).toEqual([1, '']);
      expect(useless.stderr).toMatch(/^oonipipeline run: --fingerprints: [^\n]+$/m);
    }
    const without = await oonipipeline(...args, '--fingerprints', 'none');
    expect(without.status).toBe(0);
    expect(without.stderr).not.toContain('fingerprints');
  });

  test.each([
    ['', []],
    ['that match', ['--test-name', 'signal']],
  ])('an archive without measurements %s leaves no database behind', async (_, filter) => {
    const empty = join(root, 'empty-archive');
    mkdirSync(empty, { recursive: true });
    const place = join(root, 'not-made');
    const args = ['run', '--archive', empty, '--clickhouse', `embedded:${place}`, '--fingerprints', 'none', ...filter];
    const { status, stdout, stderr } = await oonipipeline(...args);
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toContain('empty-archive holds no measurements');
    expect(existsSync(place)).toBe(false);
    const json = await oonipipeline(...args, '-o', 'json');
    expect(JSON.parse(json.stdout)).toMatchObject({ buckets: 0, bucketsSkipped: {}, measurements: 0, rows: {} });
  });

  test('a run that only judges the observations of an earlier run has found objects', async () => {
    const place = `embedded:${join(root, 'judged-later')}`;
    const range = ['--start-at', '2022-11-10', '--end-at', '2022-11-11', '--fingerprints', 'none', '-o', 'json'];
    const args = ['run', '--archive', archive, '--clickhouse', place, ...range];
    const observed = await oonipipeline(...args, '--stages', 'Observations');
    expect(observed.status, observed.stderr).toBe(0);
    const judged = await oonipipeline(...args);
    const { files, verdicts } = JSON.parse(judged.stdout) as RunSummary;
    expect(files).toBe(0);
    expect(verdicts).toBeGreaterThan(0);
    expect(judged.stderr).not.toContain('nothing was read');
    expect(judged.status).toBe(0);
  });

  test('gives the same rows and verdicts as with a server, where it creates the database', async () => {
    const { url, clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'cli', { migrated: false });
    const own = `${url}_own`;
    const summary = await run(own, '--threads', '3');
    expect(summary).toMatchObject({ status: 0, buckets: DAYS.length });
    expect(await sql(own, VERDICTS)).toEqual(await sql(`embedded:${join(root, 'whole')}`, VERDICTS));
    await clickhouse.close();
  });

  test('after a kill, it continues where it was', async () => {
    const dir = join(root, 'killed');
    const place = `embedded:${dir}`;
    const args = ['run', '--archive', archive, '--clickhouse', place, '--stages', 'Observations'];
    for (const pause of [0, 700]) {
      const child = start(...args);
      const end = ended(child);
      while (!existsSync(join(dir, 'metadata/default/pipeline_runs.sql')) && child.exitCode === null) await sleep(20);
      await sleep(pause);
      child.kill('SIGKILL');
      await end;
    }
    await run(place, '--stages', 'Observations');
    const rows = await sql<{ uid: string; n: number }>(place, UIDS);
    expect(new Map(rows.map(({ uid, n }) => [uid, n]))).toEqual(expectedRows('obs_web', DAYS));
    const { stdout } = await oonipipeline('verify', '--archive', archive, '--clickhouse', place);
    expect(stdout).toContain('nothing is missing or surplus');
  });

  test('after a stop, it reports that, records the interrupted work, and continues later', async () => {
    const dir = join(root, 'stopped');
    const place = `embedded:${dir}`;
    const child = start('run', '--archive', archive, '--clickhouse', place, '--stages', 'Observations', '-o', 'json');
    const end = ended(child);
    while (!existsSync(join(dir, 'metadata/default/pipeline_runs.sql')) && child.exitCode === null) await sleep(20);

    const second = await oonipipeline('sql', 'SELECT 1', '--clickhouse', place);
    expect(second.stderr).toContain(`process ${child.pid} is using the ClickHouse data in ${dir}`);
    expect(second.status).toBe(1);

    child.kill('SIGTERM');
    const { status, stderr } = await end;
    expect(stderr).toContain('stopping; the same command continues from here');
    expect(status).toBe(1);
    await run(place, '--stages', 'Observations');
    const rows = await sql<{ uid: string; n: number }>(place, UIDS);
    expect(new Map(rows.map(({ uid, n }) => [uid, n]))).toEqual(expectedRows('obs_web', DAYS));
    const states = await sql<{ state: string; n: number }>(
      place,
      'SELECT state, count() AS n FROM pipeline_runs FINAL GROUP BY state',
    );
    // No run stays as started: the interrupted work was recorded, and all of it was completed in the end.
    expect(
      states
        .map(({ state }) => state)
        .sort()
        .filter(state => state !== 'cancelled'),
    ).toEqual(['completed']);
  });

  test('only the command reaches its ClickHouse', async () => {
    const { settings, clickhouse, close } = await openClickHouse(`embedded:${join(root, 'closed')}`, { create: true });
    try {
      const url = new URL('/?query=SELECT+1', settings.clickhouse_url);
      expect(url.password).not.toBe('');
      const authorization = `Basic ${Buffer.from(`default:${url.password}`).toString('base64')}`;
      [url.username, url.password] = ['', ''];
      const answer = await fetch(url);
      expect(answer.status).toBe(403);
      expect(await answer.text()).toContain('AUTHENTICATION_FAILED');
      expect((await fetch(url, { headers: { authorization: 'Basic ZGVmYXVsdDp4' } })).status).toBe(403);
      expect(await (await fetch(url, { headers: { authorization } })).text()).toBe('1\n');
      expect(await clickhouse.select('SELECT 1 AS x')).toEqual([{ x: 1 }]);
    } finally {
      await close();
    }
  });

  test('a bucket with too many failures fails, and is retried only on request', async () => {
    const broken = join(root, 'broken');
    const key = 'raw/20200109/00/ZZ/x/2020010900_ZZ_x.n0.0.jsonl.gz';
    mkdirSync(dirname(join(broken, key)), { recursive: true });
    writeFileSync(join(broken, key), gzipSync('{broken\n'.repeat(10)));
    const args = ['--archive', broken, '--clickhouse', `embedded:${join(root, 'failing')}`, '--fingerprints', 'none'];
    const first = await oonipipeline('run', ...args);
    expect(first.stderr).toContain('2020-01-09 failed: TooManyFailures');
    expect(first.stdout).toContain('0 of 1 bucket');
    expect(first.status).toBe(1);
    const again = await oonipipeline('run', ...args);
    expect(again.stdout).toContain('1 failed before and not retried (--reprocess Failed retries)');
    expect(again.status).toBe(1);
    expect((await oonipipeline('run', ...args, '--reprocess', 'Failed')).stderr).toContain('TooManyFailures');
  });
});

describe('causes outside the program', () => {
  async function runDays(from: string, days: readonly string[]) {
    const { url, clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'cli');
    const settings = loadSettings({ ARCHIVE_URL: from, CLICKHOUSE_URL: url, WORKER_SLOTS: '1' });
    const pool = new ThreadPool(settings, openIpMetadata(undefined), silent);
    const tools = {
      archive: openArchive(settings),
      clickhouse,
      pool,
      log: silent,
      maxFailedShare: 0,
      allowShrink: false,
      rulesVersion: settings.analysis_rules_version,
      referenceVersions: {},
    };
    const how = {
      filter: EVERYTHING,
      filterID: filterIDOf(EVERYTHING),
      stages: ['Observations'] as const,
      reprocess: 'None' as const,
    };
    const watch = { onRead: () => {}, onBucket: () => {}, signal: new AbortController().signal };
    try {
      const totals = await runBuckets(tools, days, { ...how, slots: 1 }, watch);
      const history = await readHistory(clickhouse, { ...how, from: '2000-01-01', before: '2100-01-01' });
      return { ...totals, again: days.filter(day => !history.of(day).completed && !history.of(day).failed) };
    } finally {
      await pool.close();
      await clickhouse.close();
    }
  }

  test('an unreadable object fails its bucket, three in a row end the run; all are retried', async () => {
    const from = join(root, 'unreadable');
    const days = ['2023-01-01', '2023-01-02', '2023-05-30', '2023-06-01', '2023-06-02', '2023-06-03', '2023-06-04'];
    for (const day of days) {
      const folder = join(from, `raw/${day.replaceAll('-', '')}/18/US/signal`);
      mkdirSync(folder, { recursive: true });
      const name = `${day.replaceAll('-', '')}18_US_signal.n1.0.jsonl.gz`;
      if (day === '2023-05-30') cpSync(join(FIXTURES, 'raw/20230530/18/US/signal', name), join(folder, name));
      // A link to itself: the system refuses to open it, for any user.
      else symlinkSync(name, join(folder, name));
    }
    const { done, failed, left, counts, again } = await runDays(from, days);
    expect({ done, left, read: counts.read }).toEqual({ done: 1, left: 1, read: 1 });
    expect(failed.map(({ bucket, reason }) => [bucket, reason])).toEqual(
      ['2023-01-01', '2023-01-02', '2023-06-01', '2023-06-02', '2023-06-03'].map(day => [day, 'ArchiveUnavailable']),
    );
    expect(again).toEqual(days.filter(day => day !== '2023-05-30'));
  });

  test('without an archive, no further bucket starts', async () => {
    const { failed, left, again } = await runDays(join(root, 'gone'), DAYS);
    expect(failed).toMatchObject([{ bucket: DAYS[0], reason: 'ArchiveMissing' }]);
    expect(left).toBe(DAYS.length - 1);
    expect(again).toEqual(DAYS);
  });
});

describe('oonipipeline sql', () => {
  async function ask(statement: string, form: 'table' | 'json' | 'csv' | 'tsv'): Promise<string> {
    const { clickhouse, close } = await openClickHouse(inject('clickhouseUrl'));
    const output = new PassThrough();
    try {
      const [shown] = await Promise.all([
        text(output),
        askTo(clickhouse, statement, form, output).finally(() => output.end()),
      ]);
      return shown;
    } finally {
      await close();
    }
  }

  test('shows a table, JSON, CSV, TSV, or the format in the statement', async () => {
    const statement =
      "SELECT toUInt64(18446744073709551615) AS big, NULL AS nothing, ['a'] AS list, '\\x1b[31m' AS odd;";
    const table = await ask(statement, 'table');
    for (const shown of ['18446744073709551615', 'NULL', '["a"]', '1 row']) expect(table).toContain(shown);
    expect(table).not.toContain('\x1b');
    const two = 'SELECT number, toString(number) AS text FROM numbers(2)';
    expect(await ask(two, 'tsv')).toBe('number\ttext\n0\t0\n1\t1\n');
    expect(await ask(two, 'csv')).toBe('"number","text"\n0,"0"\n1,"1"\n');
    expect(await ask(two, 'json')).toBe('{"number":0,"text":"0"}\n{"number":1,"text":"1"}\n');
    expect(await ask(`${two} FORMAT CSV`, 'table')).toBe('0,"0"\n1,"1"\n');
    expect(await ask('SET max_threads = 1', 'table')).toBe('');
  });

  test('runs as a program: reads standard input, and prints an error of ClickHouse as one line', async () => {
    const child = start('sql', '-', '--clickhouse', inject('clickhouseUrl'));
    child.stdin!.end('SELECT 7 AS x');
    expect(await ended(child)).toEqual({ status: 0, stdout: 'x\n7\n', stderr: '' });
    const middle = "SELECT throwIf(number = 500000, 'in the middle') FROM numbers(1000000)";
    const { status, stderr, stdout } = await oonipipeline('sql', middle, '--clickhouse', inject('clickhouseUrl'));
    expect(stderr).toMatch(/^oonipipeline sql: ClickHouse rejected the statement: in the middle[^\n]+\n$/);
    expect(status).toBe(1);
    // Rows before the error have been printed. The error itself is not a row.
    expect(stdout.slice(stdout.indexOf('\n') + 1)).toMatch(/^(0\n)*$/);
  });

  /** A result without an end. */
  const ENDLESS = 'SELECT number, toString(number) AS text FROM system.numbers';
  const places = () => [inject('clickhouseUrl'), `embedded:${join(root, 'whole')}`];

  test('prints the first rows of an endless result, and ends when its reader leaves', async () => {
    for (const place of places()) {
      for (const form of ['tsv', 'csv', 'json']) {
        const child = start('sql', ENDLESS, '-o', form, '--clickhouse', place);
        const end = once(child, 'close');
        const stderr = text(child.stderr!);
        const [chunk] = (await once(child.stdout!, 'data')) as [Buffer];
        expect(chunk.toString()).toContain(form === 'json' ? '"text":"1"' : '\n1');
        child.stdout!.destroy();
        expect([await end, await stderr]).toEqual([[0, null], '']);
      }
    }
  });

  test('needs no more memory for a long result than for a short one', async () => {
    for (const place of places()) {
      const child = start('sql', ENDLESS, '-o', 'csv', '--clickhouse', place);
      const end = once(child, 'close');
      const peak = () =>
        Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]) / 1024;
      let read = 0;
      let early = 0;
      for await (const chunk of child.stdout!) {
        read += chunk.length;
        if (read > 50e6 && early === 0) early = peak();
        if (read > 400e6) break;
      }
      expect(peak() - early).toBeLessThan(150);
      child.stdout!.destroy();
      await end;
    }
  });

  test('shows the first 1,000 rows as a table and stops reading', async () => {
    for (const place of places()) {
      const { status, stdout, stderr } = await oonipipeline('sql', ENDLESS, '-o', 'table', '--clickhouse', place);
      expect([status, stderr]).toEqual([0, '']);
      const lines = stdout.trimEnd().split('\n');
      expect(lines).toHaveLength(1000 + 5);
      expect(lines.at(-1)).toBe('The first 1,000 rows; there are more. -o csv, tsv or json prints all.');
    }
    const exactly = await ask('SELECT number FROM numbers(1000)', 'table');
    expect(exactly.trimEnd().split('\n').at(-1)).toBe('1,000 rows');
  });

  test('runs one statement, which can change data only with --write', async () => {
    for (const place of places()) {
      const sqlOf = (statement: string, ...args: string[]) =>
        oonipipeline('sql', statement, '--clickhouse', place, ...args);
      const exists = async () => (await sqlOf('EXISTS TABLE made_by_sql FORMAT TSV')).stdout;
      const make = 'CREATE TABLE made_by_sql (a UInt8) ENGINE = MergeTree ORDER BY a';
      for (const statement of [
        make,
        `SELECT 1; ${make}`,
        `/* SELECT */ ${make};`,
        "INSERT INTO FUNCTION null('a UInt8') VALUES (1)",
        "WITH 1 AS x INSERT INTO FUNCTION null('a UInt8') SELECT x",
      ]) {
        const { status, stderr, stdout } = await sqlOf(statement);
        expect([status, stdout]).toEqual([2, '']);
        expect(stderr).toMatch(
          /^error: (these are several statements, and none was run|\w+ changes data and was not run; give --write)/,
        );
      }
      const setting = await sqlOf('SELECT 1 SETTINGS readonly = 0');
      expect(setting.status).toBe(1);
      expect(setting.stderr).toContain('readonly mode');
      expect(await exists()).toBe('0\n');

      expect(await sqlOf(`-- so\n${make}; -- done`, '--write')).toEqual({ status: 0, stdout: '', stderr: '' });
      const insert = "INSERT INTO made_by_sql VALUES (1), (2); -- ';'";
      expect(await sqlOf(insert, '--write')).toEqual({ status: 0, stdout: '', stderr: '' });
      expect((await sqlOf('-- a comment; and\nSELECT sum(a) FROM made_by_sql;\n', '-o', 'tsv')).stdout).toBe(
        'sum(a)\n3\n',
      );
      expect((await sqlOf('DROP TABLE made_by_sql SYNC', '--write')).status).toBe(0);
      expect(await exists()).toBe('0\n');
    }
  });

  test('makes control characters visible on a terminal, and writes them unchanged elsewhere', async () => {
    const { clickhouse, close } = await openClickHouse(inject('clickhouseUrl'));
    const hostile = "SELECT '\\x1b[31m\\xc2\\x9b2J\\r' AS x";
    try {
      for (const [form, shown, raw] of [
        ['csv', '"\\x1b[31m\\x9b2J\\x0d"', '"\x1b[31m\x9b2J\r"'],
        ['tsv', '\\x1b[31m\\x9b2J\\r', '\x1b[31m\x9b2J\\r'],
        ['json', '{"x":"\\u001B[31m\\u009b2J\\r"}', '{"x":"\\u001B[31m\x9b2J\\r"}'],
        ['table', '\\x1b[31m\\x9b2J\\x0d', '\\x1b[31m\\x9b2J\\x0d'],
      ] as const) {
        for (const isTTY of [true, false]) {
          const output = Object.assign(new PassThrough(), { isTTY, columns: 200 });
          const [printed] = await Promise.all([
            text(output),
            askTo(clickhouse, hostile, form, output).finally(() => output.end()),
          ]);
          expect(printed, `${form} ${isTTY}`).toContain(isTTY ? shown : raw);
        }
      }
    } finally {
      await close();
    }
  });
});
