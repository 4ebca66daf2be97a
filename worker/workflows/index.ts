/** All workflows of a worker, and the entry point of the bundle. The names are those of contract.ts (WORKFLOWS). */
export { BackfillWorkflow } from './backfill-workflow.ts';
export { BucketWorkflow } from './bucket-workflow.ts';
export { ReferenceRefreshWorkflow } from './reference-refresh-workflow.ts';
export { ScheduledRunWorkflow } from './scheduled-run-workflow.ts';
