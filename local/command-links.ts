import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../pipeline/directories.ts';
import { findOnPath } from './process.ts';
import { programPath } from './programs.ts';
import { ROOT } from './stack.ts';

/** The commands of a clone, under the names that a shell and kubectl look for on PATH. */
const COMMANDS = ['oonipipeline', 'kubectl-ooni'] as const;

/**
 * Links the commands of this clone, and kubectl where PATH does not have it, in the folder `bin` of a data directory. Returns that folder, for
 * PATH: kubectl finds a plugin only there.
 */
export function linkCommands(data: string): string {
  const dir = join(data, 'bin');
  makeDirectory(dir);
  for (const name of COMMANDS) link(join(ROOT, 'cli/bin', `${name}.mjs`), join(dir, name));
  const kubectl = join(dir, 'kubectl');
  rmSync(kubectl, { force: true });
  if (!findOnPath('kubectl')) link(programPath('kubectl'), kubectl);
  return dir;
}

/** Links a file, in place of the link of an earlier start. */
function link(file: string, name: string): void {
  rmSync(name, { force: true });
  symlinkSync(file, name);
}
