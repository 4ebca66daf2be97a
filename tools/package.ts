/**
 * Makes the JavaScript of the npm package in dist: Node does not strip types below node_modules. `npm pack` runs it.
 *
 *     node tools/package.ts
 */
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { rolldown } from 'rolldown';
import { usedDefinitions } from './protobuf-definitions.ts';

const ROOT = join(import.meta.dirname, '..');
const DIST = join(ROOT, 'dist');
/** Entry point of the threads that process batches. */
const THREAD = 'pipeline/threads/thread.js';

for (const folder of [
  'cli',
  'clickhouse',
  'commands',
  'crds',
  'operator',
  'pipeline',
  'startworkers',
  'temporal',
  'tools',
  'worker',
]) {
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
await bundleStartworkers();
// The package has its own bundle of the workflows, because the bundle names the sources that it was made from.
await import(join(DIST, 'tools/build.js'));

/**
 * Bundles the commands with their packages into dist/commands, because a command would otherwise load up to 1000 small files before it
 * begins. Modules that no command needs at its start are in files of their own. All files lie in one folder, one level below dist, so that
 * the paths relative to a module still hold: `../package.json`, and `thread.js` beside the pool of threads.
 */
async function bundleCommands(): Promise<void> {
  await bundle({
    folder: 'commands',
    input: { main: 'cli/main.js', 'kubectl-ooni': 'cli/kubectl-ooni.js', thread: THREAD },
    external: [],
    elsewhere: { '/commands/startworkers.js': '../startworkers/startworkers.js' },
    replace: { '/@temporalio/proto/protos/json-module.js': temporalDefinitions },
  });
}

/**
 * Bundles the command `startworkers` into dist/startworkers. It needs a bundle of its own: the SDK of a worker has native code and finds its
 * files beside its own modules, so no package of the SDK can be in the bundle. The other commands have their client of Temporal inside.
 */
async function bundleStartworkers(): Promise<void> {
  await bundle({
    folder: 'startworkers',
    input: { startworkers: 'cli/commands/startworkers.js', thread: THREAD },
    external: [/^@temporalio\//],
    elsewhere: { '/workflow-bundle.js': '../worker/workflow-bundle.js' },
    replace: {},
  });
}

interface Bundle {
  readonly folder: string;
  readonly input: Readonly<Record<string, string>>;
  /** Packages that the bundle does not contain. */
  readonly external: readonly RegExp[];
  /** Modules that the bundle does not contain, by the end of their path, with the path from the bundle. */
  readonly elsewhere: Readonly<Record<string, string>>;
  /** Modules that are replaced, by the end of their path, with a function that makes the replacement of their source. */
  readonly replace: Readonly<Record<string, (source: string) => string>>;
}

async function bundle({ folder, input, external, elsewhere, replace }: Bundle): Promise<void> {
  const made = await rolldown({
    cwd: DIST,
    input,
    platform: 'node',
    // Both bundles share commander. ClickHouse in the process (chdb) is native code that a user installs.
    external: ['commander', 'chdb', ...external],
    plugins: [
      {
        name: 'elsewhere',
        resolveId: source => {
          const [, id] = Object.entries(elsewhere).find(([end]) => source.endsWith(end)) ?? [];
          return id === undefined ? undefined : { id, external: true };
        },
      },
      {
        name: 'replace',
        transform: (source, id) => Object.entries(replace).find(([end]) => id.endsWith(end))?.[1](source),
      },
    ],
    treeshake: {
      // Of the client of Kubernetes, a command uses the reader of kubeconfig files; the models of all resources have 600 modules.
      moduleSideEffects: [{ test: /[\\/]@kubernetes[\\/]client-node[\\/]/, sideEffects: false }],
    },
  });
  await made.write({ dir: join(DIST, folder), format: 'esm' });
  await made.close();
}

/**
 * Replaces the module with the definitions of Temporal's messages: keeps those that the commands use, and lets V8 parse them as JSON, which it
 * does faster than JavaScript.
 */
function temporalDefinitions(source: string): string {
  const all = JSON.parse(source.slice(source.indexOf('.addJSON(') + '.addJSON('.length, source.lastIndexOf(')')));
  const files = ['cli', 'operator', 'temporal', 'worker'].flatMap(folder => globSync(join(DIST, folder, '**/*.js')));
  const sdk = ['client', 'common'].flatMap(name =>
    globSync(join(ROOT, 'node_modules/@temporalio', name, 'lib/**/*.js')),
  );
  const text = [...files, ...sdk].map(file => readFileSync(file, 'utf8')).join('\n');
  const used = usedDefinitions({ nested: all }, text).nested;
  return `const protobuf = require('protobufjs/light');
const root = (protobuf.roots.__temporal ??= new protobuf.Root());
module.exports = root.addJSON(JSON.parse(${JSON.stringify(JSON.stringify(used))}));
`;
}
