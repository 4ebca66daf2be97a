import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import pino from 'pino';
import { Client } from '../operator/kube/client.ts';
import { connectionSource } from '../operator/kube/config.ts';
import { Http } from '../operator/kube/http.ts';
import { createInstruments } from '../operator/kube/instruments.ts';
import { clusterObjects, settingsFrom } from '../operator/manifests.ts';
import { openArchive } from '../pipeline/archive/open.ts';
import { makeDirectory } from '../pipeline/directories.ts';
import { DATASET } from '../pipeline/reference/datasets.ts';
import { NO_SOURCE } from '../pipeline/reference/no-source.ts';
import { loadSettings, SettingsError } from '../pipeline/settings.ts';
import { isSystemError } from '../pipeline/system-error.ts';
import { parseClickHouseUrl } from '../pipeline/tables/clickhouse.ts';
import { applyDefinitions, applyObjects, createMissing, whenNamespaceExists } from './apply.ts';
import type { ClickHouseServer } from './clickhouse.ts';
import { followBackfills } from './follow.ts';
import { type JaegerServer, startJaeger } from './jaeger.ts';
import { FileLock } from './lock.ts';
import { findOnPath, requirePort, StartError, type Supervised } from './process.ts';
import { missingPrograms, obtainPrograms, PROGRAM_NAMES, type ProgramName, programPath } from './programs.ts';
import { whenOperatorLeads } from './ready.ts';
import { cleanData, endEarlier, portsFrom, ROOT, type Servers, type Stack, startServers, startStack } from './stack.ts';
import { summarise } from './summary.ts';
import { type SupersetServer, startSuperset } from './superset.ts';
import { obtainSuperset } from './superset-venv.ts';
import { Terminal } from './terminal.ts';
import { showVerdicts } from './verdicts.ts';
import { bundleWorkflows } from './workflows.ts';

const HELP = `npm start -- [options]

Starts Kubernetes, Temporal, ClickHouse and the operator on this machine, creates those resources of examples/
that do not exist yet, follows the backfills to their end and stays up until Ctrl-C.

  --no-kubernetes    start only Temporal, with its UI, and ClickHouse: what oonipipeline needs
  --traces           also start Jaeger, which receives the traces of all programs, with its UI on port 8088
  --superset         also start Superset with the dashboards, on port 8083; installs it from PyPI the first time
  --exit-when-done   stop everything after the summary, whose last line is one JSON object
  --clean            forget the data of earlier starts
  --data DIR         where data and logs are kept (.ooni)
  --port-offset N    add N to every port
  --help             this text

Settings in the environment hold for the workers and the operator: ARCHIVE_URL=s3://ooni-data-eu-fra reads
OONI's public archive instead of test/fixtures/archive; CLICKHOUSE_URL uses a ClickHouse that runs already.`;

/** Shown while programs are obtained: a command that works already. */
const HINT = `The programs of Kubernetes and Temporal are obtained first, once. Meanwhile the pipeline runs without them, in another terminal:

  npx oonipipeline run --archive test/fixtures/archive --clickhouse embedded:.ooni/embedded \\
    --fingerprints test/fixtures/fingerprints/fingerprints_dns.csv
`;

interface Options {
  readonly kubernetes: boolean;
  readonly superset: boolean;
  readonly traces: boolean;
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
    throw new StartError(`${error.message.split('. ')[0]}. npm start -- --help lists the options.`);
  }
  if (values.help) return undefined;
  if (values.data === '') throw new StartError('--data is empty: name a directory, or leave the option out for .ooni.');
  // Number reads an empty text as 0.
  const portOffset = Number(values['port-offset']?.trim() === '' ? Number.NaN : (values['port-offset'] ?? 0));
  if (!Number.isInteger(portOffset) || portOffset < -6000 || portOffset > 57_000) {
    throw new StartError(`--port-offset "${values['port-offset']}": write a whole number between -6000 and 57000.`);
  }
  if (values.traces && process.env.TELEMETRY_ENDPOINT) {
    throw new StartError(
      `TELEMETRY_ENDPOINT is ${process.env.TELEMETRY_ENDPOINT}, but --traces starts another receiver of traces. Unset it, or leave --traces out.`,
    );
  }
  if (values['no-kubernetes'] && values['exit-when-done']) {
    throw new StartError('--no-kubernetes starts servers and no work, so --exit-when-done has nothing to wait for.');
  }
  return {
    kubernetes: !values['no-kubernetes'],
    superset: values.superset ?? false,
    traces: values.traces ?? false,
    exitWhenDone: values['exit-when-done'] ?? false,
    clean: values.clean ?? false,
    data: values.data ? here(values.data) : join(ROOT, '.ooni'),
    portOffset,
  };
}

/** Resolves a path against the user's folder: npm runs scripts in the project's folder, wherever the user is. */
function here(path: string): string {
  return resolve(process.env.INIT_CWD ?? '.', path);
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    options: {
      superset: { type: 'boolean' },
      traces: { type: 'boolean' },
      'exit-when-done': { type: 'boolean' },
      'no-kubernetes': { type: 'boolean' },
      clean: { type: 'boolean' },
      data: { type: 'string' },
      'port-offset': { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  }).values;
}

/** Throws StartError for settings in the environment that every program would reject. */
function checkSettings(): void {
  const given = Object.entries(settingsFrom(process.env)).map(([key, value]) => [key.toUpperCase(), value]);
  try {
    const settings = loadSettings(Object.fromEntries(given));
    // These two have their own formats. Nothing connects to them yet.
    parseClickHouseUrl(settings.clickhouse_url);
    openArchive(settings);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    throw new StartError(`${error.message}\ndocs/settings.md has all settings.`);
  }
}

/** Returns the settings of workers and operator: those of this stack, with those of the environment in their place. */
function settingsOf(stack: Stack, jaeger: JaegerServer | undefined): Record<string, string> {
  const own = {
    archive_url: join(ROOT, 'test/fixtures/archive'),
    // Reference data of the repository: a start needs no network, and every start shows the same.
    fingerprints_dns_source: join(ROOT, 'test/fixtures/fingerprints/fingerprints_dns.csv'),
    fingerprints_http_source: join(ROOT, 'test/fixtures/fingerprints/fingerprints_http.csv.gz'),
    test_lists_source: join(ROOT, 'test/fixtures/test-lists.tar.gz'),
    as_organisations_source: NO_SOURCE,
    temporal_address: stack.temporal.address,
    temporal_ui_url: stack.temporal.uiUrl ?? '',
    log_format: 'json',
    ...(jaeger && { telemetry_endpoint: jaeger.endpoint }),
  };
  // The stack decides the address of a server, even if the environment has another one.
  const { temporal_address: _, temporal_ui_url: __, ...given } = settingsFrom(process.env);
  const sources = Object.values(DATASET).map(({ setting }) => setting);
  for (const key of ['archive_url', 'archive_legacy_url', 'geoip_dir', ...sources]) {
    const value = given[key];
    if (value && value !== NO_SOURCE && !value.includes('://')) given[key] = here(value);
  }
  return { ...own, ...given, clickhouse_url: stack.clickhouse.url };
}

/** Applies CRDs and operator, and creates the missing examples. Returns the names of the examples' Backfills, and messages for the user. */
async function applyAll(client: Client, settings: Record<string, string>, signal: AbortSignal) {
  await whenNamespaceExists(client, signal);
  const [definitions, operator] = await Promise.all([
    applyDefinitions(client, join(ROOT, 'crds/yaml'), signal),
    applyObjects(client, clusterObjects(settings)),
  ]);
  const { backfills, notes } = await createMissing(client, join(ROOT, 'examples'), ROOT);
  return { backfills, notes: [...definitions, ...operator, ...notes] };
}

function showSummary(rows: Readonly<Record<string, number>>): void {
  console.log('\nRows in ClickHouse');
  for (const [table, count] of Object.entries(rows)) {
    console.log(`  ${table.padEnd(32)}${count.toLocaleString('en').padStart(12)}`);
  }
}

function showAddresses(stack: Stack, { superset, jaeger }: Extras): void {
  const lines: [string, string][] = [
    ['Temporal UI', stack.temporal.uiUrl ?? ''],
    ['Temporal', stack.temporal.address],
    ['ClickHouse', stack.clickhouse.process ? stack.clickhouse.url : stack.clickhouse.source],
    ['Kubernetes', stack.kubernetes.url],
  ];
  console.log('\nWhere to look');
  if (superset) console.log(supersetLine(superset));
  if (jaeger) console.log(jaegerLine(jaeger));
  for (const [name, address] of lines) console.log(`  ${name.padEnd(16)}${address}`);
  showKubectl(stack.kubernetes.kubeconfig);
}

/** Returns a line with the address and the account of Superset. */
function supersetLine({ url, username, password }: SupersetServer): string {
  return `  Superset        ${url}  (${username} / ${password})`;
}

/** Returns a line with the address of Jaeger. */
function jaegerLine({ url, hasUI }: JaegerServer): string {
  return `  Traces          ${url}${hasUI ? '' : '  (the query API only: Jaeger was built from its Go module, which does not contain the UI)'}`;
}

/** Shows the addresses of the servers, and the commands that use them. Ports other than the usual ones need settings. */
function showCommands(servers: Servers, { superset, jaeger }: Extras, offset: number): void {
  const { temporal, clickhouse } = servers;
  console.log('\nWhere to look');
  if (superset) console.log(supersetLine(superset));
  if (jaeger) console.log(jaegerLine(jaeger));
  console.log(`  Temporal UI     ${temporal.uiUrl ?? ''}`);
  console.log(`  Temporal        ${temporal.address}`);
  console.log(`  ClickHouse      ${clickhouse.process ? clickhouse.url : clickhouse.source}\n`);
  if (offset !== 0) {
    console.log(`  export TEMPORAL_ADDRESS=${temporal.address}`);
    if (clickhouse.process) console.log(`  export CLICKHOUSE_URL=${clickhouse.url}`);
  }
  if (jaeger) console.log(`  export TELEMETRY_ENDPOINT=${jaeger.endpoint}`);
  if (offset !== 0 || jaeger) console.log();
  console.log(`In another terminal:

  npx oonipipeline schedule --probe-cc US --test-name signal
  npx oonipipeline backfill --create-tables --probe-cc US --test-name signal --start-at 2024-01-01 --end-at 2024-02-01
  npx oonipipeline startworkers
`);
}

/** Servers that the user asked for by an option. */
interface Extras {
  superset?: SupersetServer | undefined;
  jaeger?: JaegerServer | undefined;
}

/** Returns the options' programs in addition to `names`. */
function programsOf(options: Options, names: readonly ProgramName[]): ProgramName[] {
  return [...names, ...(options.traces ? (['jaeger'] as const) : [])];
}

/** Starts Jaeger if the user asked for it. */
async function openJaeger(options: Options, signal: AbortSignal): Promise<JaegerServer | undefined> {
  if (!options.traces) return undefined;
  return startJaeger({ dir: join(options.data, 'jaeger'), port: portsFrom(options.portOffset).traces, signal });
}

/** Throws StartError if the port of a server that the user asked for is in use. */
async function requireExtraPorts({ superset, traces, portOffset }: Options): Promise<void> {
  const ports = portsFrom(portOffset);
  if (superset) await requirePort(ports.superset, 'Superset');
  if (traces) await requirePort(ports.traces, 'Jaeger');
}

/** Starts the servers without Kubernetes and keeps them until the signal aborts. */
async function runServers(options: Options, terminal: Terminal, stopping: AbortController): Promise<number> {
  await obtainPrograms({ terminal, names: programsOf(options, ['temporal']), signal: stopping.signal });
  stopping.signal.throwIfAborted();
  const python = options.superset ? await obtainSuperset({ terminal, signal: stopping.signal }) : undefined;
  const line = terminal.line('servers', 'starting ClickHouse and Temporal', { elapsed: true });
  let servers: Servers;
  const extras: Extras = {};
  try {
    await requireExtraPorts(options);
    servers = await startServers(options.data, portsFrom(options.portOffset), stopping.signal);
  } catch (error) {
    line.done('not started');
    throw error;
  }
  try {
    line.done(`${servers.clickhouse.source} and Temporal run`);
    endWithServers(servers.processes, terminal, stopping);
    extras.jaeger = await openJaeger(options, stopping.signal);
    if (extras.jaeger) endWithServers([extras.jaeger.process], terminal, stopping);
    if (python) {
      extras.superset = await openSuperset(python, servers.clickhouse, options, terminal, stopping.signal);
      endWithServers([extras.superset.process], terminal, stopping);
    }
    showCommands(servers, extras, options.portOffset);
    console.log('Everything stays up until Ctrl-C.');
    return await untilAborted(stopping.signal);
  } finally {
    const end = new Terminal().line('stopping', 'the servers', { elapsed: true });
    await extras.superset?.stop();
    await servers.stop();
    // Last: it receives the last spans of the others.
    await extras.jaeger?.stop();
    end.done('everything that was started has stopped');
  }
}

/** Aborts the start with a message when one of its servers ends unexpectedly. */
function endWithServers(processes: readonly Supervised[], terminal: Terminal, stopping: AbortController): void {
  for (const process of processes) {
    process.keep(message => terminal.print(message));
    void process.exited.then(how => {
      if (process.crashed)
        stopping.abort(new StartError(`${process.name} ${how}. Its log, ${process.log}, ends:\n${process.tail()}`));
    });
  }
}

/** Rejects with the reason of the signal once it aborts. */
function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

function showKubectl(kubeconfig: string): void {
  console.log(`\n  export KUBECONFIG=${kubeconfig}`);
  if (!findOnPath('kubectl')) console.log(`  export PATH=${dirname(programPath('kubectl'))}:$PATH`);
  console.log('  kubectl get ooni\n');
}

/** Starts Superset against a running ClickHouse, and shows a line meanwhile. */
async function openSuperset(
  python: string,
  clickhouse: ClickHouseServer,
  options: Options,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<SupersetServer> {
  const line = terminal.line('superset', 'starting', { elapsed: true });
  try {
    const server = await startSuperset({
      python,
      dir: join(options.data, 'superset'),
      port: portsFrom(options.portOffset).superset,
      clickhouseUrl: clickhouse.url,
      onStep: step => line.update(`starting: ${step}`),
      signal,
    });
    line.done('runs with the dashboards');
    return server;
  } catch (error) {
    line.done('not started');
    throw error;
  }
}

/** Waits until the operator leads, and shows a line meanwhile. */
async function leading(client: Client, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const line = terminal.line('operator', 'starting', { elapsed: true });
  try {
    await whenOperatorLeads(client, signal, problem => terminal.print(problem));
  } catch (error) {
    line.done('does not lead yet');
    throw error;
  }
  line.done('leads, and every status is current');
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
  makeDirectory(options.data);
  const lock = FileLock.tryTake(join(options.data, 'lock'));
  if (typeof lock === 'number') {
    throw new StartError(
      `Process ${lock} has started on ${options.data} already. Stop it with Ctrl-C, or keep this one's data elsewhere: npm start -- --data DIR --port-offset 1000`,
    );
  }
  const stopping = new AbortController();
  let interrupted: number | undefined;
  let stack: Stack | undefined;
  const extras: Extras = {};
  let last = '';
  const interrupt = () => {
    stopping.abort(new Interrupted());
    interrupted ??= performance.now();
    // A second Ctrl-C: do not wait for pods to finish. One Ctrl-C may arrive several times, also through npm.
    if (performance.now() - interrupted > SECOND_SIGNAL_AFTER) void stack?.stop(0);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'disconnect'] as const) process.on(signal, interrupt);
  process.on('message', message => message === 'SIGINT' && interrupt());
  try {
    const left = await endEarlier(options.data);
    if (left.length > 0) {
      terminal.print(
        `An earlier start on this data did not stop in order. It left these running; they are now ended: ${left.join(', ')}`,
      );
    }
    if (options.clean) cleanData(options.data);
    if (!options.kubernetes) return await runServers(options, terminal, stopping);
    const programs = programsOf(options, PROGRAM_NAMES);
    if (missingPrograms(programs).length > 0) terminal.print(HINT);
    await obtainPrograms({ terminal, names: programs, signal: stopping.signal });
    stopping.signal.throwIfAborted();
    const python = options.superset ? await obtainSuperset({ terminal, signal: stopping.signal }) : undefined;
    const line = terminal.line('servers', 'starting ClickHouse, Temporal and Kubernetes', { elapsed: true });
    const bundled = bundleWorkflows();
    try {
      await requireExtraPorts(options);
      stack = await startStack(options.data, portsFrom(options.portOffset), stopping.signal);
      extras.jaeger = await openJaeger(options, stopping.signal);
      await bundled;
    } catch (error) {
      line.done('not started');
      throw error;
    }
    line.done(`${stack.clickhouse.source}, Temporal and Kubernetes run`);
    endWithServers([...stack.processes, ...(extras.jaeger ? [extras.jaeger.process] : [])], terminal, stopping);
    const http = new Http(connectionSource({ kubeconfig: stack.kubernetes.kubeconfig }));
    const client = new Client(http, { fieldManager: 'npm-start' });
    const { backfills, notes } = await applyAll(client, settingsOf(stack, extras.jaeger), stopping.signal);
    terminal.print(`${'resources'.padEnd(26)}CRDs and operator are applied, missing examples are created`);
    for (const note of notes) terminal.print(note);
    await leading(client, terminal, stopping.signal);
    const instruments = createInstruments({ log: pino({ level: 'silent' }) });
    const { kubernetes } = stack;
    let shown = false;
    const onProblem = () => {
      if (!shown) showKubectl(kubernetes.kubeconfig);
      shown = true;
    };
    const { signal } = stopping;
    const ended = await followBackfills({ client, instruments, terminal, signal, onProblem }, backfills);
    await http.close();
    const { summary, verdicts } = await summarise(stack.clickhouse.url);
    showSummary(summary.rows);
    console.log(`\n${showVerdicts(verdicts)}`);
    const failed = ended.filter(({ status }) => status?.phase !== 'Complete');
    for (const { metadata, status } of failed) {
      const [last] = status?.failures ?? [];
      console.log(`backfill/${metadata.name}: ${status?.phase}${last ? `: ${last.bucket}: ${last.message}` : ''}`);
    }
    if (python) {
      extras.superset = await openSuperset(python, stack.clickhouse, options, terminal, stopping.signal);
      endWithServers([extras.superset.process], terminal, stopping);
    }
    showAddresses(stack, extras);
    if (options.exitWhenDone) {
      const seconds = Math.round((Date.now() - began) / 100) / 10;
      last = JSON.stringify({ ...summary, seconds });
      return failed.length > 0 ? 1 : 0;
    }
    console.log('Everything stays up until Ctrl-C.');
    return await untilAborted(stopping.signal);
  } catch (error) {
    // Unfinished work then ends with many kinds of errors.
    if (stopping.signal.reason instanceof Interrupted) return 0;
    throw error;
  } finally {
    await extras.superset?.stop();
    if (stack) {
      const line = new Terminal().line('stopping', 'pods first, then the servers', { elapsed: true });
      await stack.stop();
      // Last: it receives the last spans of the others.
      await extras.jaeger?.stop();
      line.done('everything that was started has stopped');
    }
    lock.release();
    // The last line of the output, for programs that read only that line.
    if (last) console.log(last);
  }
}

/** Milliseconds after which a second signal counts as a second request. */
const SECOND_SIGNAL_AFTER = 1_000;

/** The user pressed Ctrl-C. */
class Interrupted extends Error {
  override name = 'Interrupted';
}

/** Returns a message for an error that the user can fix, or undefined for a defect of this program, which is shown with its stack. */
function sentence(error: unknown): string | undefined {
  if (error instanceof StartError) return error.message;
  if (!isSystemError(error)) return undefined;
  const { code, syscall, path = '', message } = error;
  if (code === 'ENOSPC') return `The disk is full (${path}). Free some, or let --data name a folder on another disk.`;
  if (code === 'EACCES' || code === 'EROFS') return `${path} cannot be written. Let --data name a folder that can.`;
  if (syscall === 'mkdir' || syscall === 'open') {
    return `The data cannot be kept in ${path}: ${message}. Name a directory: --data DIR`;
  }
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
// The channel to the parent process would keep this process alive.
process.disconnect?.();
