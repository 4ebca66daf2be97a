/**
 * Time until a command of `oonipipeline` and of `kubectl ooni` does something: until its help is printed, and until it reaches its server for
 * the first time, which is the wait before its work. The commands are those of the npm package, which is made first; with `--sources`,
 * those of the clone. The code cache is filled by a first start that does not count. `node` is the same for an empty program.
 *
 *     npm run bench -- cli [STARTS] [--sources]
 *
 * Prints a table of milliseconds and, last, one line of JSON. `cpu` is the least processor time of a start, which other programs on
 * the machine change less.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HELP_COMMAND } from '../../cli/help-command.ts';
import { createKubectlProgram } from '../../cli/kubectl/program.ts';
import { createProgram } from '../../cli/program.ts';
import { processorTime } from './processor-time.ts';

/** Milliseconds: the first for the list of commands, the second for a command. */
const LIMITS = { list: 150, command: 400 };
const ROOT = join(import.meta.dirname, '../..');
const PROGRAMS = { oonipipeline: createProgram, 'kubectl-ooni': createKubectlProgram };
/** Prints the processor time of its process when it ends. */
const CPU = `data:text/javascript,process.on('exit',()=>{const{user,system}=process.cpuUsage();process.stderr.write('cpu '+(user+system)/1000+'\\n')})`;
const UID = '0120230530d1ede6090eb41dc281857d64d87b1f';
/** Milliseconds after which a command that waits for its server is stopped. */
const PATIENCE = 10_000;
/** Commands that reach a server first of all, with the arguments that they need. */
const WORK: Readonly<Record<keyof typeof PROGRAMS, readonly string[]>> = {
  oonipipeline: [
    'run --start-at 2024-01-01 --end-at 2024-01-02 --fingerprints none',
    'schedule --no-kubernetes',
    'schedule --kubernetes',
    'backfill --no-kubernetes',
    'backfill --kubernetes',
    'clear-schedules --no-kubernetes --yes',
    'startworkers',
    'status',
    'runs',
    'failures',
    'sql SELECT',
    `explain ${UID}`,
    'verify --start-at 2024-01-01 --end-at 2024-01-02',
    'sync --start-at 2024-01-01 --end-at 2024-01-02 --output-dir x',
    'migrate --dry-run',
    'checkdb --no-print-create --print-diff',
    'check-duplicates',
    'update-assets --only fingerprints_dns',
    'geoip --dir x',
  ],
  'kubectl-ooni': [
    'status',
    'backfill create',
    'backfill watch x',
    'backfill pause x',
    'schedule run x',
    'schedule suspend x',
    'pool drain x --yes',
    'doctor',
    'report',
    'logs',
  ],
};

/** One start, in milliseconds by the clock and of processor time. */
interface Start {
  readonly elapsed: number;
  readonly cpu: number;
}

interface Row {
  median: number;
  fastest: number;
  cpu: number;
  limit: number | '';
}

const starts = Number(process.argv.slice(2).find(text => !text.startsWith('-')) ?? 10);
const dir = mkdtempSync(join(tmpdir(), 'ooni-bench-cli-'));
const bin = process.argv.includes('--sources') ? join(ROOT, 'cli/bin') : join(makePackage(dir), 'cli/bin');

/** Stands in for ClickHouse, Temporal, the archive and the API server. */
let reached = () => {};
const server = createServer(socket => {
  reached();
  socket.destroy();
});
await once(server.listen(0, '127.0.0.1'), 'listening');
const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
const kubeconfig = join(dir, 'kubeconfig');
writeFileSync(
  kubeconfig,
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'bench',
    contexts: [{ name: 'bench', context: { cluster: 'bench', user: 'bench' } }],
    clusters: [{ name: 'bench', cluster: { server: `https://${address}` } }],
    users: [{ name: 'bench', user: { token: 'bench' } }],
  }),
);
const env = {
  PATH: process.env.PATH,
  HOME: dir,
  XDG_CACHE_HOME: join(dir, 'cache'),
  KUBECONFIG: kubeconfig,
  CLICKHOUSE_URL: `http://${address}`,
  TEMPORAL_ADDRESS: address,
  ARCHIVE_ENDPOINT: `http://${address}`,
  FINGERPRINTS_DNS_SOURCE: `http://${address}/x.csv`,
};

try {
  const rows: Record<string, Row> = { node: { ...(await measureHelp(['-e', '0'])), limit: '' } };
  for (const [name, create] of Object.entries(PROGRAMS)) {
    const main = join(bin, `${name}.mjs`);
    rows[`${name} --help`] = { ...(await measureHelp([main, '--help'])), limit: LIMITS.list };
    for (const command of (await create([])).commands) {
      if (command.name() === HELP_COMMAND) continue;
      const line = [command.name(), '--help'];
      rows[`${name} ${line.join(' ')}`] = { ...(await measureHelp([main, ...line])), limit: LIMITS.command };
    }
    for (const line of WORK[name as keyof typeof PROGRAMS]) {
      const args = [main, ...line.split(' ')];
      await untilReached(args, { fillsCache: true });
      rows[`${name} ${line}`] = { ...(await measure(() => untilReached(args))), limit: LIMITS.command };
    }
  }
  console.table(rows);
  console.log(JSON.stringify(rows));
} finally {
  server.close();
  rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
}

/** Makes the files of the npm package in `dir/package`, without installing it, and returns the path. */
function makePackage(dir: string): string {
  execFileSync(process.execPath, [join(ROOT, 'tools/package.ts')], { stdio: ['ignore', 'ignore', 'inherit'] });
  const made = join(dir, 'package');
  cpSync(join(ROOT, 'cli/bin'), join(made, 'cli/bin'), { recursive: true });
  for (const name of ['dist', 'node_modules', 'package.json']) symlinkSync(join(ROOT, name), join(made, name));
  return made;
}

async function measure(start: () => Promise<Start>): Promise<Omit<Row, 'limit'>> {
  const all: Start[] = [];
  for (let i = 0; i < starts; i++) all.push(await start());
  const times = all.map(({ elapsed }) => Math.round(elapsed)).sort((a, b) => a - b);
  return {
    median: times[times.length >> 1] as number,
    fastest: times[0] as number,
    cpu: Math.round(Math.min(...all.map(({ cpu }) => cpu))),
  };
}

async function measureHelp(args: readonly string[]): Promise<Omit<Row, 'limit'>> {
  await start(args);
  return measure(() => start(args));
}

async function start(args: readonly string[]): Promise<Start> {
  const began = performance.now();
  const child = spawn(process.execPath, ['--import', CPU, ...args], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', text => {
    said += text;
  });
  const [status] = await once(child, 'close');
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}: ${said}`);
  return { elapsed: performance.now() - began, cpu: Number(/cpu (\S+)/.exec(said)?.[1]) };
}

/**
 * Returns the time until a command reaches its server.
 *
 * @param fillsCache let the command end by itself, because Node writes the code cache at the end; else it is killed
 */
async function untilReached(args: readonly string[], { fillsCache = false } = {}): Promise<Start> {
  const began = performance.now();
  const child = spawn(process.execPath, args, { env, cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] });
  const gone = once(child, 'close');
  let said = '';
  child.stderr.setEncoding('utf8').on('data', text => {
    said += text;
  });
  const reaching = await Promise.race([
    new Promise<Start>(resolve => {
      reached = () => resolve({ elapsed: performance.now() - began, cpu: 1000 * processorTime(child.pid as number) });
    }),
    gone.then(() => {
      throw new Error(`${args.join(' ')} ended before it reached a server: ${said}`);
    }),
  ]);
  const timers = fillsCache
    ? [setTimeout(() => child.kill('SIGINT'), PATIENCE), setTimeout(() => child.kill('SIGKILL'), 2 * PATIENCE)]
    : [];
  if (!fillsCache) child.kill('SIGKILL');
  await gone;
  for (const timer of timers) clearTimeout(timer);
  return reaching;
}
