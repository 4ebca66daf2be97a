// `npm test`: types, style, imports and generated files, then all tests. With arguments, only the tests they select, as vitest takes them:
//   npm test -- --project unit pipeline/archive
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { prepare, ROOT, run } from './bootstrap.mjs';

const args = process.argv.slice(2);
const node = prepare();
const bin = name => join(ROOT, 'node_modules', '.bin', name);
const CHECKS = [
  ['types', bin('tsc'), []],
  ['style', bin('biome'), ['check']],
  ['imports', node, ['tools/arrows.ts']],
  ['generated files', node, ['tools/generate.ts', '--check']],
];

let failed = 0;
for (const [name, command, options] of args.length === 0 ? CHECKS : []) {
  const env = { ...process.env, PATH: `${join(ROOT, 'node_modules', '.bin')}:${process.env.PATH}` };
  const { status } = spawnSync(command, options, { cwd: ROOT, env, stdio: 'inherit' });
  console.log(`${status === 0 ? 'ok' : 'FAILED'}: ${name}`);
  if (status !== 0) failed++;
}
if (failed > 0) {
  console.log(`\n0 passed, ${failed} failed, 0 skipped`);
  process.exitCode = 1;
} else {
  process.exitCode = await run('node_modules/vitest/vitest.mjs', ['run', ...args]);
}
