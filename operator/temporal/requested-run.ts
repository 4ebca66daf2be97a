import { WorkflowFailedError } from '@temporalio/client';
import { rootCause } from '@temporalio/common';
import { PRIORITIES, type ScheduledRunInput, WORKFLOWS } from '../../worker/contract.ts';
import type { Temporal } from './connection.ts';
import { describeWorkflow } from './describe-workflow.ts';
import { hasSkipped, type LaunchState } from './launches.ts';
import { startWorkflow } from './start-workflow.ts';

/** A run of one bucket that a person requested, as Temporal shows it. */
export interface RequestedRun {
  /** Skipped: the workflow succeeded but did nothing, because another run has processed the bucket. */
  readonly state: LaunchState;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly endedAt?: number;
  /** Error of a run that did not succeed. */
  readonly message?: string;
}

/** Returns the run of that workflow id; undefined when Temporal does not have it. Throws the errors of `Temporal.call`. */
export function observeRequestedRun(temporal: Temporal, workflowID: string): Promise<RequestedRun | undefined> {
  return temporal.call(`looking up workflow ${workflowID}`, async client => {
    const found = await describeWorkflow(client, workflowID);
    if (!found) return undefined;
    const startedAt = found.startTime.getTime();
    if (found.status.name === 'RUNNING') return { state: 'Running', startedAt };
    const ended = { startedAt, endedAt: (found.closeTime ?? found.startTime).getTime() };
    try {
      const run = client.workflow.getHandle(workflowID, found.runId, { followRuns: false });
      return { ...ended, state: hasSkipped(await run.result()) ? 'Skipped' : 'Succeeded' };
    } catch (error) {
      if (!(error instanceof WorkflowFailedError)) throw error;
      const state = found.status.name === 'CANCELLED' ? 'Cancelled' : 'Failed';
      return { ...ended, state, message: rootCause(error.cause) ?? error.message };
    }
  });
}

/**
 * Starts the run of `input.bucket`. Repeated and concurrent calls start exactly one: Temporal rejects an id that it has, also one of a
 * workflow that has ended. Throws the errors of `Temporal.write`.
 */
export function startRequestedRun(
  temporal: Temporal,
  workflowID: string,
  input: ScheduledRunInput & { readonly bucket: string },
): Promise<void> {
  return startWorkflow(temporal, {
    workflowID,
    type: WORKFLOWS.scheduledRun,
    input,
    again: false,
    priority: PRIORITIES.scheduled,
    summary: `${input.bucket} on request`,
  });
}
