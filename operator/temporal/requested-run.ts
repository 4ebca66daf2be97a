import { WorkflowExecutionAlreadyStartedError, WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client';
import { defineSearchAttributeKey, rootCause, SearchAttributeType } from '@temporalio/common';
import { filterWords, PRIORITIES, queuesOf, type ScheduledRunInput, WORKFLOWS } from '../../worker/contract.ts';
import type { Temporal } from './connection.ts';
import { undefinedWhen } from './errors.ts';
import type { LaunchState } from './schedules.ts';

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

const KEYS = {
  installation: defineSearchAttributeKey('OoniInstallation', SearchAttributeType.KEYWORD),
  filter: defineSearchAttributeKey('OoniFilter', SearchAttributeType.KEYWORD),
};

/** Returns the run of that workflow id; undefined when Temporal does not have it. Throws the errors of `Temporal.call`. */
export function observeRequestedRun(temporal: Temporal, workflowID: string): Promise<RequestedRun | undefined> {
  return temporal.call(`looking up workflow ${workflowID}`, async client => {
    const found = await client.workflow
      .getHandle(workflowID)
      .describe()
      .catch(undefinedWhen(error => error instanceof WorkflowNotFoundError));
    if (!found) return undefined;
    const startedAt = found.startTime.getTime();
    if (found.status.name === 'RUNNING') return { state: 'Running', startedAt };
    const ended = { startedAt, endedAt: (found.closeTime ?? found.startTime).getTime() };
    try {
      const run = client.workflow.getHandle(workflowID, found.runId, { followRuns: false });
      const result: unknown = await run.result();
      const skipped = typeof result === 'object' && result !== null && 'skipped' in result;
      return { ...ended, state: skipped ? 'Skipped' : 'Succeeded' };
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
  return temporal.write(`starting workflow ${workflowID}`, async client => {
    try {
      await client.workflow.start(WORKFLOWS.scheduledRun, {
        workflowId: workflowID,
        taskQueue: queuesOf(input.installation).workflows,
        args: [input],
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        workflowIdConflictPolicy: 'FAIL',
        priority: { priorityKey: PRIORITIES.scheduled },
        staticSummary: `${input.bucket} on request, ${filterWords(input.filter)}`,
        typedSearchAttributes: [
          { key: KEYS.installation, value: input.installation },
          { key: KEYS.filter, value: input.filterID },
        ],
      });
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
  });
}
