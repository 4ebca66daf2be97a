import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WorkerOptions } from '@temporalio/worker';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Where the workflows begin. */
export const WORKFLOWS_PATH = join(root, 'worker/workflows/index.ts');
/** Where `npm run build` puts the bundle; its first line names the sources it was made of. */
export const BUNDLE_PATH = join(root, 'dist/workflows.js');

const SOURCES = [
  'worker/contract.ts',
  'worker/workflows/*.ts',
  'pipeline/bucket.ts',
  'pipeline/counts.ts',
  'pipeline/filter.ts',
];

/** The first line of a bundle of the sources as they are now. */
export function bundleStamp(): string {
  const hash = createHash('sha256');
  for (const file of globSync(SOURCES, { cwd: root }).sort()) {
    if (file.endsWith('.test.ts')) continue;
    hash.update(`${file}\n`).update(readFileSync(join(root, file)));
  }
  return `// workflows of sources ${hash.digest('hex')}`;
}

/**
 * Workflow code for a worker: the bundle, when there is one of exactly these sources, else the sources, which the worker bundles at its
 * start (some seconds). A bundle of other sources would run other workflows than the ones that are read in the repository.
 */
export function workflowCode(): Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath'> {
  return isBundled() ? { workflowBundle: { codePath: BUNDLE_PATH } } : { workflowsPath: WORKFLOWS_PATH };
}

/** Whether there is a bundle of the sources as they are now. */
export function isBundled(): boolean {
  return existsSync(BUNDLE_PATH) && readFileSync(BUNDLE_PATH, 'utf8').startsWith(bundleStamp());
}
