import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** The environment of the programs under test. Other variables of the tests' environment must not influence them. */
export const PROGRAM_ENV: NodeJS.ProcessEnv = Object.fromEntries(
  ['PATH', 'HOME', 'NODE_COMPILE_CACHE'].flatMap(name => (process.env[name] ? [[name, process.env[name]]] : [])),
);

/** Interrupts a program as Ctrl-C does, unless it has ended, and waits for its end. */
export async function interruptProgram(child: ChildProcess | undefined): Promise<void> {
  if (child?.exitCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGINT');
  await gone;
}
