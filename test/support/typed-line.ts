import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Makes a directory with the programs of this clone in `dir`, as a global installation of the package has them, and further ones by name.
 * Returns a PATH that begins with it and with the Node of the project.
 */
export function programs(dir: string, others: Readonly<Record<string, string>> = {}): string {
  const bin = join(dir, 'bin');
  mkdirSync(bin);
  const ours = ['oonipipeline', 'kubectl-ooni'].map(
    name => [name, join(process.cwd(), `cli/bin/${name}.mjs`)] as const,
  );
  for (const [name, file] of [...ours, ...Object.entries(others)]) symlinkSync(file, join(bin, name));
  return [bin, join(process.cwd(), 'node_modules/.bin'), process.env.PATH].join(':');
}

/** Result of a typed line: its exit status, and its texts on stdout and stderr. */
export interface Typed {
  readonly status: number | null;
  readonly output: string;
  readonly log: string;
}

/** Runs a line in bash, as a user types it. */
export async function typeLine(line: string, env: NodeJS.ProcessEnv, cwd = process.cwd()): Promise<Typed> {
  const child = spawn('bash', ['-c', line], { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let log = '';
  child.stdout.setEncoding('utf8').on('data', text => (output += text));
  child.stderr.setEncoding('utf8').on('data', text => (log += text));
  const [status] = await once(child, 'close');
  return { status, output, log };
}
