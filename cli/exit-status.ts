import { hidePasswords } from '../pipeline/hide-password.ts';
import { OutputError } from './output.ts';
import { printable } from './printable.ts';
import { messageWithRemedy } from './remedies.ts';

type ErrorClass = abstract new (...args: never[]) => Error;

/** Returns the classes of expected errors. Their modules are loaded here, because a command that succeeds does not need them. */
async function expectedErrors(): Promise<readonly ErrorClass[]> {
  const [embedded, analysis, archive, addresses, reference, settings, tables] = await Promise.all([
    import('../clickhouse/embedded-error.ts'),
    import('../pipeline/analysis/selection.ts'),
    import('../pipeline/archive/archive.ts'),
    import('../pipeline/reference/ip-files.ts'),
    import('../pipeline/reference/dataset.ts'),
    import('../pipeline/settings.ts'),
    import('../pipeline/tables/errors.ts'),
  ]);
  return [
    embedded.EmbeddedError,
    analysis.AnalysisError,
    archive.ArchiveError,
    addresses.IpDatabaseError,
    OutputError,
    reference.ReferenceDataError,
    settings.SettingsError,
    tables.TableError,
  ];
}

/**
 * Runs the work of a command and uses its result as the exit status. An expected error, with a cause outside the program, is printed as one
 * sentence and gives status 1. Any other error is a defect and is rethrown with its stack. `expected` adds the errors of clients that only
 * some commands load.
 */
export async function withExitStatus(
  command: string,
  work: () => Promise<number>,
  { program = 'oonipipeline', expected = [] }: { program?: string; expected?: readonly ErrorClass[] } = {},
): Promise<void> {
  try {
    process.exitCode = await work();
  } catch (error) {
    const kinds = [...(await expectedErrors()), ...expected];
    if (!kinds.some(kind => error instanceof kind)) throw error;
    console.error(printable(hidePasswords(`${program} ${command}: ${messageWithRemedy(error as Error)}`)));
    process.exitCode = 1;
  }
}
