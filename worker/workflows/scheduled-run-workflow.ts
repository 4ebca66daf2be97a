import {
  ApplicationFailure,
  defineSearchAttributeKey,
  SearchAttributeType,
  WorkflowExecutionAlreadyStartedError,
} from '@temporalio/common';
import { startChild, workflowInfo } from '@temporalio/workflow';
import { lastCompleteBucket } from '../../pipeline/bucket.ts';
import {
  filterWords,
  PRIORITIES,
  QUEUES,
  type RunInput,
  type RunResult,
  runId,
  type ScheduledRunInput,
} from '../contract.ts';
import { BucketWorkflow } from './bucket-workflow.ts';
import { attributesOf } from './options.ts';

const NOMINAL = defineSearchAttributeKey('TemporalScheduledStartTime', SearchAttributeType.DATETIME);

/** What a firing of a schedule came to: the run's result, or that somebody was at work on the bucket already. */
export type ScheduledRunResult =
  | RunResult
  | { readonly bucket: string; readonly skipped: 'InFlight'; readonly workflowID: string };

/**
 * One firing of a schedule: the last bucket complete at its *nominal* time, so that a firing made up for later handles the bucket that
 * was meant. Its run is a child named by its meaning; when that name is taken, a backfill has the bucket in work, and this
 * firing says so and ends.
 */
export async function ScheduledRunWorkflow(input: ScheduledRunInput): Promise<ScheduledRunResult> {
  const { installation, filter, filterID, stages, granularity } = input;
  const nominal = workflowInfo().typedSearchAttributes.get(NOMINAL);
  if (!nominal) {
    throw ApplicationFailure.nonRetryable(
      'started without a schedule: TemporalScheduledStartTime, the nominal time, is missing',
      'InvalidRun',
    );
  }
  const bucket = lastCompleteBucket(nominal.getTime(), granularity);
  const run: RunInput = { installation, bucket, filter, filterID, stages };
  const workflowID = runId(installation, filterID, bucket);
  try {
    const child = await startChild(BucketWorkflow, {
      workflowId: workflowID,
      args: [run],
      taskQueue: QUEUES.workflows,
      priority: { priorityKey: PRIORITIES.scheduled },
      typedSearchAttributes: attributesOf(run),
      // Whoever ends a launcher by hand does not mean the run; cancelling it does reach the run.
      parentClosePolicy: 'ABANDON',
      staticSummary: `${bucket}, ${filterWords(filter)}`,
    });
    return await child.result();
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return { bucket, skipped: 'InFlight', workflowID };
    throw error;
  }
}
