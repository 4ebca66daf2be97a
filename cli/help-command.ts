import { Argument, Command, InvalidArgumentError } from 'commander';

/** Name of the command that shows the help of others. */
export const HELP_COMMAND = 'help';

/**
 * Adds `help [command...]` to a command and to those below it that have commands. That of commander shows the help of the whole program for
 * an unknown name, without naming it, and ignores all names after the first.
 */
export function withHelpCommand(parent: Command): Command {
  parent.helpCommand(false);
  for (const command of parent.commands) if (command.commands.length > 0) withHelpCommand(command);
  const names = new Argument('[command...]', 'name of a command, and of one below it')
    .choices(parent.commands.map(command => command.name()))
    // An unknown name is reported by its parent, which knows the nearest one; `choices` would reject it here.
    .argParser((name: string, before: readonly string[] | undefined) => [...(before ?? []), name]);
  const help = new Command(HELP_COMMAND)
    .description('Show the help of a command')
    .addArgument(names)
    .action((path: readonly string[] = []) => find(parent, path).help());
  return parent.addCommand(help);
}

/** Returns the command at a path. Ends the program with status 2 if there is none. */
function find(parent: Command, path: readonly string[]): Command {
  let command = parent;
  for (const name of path) {
    const next = command.commands.find(each => each.name() === name);
    if (!next) refuse(command, name);
    command = next;
  }
  return command;
}

/** Ends the program as the command does for a name that it does not know: with the nearest name. */
function refuse(command: Command, name: string): never {
  if (command.commands.length === 0) command.error(`error: ${command.name()} has no command '${name}'`);
  command.parse(name.startsWith('-') ? ['--', name] : [name], { from: 'user' });
  throw new InvalidArgumentError(`unknown command '${name}'`);
}
