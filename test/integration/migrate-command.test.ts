import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { beforeEach, describe, expect, inject, test } from 'vitest';
import { freePort } from '../../pipeline/free-port.ts';
import { migrate, migrateAutomatically } from '../../pipeline/migrations/migrate.ts';
import { MIGRATIONS } from '../../pipeline/migrations/migrations.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { makeDatabase, silent } from '../support/database.ts';
import { FIXTURES } from '../support/fixtures.ts';
import { PROGRAM_ENV } from '../support/program.ts';
import { makePythonTables } from '../support/python-database.ts';
import { makeNamespace, WorkerProcess } from '../support/worker.ts';

const ROOT = join(import.meta.dirname, '../..');
const RUN = ['run', '--archive', FIXTURES, '--start-at', '2023-11-27', '--end-at', '2023-11-28'];

let clickhouse: ClickHouse;
let url: string;

/** Runs a command without a terminal, with `clickhouse_url` from the environment. */
async function oonipipeline(args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [join(ROOT, 'cli/main.ts'), ...args], {
    env: {
      ...PROGRAM_ENV,
      LOG_FORMAT: 'json',
      CLICKHOUSE_URL: url,
      FINGERPRINTS_DNS_SOURCE: 'none',
      FINGERPRINTS_HTTP_SOURCE: 'none',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { status, stdout, stderr };
}

/** Returns everything that DDL can change, except the tables of the migration itself. */
async function shape(of: ClickHouse): Promise<unknown[]> {
  return of.select(
    `SELECT t.name, t.engine, t.partition_key, t.sorting_key, c.columns FROM system.tables AS t
     LEFT JOIN (SELECT table, groupArray((name, type)) AS columns FROM (SELECT * FROM system.columns WHERE database = currentDatabase() ORDER BY position) GROUP BY table) AS c ON c.table = t.name
     WHERE t.database = currentDatabase() AND NOT startsWith(t.name, 'pipeline_migrat') ORDER BY t.name`,
  );
}

/** Inserts like the Python pipeline: without column names, 30 values. */
async function pythonAnalyses(uid: string): Promise<void> {
  await clickhouse.command(
    `INSERT INTO analysis_web_measurement SELECT * FROM (
       SELECT 'www.example.com', 'https://www.example.com/', 'web_connectivity', 30722, 'Vodafone', 'IT', 30722, 'IT', 'wifi',
         toDateTime64('2024-01-01 10:00:00', 3, 'UTC'), '${uid}', '', NULL, 'dns_nxdomain_error', NULL, NULL,
         0.75, 0, 0.25, 0, 0, 0, 0, 0, 0, 'nxdomain', 'none', 'none', toFixedString('', 64), 2)`,
  );
}

beforeEach(async () => {
  ({ url, clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'python', { migrated: false }));
});

describe('a database of the Python pipeline', () => {
  beforeEach(async () => {
    await makePythonTables(clickhouse);
    await pythonAnalyses('20240101100000.000001_IT_webconnectivity_0000000000000001');
    await clickhouse.command(
      "INSERT INTO measurement_experiment_result (measurement_uid, timeofday, measurement_start_time, loni_ok_value) SELECT concat('20240101', toString(number)), number, number, 1 FROM numbers(1000)",
    );
  });

  test('is not migrated without a request: run refuses and names the command', async () => {
    const before = await shape(clickhouse);
    const refused = await oonipipeline([...RUN, '--clickhouse', url], { CLICKHOUSE_URL: 'http://127.0.0.1:1' });
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain('the Python pipeline made it');
    expect(refused.stderr).toContain(`type: oonipipeline migrate --clickhouse ${url} (`);
    expect((await oonipipeline(RUN)).stderr).toContain('type: oonipipeline migrate (');
    expect(await shape(clickhouse)).toEqual(before);
    await pythonAnalyses('20240101100000.000002_IT_webconnectivity_0000000000000002');
  });

  test('a worker waits for the command, and continues after it', async () => {
    const { namespace, client } = await makeNamespace(inject('temporalAddress'), 'python');
    const health = `127.0.0.1:${await freePort()}`;
    const worker = new WorkerProcess({
      TEMPORAL_ADDRESS: inject('temporalAddress'),
      TEMPORAL_NAMESPACE: namespace,
      CLICKHOUSE_URL: url,
      ARCHIVE_URL: FIXTURES,
      WORKER_HEALTH_ADDRESS: health,
    });
    try {
      await worker.says(
        /the Python pipeline made it.*To migrate it, type: oonipipeline migrate, with the settings of this worker/,
      );
      const ready = await fetch(`http://${health}/readyz`);
      expect(ready.status).toBe(503);
      expect(await ready.text()).toContain('oonipipeline migrate');
      expect((await fetch(`http://${health}/healthz`)).status).toBe(200);
      await pythonAnalyses('20240101100000.000003_IT_webconnectivity_0000000000000003');
      expect(await migrate(clickhouse, silent)).toContain(1);
      await worker.says(/working for Temporal/);
    } finally {
      await worker.kill();
      await client.connection.close();
    }
  });

  test('migrate shows, prints, asks, and migrates', { timeout: 120_000 }, async () => {
    const before = await shape(clickhouse);
    const dry = await oonipipeline(['migrate', '--dry-run']);
    expect(dry).toMatchObject({ status: 0, stderr: '' });
    expect(dry.stdout).toContain('was made by the Python pipeline');
    expect(dry.stdout).toMatch(/add run_generation, http_response_title, .* to obs_web\n/);
    expect(dry.stdout).toMatch(/add fingerprints_version, run_generation, outcome, .* to analysis_web_measurement/);
    expect(dry.stdout).toContain('copy 1000 rows in 1 partitions');
    expect(dry.stdout).toContain(
      'write the index measurement_start_time_minmax of analysis_web_measurement for 1 rows',
    );
    expect(dry.stdout).toContain('Stop the Python pipeline first');
    const printed = await oonipipeline(['migrate', '--print']);
    const asked = await oonipipeline(['migrate']);
    expect(asked.status).toBe(1);
    expect(asked.stderr).toContain('add --yes');
    expect(await shape(clickhouse)).toEqual(before);
    await pythonAnalyses('20240101100000.000004_IT_webconnectivity_0000000000000004');

    // The printed statements, sent by hand, create the same database.
    const byHand = await makeDatabase(inject('clickhouseUrl'), 'byhand', { migrated: false });
    await makePythonTables(byHand.clickhouse);
    for (const statement of printed.stdout.split(/;\n/).map(each => each.replace(/^--.*$/gm, '').trim())) {
      if (statement && !/MATERIALIZE INDEX/.test(statement)) await byHand.clickhouse.command(statement);
    }

    const done = await oonipipeline(['migrate', '--yes']);
    expect(done.stdout).toMatch(/Applied 1, 2, .* is up to date\.\n$/);
    expect(done.status).toBe(0);
    expect(await shape(byHand.clickhouse)).toEqual(await shape(clickhouse));
    expect((await oonipipeline(['migrate'])).stdout).toMatch(/is up to date\.\n$/);
    await expect(pythonAnalyses('20240101100000.000005_IT_webconnectivity_0000000000000005')).rejects.toMatchObject({
      code: 20,
    });
    expect(await clickhouse.select('SELECT count() AS n FROM analysis_web_measurement')).toEqual([{ n: 2 }]);
    expect(await clickhouse.select('SELECT count() AS n FROM measurement_experiment_result')).toEqual([{ n: 1000 }]);

    // A later migration waits for the command again.
    const next = { number: MIGRATIONS.length + 1, name: 'next', apply: async () => {} };
    const options = { migrations: [...MIGRATIONS, next] };
    await expect(
      migrateAutomatically(clickhouse, silent, { automatic: 'own', remedy: 'migrate!', ...options }),
    ).rejects.toThrow(/lacks the migration \d+, .*migrate!/);
    expect(
      await migrateAutomatically(clickhouse, silent, { automatic: 'always', remedy: 'migrate!', ...options }),
    ).toEqual([next.number]);

    expect((await oonipipeline(RUN)).status).toBe(0);
    expect(await clickhouse.select('SELECT count() > 2 AS more FROM analysis_web_measurement')).toEqual([{ more: 1 }]);

    // docs/moving-from-python.md, "Going back".
    const page = readFileSync(join(ROOT, 'docs/moving-from-python.md'), 'utf8');
    const back = /<!-- going back -->\n```sql\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
    for (const statement of back.split(';\n').filter(Boolean)) await clickhouse.command(statement);
    await pythonAnalyses('20240101100000.000006_IT_webconnectivity_0000000000000006');
    expect(await clickhouse.select('SELECT count() AS n FROM analysis_web_measurement')).toEqual([{ n: 3 }]);
    const observations = (rows: unknown[]) =>
      rows.filter(row => /^(obs_|analysis_)/.test((row as { name: string }).name));
    expect(observations(await shape(clickhouse))).toEqual(observations(before));
  });

  test('both run in parallel in two databases of one server', { timeout: 60_000 }, async () => {
    const before = await shape(clickhouse);
    const own = `${url}_v5`;
    expect((await oonipipeline([...RUN, '--clickhouse', own])).status).toBe(0);
    expect(await shape(clickhouse)).toEqual(before);
    await pythonAnalyses('20240101100000.000007_IT_webconnectivity_0000000000000007');
    await clickhouse.command(`DROP DATABASE ${new URL(own).pathname.slice(1)}`);
  });
});

describe('automatic migration', () => {
  test('applies to an empty database, and to one that this pipeline created', async () => {
    expect(
      await migrateAutomatically(clickhouse, silent, {
        automatic: 'own',
        remedy: '',
        migrations: MIGRATIONS.slice(0, 3),
      }),
    ).toEqual([1, 2, 3]);
    expect(await migrateAutomatically(clickhouse, silent, { automatic: 'own', remedy: '' })).toEqual(
      MIGRATIONS.slice(3).map(({ number }) => number),
    );
    expect(await migrateAutomatically(clickhouse, silent, { automatic: 'never', remedy: '' })).toEqual([]);
  });

  test('does not apply to a database with foreign tables, nor if it is turned off', async () => {
    await expect(migrateAutomatically(clickhouse, silent, { automatic: 'never', remedy: 'x' })).rejects.toThrow(
      /automatic_migration is never/,
    );
    await clickhouse.command('CREATE TABLE mine (x UInt8) ENGINE = MergeTree ORDER BY x');
    await expect(migrateAutomatically(clickhouse, silent, { automatic: 'own', remedy: 'x' })).rejects.toThrow(
      /tables that this pipeline did not make/,
    );
    expect(await shape(clickhouse)).toMatchObject([{ name: 'mine' }]);
    expect(await clickhouse.select('SELECT name FROM system.tables WHERE database = currentDatabase()')).toHaveLength(
      1,
    );
  });

  test('applies after a start that was interrupted before its first table', async () => {
    await migrate(clickhouse, silent, { migrations: [] });
    expect(await migrateAutomatically(clickhouse, silent, { automatic: 'own', remedy: '' })).toHaveLength(
      MIGRATIONS.length,
    );
  });
});
