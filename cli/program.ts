import { Command } from 'commander';
import { hidePasswords } from '../pipeline/hide-password.ts';
import { CODE_VERSION } from '../pipeline/version.ts';
import { explainCommand } from './commands/explain.ts';
import { geoipCommand } from './commands/geoip.ts';
import { migrateCommand } from './commands/migrate.ts';
import { runCommand } from './commands/run.ts';
import { sqlCommand } from './commands/sql.ts';
import { transformCommand } from './commands/transform.ts';
import { verifyCommand } from './commands/verify.ts';
import { printable } from './printable.ts';

/** Creates oonipipeline with its commands, in the order of the help and of docs/cli.md. Throws usage errors as CommanderError. */
export function createProgram(): Command {
  const program = new Command('oonipipeline')
    .description('The OONI data pipeline from a terminal')
    .version(CODE_VERSION)
    .showHelpAfterError('(--help shows what there is)')
    // An argument that an error repeats may contain a password, or characters that a terminal obeys.
    .configureOutput({ outputError: (text, write) => write(printable(hidePasswords(text))) })
    .exitOverride();
  for (const command of [
    runCommand(),
    sqlCommand(),
    explainCommand(),
    verifyCommand(),
    transformCommand(),
    migrateCommand(),
    geoipCommand(),
  ]) {
    program.addCommand(command.copyInheritedSettings(program));
  }
  return program;
}
