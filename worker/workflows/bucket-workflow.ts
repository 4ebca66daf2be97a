import {
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  isCancellation,
  log,
  setWorkflowOptions,
  workflowInfo,
} from '@temporalio/workflow';
import type { Batch } from '../../pipeline/archive/batches.ts';
import { BucketError, granularityOf } from '../../pipeline/bucket.ts';
import { noCounts } from '../../pipeline/counts.ts';
import { type BrokenStage, type RunSteps, runStages } from '../../pipeline/runs/bucket-run.ts';
import type { PlanKey, PlannedBucket } from '../activities/types.ts';
import { batchWords, type RunInput, type RunResult } from '../contract.ts';
import { CANCELLED, reasonOf } from './failure.ts';
import { activitiesOf, pinned, recordsOf, refuseOtherInstallation } from './options.ts';

/**
 * Runs one bucket under one filter through the requested stages. Fails with an ApplicationFailure whose type is the reason
 * (`TooManyFailures`, ...) and whose first detail has the counts. Data that were read stay recorded.
 */
export async function BucketWorkflow(run: RunInput): Promise<RunResult> {
  check(run);
  const startedAt = workflowInfo().startTime.getTime();
  const { observed, analysis } = await runStages(run.stages, stepsOf(run, startedAt));
  return {
    bucket: run.bucket,
    generation: observed?.plan.handle.generation ?? startedAt,
    counts: observed?.counts ?? noCounts(),
    analysedDays: analysis ?? [],
  };
}

setWorkflowOptions(pinned, BucketWorkflow);

/** Returns the steps of a run as activities. */
function stepsOf(run: RunInput, startedAt: number): RunSteps<Batch, PlannedBucket, readonly string[]> {
  const activities = activitiesOf(run.installation);
  const first: PlanKey = { run, startedAt, plan: 1 };
  let key = first;
  return {
    plan(attempt) {
      key = { ...first, plan: attempt };
      return activities.planRun(key);
    },
    openBatches({ handle }) {
      const scope = new CancellationScope();
      return {
        run: work => scope.run(work),
        observe: batch =>
          activities.observeBatch.executeWithOptions({ summary: batchWords(batch) }, [key, handle, batch]),
        storedBefore: error => reasonOf(error).counts,
        cancel: () => scope.cancel(),
      };
    },
    finish: ({ handle }, counts) => activities.finishRun(key, handle, counts),
    analyse: observed => activities.analyse(first, observed?.plan.handle.generation ?? null),
    abandon: broken => abandon(broken.stage === 'Analysis' ? first : key, broken),
    tooManyFailures: (message, { counts }) =>
      ApplicationFailure.create({ type: 'TooManyFailures', message, nonRetryable: true, details: [counts] }),
    archiveChanged: error => reasonOf(error).reason === 'ArchiveChanged',
  };
}

/** Records the end of a run that does not finish, then throws: a cancellation as such, any other error with reason and counts. */
async function abandon(key: PlanKey, { stage, error, plan, counts }: BrokenStage<PlannedBucket>): Promise<never> {
  const cause = reasonOf(error);
  // A run that was cancelled while its worker was gone ends with that worker's timeout, but still counts as cancelled.
  const cancelled = cause.cancelled || CancellationScope.current().consideredCancelled;
  const { reason, message } = cancelled ? CANCELLED : cause;
  const failure = { state: cancelled ? 'cancelled' : 'failed', reason, message } as const;
  try {
    await CancellationScope.nonCancellable(() =>
      recordsOf(key.run.installation).abandonRun(key, stage, failure, plan?.handle, counts),
    );
  } catch (unrecorded) {
    log.warn(`the end of the run could not be recorded: ${reasonOf(unrecorded).message}`);
  }
  if (cancelled) throw isCancellation(error) ? error : new CancelledFailure(message);
  throw ApplicationFailure.create({
    type: reason,
    message,
    nonRetryable: true,
    details: [counts],
    cause: error as Error,
  });
}

/** Fails the run for an invalid argument. Temporal treats an error of another kind as a defect and retries it forever. */
function check(run: RunInput): void {
  refuseOtherInstallation(run.installation);
  try {
    granularityOf(run.bucket);
  } catch (error) {
    if (error instanceof BucketError) throw ApplicationFailure.nonRetryable(error.message, 'InvalidRun');
    throw error;
  }
  if (run.stages.length === 0) throw ApplicationFailure.nonRetryable('a run needs a stage', 'InvalidRun');
}
