import { Argument, Command } from 'commander';
import { completionScript, SHELLS, type Shell } from '../completion.ts';
import { EXIT_STATUS } from '../help.ts';

/** Creates `oonipipeline completion`, which prints the completion script for a shell. */
export function completionCommand(): Command {
  return new Command('completion')
    .addArgument(new Argument('<shell>', 'the shell that reads the script').choices(SHELLS))
    .addHelpText(
      'after',
      `
The script completes commands, options, and the values of options with a choice. It is for this version: print it again after an update.

  bash   source <(oonipipeline completion bash)     in ~/.bashrc
  zsh    source <(oonipipeline completion zsh)      in ~/.zshrc, after compinit
  fish   oonipipeline completion fish | source      in ~/.config/fish/config.fish

${EXIT_STATUS}`,
    )
    .action(async (shell: Shell) => {
      const { createProgram } = await import('../program.ts');
      process.stdout.write(completionScript(await createProgram('all'), shell));
    });
}
