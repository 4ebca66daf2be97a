/**
 * Obtains every program that the tests run: `npx node local/obtain.ts`. The user sees the progress of downloads and builds, and no test shares
 * the processors with a build. Jaeger, Prometheus and promtool are only downloaded, because building them takes many minutes; their tests
 * are skipped where they are missing. `npx node local/obtain.ts jaeger prometheus promtool` builds them, too. Exits with status 1 and a message
 * if a program cannot be obtained.
 */
import { StartError } from './process.ts';
import {
  ALL_PROGRAMS,
  CHART_PROGRAMS,
  isProgramName,
  obtainPrograms,
  type ProgramName,
  TELEMETRY_PROGRAMS,
} from './programs.ts';

try {
  const named = process.argv.slice(2).map(programNamed);
  await obtainPrograms({ names: named.length > 0 ? named : [...ALL_PROGRAMS, ...CHART_PROGRAMS] });
  if (named.length === 0) await obtainPrograms({ names: TELEMETRY_PROGRAMS, build: false });
} catch (error) {
  if (!(error instanceof StartError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

function programNamed(name: string): ProgramName {
  if (isProgramName(name)) return name;
  const known = [...ALL_PROGRAMS, ...CHART_PROGRAMS, ...TELEMETRY_PROGRAMS];
  throw new StartError(`"${name}" is not a program of this project; write one of ${known.join(', ')}.`);
}
