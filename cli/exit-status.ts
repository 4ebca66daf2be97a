import { EmbeddedError } from '../clickhouse/embedded.ts';
import { AnalysisError } from '../pipeline/analysis/selection.ts';
import { ArchiveError } from '../pipeline/archive/archive.ts';
import { hidePasswords } from '../pipeline/hide-password.ts';
import { ReferenceDataError } from '../pipeline/reference/dataset.ts';
import { IpDatabaseError } from '../pipeline/reference/ip-files.ts';
import { SettingsError } from '../pipeline/settings.ts';
import { TableError } from '../pipeline/tables/errors.ts';
import { OutputError } from './output.ts';
import { printable } from './printable.ts';

const EXPECTED_ERRORS = [
  EmbeddedError,
  AnalysisError,
  ArchiveError,
  IpDatabaseError,
  OutputError,
  ReferenceDataError,
  SettingsError,
];

type ErrorClass = abstract new (...args: never[]) => Error;

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
    const kinds: readonly ErrorClass[] = [...EXPECTED_ERRORS, TableError, ...expected];
    if (!kinds.some(kind => error instanceof kind)) throw error;
    console.error(printable(hidePasswords(`${program} ${command}: ${(error as Error).message}`)));
    process.exitCode = 1;
  }
}
