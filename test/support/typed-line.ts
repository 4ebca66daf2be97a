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
