import { join } from 'node:path';
import pino from 'pino';
import { columnsOf } from '../cli/width.ts';
import type { Backfill } from '../crds/backfill.ts';
import { Client } from '../operator/kube/client.ts';
import { connectionSource } from '../operator/kube/config.ts';
import { Http } from '../operator/kube/http.ts';
import { createInstruments } from '../operator/kube/instruments.ts';
import { clusterObjects } from '../operator/manifests.ts';
import { makeDirectory } from '../pipeline/directories.ts';
import { sentence } from '../pipeline/sentence.ts';
import { isSystemError } from '../pipeline/system-error.ts';
import { applyDefinitions, applyObjects, createMissing, whenNamespaceExists } from './apply.ts';
import type { ClickHouseServer } from './clickhouse.ts';
import { followBackfills } from './follow.ts';
import { Interrupted, stopAtSignals } from './interrupts.ts';
import { type JaegerServer, startJaeger } from './jaeger.ts';
import { FileLock } from './lock.ts';
import { HELP, type Options, readOptions } from './options.ts';
import { requirePort, StartError, type Supervised, UsageError } from './process.ts';
import { missingPrograms, obtainPrograms, PROGRAM_NAMES, type ProgramName } from './programs.ts';
import { whenOperatorLeads } from './ready.ts';
import { checkSettings, settingsOf } from './settings.ts';
import { cleanData, endEarlier, portsFrom, ROOT, type Servers, type Stack, startServers, startStack } from './stack.ts';
import { summarise } from './summary.ts';
import { type SupersetServer, startSuperset } from './superset.ts';
import { obtainSuperset } from './superset-venv.ts';
import { Terminal } from './terminal.ts';
import { showVerdicts } from './verdicts.ts';
import { type Extras, showAddresses, showCommands, showKubectl } from './where-to-look.ts';
import { bundleWorkflows } from './workflows.ts';

/** Shown while programs are obtained: a command that works already. */
const HINT = `The programs of the servers are obtained first, once. Meanwhile the pipeline runs without them, in another terminal:

  npx oonipipeline run --archive test/fixtures/archive --clickhouse embedded:.ooni/embedded \\
    --fingerprints test/fixtures/fingerprints/fingerprints_dns.csv
`;

/** One start: its options, the terminal, and the signal that ends it. */
interface Start {
  readonly options: Options;
  /** Milliseconds since 1970. */
  readonly began: number;
  readonly terminal: Terminal;
  readonly stopping: AbortController;
}

/** Status of the program, and its last line of output, for programs that read only that line. */
interface End {
  readonly status: number;
  readonly last?: string;
}

/** Applies CRDs and operator, and creates the missing examples. Returns the names of the examples' Backfills, and messages for the user. */
async function applyAll(client: Client, settings: Record<string, string>, signal: AbortSignal) {
  await whenNamespaceExists(client, signal);
  const definitions = await applyDefinitions(client, join(ROOT, 'crds/yaml'), signal);
  const [operator, { backfills, notes }] = await Promise.all([
    applyObjects(client, clusterObjects(settings)),
    createMissing(client, join(ROOT, 'examples'), ROOT),
  ]);
  return { backfills, notes: [...definitions, ...operator, ...notes] };
}

function showSummary(rows: Readonly<Record<string, number>>): void {
  console.log('\nRows in ClickHouse');
  for (const [table, count] of Object.entries(rows)) {
    console.log(`  ${table.padEnd(32)}${count.toLocaleString('en').padStart(12)}`);
  }
}

/** Obtains the programs of the servers, and of the options in addition to them. Throws as `obtainPrograms` does. */
async function obtain({ options, terminal, stopping }: Start, servers: readonly ProgramName[]): Promise<void> {
  const { signal } = stopping;
  const names: ProgramName[] = [...servers, ...(options.traces ? (['jaeger'] as const) : [])];
  if (missingPrograms(names).length > 0) terminal.print(HINT);
  await obtainPrograms({ terminal, names, signal });
  signal.throwIfAborted();
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
async function runServers(start: Start): Promise<never> {
  const { options, terminal, stopping } = start;
  await obtain(start, ['temporal']);
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

/** A stack that runs, with the servers that the user asked for. */
interface Running extends Extras {
  stack?: Stack;
}

/** Starts the stack in `running`, follows the backfills to their end, and keeps it until the signal aborts. */
async function runStack(start: Start, running: Running): Promise<End> {
  const { options, terminal, stopping } = start;
  const { signal } = stopping;
  await obtain(start, PROGRAM_NAMES);
  const python = options.superset ? await obtainSuperset({ terminal, signal }) : undefined;
  const stack = await openStack(start, running);
  const failed = await runExamples(start, stack, running.jaeger);
  const { summary, verdicts } = await summarise(stack.clickhouse.url);
  showSummary(summary.rows);
  console.log(`
${showVerdicts(verdicts, columnsOf(process.stdout))}`);
  showFailed(failed);
  if (python) {
    running.superset = await openSuperset(python, stack.clickhouse, options, terminal, signal);
    endWithServers([running.superset.process], terminal, stopping);
  }
  showAddresses(stack, options, running);
  if (options.exitWhenDone) {
    const seconds = Math.round((Date.now() - start.began) / 100) / 10;
    return { status: failed.length > 0 ? 1 : 0, last: JSON.stringify({ ...summary, seconds }) };
  }
  console.log('Everything stays up until Ctrl-C.');
  return await untilAborted(signal);
}

/** Starts the servers of the stack, and shows a line meanwhile. */
async function openStack({ options, terminal, stopping }: Start, running: Running): Promise<Stack> {
  const line = terminal.line('servers', 'starting ClickHouse, Temporal and Kubernetes', { elapsed: true });
  const bundled = bundleWorkflows();
  try {
    await requireExtraPorts(options);
    running.stack = await startStack(options.data, portsFrom(options.portOffset), stopping.signal);
    running.jaeger = await openJaeger(options, stopping.signal);
    await bundled;
  } catch (error) {
    line.done('not started');
    throw error;
  }
  const { stack, jaeger } = running;
  line.done(`${stack.clickhouse.source}, Temporal and Kubernetes run`);
  endWithServers([...stack.processes, ...(jaeger ? [jaeger.process] : [])], terminal, stopping);
  return stack;
}

/** Stops everything of the stack that was started. */
async function stopStack({ stack, superset, jaeger }: Running): Promise<void> {
  await superset?.stop();
  if (!stack) return;
  const line = new Terminal().line('stopping', 'pods first, then the servers', { elapsed: true });
  await stack.stop();
  // Last: it receives the last spans of the others.
  await jaeger?.stop();
  line.done('everything that was started has stopped');
}

/** Applies the operator and the examples, and follows the backfills to their end. Returns those that are not complete. */
async function runExamples(start: Start, stack: Stack, jaeger?: JaegerServer): Promise<Backfill[]> {
  const { terminal, stopping } = start;
  const { signal } = stopping;
  const http = new Http(connectionSource({ kubeconfig: stack.kubernetes.kubeconfig }));
  const client = new Client(http, { fieldManager: 'npm-start' });
  const { backfills, notes } = await applyAll(client, settingsOf(stack, jaeger), signal);
  terminal.print(`${'resources'.padEnd(26)}CRDs and operator are applied, missing examples are created`);
  for (const note of notes) terminal.print(note);
  await leading(client, terminal, signal);
  const instruments = createInstruments({ log: pino({ level: 'silent' }) });
  let shown = false;
  const onProblem = () => {
    if (!shown) showKubectl(stack, start.options);
    shown = true;
  };
  const ended = await followBackfills({ client, instruments, terminal, signal, onProblem }, backfills);
  await http.close();
  return ended.filter(({ status }) => status?.phase !== 'Complete');
}

function showFailed(backfills: readonly Backfill[]): void {
  for (const { metadata, status } of backfills) {
    const [last] = status?.failures ?? [];
    console.log(`backfill/${metadata.name}: ${status?.phase}${last ? `: ${last.bucket}: ${last.message}` : ''}`);
  }
}

/** Takes the lock of the data directory. Throws StartError when another start has it. */
function lockData(data: string): FileLock {
  const lock = FileLock.tryTake(join(data, 'lock'));
  if (typeof lock !== 'number') return lock;
  throw new StartError(
    `Process ${lock} has started on ${data} already. Stop it with Ctrl-C, or keep this one's data elsewhere: npm start -- --data DIR --port-offset 1000`,
  );
}

async function endEarlierStart({ options, terminal }: Start): Promise<void> {
  const left = await endEarlier(options.data);
  if (left.length === 0) return;
  terminal.print(
    `An earlier start on this data did not end all of its processes. It left these running; they are now ended: ${left.join(', ')}`,
  );
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (!options) {
    console.log(HELP);
    return 0;
  }
  checkSettings();
  const start = { options, began: Date.now(), terminal: new Terminal(), stopping: new AbortController() };
  makeDirectory(options.data);
  const lock = lockData(options.data);
  const running: Running = {};
  let end: End | undefined;
  stopAtSignals(start.stopping, () => void running.stack?.stop(0));
  try {
    await endEarlierStart(start);
    if (options.clean) cleanData(options.data);
    end = options.kubernetes ? await runStack(start, running) : await runServers(start);
    return end.status;
  } catch (error) {
    // Unfinished work then ends with many kinds of errors.
    if (start.stopping.signal.reason instanceof Interrupted) return 0;
    throw error;
  } finally {
    await stopStack(running);
    lock.release();
    if (end?.last) console.log(end.last);
  }
}

/** Returns a message for an error that the user can fix, or undefined for a defect of this program, which is shown with its stack. */
function messageFor(error: unknown): string | undefined {
  if (error instanceof StartError) return error.message;
  if (!isSystemError(error)) return undefined;
  const { code, syscall, path = '', message } = error;
  if (code === 'ENOSPC') return `The disk is full (${path}). Free some, or let --data name a folder on another disk.`;
  if (code === 'EACCES' || code === 'EROFS') return `${path} cannot be written. Let --data name a folder that can.`;
  if (syscall === 'mkdir' || syscall === 'open') {
    return `The data cannot be kept in ${path}: ${sentence(message)} Name a directory: --data DIR`;
  }
  return undefined;
}

try {
  process.exitCode = await main();
} catch (error) {
  const said = messageFor(error);
  if (said === undefined) throw error;
  console.error(`\n${said}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
// The channel to the parent process would keep this process alive.
process.disconnect?.();
