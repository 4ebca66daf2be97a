/**
 * Bundles the workflows into dist/workflows.js, so that a worker need not do it at its start. A worker without the bundle, or with a bundle
 * of other sources, bundles at its start.
 *
 *     npm run build
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { BUNDLE_PATH, bundleStamp, INTERCEPTOR_PATHS, WORKFLOWS_PATH } from '../worker/workflow-bundle.ts';

const { code } = await bundleWorkflowCode({
  workflowsPath: WORKFLOWS_PATH,
  workflowInterceptorModules: INTERCEPTOR_PATHS,
  logger: new DefaultLogger('WARN'),
});
mkdirSync(dirname(BUNDLE_PATH), { recursive: true });
// Replaces the file in one step: a worker may be starting at this moment, or another build may run.
const own = `${BUNDLE_PATH}.${process.pid}`;
writeFileSync(own, `${bundleStamp()}\n${code}`);
renameSync(own, BUNDLE_PATH);
console.log(`dist/workflows.js: ${Math.round(code.length / 1024)} KB`);
