// Deletes from a node_modules what a container does not need: declarations, source maps, documents, and native libraries of other platforms.
// With --bundled, it also deletes what only the bundler of workflows needs.
//
//     node images/prune.mjs node_modules [--bundled]
import { globSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const root = process.argv[2];
const machine = { x64: 'x86_64', arm64: 'aarch64' }[process.arch];
if (!root || !machine) throw new Error(`usage: node prune.mjs NODE_MODULES, on x64 or arm64; this is ${process.arch}`);
const native = globSync('@temporalio/core-bridge/releases/*', { cwd: root });
const kept = native.filter(folder => folder.endsWith(`${machine}-unknown-linux-gnu`));
if (kept.length !== 1) throw new Error(`@temporalio/core-bridge has no library for ${machine}-unknown-linux-gnu`);

const unneeded = [
  ...native.filter(folder => !kept.includes(folder)),
  ...globSync('**/*.{map,d.ts,d.mts,d.cts,md,markdown,flow}', { cwd: root }),
  // The image has its own Node.
  ...globSync('node-linux-*', { cwd: root }),
  // Libraries for the runtime Bare, which Node never loads.
  ...globSync('**/bare-*/prebuilds', { cwd: root }),
  ...(process.argv.includes('--bundled') ? ['@swc', 'terser', 'caniuse-lite', '@types'] : []),
];
for (const path of unneeded) rmSync(join(root, path), { recursive: true, force: true });
console.log(`${unneeded.length} files and folders deleted from ${root}`);
