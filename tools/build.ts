/**
 * Bundles the workflows into dist/workflows.js, so that a worker starts without doing it. A worker without the bundle, or with one of
 * other sources, bundles at its start.
 *
 *     npm run build
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { BUNDLE_PATH, bundleStamp, WORKFLOWS_PATH } from '../worker/workflow-bundle.ts';

const { code } = await bundleWorkflowCode({ workflowsPath: WORKFLOWS_PATH, logger: new DefaultLogger('WARN') });
mkdirSync(dirname(BUNDLE_PATH), { recursive: true });
// Whole or not at all: a worker may be starting right now, and so may another build.
const own = `${BUNDLE_PATH}.${process.pid}`;
writeFileSync(own, `${bundleStamp()}\n${code}`);
renameSync(own, BUNDLE_PATH);
console.log(`dist/workflows.js: ${Math.round(code.length / 1024)} KB`);
