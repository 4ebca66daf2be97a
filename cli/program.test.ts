import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import type { CommanderError } from 'commander';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { temporaryDirectory } from '../test/support/archive.ts';
import { createProgram } from './program.ts';

const ARCHIVE = join(import.meta.dirname, '../test/fixtures/archive');

/** Stands in for ClickHouse, Temporal and the archive, and counts the connections to them. */
const servers = createServer(socket => {
  connections++;
  socket.destroy();
});
let connections = 0;
beforeAll(async () => {
  await once(servers.listen(0, '127.0.0.1'), 'listening');
});
afterAll(() => {
  servers.close();
});

const CLOSED_PORT = 'http://localhost:1';
let clickhouseURL = CLOSED_PORT;

afterEach(() => {
  clickhouseURL = CLOSED_PORT;
  vi.unstubAllEnvs();
  process.exitCode = undefined;
});

/** Runs a command line in this process. Returns the message about wrong usage, or the exit status and the output. */
async function oonipipeline(...args: string[]): Promise<{ usage?: string; status?: unknown; printed: string }> {
  vi.stubEnv('CLICKHOUSE_URL', clickhouseURL);
  const printed: string[] = [];
  const program = await createProgram('all');
  for (const command of [program, ...program.commands]) {
    command.configureOutput({ writeErr: text => printed.push(text), writeOut: () => {} });
  }
  const error = vi.spyOn(console, 'error').mockImplementation(line => void printed.push(String(line)));
  try {
    await program.parseAsync(args, { from: 'user' });
    return { status: process.exitCode, printed: printed.join('\n') };
  } catch (wrong) {
    if ((wrong as CommanderError).code === undefined) throw wrong;
    return { usage: (wrong as Error).message, printed: printed.join('\n') };
  } finally {
    error.mockRestore();
  }
}

test.each([
  [['run', '--archive', '/nowhere'], '/nowhere does not exist'],
  [['run', '--archive', import.meta.filename], 'program.test.ts is not a directory'],
  [['run', '--archive', 'ftp://x'], 'It must be a directory, or s3://bucket[/prefix] with the name of a bucket'],
  [['run', '--archive', 's3://'], 'It must be a directory, or s3://bucket[/prefix] with the name of a bucket'],
  [['verify', '--archive', 's3:///raw'], 'with the name of a bucket'],
  [['verify', '--archive', 's3://Bucket'], 'with the name of a bucket'],
  [
    ['run', '--start-at', '2011-12-31', '--end-at', '2024-01-01'],
    "2011-12-31 lies before 2012, when OONI's archive begins",
  ],
  [['run', '--geoip', '/nowhere'], '/nowhere does not exist'],
  [['run', '--fingerprints', '/nowhere'], '/nowhere does not exist'],
  [['run', '--fingerprints', ARCHIVE], 'archive is not a file'],
  [['run', '--fingerprints', 'http://'], 'It must be a URL, a file, or none'],
  [['run', '--threads', '0'], 'It must be a whole number from 1 to 128'],
  [['run', '--granularity', 'day'], 'Allowed choices are Day, Hour'],
  [['run', '--stages', 'Verdicts'], '"Verdicts"'],
  [['run', '-o', 'csv'], 'Allowed choices are human, json'],
  [['verify', '--start-at', '2024-01-01'], '--start-at and --end-at go together'],
  [['verify', '--start-at', '2024-01-02', '--end-at', '2024-01-01'], 'must lie before'],
  [['verify', '--start-at', '2024-01-01T05', '--end-at', '2024-01-02'], 'a range is of days'],
  [['verify', '--start-at', '2024-01-01', '--end-at', '2024-01-02', '--bucket', '2024-01-01'], 'give one of the two'],
  [['verify', '--end-at', '2024-01-02', '--bucket', '2024-01-01'], 'give one of the two'],
  [['explain', 'https://example.com/m/x'], 'nor the address of a measurement such as https://explorer.ooni.org/m/'],
  [['explain', ''], 'is not a measurement_uid'],
  [['explain', 'x', '--rules', '1'], 'There are versions 2 and 3'],
  [['geoip', '--since', '2024-01'], 'Write a day as YYYY-MM-DD'],
  [['transform', '--geoip', import.meta.filename, '-'], 'is not a directory'],
  [['run', '--start-at', '2024-13-01'], '"2024-13-01" is not a day of the calendar'],
  [['run', '--start-at', '2024-02-30'], '"2024-02-30" is not a day of the calendar'],
  [
    ['run', '--start-at', '2024-02-01', '--end-at', '2024-01-01'],
    '--start-at 2024-02-01 must lie before --end-at 2024-01-01',
  ],
  [['run', '--start-at', '2024-02-01', '--end-at', '2024-02-01'], 'must lie before'],
  [['run', '--start-at', '2024-02-01'], '--start-at and --end-at go together'],
  [
    ['run', '--start-at', '2024-01-01T05', '--end-at', '2024-01-02'],
    'an hour (YYYY-MM-DDTHH) needs --granularity Hour',
  ],
  [['run', '--stages', 'Analysis', '--granularity', 'Hour'], 'verdicts are made by the day'],
  [['run', '--stages', 'Analysis,Analysis'], 'must name each stage once'],
  [['run', '--probe-cc', 'Italy'], '"Italy": must be a two-letter country code, such as IT'],
  [['run', '--probe-cc', 'IT,'], 'A value between the commas is empty'],
  [['run', '--test-name', 'web connectivity'], 'must be a test name of letters'],
  [['run', '--threads', '1.5'], 'It must be a whole number from 1 to 128'],
  [['run', '--reprocess', 'all'], 'Allowed choices are None, Failed, All'],
  [['run'], 's3://ooni-data-eu-fra is too large to be listed as a whole'],
  [['transform', '--bucket-date', '2021-02-30', '-'], 'is not a day of the calendar'],
  [['transform', '--root', '/nowhere', '-'], '/nowhere does not exist'],
  [['transfrom'], "unknown command 'transfrom'\n(Did you mean transform?)"],
  [['help', 'nope'], "unknown command 'nope'"],
  [['help', 'transfrom'], "unknown command 'transfrom'\n(Did you mean transform?)"],
  [['help', 'run', 'fast'], "run has no command 'fast'"],
  [['schedule', '--kubernetes', '--no-kubernetes'], '--kubernetes and --no-kubernetes contradict each other'],
  [['backfill', '--no-kubernetes', '--kubernetes'], '--kubernetes and --no-kubernetes contradict each other'],
  [['schedule', '--analysis', '--no-analysis'], '--analysis and --no-analysis contradict each other'],
  [['check-duplicates', '--optimize', '--no-optimize'], '--optimize and --no-optimize contradict each other'],
  [['checkdb', '--create-tables', '--no-create-tables'], 'contradict each other: give one of the two'],
  [['migrate', '--print', '--dry-run'], "option '--print' cannot be used with option '--dry-run'"],
  [['status', '--interval', '5'], '--interval is for --watch'],
  [['verify', '--bucket', 'yesterday'], '"yesterday" is not a bucket'],
  [['schedule', '--probe-cc', 'USA'], '"USA": must be a two-letter country code'],
  [['schedule', '--test-name', ''], 'A value between the commas is empty'],
  [['schedule', 'US'], 'too many arguments'],
  [['schedule', '--create-tables'], "unknown option '--create-tables'"],
  [['schedule', '-o', 'table'], 'Allowed choices are human, json'],
  [['clear-schedules', '--probe-cc', 'US,,IT'], 'A value between the commas is empty'],
  [['backfill', '--start-at', 'yesterday'], '"yesterday" is not a bucket'],
  [
    ['backfill', '--start-at', '2024-01-01T05:30:00'],
    'is not the start of a bucket: write a day, or a full hour such as 2024-01-01T05',
  ],
  [['backfill', '--start-at', '2024-01-01 05:00:00'], '2024-01-01T05 is an hour, and the buckets are days'],
  [['backfill', '--end-at', '2011-01-01'], "lies before 2012, when OONI's archive begins"],
  [
    ['backfill', '--start-at', '2024-02-01', '--end-at', '2024-02-01'],
    'must lie before --end-at 2024-02-01, which is exclusive',
  ],
  [['backfill', '--start-at', '2999-01-01'], 'must lie before'],
  [['backfill', '--workflow-name', 'verdicts'], 'observations'],
  [['backfill', '--workflow-name', 'analysis,analysis'], 'must name each workflow once'],
  [['backfill', '--workflow-name', 'analysis', '--granularity', 'Hour'], 'verdicts are made by the day'],
  [['backfill', '--granularity', 'Week'], 'Allowed choices are Day, Hour'],
  [['backfill', '--order', 'Random'], 'Allowed choices are OldestFirst, NewestFirst'],
  [['backfill', '--reprocess', 'Some'], 'Allowed choices are None, Failed, All'],
  [['backfill', '--max-active-runs', '0'], 'It must be a whole number from 1 to 200'],
  [['backfill', '--drop-tables'], '--drop-tables needs --create-tables'],
  [['backfill', '--dry-run', '--follow'], '--dry-run starts nothing that --follow could show'],
  [['startworkers', '--threads', '-1'], 'It must be a whole number from 1 to 128'],
  [['startworkers', '--tasks', 'Reading'], 'Workflows'],
  [['startworkers', '--clickhouse', 'embedded:data'], 'workers need a ClickHouse server'],
  [['startworkers', '--geoip', '/nowhere'], '/nowhere does not exist'],
  [['status', '--interval', '0'], 'It must be a whole number from 1 to 3600'],
  [['status', '-o', 'table'], 'Allowed choices are human, json'],
  [['runs', '--state', 'done'], 'Allowed choices are started, inserted, cancelled, failed, completed'],
  [['runs', '--stage', 'Everything'], 'Allowed choices are Observations, Analysis'],
  [['runs', '--bucket', '2024-1-1'], 'is not a bucket'],
  [['runs', '--bucket', '2024-01-01', '--start-at', '2024-01-01', '--end-at', '2024-01-02'], 'give one of the two'],
  [['runs', '--start-at', '2024-01-01'], '--start-at and --end-at go together'],
  [['runs', '--limit', 'all'], 'It must be a whole number from 1 to 100000'],
  [['failures', '--end-at', '2024-01-01'], '--start-at and --end-at go together'],
  [['failures', '--limit', '0'], 'It must be a whole number from 1 to 100000'],
  [['sync', '--end-at', '2024-01-02', '--output-dir', 'x'], "required option '--start-at <bucket>' not specified"],
  [
    ['sync', '--start-at', '2024-01-01', '--end-at', '2024-01-02'],
    "required option '--output-dir <dir>' not specified",
  ],
  [['sync', '--start-at', '2024-01-02', '--end-at', '2024-01-01', '--output-dir', 'x'], 'must lie before'],
  [['sync', '--start-at', '2024-01-01', '--end-at', '2024-01-02', '--output-dir', ' '], 'It is empty'],
  [
    ['sync', '--start-at', '2024-01-01', '--end-at', '2024-01-02', '--output-dir', 'x', '--transfers', '65'],
    'from 1 to 64',
  ],
  [['checkdb', '-o', 'table'], 'Allowed choices are human, json'],
  [
    ['check-duplicates', '--start-at', '2024-01-01T05', '--end-at', '2024-01-02'],
    'is an hour, and the buckets are days',
  ],
  [['check-duplicates', '--dry-run'], '--dry-run is for --optimize'],
  [
    ['update-assets', '--only', 'geo'],
    'Allowed choices are fingerprints_dns, fingerprints_http, citizenlab, asnmeta, geoip',
  ],
  [['config', 'archive_url'], 'too many arguments'],
  [['schedule', '--no-kubernetes', '--context', 'prod'], '--context and --namespace choose a place in Kubernetes'],
  [['clear-schedules', '--no-kubernetes', '-n', 'data'], 'so they do not go with --no-kubernetes'],
  [['sql', ' '], 'the statement is empty'],
  [['sql', '-- nothing; but a comment'], 'the statement is empty'],
  [['sql', '--no blank\n;'], 'the statement is empty'],
  [['sql', 'SELECT 1; SELECT 2'], 'these are several statements, and none was run; give one at a time'],
  [['sql', 'SELECT 1;;/**/ drop table x'], 'these are several statements'],
  [['sql', '--write', 'INSERT INTO t VALUES (1); SELECT 2'], 'these are several statements'],
  [['sql', '-- why\ninsert into t values (1)'], 'INSERT changes data and was not run; give --write to run it'],
  [['sql', 'WITH 1 AS x INSERT INTO t SELECT x'], 'INSERT changes data'],
  [['sql', '--wirte', 'SELECT 1'], "unknown option '--wirte'"],
  [['sql', 'SELECT 1', '-o', 'xml'], 'Allowed choices are table, json, csv, tsv'],
  [['sql', 'SELECT 1', 'SELECT 2'], 'too many arguments'],
])('wrong usage changes nothing: %j', async (args, message) => {
  const { port } = servers.address() as AddressInfo;
  clickhouseURL = `http://127.0.0.1:${port}`;
  vi.stubEnv('TEMPORAL_ADDRESS', `127.0.0.1:${port}`);
  vi.stubEnv('ARCHIVE_ENDPOINT', `http://127.0.0.1:${port}`);
  const files = readdirSync('.');
  expect((await oonipipeline(...args)).usage).toContain(message);
  expect({ connections, files: readdirSync('.') }).toEqual({ connections: 0, files });
});

test('a command with correct usage does reach these servers', async () => {
  const { port } = servers.address() as AddressInfo;
  clickhouseURL = `http://127.0.0.1:${port}`;
  await oonipipeline('runs');
  expect(connections).toBeGreaterThan(0);
  connections = 0;
});

test('the error does not repeat a password in the wrong argument', async () => {
  for (const command of [['run', '--archive', ARCHIVE], ['sql', 'SELECT 1'], ['verify']]) {
    const { usage, printed } = await oonipipeline(...command, '--clickhouse', 'mysql://me:hunter2@host/db');
    expect(usage).toContain('--clickhouse must be embedded:DIR, or the URL of a server');
    expect(usage + printed).not.toContain('hunter2');
  }
  for (const args of [
    ['run', '--archive', 'ftp://me:hunter2@host/db'],
    ['run', '--archive', 's3://KEY:hunter2@bucket'],
    ['run', '--fingerprints', 'ftp://me:hun@hunter2@host/x.csv'],
    ['explain', 'https://me:hunter2@example.com/m/x'],
    ['geoip', 'http://me:hunter2@host'],
    ['sql', 'SELECT 1', 'http://me:hunter2@host'],
    ['schedule', '--probe-cc', 'http://me:hunter2@host'],
    ['backfill', '--start-at', 'http://me:hunter2@host'],
    ['startworkers', '--clickhouse', 'mysql://me:hunter2@host/db'],
    ['update-assets', '--only', 'http://me:hunter2@host'],
    ['runs', '--bucket', 'http://me:hunter2@host'],
  ]) {
    const { usage, printed } = await oonipipeline(...args);
    expect(usage, args.join(' ')).toBeDefined();
    expect(printed, args.join(' ')).not.toContain('hunter2');
  }
});

test.each([
  [['sql', 'SELECT 1'], 'ClickHouse does not answer: connect ECONNREFUSED'],
  [['sql', '-- a comment\nSELECT 1;\n-- the end;'], 'ClickHouse does not answer: connect ECONNREFUSED'],
  [['sql', '--write', 'INSERT INTO t FORMAT CSV\n1;2\n'], 'ClickHouse does not answer: connect ECONNREFUSED'],
  [
    ['sql', 'SELECT 1', '--clickhouse', 'embedded:/nowhere'],
    'there is no ClickHouse data in /nowhere; oonipipeline run creates it',
  ],
  [
    ['run', '--archive', ARCHIVE, '--test-name', 'signal,web_conectivity', '--probe-cc', 'it,XX'],
    '--test-name "web_conectivity" is not a known test; did you mean web_connectivity?',
  ],
  [
    ['verify', '--archive', ARCHIVE, '--probe-cc', 'it,uk'],
    '--probe-cc "uk" is not a known country code; did you mean GB?',
  ],
  [['runs'], 'oonipipeline runs: ClickHouse does not answer'],
  [['failures', '--count'], 'oonipipeline failures: ClickHouse does not answer'],
  [['checkdb', '--no-print-create', '--print-diff'], 'oonipipeline checkdb: ClickHouse does not answer'],
  [['check-duplicates'], 'oonipipeline check-duplicates: ClickHouse does not answer'],
  [['backfill', '--dry-run'], 'oonipipeline backfill: ClickHouse does not answer'],
  [
    [
      'sync',
      '--archive',
      ARCHIVE,
      '--start-at',
      '2023-05-30',
      '--end-at',
      '2023-05-31',
      '--output-dir',
      join(import.meta.filename, 'x'),
    ],
    'cannot be written: ENOTDIR',
  ],
  [['geoip'], 'oonipipeline geoip: geoip_dir is empty; set it, or give --dir'],
  [['run', '--archive', ARCHIVE, '--geoip', ARCHIVE], 'holds no *.mmdb'],
  [
    ['run', '--archive', ARCHIVE, '--clickhouse', `embedded:${ARCHIVE}`],
    'holds other things than ClickHouse data (jsonl)',
  ],
])('errors with a cause outside the program: %j', async (args, message) => {
  const { status, printed } = await oonipipeline(...args);
  expect(printed).toContain(message);
  expect(status).toBe(1);
});

test.each(['--context', '--namespace'])(
  'with %s, Temporal does not take the place of an absent cluster',
  async option => {
    for (const name of ['KUBECONFIG', 'KUBERNETES_SERVICE_HOST']) vi.stubEnv(name, '');
    vi.stubEnv('HOME', '/nowhere');
    const { status, printed } = await oonipipeline('schedule', option, 'prod');
    expect(printed).toContain('no way to a Kubernetes API server');
    expect(status).toBe(1);
  },
);

test('the error names the wrong setting and its place', async () => {
  vi.stubEnv('MAX_FAILED_SHARE', '7');
  const { status, printed } = await oonipipeline('run', '--archive', ARCHIVE);
  expect(printed).toContain('MAX_FAILED_SHARE = "7"');
  expect(status).toBe(1);
});

test('a run that finds no archive makes no database', async () => {
  const root = temporaryDirectory();
  const range = ['--start-at', '2024-01-01', '--end-at', '2024-01-02'];
  const { status, printed } = await oonipipeline(
    ...['run', '--archive', root, ...range, '--clickhouse', `embedded:${join(root, 'd')}`],
  );
  expect(printed).toContain('has none of the folders canned/, jsonl/, raw/');
  expect(status).toBe(1);
  expect(readdirSync(root)).toEqual([]);
});

test('a file is not accepted as a place for data', async () => {
  const root = temporaryDirectory();
  mkdirSync(join(root, 'd'));
  writeFileSync(join(root, 'd/file'), '');
  for (const place of ['d/file', 'd/file/below']) {
    const { printed } = await oonipipeline(
      'run',
      '--archive',
      ARCHIVE,
      '--clickhouse',
      `embedded:${join(root, place)}`,
    );
    expect(printed).toMatch(/ClickHouse cannot keep its data in .*file.*: (EEXIST|ENOTDIR)/);
  }
});

/** Prints the packages that are loaded on standard error. */
const LOADED = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module';
  registerHooks({
    load(url, context, next) {
      const name = /node_modules.(@[^/]+.[^/]+|[^/]+)/.exec(url)?.[1];
      if (name) process.stderr.write('loaded ' + name + '\\n');
      return next(url, context);
    },
  });
`)}`;

test('loads the S3 client and the embedded ClickHouse only if they are needed', () => {
  const loaded = (...args: string[]) => {
    const program = [`--import=${LOADED}`, join(import.meta.dirname, 'main.ts'), ...args];
    const { stderr } = spawnSync(process.execPath, program, {
      encoding: 'utf8',
      env: {
        ...process.env,
        NODE_OPTIONS: '',
        CLICKHOUSE_URL: 'http://127.0.0.1:1',
        ARCHIVE_ENDPOINT: 'http://127.0.0.1:1',
      },
    });
    const names = new Set([...stderr.matchAll(/^loaded (.+)$/gm)].map(([, name]) => name));
    return ['@aws-sdk/client-s3', 'chdb', '@temporalio/client', '@kubernetes/client-node', 'commander'].filter(name =>
      names.has(name),
    );
  };
  expect(loaded('sql', 'SELECT 1')).toEqual(['commander']);
  expect(loaded('--help')).toEqual(['commander']);
  expect(loaded('verify', '--archive', ARCHIVE)).toEqual(['commander']);
});

test.each([
  ['failures', '--reason'],
  ['verify', '--verion'],
])('an option that a command does not have is not compared with those of the program: %s %s', async (...args) => {
  const program = await createProgram('all');
  for (const each of [program, ...program.commands]) each.configureOutput({ writeErr: () => {}, writeOut: () => {} });
  const wrong = await program.parseAsync(args, { from: 'user' }).catch((error: CommanderError) => error);
  expect((wrong as CommanderError).message).toBe(`error: unknown option '${args[1]}'`);
});
