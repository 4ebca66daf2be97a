/**
 * Time from the start of `oonipipeline` to its help, for the list of commands and for each command: the time that a user waits before a
 * command works. The code cache is filled by a first start that does not count. `node` is the same for an empty program.
 *
 *     npm run bench -- cli [STARTS]
 *
 * Prints a table of milliseconds and, last, one line of JSON. `cpu` is the processor time of the fastest start, which other programs on
 * the machine change less.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createProgram } from '../../cli/program.ts';

/** Milliseconds: the first for the list of commands, the second for the help of each command. */
const LIMITS = { list: 150, command: 400 };
const MAIN = join(import.meta.dirname, '../../cli/main.ts');
/** Prints the processor time of its process when it ends. */
const CPU = `data:text/javascript,process.on('exit',()=>{const{user,system}=process.cpuUsage();process.stderr.write('cpu '+(user+system)/1000+'\\n')})`;

const starts = Number(process.argv[2] ?? 10);
const cache = mkdtempSync(join(tmpdir(), 'ooni-bench-cli-'));
try {
  const commands = (await createProgram([])).commands.map(command => command.name());
  const rows: Record<string, { median: number; fastest: number; cpu: number; limit: number | '' }> = {};
  rows.node = { ...(await measure(['-e', '0'])), limit: '' };
  rows['--help'] = { ...(await measure([MAIN, '--help'])), limit: LIMITS.list };
  for (const name of commands) {
    rows[`${name} --help`] = { ...(await measure([MAIN, name, '--help'])), limit: LIMITS.command };
  }
  console.table(rows);
  console.log(JSON.stringify(rows));
} finally {
  rmSync(cache, { recursive: true, force: true });
}

async function measure(args: readonly string[]): Promise<{ median: number; fastest: number; cpu: number }> {
  await start(args);
  const times: number[] = [];
  let cpu = Number.POSITIVE_INFINITY;
  for (let i = 0; i < starts; i++) {
    const one = await start(args);
    times.push(one.elapsed);
    cpu = Math.min(cpu, one.cpu);
  }
  times.sort((a, b) => a - b);
  return {
    median: Math.round(times[times.length >> 1] as number),
    fastest: Math.round(times[0] as number),
    cpu: Math.round(cpu),
  };
}

async function start(args: readonly string[]): Promise<{ elapsed: number; cpu: number }> {
  const began = performance.now();
  const child = spawn(process.execPath, ['--import', CPU, ...args], {
    env: { ...process.env, XDG_CACHE_HOME: cache, NODE_OPTIONS: '' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', text => {
    said += text;
  });
  const [status] = await once(child, 'close');
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}: ${said}`);
  return { elapsed: performance.now() - began, cpu: Number(/cpu (\S+)/.exec(said)?.[1]) };
}
