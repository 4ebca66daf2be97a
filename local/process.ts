import { type ChildProcess, spawn } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { doubledWait } from '../pipeline/back-off.ts';
import { makeDirectory } from '../pipeline/directories.ts';
import { listenOnce } from '../pipeline/free-port.ts';
import { isSystemError } from '../pipeline/system-error.ts';

/** An error that the user can fix. Shown as a message, without a stack. */
export class StartError extends Error {
  override name = 'StartError';
}

/** The command line is wrong. The program ends with status 2, as the commands do. */
export class UsageError extends StartError {
  override name = 'UsageError';
}

export interface Program {
  /** Name of the log and the pid file. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Folder of `<name>.log` and `<name>.pid`. */
  readonly dir: string;
  /** Opens a channel for messages to a Node program. The program sees `disconnect` when this process is gone. */
  readonly ipc?: boolean;
}

/** A kept process that ends this often in a row, each time within a minute of its start, is given up. */
const TRIES = 4;
const RESTART_WAITS = { initial: 500, longest: 4_000 };

/** A process that this process started. */
export class Supervised {
  readonly name: string;
  readonly log: string;
  /** Resolves when the process has ended for good, with a phrase that describes how. */
  readonly exited: Promise<string>;
  readonly #program: Program;
  readonly #pidFile: string;
  readonly #exit = Promise.withResolvers<string>();
  #child!: ChildProcess;
  #startedAt = 0;
  #ended = false;
  #stopping = false;
  #failures = 0;
  #onRestart: ((message: string) => void) | undefined;
  #restart: NodeJS.Timeout | undefined;

  constructor(program: Program) {
    this.name = program.name;
    this.log = join(program.dir, `${program.name}.log`);
    this.exited = this.#exit.promise;
    this.#program = program;
    this.#pidFile = join(program.dir, `${program.name}.pid`);
    this.#spawn('w');
  }

  /** True if the process ended for good without a request. */
  get crashed(): boolean {
    return this.#ended && !this.#stopping;
  }

  /** The current process. */
  get child(): ChildProcess {
    return this.#child;
  }

  /** Restarts the process from now on when it ends without a request, and reports each restart. */
  keep(onRestart: (message: string) => void): void {
    this.#onRestart = onRestart;
  }

  /** Asks the process to end, waits `grace` milliseconds, then kills it. Resolves when the process is gone. */
  async stop(grace = 10_000, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#stopping = true;
    if (this.#ended) return;
    if (this.#restart) {
      clearTimeout(this.#restart);
      this.#end('was stopped');
      return;
    }
    this.#child.kill(signal);
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), grace);
    await this.exited;
    clearTimeout(timer);
  }

  #spawn(logMode: 'w' | 'a'): void {
    const { command, args, cwd, env, ipc } = this.#program;
    this.#restart = undefined;
    this.#startedAt = Date.now();
    const out = openSync(this.log, logMode);
    // A child with a channel notices the end of this process; the kernel signals the others.
    const setpriv = ipc ? undefined : findOnPath('setpriv');
    const child = spawn(setpriv ?? command, setpriv ? ['--pdeathsig', 'TERM', command, ...args] : [...args], {
      cwd,
      env: { ...process.env, ...env },
      detached: true,
      stdio: ipc ? ['ignore', out, out, 'ipc'] : ['ignore', out, out],
    });
    closeSync(out);
    this.#child = child;
    if (child.pid !== undefined) writeFileSync(this.#pidFile, `${child.pid} ${startTime(child.pid) ?? ''}\n`);
    child.once('error', error => this.#gone(error.message));
    child.once('exit', (code, signal) => this.#gone(signal ? `was ended by ${signal}` : `exited with status ${code}`));
  }

  #gone(how: string): void {
    if (this.#ended || this.#restart) return;
    if (Date.now() - this.#startedAt > 60_000) this.#failures = 0;
    if (!this.#onRestart || this.#stopping || ++this.#failures >= TRIES) {
      this.#end(how);
      return;
    }
    this.#onRestart(`${this.name} ${how}; it is restarted (log: ${this.log})`);
    this.#restart = setTimeout(() => this.#spawn('a'), doubledWait(this.#failures, RESTART_WAITS));
  }

  #end(how: string): void {
    this.#ended = true;
    rmSync(this.#pidFile, { force: true });
    this.#exit.resolve(how);
  }

  /** Returns the last lines of the log, for an error message. */
  tail(lines = 5): string {
    return tail(this.log, lines);
  }

  /** Waits until `ready` returns true. Throws StartError with the end of the log if the process ends first, or after `timeout` milliseconds. */
  async waitFor(ready: () => Promise<boolean>, timeout = 60_000, signal?: AbortSignal): Promise<void> {
    const deadline = Date.now() + timeout;
    for (;;) {
      signal?.throwIfAborted();
      if (this.#ended)
        throw new StartError(`${this.name} ${await this.exited}. Its log, ${this.log}, ends:\n${this.tail()}`);
      if (await ready()) return;
      if (Date.now() > deadline) {
        throw new StartError(
          `${this.name} was not ready within ${timeout / 1000} s. Its log, ${this.log}, ends:\n${this.tail()}`,
        );
      }
      await sleep(50);
    }
  }
}

/**
 * Starts a program with its output in `<dir>/<name>.log`. It runs in a separate process group, so that Ctrl-C reaches only this process,
 * which decides the order of stopping. Where the system supports it, the program ends with this process, however this process ends. If an
 * earlier run left a process with the same name and directory, that process is ended first.
 */
export async function supervise(program: Program): Promise<Supervised> {
  makeDirectory(program.dir);
  await endLeftover(join(program.dir, `${program.name}.pid`));
  return new Supervised(program);
}

/** Ends the processes of an earlier run that pid files in the folder name. Returns them as `name (process 123)`. */
export async function endLeftovers(dir: string): Promise<string[]> {
  if (!statSync(dir, { throwIfNoEntry: false })) return [];
  const files = readdirSync(dir).filter(name => name.endsWith('.pid'));
  const ended = await Promise.all(files.map(name => endLeftover(join(dir, name))));
  return ended.filter(one => one !== undefined);
}

/** Ends the process that a pid file names, if it still runs, and then returns `name (process 123)`. */
async function endLeftover(pidFile: string): Promise<string | undefined> {
  const left = readPid(pidFile);
  const ended = left !== undefined && (await endProcess(left));
  rmSync(pidFile, { force: true });
  return ended ? `${basename(pidFile, '.pid')} (process ${left.pid})` : undefined;
}

/** Milliseconds that a process of an earlier run gets to end by itself, and then after SIGTERM. */
const LEFT = { alone: 1_000, term: 10_000 };

/**
 * Ends a process of an earlier run, with `group` its process group, and waits until it is gone. A process may already be ending because its
 * parent is gone; it first gets no second signal, because servers would then end without writing their data. Returns false if the process
 * was already gone.
 */
export async function endProcess(identity: ProcessIdentity, options: { group?: boolean } = {}): Promise<boolean> {
  if (!isRunning(identity)) return false;
  const send = (signal: NodeJS.Signals) => {
    try {
      process.kill(options.group ? -identity.pid : identity.pid, signal);
    } catch (error) {
      // It has ended since the check.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  const gone = async (ms: number) => {
    for (let waited = 0; isRunning(identity); waited += 50) {
      if (waited >= ms) return false;
      await sleep(50);
    }
    return true;
  };
  // A stopped process (SIGSTOP) receives no other signal.
  send('SIGCONT');
  if (await gone(LEFT.alone)) return true;
  send('SIGTERM');
  while (!(await gone(LEFT.term))) send('SIGKILL');
  return true;
}

export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since boot, from /proc. Distinguishes a process from a later one with the same id. */
  readonly start: string;
}

/** Reads a pid file. Returns undefined if the file is missing or invalid. */
export function readPid(file: string): ProcessIdentity | undefined {
  if (!statSync(file, { throwIfNoEntry: false })) return undefined;
  const [pid, start] = readFileSync(file, 'utf8').trim().split(' ');
  return pid && start ? { pid: Number(pid), start } : undefined;
}

/** Returns whether exactly this process still runs. A zombie without other threads does not. */
export function isRunning(identity: ProcessIdentity): boolean {
  return startTime(identity.pid) === identity.start;
}

/** Returns the start time of a process, or undefined if it does not run or the system does not report it. */
export function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in parentheses, may contain spaces.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' && !hasOtherThreads(pid) ? undefined : fields[19];
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

/** Returns whether a process has other threads than its first. If the first is a zombie, they still hold files and ports. */
function hasOtherThreads(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).some(thread => thread !== String(pid));
}

/** Returns the path of a program on PATH, or undefined. Skips the folder of node_modules: npm puts launchers there, not servers. */
export function findOnPath(name: string, path = process.env.PATH ?? ''): string | undefined {
  for (const dir of path.split(delimiter)) {
    if (!dir || dir.includes('node_modules')) continue;
    const file = join(dir, name);
    if (isProgram(file)) return file;
  }
  return undefined;
}

/** Returns whether a path is a file that this user may run. */
export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch (error) {
    // Also a folder that this user may not look into, as one of root on the PATH of another user.
    if (isSystemError(error)) return false;
    throw error;
  }
}

/** Throws StartError if the port is in use. */
export async function requirePort(port: number, what: string): Promise<void> {
  try {
    await listenOnce(port);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new StartError(
      `Port ${port}, which ${what} needs, is in use. Stop what listens there (ss -ltnp 'sport = :${port}' names it), or take other ports: npm start -- --port-offset 1000`,
    );
  }
}

/** Reads the last lines of a file, from its end. */
function tail(file: string, lines: number): string {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  const buffer = Buffer.alloc(Math.min(size, 8192));
  const fd = openSync(file, 'r');
  try {
    readSync(fd, buffer, 0, buffer.length, size - buffer.length);
  } finally {
    closeSync(fd);
  }
  return buffer.toString('utf8').trimEnd().split('\n').slice(-lines).join('\n');
}
