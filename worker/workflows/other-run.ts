import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { type ChildWorkflowHandle, condition, patched } from '@temporalio/workflow';
import type { RunInput } from '../contract.ts';
import type { BucketWorkflow } from './bucket-workflow.ts';
import { activitiesOf } from './options.ts';

/** Milliseconds between two looks at a run of another workflow: the first wait, which doubles up to the longest. */
const WAIT = { first: 5_000, longest: 120_000 };

/** Returns the milliseconds to wait before the n-th look at another run (n from 1). */
export function waitBefore(look: number): number {
  return Math.min(WAIT.longest, WAIT.first * 2 ** (look - 1));
}

/**
 * Starts the run of a bucket. When another run of the bucket is in progress, waits for its end and reads the ledger again: that run may
 * have other stages, or fail. Returns `done` when the other run has left nothing to do, and `stopped` when `stop` became true.
 *
 * @param again whether the bucket is run even when the ledger has it as done
 */
export async function startAfterOthers(
  run: RunInput,
  again: boolean,
  start: () => Promise<ChildWorkflowHandle<typeof BucketWorkflow>>,
  onWait: () => void = () => {},
  stop: () => boolean = () => false,
): Promise<ChildWorkflowHandle<typeof BucketWorkflow> | 'done' | 'stopped'> {
  for (let look = 1; ; look++) {
    try {
      return await start();
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      if (!patched('wait-for-other-run')) return 'done';
    }
    onWait();
    if (await condition(stop, waitBefore(look))) return 'stopped';
    if (!again && !(await activitiesOf(run.installation).needsRun(run))) return 'done';
  }
}
