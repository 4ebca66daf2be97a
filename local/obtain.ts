/**
 * Obtains every program that the tests run: `node local/obtain.ts`. A person sees what is downloaded or built and how far it is, and no
 * test shares the processors with a build. Exit status 1 with a sentence when a program cannot be had.
 */
import { StartError } from './process.ts';
import { ALL_PROGRAMS, obtainPrograms } from './programs.ts';

try {
  await obtainPrograms({ names: ALL_PROGRAMS });
} catch (error) {
  if (!(error instanceof StartError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
