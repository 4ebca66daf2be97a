/**
 * Makes the JavaScript of the npm package in dist: Node does not strip types below node_modules. `npm pack` runs it.
 *
 *     node tools/package.ts
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { rolldown } from 'rolldown';

const ROOT = join(import.meta.dirname, '..');
const DIST = join(ROOT, 'dist');
/** The only command that is not in the bundle: its worker has native code, and finds the workflows beside its own modules. */
const WORKERS = '/commands/startworkers.js';

for (const folder of ['cli', 'clickhouse', 'commands', 'crds', 'operator', 'pipeline', 'temporal', 'tools', 'worker']) {
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
await bundleCommands();
// The package has its own bundle of the workflows, because the bundle names the sources that it was made from.
await import(join(DIST, 'tools/build.js'));

/**
 * Bundles the commands with their packages into dist/commands, because a command would otherwise load up to 1000 small files before it
 * begins. Modules that no command needs at its start are in files of their own. All files lie in one folder, one level below dist, so that
 * the paths relative to a module still hold: `../package.json`, and `thread.js` beside the pool of threads.
 */
async function bundleCommands(): Promise<void> {
  const bundle = await rolldown({
    cwd: DIST,
    input: { main: 'cli/main.js', 'kubectl-ooni': 'cli/kubectl-ooni.js', thread: 'pipeline/threads/thread.js' },
    platform: 'node',
    // `startworkers` shares commander with the bundle. ClickHouse in the process (chdb) is native code that a user installs.
    external: ['commander', 'chdb'],
    plugins: [
      {
        name: 'workers',
        resolveId: source => (source.endsWith(WORKERS) ? { id: `../cli${WORKERS}`, external: true } : undefined),
      },
    ],
    treeshake: {
      // Of the client of Kubernetes, a command uses the reader of kubeconfig files; the models of all resources have 600 modules.
      moduleSideEffects: [{ test: /[\\/]@kubernetes[\\/]client-node[\\/]/, sideEffects: false }],
    },
  });
  await bundle.write({ dir: join(DIST, 'commands'), format: 'esm' });
  await bundle.close();
}
