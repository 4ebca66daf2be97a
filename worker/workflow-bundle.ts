import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WorkerOptions } from '@temporalio/worker';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Ending of the sources: `.ts`, or `.js` in the npm package. */
const ENDING = extname(import.meta.url);

/** Entry point of the workflows. */
export const WORKFLOWS_PATH = join(root, `worker/workflows/index${ENDING}`);
/** Modules with interceptors of the workflows. */
export const INTERCEPTOR_PATHS = [join(root, `worker/workflows/trace${ENDING}`)];
/** Output of `npm run build`; its first line identifies the sources of the bundle. */
export const BUNDLE_PATH = join(root, 'dist/workflows.js');

/** Sources of the bundle, as patterns. */
export const SOURCES = [
  'worker/contract.ts',
  'worker/workflows/*.ts',
  'pipeline/bucket.ts',
  'pipeline/counts.ts',
  'pipeline/filter.ts',
  'pipeline/runs/bucket-run.ts',
  'pipeline/telemetry/trace-parent.ts',
  'pipeline/with-commas.ts',
  'temporal/trace-header.ts',
];

/** Returns the first line of a bundle of the current sources. */
export function bundleStamp(): string {
  const hash = createHash('sha256');
  const sources = SOURCES.map(source => source.replace(/\.ts$/, ENDING));
  for (const file of globSync(sources, { cwd: root }).sort()) {
    if (file.endsWith('.test.ts')) continue;
    hash.update(`${file}\n`).update(readFileSync(join(root, file)));
  }
  return `// workflows of sources ${hash.digest('hex')}`;
}

/**
 * Returns the workflow code for a worker: the bundle if it was built from exactly the current sources, otherwise the sources, which the
 * worker bundles at its start (some seconds). A bundle of other sources would run other workflows than those in the repository.
 */
export function workflowCode(): Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath' | 'interceptors'> {
  if (isBundled()) return { workflowBundle: { codePath: BUNDLE_PATH } };
  return { workflowsPath: WORKFLOWS_PATH, interceptors: { workflowModules: INTERCEPTOR_PATHS } };
}

/** Returns whether a bundle of the current sources exists. */
export function isBundled(): boolean {
  return existsSync(BUNDLE_PATH) && readFileSync(BUNDLE_PATH, 'utf8').startsWith(bundleStamp());
}
