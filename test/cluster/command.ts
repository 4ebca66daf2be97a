import { type ChildProcess, spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

export interface CommandOptions {
  readonly stdin?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Shows the output while the command runs. */
  readonly show?: boolean;
  /** Begins after an interruption, too, and no interruption ends it. */
  readonly cleans?: boolean;
  /** Maximum time, in milliseconds. The program and what it started are killed then. */
  readonly timeout?: number;
}

/** Running commands that an interruption ends. */
const running = new Set<ChildProcess>();
let interruption: Error | undefined;
let cleaning = false;

/**
 * Kills the running commands, and lets no other begin until `beginCleaning`, except for those that clean up. Commands and waits fail with the
 * error. While the run cleans up, it changes nothing: a cluster whose removal was killed would stay up.
 */
export function interrupt(error: Error): void {
  if (cleaning) return;
  interruption = error;
  for (const child of running) kill(child);
}

/** Lets commands begin again, and ignores further interruptions. */
export function beginCleaning(): void {
  cleaning = true;
  interruption = undefined;
}

/** Returns the error of `interrupt`, until `beginCleaning`. */
export function interrupted(): Error | undefined {
  return interruption;
}

/** Runs a program and returns its standard output. Throws an error that ends with its standard error if it fails. */
export async function command(name: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  if (interruption && !options.cleans) throw interruption;
  const child = spawn(name, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    // A group of processes, which a timeout or an interruption can end as a whole.
    detached: true,
    stdio: [
      options.stdin === undefined ? 'ignore' : 'pipe',
      options.show ? 'inherit' : 'pipe',
      options.show ? 'inherit' : 'pipe',
    ],
  });
  if (!options.cleans) running.add(child);
  // A program that ends without reading its input closes the pipe; its status says why it ended.
  child.stdin?.once('error', () => {});
  child.stdin?.end(options.stdin);
  const status = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  let late = false;
  const timer =
    options.timeout &&
    setTimeout(() => {
      late = true;
      kill(child);
    }, options.timeout);
  const [out, err, code] = await Promise.all([
    child.stdout ? text(child.stdout) : '',
    child.stderr ? text(child.stderr) : '',
    status.finally(() => {
      clearTimeout(timer);
      running.delete(child);
    }),
  ]);
  if (interruption && !options.cleans) throw interruption;
  if (code !== 0) {
    const shown = [name.split('/').at(-1), ...args].join(' ');
    const how = late ? `did not end within ${Math.ceil(options.timeout! / 1000)} s` : `ended with ${code}`;
    throw new Error(`${shown} ${how}: ${(err || out).trim().split('\n').slice(-15).join('\n')}`);
  }
  return out;
}

/** Kills a command with the processes that it started. */
function kill(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Polls until `look` returns a value other than undefined and false. After `seconds`, throws the last error, or one that names `what`. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false>,
  seconds = 300,
): Promise<NonNullable<T>> {
  const end = performance.now() + seconds * 1000;
  let last: Error | undefined;
  while (performance.now() < end) {
    if (interruption) throw interruption;
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found as NonNullable<T>;
      last = undefined;
    } catch (error) {
      last = error as Error;
    }
    await sleep(500);
  }
  throw new Error(`${what}: not so after ${seconds} s${last ? ` (${last.message})` : ''}`);
}
