import { spawn } from 'node:child_process';
import { chmod, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { findOnPath } from '../process.ts';
import type { Module } from './releases.ts';

/** A failed build. The message ends with Go's output. */
export class BuildError extends Error {
  override name = 'BuildError';
}

export interface BuildOptions {
  /** Receives a phrase after each step of the build. */
  readonly onStatus?: (text: string) => void;
  readonly env?: NodeJS.ProcessEnv;
  /** Aborts the build. */
  readonly signal?: AbortSignal;
}

/**
 * Builds a pinned module of this folder with Go. Puts its program into `dir`, with a link for each of its names. Throws BuildError, or the
 * reason of the signal.
 */
export async function build(go: string, module: Module, dir: string, options: BuildOptions = {}): Promise<void> {
  const { onStatus = () => {} } = options;
  const target = join(dir, module.program);
  const part = `${target}.${process.pid}.part`;
  const linker = ['-s', '-w', ...module.flags.map(flag => `-X ${flag}`)].join(' ');
  const packages: string[] = [];
  const tags = module.tags ? ['-tags', module.tags] : [];
  const list = ['list', '-deps', ...tags, '-f', '{{.ImportPath}}', module.package];
  // Go names the modules that it downloads.
  await runGo(go, module, list, options, { stdout: line => packages.push(line), stderr: onStatus });
  const total = packages.length.toLocaleString('en');
  let compiled = 0;
  const show = (line: string) => {
    // With -v, Go names each package that it begins to compile, but not those in its cache.
    if (line.startsWith('go: ')) return onStatus(line);
    compiled++;
    onStatus(line === packages.at(-1) ? 'linking' : `${compiled.toLocaleString('en')} of ${total} packages`);
  };
  const args = ['build', '-trimpath', '-ldflags', linker, '-o', part, ...tags, '-v', module.package];
  try {
    await runGo(go, module, args, options, { stdout: () => {}, stderr: show });
    await chmod(part, 0o755);
    await rename(part, target);
    for (const name of module.provides) {
      if (name === module.program) continue;
      const link = `${target}.${process.pid}.link`;
      await symlink(module.program, link);
      await rename(link, join(dir, name));
    }
  } finally {
    await rm(part, { force: true });
  }
}

/** Runs Go in the folder of a module. Throws BuildError with the end of Go's output, or the reason of the signal. */
async function runGo(
  go: string,
  module: Module,
  args: readonly string[],
  { env = process.env, signal }: BuildOptions,
  on: Readonly<Record<'stdout' | 'stderr', (line: string) => void>>,
): Promise<void> {
  signal?.throwIfAborted();
  // Go must not outlive this process. It has a process group so that its compilers end with it.
  const setpriv = findOnPath('setpriv');
  const child = spawn(setpriv ?? go, setpriv ? ['--pdeathsig', 'TERM', go, ...args] : [...args], {
    cwd: fileURLToPath(new URL(`${module.folder}/`, import.meta.url)),
    // go.sum pins every module, so no other verification is needed. If a newer Go is required, the installed one downloads it.
    env: { GOTOOLCHAIN: 'auto', ...env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false -mod=readonly', GOWORK: 'off' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const lastLines: string[] = [];
  createInterface({ input: child.stdout }).on('line', on.stdout);
  createInterface({ input: child.stderr }).on('line', line => {
    lastLines.push(line);
    if (lastLines.length > 20) lastLines.shift();
    on.stderr(line);
  });
  const end = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  signal?.addEventListener('abort', end, { once: true });
  try {
    const status = await new Promise<number | string | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, ending) => resolve(code ?? ending));
    });
    signal?.throwIfAborted();
    if (status !== 0) throw new BuildError(`go ${args[0]} ended with ${status}:\n${lastLines.slice(-5).join('\n')}`);
  } finally {
    signal?.removeEventListener('abort', end);
  }
}
