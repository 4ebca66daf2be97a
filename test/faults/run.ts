/**
 * Proof of the operator and the workers under faults, with real servers:
 *
 *     npm run faults [-- TEST...]
 *
 * TEST is the name of a file of this folder without `.test.ts`. Without TEST all of them run. At the end it prints how many points were tried
 * and what survived. CONTRIBUTING.md says what each test shows and how long it takes.
 *
 * FAULTS_SEED is the seed of the random faults and walks.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

/** The parts of vitest's report that are used here. */
interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly startTime: number;
    readonly endTime: number;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

const ENDING = '.test.ts';
const all = readdirSync(import.meta.dirname)
  .filter(name => name.endsWith(ENDING))
  .map(name => name.slice(0, -ENDING.length));
const asked = process.argv.slice(2);
const unknown = asked.filter(name => !all.includes(name));
if (unknown.length > 0) {
  console.error(`unknown test ${unknown.join(', ')}; there are ${all.join(', ')}`);
  process.exit(2);
}
const seed = process.env.FAULTS_SEED;
if (seed !== undefined && !/^\d{1,9}$/.test(seed)) {
  console.error(`FAULTS_SEED = "${seed}" is not a number of at most nine digits`);
  process.exit(2);
}

const dir = mkdtempSync(join(tmpdir(), 'ooni-faults-'));
const [notes, report] = [join(dir, 'notes'), join(dir, 'report.json')];
try {
  const files = (asked.length > 0 ? asked : all).map(name => `test/faults/${name}${ENDING}`);
  // Two files at a time: most tests wait, and each operator of crash-points needs a processor for a second.
  const options = ['--project', 'integration', '--maxWorkers=2', '--reporter=default', '--reporter=json'];
  const { status } = spawnSync(
    process.execPath,
    ['tools/test.mjs', ...options, `--outputFile.json=${report}`, ...files],
    {
      cwd: join(import.meta.dirname, '../..'),
      env: { ...process.env, FAULTS: '1', FAULT_NOTES: notes },
      stdio: 'inherit',
    },
  );
  process.exitCode = status ?? 1;
  summarize();
} finally {
  rmSync(dir, { recursive: true, force: true });
}

function summarize(): void {
  if (!existsSync(report)) return;
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report;
  console.log('\nTest                  survived   seconds');
  let [survived, tried] = [0, 0];
  for (const { name, startTime, endTime, assertionResults } of testResults) {
    const run = assertionResults.filter(one => one.status === 'passed' || one.status === 'failed');
    const passed = run.filter(one => one.status === 'passed').length;
    survived += passed;
    tried += run.length;
    const seconds = Math.round((endTime - startTime) / 1000);
    const file = basename(name, ENDING);
    console.log(`${file.padEnd(21)} ${`${passed} of ${run.length}`.padEnd(10)} ${seconds}`);
  }
  console.log(`${'all'.padEnd(21)} ${survived} of ${tried}`);
  if (existsSync(notes)) console.log(`\n${readFileSync(notes, 'utf8').trimEnd()}`);
}
