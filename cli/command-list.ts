import { Command } from 'commander';
import { hidePasswords } from '../pipeline/hide-password.ts';
import { CODE_VERSION } from '../pipeline/version.ts';
import { refuseContradictions } from './contradictions.ts';
import { fitHelp } from './help.ts';
import { withHelpCommand } from './help-command.ts';
import { printable } from './printable.ts';
import { columnsOf } from './width.ts';

/** A command of a program, whose modules are loaded when it runs. */
export interface ListedCommand {
  readonly name: string;
  readonly description: string;
  readonly load: () => Promise<Command>;
}

/**
 * Creates a program of listed commands. It throws usage errors as CommanderError.
 *
 * @param loaded which commands can run and show their help: all, or those that a command line names. The others have only their names and
 *   descriptions, so that a command does not wait for the modules of the others.
 */
export async function createProgramOf(
  name: string,
  description: string,
  commands: readonly ListedCommand[],
  loaded: 'all' | readonly string[],
): Promise<Command> {
  const program = new Command(name)
    .description(description)
    .version(CODE_VERSION)
    // An unknown option of a command is then compared with its own options, and not with --version of the program.
    .enablePositionalOptions()
    .showHelpAfterError('(--help shows what there is)')
    // An argument that an error repeats may contain a password, or characters that a terminal obeys.
    .configureOutput({
      outputError: (text, write) => write(printable(hidePasswords(text))),
      writeOut: text => process.stdout.write(fitHelp(text, columnsOf(process.stdout) ?? Number.POSITIVE_INFINITY)),
    })
    .exitOverride();
  for (const listed of commands) {
    const command = loaded === 'all' || loaded.includes(listed.name) ? await listed.load() : new Command(listed.name);
    program.addCommand(command.description(listed.description));
  }
  inherit(withHelpCommand(program));
  return program;
}

/** Gives the commands below a command its settings, and makes them reject contradictory options. */
function inherit(parent: Command): void {
  for (const command of parent.commands) {
    refuseContradictions(command.copyInheritedSettings(parent));
    inherit(command);
  }
}
