import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { filterWords, queuesOf, type RunFilter } from '../../worker/contract.ts';
import type { Temporal } from './connection.ts';

const KEYS = {
  installation: defineSearchAttributeKey('OoniInstallation', SearchAttributeType.KEYWORD),
  filter: defineSearchAttributeKey('OoniFilter', SearchAttributeType.KEYWORD),
  backfill: defineSearchAttributeKey('OoniBackfill', SearchAttributeType.KEYWORD),
};

/** Parameters of a start of a workflow. */
export interface WorkflowStart {
  readonly workflowID: string;
  /** Name of the workflow type. */
  readonly type: string;
  /** The only argument of the workflow. */
  readonly input: { readonly installation: string; readonly filter: RunFilter; readonly filterID: string };
  /** Starts the workflow also when Temporal has an ended one of this id. Otherwise such an id is rejected as well. */
  readonly again: boolean;
  /** Temporal's priority: 1 is served first. */
  readonly priority: number;
  /** Summary in Temporal's UI, without the filter. */
  readonly summary: string;
  readonly memo?: Record<string, unknown>;
  /** Workflow id of the backfill, for search. */
  readonly backfill?: string;
}

/**
 * Starts a workflow on the queue of its installation. Repeated and concurrent calls start exactly one: Temporal rejects the id of a running
 * workflow. Throws the errors of `Temporal.write`.
 */
export function startWorkflow(temporal: Temporal, start: WorkflowStart): Promise<void> {
  const { workflowID, type, input, again, priority, summary, memo, backfill } = start;
  return temporal.write(`starting workflow ${workflowID}`, async client => {
    try {
      await client.workflow.start(type, {
        workflowId: workflowID,
        taskQueue: queuesOf(input.installation).workflows,
        args: [input],
        workflowIdReusePolicy: again ? 'ALLOW_DUPLICATE' : 'REJECT_DUPLICATE',
        workflowIdConflictPolicy: 'FAIL',
        priority: { priorityKey: priority },
        staticSummary: `${summary}, ${filterWords(input.filter)}`,
        ...(memo && { memo }),
        typedSearchAttributes: [
          { key: KEYS.installation, value: input.installation },
          { key: KEYS.filter, value: input.filterID },
          ...(backfill ? [{ key: KEYS.backfill, value: backfill }] : []),
        ],
      });
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
  });
}
