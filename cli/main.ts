/**
 * oonipipeline: what a person does with the pipeline from a terminal. Works without Kubernetes.
 *
 *     node cli/main.ts <command> [options]
 *
 * Exit status: 0 done, 1 something could not be done (standard error says what), 2 the command line is wrong.
 */
import { Command, CommanderError } from 'commander';
import { explainCommand } from './commands/explain.ts';
import { transformCommand } from './commands/transform.ts';

const program = new Command('oonipipeline')
  .description('The OONI data pipeline from a terminal')
  .showHelpAfterError('(--help shows what there is)')
  .exitOverride();
program.addCommand(transformCommand().copyInheritedSettings(program));
program.addCommand(explainCommand().copyInheritedSettings(program));

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
