/**
 * Obtains every program that the tests run: `node local/obtain.ts`. The user sees the progress of downloads and builds, and no test shares
 * the processors with a build. Exits with status 1 and a message if a program cannot be obtained.
 */
import { StartError } from './process.ts';
import { ALL_PROGRAMS, CHART_PROGRAMS, obtainPrograms } from './programs.ts';

try {
  await obtainPrograms({ names: [...ALL_PROGRAMS, ...CHART_PROGRAMS] });
} catch (error) {
  if (!(error instanceof StartError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
