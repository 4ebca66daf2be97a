import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createWriteStream, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { makeDirectory } from '../pipeline/directories.ts';
import { FileLock } from './lock.ts';
import { findOnPath, StartError } from './process.ts';
import { cacheFolder, requireRoom } from './programs.ts';
import type { Terminal } from './terminal.ts';

/** Pinned packages with their hashes; superset/requirements.in has the reasons. */
const REQUIREMENTS = join(import.meta.dirname, '../superset/requirements.lock');
/** Changes the installed pages, so that they load nothing from third parties. */
const REMOVE_TELEMETRY = join(import.meta.dirname, '../superset/remove_telemetry.py');
/** The Python of the lock file. */
const PYTHON = '3.11';
/** Disk space of the installed packages and of the downloads, in bytes. */
const ROOM = 3e9;
/** Maximum time of the installation, milliseconds. It takes two minutes on two cores. */
const TIMEOUT = 20 * 60_000;

const run = promisify(execFile);

export interface VenvOptions {
  readonly terminal: Terminal;
  readonly env?: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
}

/**
 * Returns the Python of a virtual environment with Superset, and installs Superset from PyPI if it is missing. The environment is kept in
 * the cache, one for each lock file and change of the pages. Concurrent starts wait for each other. Throws StartError with a remedy, or
 * the reason of the signal.
 */
export async function obtainSuperset({ terminal, env = process.env, signal }: VenvOptions): Promise<string> {
  const lockfile = readFileSync(REQUIREMENTS, 'utf8');
  const version = /^apache-superset==(\S+)/m.exec(lockfile)?.[1];
  const hash = createHash('sha256').update(lockfile).update(readFileSync(REMOVE_TELEMETRY)).digest('hex').slice(0, 8);
  const cache = dirname(cacheFolder('temporal', env));
  const dir = join(cache, `superset-${version}-${hash}`);
  const python = join(dir, 'bin/python');
  const complete = join(dir, 'complete');
  const isComplete = () => statSync(complete, { throwIfNoEntry: false }) !== undefined;
  if (!isComplete()) {
    makeDirectory(cache);
    const waits = (holder: number) =>
      terminal.print(`Waiting for another start (process ${holder}) that installs Superset`);
    const lock = await FileLock.take(join(cache, 'superset.lock'), waits, signal);
    try {
      if (!isComplete()) {
        await install(dir, lockfile, { terminal, env, signal });
        writeFileSync(complete, '');
      }
    } finally {
      lock.release();
    }
  }
  terminal.print(`${'superset'.padEnd(26)}${version}: ${dir}`);
  return python;
}

/** Returns a Python of the required version on the PATH that can make virtual environments. Throws StartError if there is none. */
async function findPython(env: NodeJS.ProcessEnv): Promise<string> {
  const reasons: string[] = [];
  for (const name of [`python${PYTHON}`, 'python3', 'python']) {
    const path = findOnPath(name, env.PATH);
    if (!path) continue;
    try {
      // A launcher of a version manager may exist without the version; Debian has `ensurepip` in a package of its own.
      const code = 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2])';
      const { stdout } = await run(path, ['-c', code], { env, timeout: 60_000 });
      if (stdout.trim() === PYTHON) return path;
      reasons.push(`${path} is Python ${stdout.trim()}`);
    } catch (error) {
      const lines = String((error as { stderr?: string }).stderr || (error as Error).message)
        .trim()
        .split('\n');
      reasons.push(`${path}: ${lines.at(-1)}`);
    }
  }
  throw new StartError(
    `Superset needs Python ${PYTHON} with venv, which is not on the PATH${reasons.length > 0 ? ` (${reasons.join('; ')})` : ''}. ` +
      `Install it (Debian: apt-get install python${PYTHON}-venv; with uv: uv python install ${PYTHON}), or start without --superset.`,
  );
}

async function install(
  dir: string,
  lockfile: string,
  { terminal, env, signal }: Required<Omit<VenvOptions, 'signal'>> & VenvOptions,
) {
  const python = await findPython(env);
  requireRoom(dir, ROOM, 'installing Superset');
  // The remains of an interrupted installation.
  rmSync(dir, { recursive: true, force: true });
  const packages = lockfile.split('\n').filter(line => /^[A-Za-z0-9]/.test(line)).length;
  const line = terminal.line('superset', 'creating a Python environment', { elapsed: true });
  const deadline = AbortSignal.any([AbortSignal.timeout(TIMEOUT), ...(signal ? [signal] : [])]);
  try {
    await run(python, ['-m', 'venv', dir], { env, signal: deadline });
    const args = ['-m', 'pip', 'install', '--no-input', '--disable-pip-version-check', '--no-deps', '--require-hashes'];
    const pip = spawn(join(dir, 'bin/python'), [...args, '-r', REQUIREMENTS], {
      env,
      signal: deadline,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let collected = 0;
    await finished(pip, join(dir, 'pip.log'), said => {
      if (said.startsWith('Collecting ')) line.update(`pip install: ${++collected} of ${packages} packages`);
      else if (said.startsWith('Installing collected')) line.update(`pip install: unpacking ${packages} packages`);
    });
    await run(join(dir, 'bin/python'), [REMOVE_TELEMETRY], { env, signal: deadline });
    line.done(`installed with pip: ${packages} packages`);
  } catch (error) {
    line.done('not installed');
    signal?.throwIfAborted();
    rmSync(join(dir, 'complete'), { force: true });
    const reason = deadline.aborted
      ? `it was not ready within ${TIMEOUT / 60_000} minutes`
      : (error as { stderr?: string }).stderr?.trim() || (error as Error).message;
    throw new StartError(
      `Superset could not be installed with pip: ${reason}\nConnect to a network, or let pip's settings name a registry, or start without --superset.`,
    );
  }
}

/** Resolves when the process has ended with status 0. Its output goes to `log`; an error contains the end of it. */
async function finished(child: ChildProcess, log: string, onLine: (line: string) => void): Promise<void> {
  const out = createWriteStream(log);
  const last: string[] = [];
  for (const stream of [child.stdout!, child.stderr!]) {
    createInterface({ input: stream }).on('line', line => {
      out.write(`${line}\n`);
      last.push(line);
      if (last.length > 8) last.shift();
      onLine(line);
    });
  }
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  out.end();
  if (status !== 0) throw new Error(`pip ended with status ${status}. Its log, ${log}, ends:\n${last.join('\n')}`);
}
