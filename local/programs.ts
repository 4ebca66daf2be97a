import { statfsSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { makeDirectory } from '../pipeline/directories.ts';
import { sentence } from '../pipeline/sentence.ts';
import { isSystemError } from '../pipeline/system-error.ts';
import { FileLock } from './lock.ts';
import { findOnPath, isProgram, StartError } from './process.ts';
import { BuildError, build } from './programs/build.ts';
import { DownloadError, download, unreachable } from './programs/download.ts';
import {
  type Architecture,
  HELM_3_VERSION,
  HELM_VERSION,
  JAEGER_VERSION,
  KUBERNETES_VERSION,
  MODULES,
  type Module,
  PROGRAM_NAMES,
  PROMETHEUS_VERSION,
  type ProgramName,
  RELEASES,
  SITES,
  TEMPORAL_VERSION,
  VERSITYGW_VERSION,
} from './programs/releases.ts';
import { Terminal } from './terminal.ts';

export {
  ALL_PROGRAMS,
  CHART_PROGRAMS,
  PROGRAM_NAMES,
  type ProgramName,
  TELEMETRY_PROGRAMS,
} from './programs/releases.ts';

/** Disk space, in bytes, for the download of all programs, and for a build with Go's own caches. */
const DOWNLOAD_BYTES = 1e9;
const BUILD_BYTES = 8e9;
/** Maximum memory of one Go build, in bytes. Linking the control plane needs the most. */
const BUILD_MEMORY = 3e9;

/** Place where a program was found, in the order of the search. */
export type Source = 'environment' | 'PATH' | 'cache';

export interface ObtainOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly terminal?: Terminal;
  /** Sites of the releases. Tests use their own site. */
  readonly sites?: Record<keyof typeof SITES, string>;
  readonly modules?: readonly Module[];
  readonly names?: readonly ProgramName[];
  /** Whether Go builds the programs that cannot be downloaded; true by default. If false, these stay missing, and no error is thrown. */
  readonly build?: boolean;
  /** Aborts downloads and builds. */
  readonly signal?: AbortSignal;
}

/** Options with their defaults. */
type Obtaining = ObtainOptions & { readonly env: NodeJS.ProcessEnv; readonly terminal: Terminal };

/** Returns whether a text names one of the programs. */
export function isProgramName(name: string): name is ProgramName {
  return Object.hasOwn(RELEASES, name);
}

/** Returns the environment variable that names a program: OONI_KUBE_APISERVER for kube-apiserver. */
function programVariable(name: ProgramName): string {
  return `OONI_${name.toUpperCase().replaceAll('-', '_')}`;
}

/** Returns the folder of an obtained program, below XDG_CACHE_HOME/ooni-pipeline or ~/.cache/ooni-pipeline. */
export function cacheFolder(name: ProgramName, env: NodeJS.ProcessEnv = process.env): string {
  const versions: Partial<Record<ProgramName, string>> = {
    temporal: TEMPORAL_VERSION,
    versitygw: VERSITYGW_VERSION,
    helm: HELM_VERSION,
    'helm-3': HELM_3_VERSION,
    jaeger: JAEGER_VERSION,
    prometheus: PROMETHEUS_VERSION,
    promtool: PROMETHEUS_VERSION,
  };
  const folder = versions[name] ? `${name}-${versions[name]}` : `kubernetes-${KUBERNETES_VERSION}`;
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache'), 'ooni-pipeline', folder);
}

/**
 * Finds a program that is already on this machine. Throws StartError if its environment variable names a file that cannot be run: the user
 * requires that file and no other.
 */
export function findProgram(
  name: ProgramName,
  env: NodeJS.ProcessEnv = process.env,
): { path: string; source: Source } | undefined {
  const given = env[programVariable(name)];
  if (given) {
    if (isProgram(given)) return { path: given, source: 'environment' };
    throw new StartError(`${programVariable(name)} names ${given}, which is not a program that can be run.`);
  }
  const onPath = findOnPath(name, env.PATH);
  if (onPath) return { path: onPath, source: 'PATH' };
  const cached = join(cacheFolder(name, env), name);
  return isProgram(cached) ? { path: cached, source: 'cache' } : undefined;
}

/** Returns the path of a program that `obtainPrograms` obtained. Throws StartError if there is none. */
export function programPath(name: ProgramName): string {
  const found = findProgram(name);
  if (!found) throw new StartError(`${name} is not on this machine. To obtain it: npx node local/obtain.ts ${name}`);
  return found.path;
}

/** Returns the programs of `npm start` that are not on this machine. */
export function missingPrograms(names: readonly ProgramName[] = PROGRAM_NAMES, env = process.env): ProgramName[] {
  return names.filter(name => !findProgram(name, env));
}

/**
 * Ensures that every program of the servers is on this machine. Tries environment variable, PATH, cache, official download and `go build`,
 * in that order, and shows a line of progress for each program. Concurrent starts wait for each other. Throws StartError with a remedy, or
 * the reason of the signal.
 */
export async function obtainPrograms(options: ObtainOptions = {}): Promise<void> {
  const env = options.env ?? process.env;
  const names = options.names ?? PROGRAM_NAMES;
  const terminal = options.terminal ?? new Terminal();
  const obtaining = { ...options, env, terminal };
  const missing = () => missingPrograms(names, env);
  if (missing().length > 0) {
    const cache = dirname(cacheFolder('temporal', env));
    makeDirectory(cache);
    const waits = (holder: number) =>
      terminal.print(`Waiting for another start (process ${holder}) that obtains programs`);
    const lock = await FileLock.take(join(cache, 'lock'), waits, options.signal);
    try {
      const reasons = await downloadPrograms(missing(), obtaining);
      if (options.build !== false) await buildPrograms(missing(), obtaining, reasons);
    } finally {
      lock.release();
    }
  }
  for (const name of names) {
    const found = findProgram(name, env);
    const where = found
      ? `${found.source === 'environment' ? programVariable(name) : found.source}: ${found.path}`
      : 'missing';
    terminal.print(`${name.padEnd(26)}${where}`);
  }
}

/** Downloads as many programs as possible. Returns the reasons why the others failed. */
async function downloadPrograms(
  names: readonly ProgramName[],
  { env, terminal, signal, sites = SITES }: Obtaining,
): Promise<string[]> {
  const arch = ({ x64: 'amd64', arm64: 'arm64' } as Partial<Record<string, Architecture>>)[process.arch];
  if (process.platform !== 'linux' || !arch) {
    return [`there are no releases of all programs for ${process.platform} on ${process.arch}`];
  }
  const releases = names.map(name => ({ name, release: RELEASES[name](arch) }));
  const reasons = new Set<string>();
  const down = new Map<string, string>();
  // One check per site, all in parallel: without a network, this takes only one timeout.
  await Promise.all(
    [...new Set(releases.map(({ release }) => release.site))].map(async site => {
      const reason = await unreachable(sites[site]);
      if (reason) down.set(site, reason);
    }),
  );
  for (const { name, release } of releases) {
    const reason = down.get(release.site);
    if (reason) {
      reasons.add(reason);
      continue;
    }
    const dir = cacheFolder(name, env);
    requireRoom(dir, DOWNLOAD_BYTES, 'downloading the programs');
    const line = terminal.line(name, `downloading from ${new URL(sites[release.site]).host}`);
    try {
      const onProgress = (bytes: number, total?: number) => {
        const of = total ? `${Math.floor((bytes / total) * 100)}% of ${megabytes(total)}` : megabytes(bytes);
        line.update(`downloading from ${new URL(sites[release.site]).host}: ${of}`);
      };
      await download(release, sites[release.site], join(dir, name), onProgress, signal);
      line.done(`downloaded from ${new URL(sites[release.site]).host}`);
    } catch (error) {
      if (!(error instanceof DownloadError)) throw error;
      line.done(`not downloaded: ${error.message}`);
      signal?.throwIfAborted();
      reasons.add(error.message);
      // After a failure, the site is not used for the next program. A wrong checksum has no meaning for the site's other files.
      if (!error.message.includes('SHA-256')) down.set(release.site, error.message);
    }
  }
  return [...reasons];
}

/** Builds the missing programs with Go: all modules in parallel if there is enough memory, otherwise in sequence. */
async function buildPrograms(
  names: readonly ProgramName[],
  { env, terminal, signal, modules = Object.values(MODULES) }: Obtaining,
  reasons: readonly string[],
): Promise<void> {
  if (names.length === 0) return;
  const go = findOnPath('go', env.PATH);
  const why = `could not be downloaded (${reasons.join('; ')})`;
  if (!go) {
    throw new StartError(
      `${names.join(', ')} ${why}, and there is no Go to build them with. Install Go 1.21 or newer (https://go.dev/dl/), or connect to a network, ` +
        `or name the programs in ${names.map(programVariable).join(', ')}.`,
    );
  }
  const needed = modules.filter(({ provides }) => provides.some(name => names.includes(name)));
  const minutes = needed.reduce((sum, module) => sum + module.minutes, 0);
  terminal.print(
    `${names.join(', ')}: ${why}. ${go} builds ${names.length === 1 ? 'it' : 'them'}, once: about ${minutes} minutes on two cores, less on more`,
  );
  // A failed build stops the others. Go's cache keeps the packages that they have compiled.
  const failed = new AbortController();
  const buildOne = async (module: Module) => {
    const provides = module.provides.filter(name => names.includes(name));
    const dir = cacheFolder(provides[0]!, env);
    requireRoom(dir, BUILD_BYTES, 'building with Go');
    const line = terminal.line(module.folder, `go build ${provides.join(', ')}`, { elapsed: true });
    try {
      const onStatus = (status: string) => line.update(`go build ${provides.join(', ')}: ${status}`);
      await build(go, module, dir, {
        onStatus,
        env,
        signal: AbortSignal.any([failed.signal, ...(signal ? [signal] : [])]),
      });
      line.done('built with Go');
    } catch (error) {
      line.done('not built');
      signal?.throwIfAborted();
      if (!(error instanceof BuildError)) throw error;
      throw new StartError(
        `${provides.join(', ')} ${why}, and could not be built either: ${error.message}\n` +
          `Connect to a network, or name the programs in ${provides.map(programVariable).join(', ')}.`,
      );
    }
  };
  if (process.availableMemory() < BUILD_MEMORY * needed.length) {
    for (const module of needed) await buildOne(module);
    return;
  }
  const builds = await Promise.allSettled(
    needed.map(module =>
      buildOne(module).catch(error => {
        failed.abort(error);
        throw error;
      }),
    ),
  );
  if (builds.some(({ status }) => status === 'rejected')) throw failed.signal.reason;
}

/** Creates the folder. Throws StartError if it cannot be created, or if its disk has less room. */
export function requireRoom(dir: string, bytes: number, what: string, where = 'XDG_CACHE_HOME'): void {
  try {
    makeDirectory(dir);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new StartError(
      `${what} needs the folder ${dir}, which cannot be created: ${sentence(error.message)} Let ${where} name another one.`,
    );
  }
  const { bavail, bsize } = statfsSync(dir);
  if (bavail * bsize >= bytes) return;
  throw new StartError(
    `${what} needs about ${(bytes / 1e9).toFixed(0)} GB; the disk of ${dir} has ${((bavail * bsize) / 1e9).toFixed(1)} GB left. Free some, or let ${where} name a folder on another disk.`,
  );
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
