import { type ChildWorkflowHandle, startChild } from '@temporalio/workflow';
import { filterWords, queuesOf, type RunInput, runWorkflowID } from '../contract.ts';
import { BucketWorkflow } from './bucket-workflow.ts';
import { attributesOf } from './options.ts';

/** Returns the workflow id of a run. */
export function workflowIDOf({ installation, filterID, bucket }: RunInput): string {
  return runWorkflowID(installation, filterID, bucket);
}

/**
 * Starts a run as a child of the current workflow. Throws WorkflowExecutionAlreadyStartedError when another run is processing the bucket
 * under this filter. A cancellation of the current scope reaches the run, and its result then arrives after it has recorded its end.
 *
 * @param priority one of PRIORITIES
 */
export function startRun(run: RunInput, priority: number): Promise<ChildWorkflowHandle<typeof BucketWorkflow>> {
  return startChild(BucketWorkflow, {
    workflowId: workflowIDOf(run),
    args: [run],
    taskQueue: queuesOf(run.installation).workflows,
    priority: { priorityKey: priority },
    typedSearchAttributes: attributesOf(run),
    // The run continues when somebody ends its parent by hand, because it has started and its result is valid.
    parentClosePolicy: 'ABANDON',
    cancellationType: 'WAIT_CANCELLATION_COMPLETED',
    staticSummary: `${run.bucket}, ${filterWords(run.filter)}`,
  });
}
