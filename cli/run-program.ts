import { type Command, CommanderError } from 'commander';
import { guardStandardStreams } from './output.ts';

/**
 * Runs the program of the command line, and sets the exit status: 2 if the command line is wrong. Loads the commands whose names are among
 * the arguments, because `help run` and options before the name have them at different places.
 */
export async function runProgram(create: (loaded: readonly string[]) => Promise<Command>): Promise<void> {
  guardStandardStreams();
  const program = await create(process.argv.slice(2));
  try {
    await program.parseAsync();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode !== 0) process.exitCode = 2;
  }
}
