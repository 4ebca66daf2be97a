import { spawn } from 'node:child_process';
import { chmod, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Module } from './releases.ts';

/** A build that failed; the message ends with what Go said. */
export class BuildError extends Error {
  override name = 'BuildError';
}

/**
 * Builds a pinned module of this folder with Go and puts its program, with a link for each name it goes by, into `dir`.
 *
 * @param onStatus what Go says while it works, such as a module it downloads
 * @throws BuildError
 */
export async function build(
  go: string,
  module: Module,
  dir: string,
  onStatus: (text: string) => void,
  env: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  const target = join(dir, module.program);
  const part = `${target}.${process.pid}.part`;
  const linker = ['-s', '-w', ...module.flags.map(flag => `-X ${flag}`)].join(' ');
  const child = spawn(go, ['build', '-trimpath', '-ldflags', linker, '-o', part, module.package], {
    cwd: fileURLToPath(new URL(`${module.folder}/`, import.meta.url)),
    // go.sum pins every module, so no other word on them is needed; a newer Go than the installed one fetches itself.
    env: { GOTOOLCHAIN: 'auto', ...env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false -mod=readonly', GOWORK: 'off' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const said: string[] = [];
  createInterface({ input: child.stderr }).on('line', line => {
    said.push(line);
    if (said.length > 20) said.shift();
    onStatus(line);
  });
  try {
    const status = await new Promise<number | string | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve(code ?? signal));
    });
    if (status !== 0) throw new BuildError(`go build ended with ${status}:\n${said.slice(-5).join('\n')}`);
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
