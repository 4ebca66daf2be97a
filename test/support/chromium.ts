import { execFile } from 'node:child_process';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { FileLock } from '../../local/lock.ts';
import { findOnPath } from '../../local/process.ts';
import { cacheFolder } from '../../local/programs.ts';
import { makeDirectory } from '../../pipeline/directories.ts';

const run = promisify(execFile);

/** A Chromium that can be started, with the environment that it needs. */
export interface Chromium {
  readonly program: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Maximum time of one step of the download, milliseconds. */
const TIMEOUT = 240_000;
const NAMES = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome'];

/**
 * Finds a Chromium: the program that CHROMIUM names, one on the PATH, or Debian's package, unpacked into the cache. The system is not
 * changed, and no root is needed. Returns a sentence with the reason if there is none.
 */
export async function obtainChromium(): Promise<Chromium | string> {
  const given = process.env.CHROMIUM;
  if (given) return { program: given, env: process.env };
  for (const name of NAMES) {
    const program = findOnPath(name);
    if (program) return { program, env: process.env };
  }
  if (!findOnPath('apt-get') || !findOnPath('dpkg-deb'))
    return 'the PATH has no Chromium, and this system has no package manager of Debian to obtain one';
  const cache = dirname(cacheFolder('temporal'));
  const dir = join(cache, 'chromium');
  makeDirectory(cache);
  const lock = await FileLock.take(join(cache, 'chromium.lock'), () => {});
  try {
    if (!existsSync(join(dir, 'complete'))) {
      rmSync(dir, { recursive: true, force: true });
      makeDirectory(dir);
      await unpack(dir);
      writeFileSync(join(dir, 'complete'), '');
    }
  } catch (error) {
    return `Chromium could not be obtained: ${(error as Error).message.split('\n').slice(0, 3).join(' ')}`;
  } finally {
    lock.release();
  }
  const libraries = join(dir, 'root/usr/lib', process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu');
  return {
    program: join(dir, 'root/usr/lib/chromium/chromium-headless-shell'),
    env: { ...process.env, LD_LIBRARY_PATH: `${libraries}:${join(libraries, 'pulseaudio')}` },
  };
}

/** Downloads Debian's package and those of its dependencies that the system does not have, and unpacks them into `dir`. */
async function unpack(dir: string): Promise<void> {
  // Lists of packages in a folder of its own: those of the system may be absent or old, and only root may renew them.
  const lists = join(dir, 'lists');
  makeDirectory(join(lists, 'partial'));
  makeDirectory(join(dir, 'archives/partial'));
  const options = [
    `Dir::State::Lists=${lists}`,
    `Dir::Cache=${dir}`,
    `Dir::Cache::Archives=${join(dir, 'archives')}`,
    'Debug::NoLocking=1',
    'APT::Sandbox::User=',
    'Acquire::Retries=3',
    'Acquire::http::Timeout=30',
  ].flatMap(option => ['-o', option]);
  const apt = (...args: string[]) =>
    run('apt-get', [...options, ...args], { cwd: dir, timeout: TIMEOUT, maxBuffer: 1 << 26 });
  await apt('update');
  const { stdout } = await apt(
    'install',
    '--print-uris',
    '-y',
    '-qq',
    '--no-install-recommends',
    'chromium-headless-shell',
  );
  const packages = [...stdout.matchAll(/^'\S+' ([^_\s]+)_/gm)].map(([, name]) => name!);
  await apt('download', ...packages);
  for (const file of readdirSync(dir).filter(name => name.endsWith('.deb'))) {
    await run('dpkg-deb', ['-x', file, 'root'], { cwd: dir, timeout: TIMEOUT });
    rmSync(join(dir, file));
  }
  for (const name of ['lists', 'archives', 'pkgcache.bin', 'srcpkgcache.bin']) {
    rmSync(join(dir, name), { recursive: true, force: true });
  }
}
