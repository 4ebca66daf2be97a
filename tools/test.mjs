// `npm test`: types, style, imports and generated files, then all tests. `npm test -- --quick` runs the checks, the unit tests and a few
// tests against real servers. With other arguments, it runs only the tests that they select, as in vitest:
//   npm test -- --project unit pipeline/archive
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { prepare, ROOT, refuseOptionsTakenByNpm, run } from './bootstrap.mjs';

refuseOptionsTakenByNpm('test', ['quick', 'project']);

const args = process.argv.slice(2);
const quick = args.includes('--quick');
const rest = args.filter(arg => arg !== '--quick');
const all = args.length === 0;

if (all) {
  console.log('All checks and tests: about 35 minutes on two cores. npm test -- --quick takes under two minutes.');
} else if (quick) {
  console.log('Checks, unit tests and a few tests against real servers: under two minutes on two cores.');
}
if (all || quick) console.log('Missing programs are obtained before the first test; a line names each of them.\n');

const node = prepare();
const bin = name => join(ROOT, 'node_modules', '.bin', name);
const CHECKS = [
  ['types', bin('tsc'), []],
  ['style', bin('biome'), ['check']],
  ['imports', node, ['tools/arrows.ts']],
  ['generated files', node, ['tools/generate.ts', '--check']],
  // Before the first test begins, because a Go build uses all processors for minutes.
  ['programs', node, ['local/obtain.ts']],
];

let failed = 0;
for (const [name, command, options] of all || quick ? CHECKS : []) {
  const env = { ...process.env, PATH: `${join(ROOT, 'node_modules', '.bin')}:${process.env.PATH}` };
  const { status } = spawnSync(command, options, { cwd: ROOT, env, stdio: 'inherit' });
  console.log(`${status === 0 ? 'ok' : 'FAILED'}: ${name}`);
  if (status !== 0) failed++;
}
if (failed > 0) {
  console.log(`\n0 passed, ${failed} failed, 0 skipped`);
  process.exitCode = 1;
} else {
  if (quick) process.env.TEST_QUICK = '1';
  const projects = quick ? ['--project', 'unit', '--project', 'integration'] : [];
  process.exitCode = await run('node_modules/vitest/vitest.mjs', ['run', ...projects, ...rest]);
}
