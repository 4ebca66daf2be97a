/**
 * oonipipeline: what a person does with the pipeline from a terminal. Works without Kubernetes.
 *
 *     node cli/main.ts <command> [options]
 *
 * Exit status: 0 done, 1 something could not be done (standard error says what), 2 the command line is wrong.
 */
import { Command, CommanderError } from 'commander';
import { runCommand } from './commands/run.ts';
import { sqlCommand } from './commands/sql.ts';
import { transformCommand } from './commands/transform.ts';
import { verifyCommand } from './commands/verify.ts';

const program = new Command('oonipipeline')
  .description('The OONI data pipeline from a terminal')
  .showHelpAfterError('(--help shows what there is)')
  .exitOverride();
for (const command of [runCommand(), sqlCommand(), transformCommand(), verifyCommand()]) {
  program.addCommand(command.copyInheritedSettings(program));
}

// Statements of an embedded ClickHouse run on the threads of libuv's pool, which is made when first used; of its usual four, files would
// have to wait for statements.
process.env.UV_THREADPOOL_SIZE ??= '16';

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : 2;
}
