import { type Client, WorkflowFailedError, WorkflowNotFoundError } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure, TerminatedFailure } from '@temporalio/common';
import type { RunCounts, RunResult } from '../contract.ts';
import type { RunAddress, RunState } from './types.ts';

/** Returns the state of a run, with its result when it has ended. */
export async function describeRun(client: Client, { workflowID, runID }: RunAddress): Promise<RunState> {
  try {
    const { status, runId } = await client.workflow.getHandle(workflowID, runID).describe();
    if (status.name === 'RUNNING') return { state: 'running' };
    const result = await client.workflow.getHandle(workflowID, runId, { followRuns: false }).result();
    return { state: 'succeeded', counts: (result as RunResult | undefined)?.counts };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return { state: 'absent' };
    if (error instanceof WorkflowFailedError) return failedRun(error.cause);
    throw error;
  }
}

function failedRun(cause: Error | undefined): RunState {
  if (cause instanceof CancelledFailure) return { state: 'cancelled' };
  if (cause instanceof ApplicationFailure) {
    const [counts] = (cause.details ?? []) as [RunCounts?];
    const failure = { reason: cause.type ?? 'Error', message: cause.message, recorded: true };
    return { state: 'failed', ...failure, ...(counts && { counts }) };
  }
  const terminated = cause instanceof TerminatedFailure;
  const message = terminated ? 'the run was terminated by hand' : (cause?.message ?? 'no reason was given');
  return { state: 'failed', reason: terminated ? 'Terminated' : 'Error', message, recorded: false };
}
