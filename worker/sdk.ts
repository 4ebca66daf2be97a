/**
 * The parts of a worker that load the SDK of Temporal, in one module: loading takes most of a second, so a worker sends its first statement to
 * ClickHouse before.
 */
export { Worker } from '@temporalio/worker';
export { createActivities } from './activities/activities.ts';
export { installRuntime, registerRunAttributes } from './temporal.ts';
export { TemporalConnection } from './temporal-connection.ts';
