import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { isBundled } from '../worker/workflow-bundle.ts';

const BUILD = join(import.meta.dirname, '../tools/build.ts');

/** Bundles the workflows if they changed since the last bundle. Otherwise each worker would bundle them at its start, as it can. */
export async function bundleWorkflows(): Promise<void> {
  if (isBundled()) return;
  const child = spawn(process.execPath, [BUILD], { stdio: 'ignore' });
  await new Promise(done => child.once('error', done).once('close', done));
}
