import { spawn } from 'node:child_process';
import { globSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import pino from 'pino';
import { parseAllDocuments } from 'yaml';
import { Client } from '../operator/kube/client.ts';
import { connectionSource } from '../operator/kube/config.ts';
import { Http } from '../operator/kube/http.ts';
import { createInstruments } from '../operator/kube/instruments.ts';
import { openArchive } from '../pipeline/archive/open.ts';
import { DATASET, NO_SOURCE } from '../pipeline/reference/datasets.ts';
import { loadSettings, SettingsError } from '../pipeline/settings.ts';
import { parseClickHouseUrl } from '../pipeline/tables/clickhouse.ts';
import { followBackfills } from './follow.ts';
import { FileLock } from './lock.ts';
import { clusterObjects, settingsFrom } from './objects.ts';
import { findOnPath, StartError } from './process.ts';
import { obtainPrograms, programPath } from './programs.ts';
import { cleanData, endEarlier, portsFrom, ROOT, type Stack, startStack } from './stack.ts';
import { summarise } from './summary.ts';
import { Terminal } from './terminal.ts';
import { showVerdicts } from './verdicts.ts';
import { bundleWorkflows } from './workflows.ts';

const HELP = `npm start -- [options]

Starts Kubernetes, Temporal, ClickHouse and the operator on this machine, applies examples/, follows the
backfills to their end and stays up until Ctrl-C.

  --exit-when-done   stop everything after the summary, whose last line is one JSON object
  --clean            forget the data of earlier starts
  --data DIR         where data and logs are kept (.ooni)
  --port-offset N    add N to every port
  --help             this text

Settings in the environment hold for the workers and the operator: ARCHIVE_URL=s3://ooni-data-eu-fra reads
OONI's public archive instead of test/fixtures/archive; CLICKHOUSE_URL uses a ClickHouse that runs already.`;

interface Options {
  readonly exitWhenDone: boolean;
  readonly clean: boolean;
  readonly data: string;
  readonly portOffset: number;
}

function readOptions(args: readonly string[]): Options | undefined {
  let values: ReturnType<typeof parse>;
  try {
    values = parse(args);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new StartError(`${error.message.split('. ')[0]}. npm start -- --help tells the options.`);
  }
  if (values.help) return undefined;
  const portOffset = Number(values['port-offset'] ?? 0);
  if (!Number.isInteger(portOffset) || portOffset < -6000 || portOffset > 57_000) {
    throw new StartError(`--port-offset ${values['port-offset']}: write a whole number between -6000 and 57000.`);
  }
  return {
    exitWhenDone: values['exit-when-done'] ?? false,
    clean: values.clean ?? false,
    data: values.data ? here(values.data) : join(ROOT, '.ooni'),
    portOffset,
  };
}

/** A path as the person means it: npm runs scripts in the project's folder, whatever folder the person is in. */
function here(path: string): string {
  return resolve(process.env.INIT_CWD ?? '.', path);
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    options: {
      'exit-when-done': { type: 'boolean' },
      clean: { type: 'boolean' },
      data: { type: 'string' },
      'port-offset': { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  }).values;
}

/** Runs kubectl as the administrator, `input` to its standard input. Throws StartError with what it said. */
async function kubectl(stack: Stack, args: readonly string[], input = ''): Promise<string> {
  const child = spawn(programPath('kubectl'), ['--kubeconfig', stack.kubernetes.kubeconfig, ...args]);
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', text => (output[name] += text));
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const status = await new Promise<number | null>((done, failed) => child.once('error', failed).once('close', done));
  if (status !== 0) throw new StartError(`kubectl ${args.join(' ')} failed:\n${output.stderr.trim()}`);
  return output.stdout;
}

/** Throws StartError for settings in the environment that no program would start with. */
function checkSettings(): void {
  const given = Object.entries(settingsFrom(process.env)).map(([key, value]) => [key.toUpperCase(), value]);
  try {
    const settings = loadSettings(Object.fromEntries(given));
    // Two that have a form of their own. Nothing is asked of them yet.
    parseClickHouseUrl(settings.clickhouse_url);
    openArchive(settings);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    throw new StartError(`${error.message}\ndocs/settings.md has all settings.`);
  }
}

/** Settings of workers and operator: those of the environment over those of this stack. */
function settingsOf(stack: Stack, data: string): Record<string, string> {
  const own = {
    data_dir: join(data, 'reference'),
    archive_url: join(ROOT, 'test/fixtures/archive'),
    // Reference data of the repository: a start needs no network, and shows the same each time.
    fingerprints_dns_source: join(ROOT, 'test/fixtures/fingerprints/fingerprints_dns.csv'),
    fingerprints_http_source: join(ROOT, 'test/fixtures/fingerprints/fingerprints_http.csv.gz'),
    test_lists_source: join(ROOT, 'test/fixtures/test-lists.tar.gz'),
    as_organisations_source: NO_SOURCE,
    temporal_address: stack.temporal.address,
    temporal_ui_url: stack.temporal.uiUrl ?? '',
    log_format: 'json',
  };
  // Where a server is, the stack says, whatever the environment has of another one.
  const { temporal_address: _, temporal_ui_url: __, ...given } = settingsFrom(process.env);
  const sources = Object.values(DATASET).map(({ setting }) => setting);
  for (const key of ['archive_url', 'archive_legacy_url', 'data_dir', 'geoip_dir', ...sources]) {
    const value = given[key];
    if (value && value !== NO_SOURCE && !value.includes('://')) given[key] = here(value);
  }
  return { ...own, ...given, clickhouse_url: stack.clickhouse.url };
}

/** Applies CRDs, operator and examples. Returns the names of the examples' Backfills. */
async function applyAll(stack: Stack, data: string): Promise<string[]> {
  const apply = ['apply', '--server-side', '--force-conflicts', '--field-manager=npm-start', '-f'];
  const list = { apiVersion: 'v1', kind: 'List', items: clusterObjects(settingsOf(stack, data)) };
  await kubectl(stack, [...apply, join(ROOT, 'crds/yaml')]);
  await Promise.all([
    kubectl(stack, [...apply, '-'], JSON.stringify(list)),
    kubectl(stack, ['wait', '--for=condition=Established', '--timeout=60s', '-f', join(ROOT, 'crds/yaml')]).then(() =>
      // As a person does it, so that the person may change them afterwards.
      kubectl(stack, ['apply', '-f', join(ROOT, 'examples')]),
    ),
  ]);
  return globSync(join(ROOT, 'examples/*.yaml'))
    .flatMap(file => parseAllDocuments(readFileSync(file, 'utf8')).map(document => document.toJS()))
    .filter(object => object?.kind === 'Backfill')
    .map(object => String(object.metadata.name));
}

function showSummary(rows: Readonly<Record<string, number>>): void {
  console.log('\nRows in ClickHouse');
  for (const [table, count] of Object.entries(rows)) {
    console.log(`  ${table.padEnd(32)}${count.toLocaleString('en').padStart(12)}`);
  }
}

function showAddresses(stack: Stack): void {
  const lines: [string, string][] = [
    ['Temporal UI', stack.temporal.uiUrl ?? ''],
    ['Temporal', stack.temporal.address],
    ['ClickHouse', stack.clickhouse.process ? stack.clickhouse.url : stack.clickhouse.source],
    ['Kubernetes', stack.kubernetes.url],
  ];
  console.log('\nWhere to look');
  for (const [name, address] of lines) console.log(`  ${name.padEnd(16)}${address}`);
  console.log(`\n  export KUBECONFIG=${stack.kubernetes.kubeconfig}`);
  if (!findOnPath('kubectl')) console.log(`  export PATH=${dirname(programPath('kubectl'))}:$PATH`);
  console.log('  kubectl get ooni');
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (!options) {
    console.log(HELP);
    return 0;
  }
  checkSettings();
  const began = Date.now();
  const terminal = new Terminal();
  mkdirSync(options.data, { recursive: true });
  const lock = FileLock.tryTake(join(options.data, 'lock'));
  if (typeof lock === 'number') {
    throw new StartError(
      `Process ${lock} has started on ${options.data} already. Stop it with Ctrl-C, or keep this one's data elsewhere: npm start -- --data DIR --port-offset 1000`,
    );
  }
  const stopping = new AbortController();
  let signals = 0;
  let stack: Stack | undefined;
  let last = '';
  const interrupt = () => {
    stopping.abort(new Interrupted());
    // Whoever asks twice does not want to wait for pods to finish.
    if (++signals === 2) void stack?.stop(0);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'disconnect'] as const) process.on(signal, interrupt);
  try {
    await endEarlier(options.data);
    if (options.clean) cleanData(options.data);
    await obtainPrograms({ terminal });
    stopping.signal.throwIfAborted();
    const line = terminal.line('servers', 'starting ClickHouse, Temporal and Kubernetes', { elapsed: true });
    const bundled = bundleWorkflows();
    try {
      stack = await startStack(options.data, portsFrom(options.portOffset), stopping.signal);
      await bundled;
    } catch (error) {
      line.done('not started');
      throw error;
    }
    line.done(`${stack.clickhouse.source}, Temporal and Kubernetes run`);
    for (const process of stack.processes) {
      process.keep(message => terminal.print(message));
      void process.exited.then(how => {
        if (process.crashed)
          stopping.abort(new StartError(`${process.name} ${how}. Its log, ${process.log}, ends:\n${process.tail()}`));
      });
    }
    const backfills = await applyAll(stack, options.data);
    terminal.print(`${'resources'.padEnd(26)}CRDs, operator and examples are applied`);
    const log = pino({ level: 'silent' });
    const instruments = createInstruments({ log });
    const http = new Http(connectionSource({ kubeconfig: stack.kubernetes.kubeconfig }));
    const client = new Client(http, { fieldManager: 'npm-start' });
    const ended = await followBackfills(client, instruments, backfills, terminal, stopping.signal);
    await http.close();
    const { summary, verdicts } = await summarise(stack.clickhouse.url);
    showSummary(summary.rows);
    console.log(`\n${showVerdicts(verdicts)}`);
    const failed = ended.filter(({ status }) => status?.phase !== 'Complete');
    for (const { metadata, status } of failed) {
      const [last] = status?.failures ?? [];
      console.log(`backfill/${metadata.name}: ${status?.phase}${last ? `: ${last.bucket}: ${last.message}` : ''}`);
    }
    showAddresses(stack);
    if (options.exitWhenDone) {
      const seconds = Math.round((Date.now() - began) / 100) / 10;
      last = JSON.stringify({ ...summary, seconds });
      return failed.length > 0 ? 1 : 0;
    }
    console.log('\nEverything stays up until Ctrl-C.');
    await new Promise((_, reject) => {
      stopping.signal.throwIfAborted();
      stopping.signal.addEventListener('abort', () => reject(stopping.signal.reason), { once: true });
    });
    return 0;
  } catch (error) {
    if (error instanceof Interrupted) return 0;
    throw error;
  } finally {
    if (stack) {
      const line = new Terminal().line('stopping', 'pods first, then the servers', { elapsed: true });
      await stack.stop();
      line.done('everything that was started has stopped');
    }
    lock.release();
    // Behind everything else, for whoever reads the last line.
    if (last) console.log(last);
  }
}

/** Ctrl-C. */
class Interrupted extends Error {
  override name = 'Interrupted';
}

/** What a person can mend, as a sentence; undefined for a fault of ours, which shows its stack. */
function sentence(error: unknown): string | undefined {
  if (error instanceof StartError) return error.message;
  const { code, syscall, path = '', message } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC') return `The disk is full (${path}). Free some, or let --data name a folder on another disk.`;
  if (code === 'EACCES' || code === 'EROFS') return `${path} cannot be written. Let --data name a folder that can.`;
  if (syscall === 'mkdir') return `The data cannot be kept in ${path}: ${message}. Name a directory: --data DIR`;
  return undefined;
}

try {
  process.exitCode = await main();
} catch (error) {
  const said = sentence(error);
  if (said === undefined) throw error;
  console.error(`\n${said}`);
  process.exitCode = 1;
}
// The channel to the starter would keep this process alive.
process.disconnect?.();
