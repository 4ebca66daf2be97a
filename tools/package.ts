/**
 * Makes the JavaScript of the npm package in dist: Node does not strip types below node_modules. `npm pack` runs it.
 *
 *     node tools/package.ts
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const DIST = join(ROOT, 'dist');

for (const folder of ['cli', 'clickhouse', 'crds', 'operator', 'pipeline', 'temporal', 'tools', 'worker']) {
  rmSync(join(DIST, folder), { recursive: true, force: true });
}
const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
const { status } = spawnSync(process.execPath, [compiler, '-p', join(ROOT, 'tsconfig.package.json')], {
  stdio: 'inherit',
});
if (status !== 0) throw new Error(`tsc -p tsconfig.package.json failed with status ${status}`);
// The programs read their version from the package.json above their folder.
const { name, version, type } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, string>;
writeFileSync(join(DIST, 'package.json'), `${JSON.stringify({ name, version, type, private: true }, null, 2)}\n`);
// The package has its own bundle of the workflows, because the bundle names the sources that it was made from.
await import(join(DIST, 'tools/build.js'));
