/** All workflows of a worker: what is bundled. The names are those of contract.ts (WORKFLOWS). */
export { BackfillWorkflow } from './backfill.ts';
export { BucketWorkflow } from './bucket.ts';
export { ReferenceRefreshWorkflow } from './reference-refresh.ts';
export { ScheduledRunWorkflow } from './scheduled-run.ts';
