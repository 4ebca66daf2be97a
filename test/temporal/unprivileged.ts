import { chownSync, statSync } from 'node:fs';
import { StartError } from '../../local/process.ts';

/** A user for programs that refuse to run as root: PostgreSQL and Elasticsearch. The account nobody exists on every Linux system. */
const NOBODY = 65_534;

/** Returns command and arguments that run a program as an unprivileged user, when this process is root. */
export function unprivileged(command: string, args: readonly string[]): { command: string; args: string[] } {
  if (process.getuid?.() !== 0) return { command, args: [...args] };
  const user = ['--reuid', `${NOBODY}`, '--regid', `${NOBODY}`, '--clear-groups', '--pdeathsig', 'TERM'];
  return { command: 'setpriv', args: [...user, command, ...args] };
}

/** Gives a folder to the user of `unprivileged`. Throws StartError if the path is not a folder. */
export function giveAway(dir: string): void {
  if (!statSync(dir).isDirectory()) throw new StartError(`${dir} is not a folder`);
  if (process.getuid?.() === 0) chownSync(dir, NOBODY, NOBODY);
}
