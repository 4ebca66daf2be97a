import {
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  isCancellation,
  log,
  workflowInfo,
} from '@temporalio/workflow';
import { BucketError, granularityOf } from '../../pipeline/bucket.ts';
import { addCounts, noCounts } from '../../pipeline/counts.ts';
import type { PlanKey, PlannedBucket, RunHandle } from '../activities/types.ts';
import type { RunCounts, RunInput, RunResult, Stage } from '../contract.ts';
import { CANCELLED, reasonOf } from './failure.ts';
import { activitiesOf, recordsOf, refuseOtherInstallation } from './options.ts';

/** Limit of plans in a run, which plans again when the archive changed meanwhile. */
const PLANS = 5;

/**
 * Runs one bucket under one filter through the requested stages. Fails with an ApplicationFailure whose type is the reason
 * (`TooManyFailures`, ...) and whose first detail has the counts. Data that were read stay recorded.
 */
export async function BucketWorkflow(run: RunInput): Promise<RunResult> {
  check(run);
  const startedAt = workflowInfo().startTime.getTime();
  const key: PlanKey = { run, startedAt, plan: 1 };
  const observed = run.stages.includes('Observations') ? await observe(key) : undefined;
  const toAnalyse = run.stages.includes('Analysis') && !observed?.wasEmpty;
  const analysedDays = toAnalyse ? await analyse(key, observed) : [];
  return {
    bucket: run.bucket,
    generation: observed?.handle.generation ?? startedAt,
    counts: observed?.counts ?? noCounts(),
    analysedDays,
  };
}

interface Observed {
  readonly handle: RunHandle;
  readonly counts: RunCounts;
  /** The bucket was empty, and the complete run is recorded. */
  readonly wasEmpty: boolean;
}

/** Runs the observations. When an object changed or vanished, it starts again from the listing, and the next generation replaces the data. */
async function observe(first: PlanKey): Promise<Observed> {
  for (let plan = 1; ; plan++) {
    try {
      return await observeOnce({ ...first, plan });
    } catch (error) {
      if (reasonOf(error).reason !== 'ArchiveChanged' || plan === PLANS) throw error;
    }
  }
}

async function observeOnce(key: PlanKey): Promise<Observed> {
  const counts = noCounts();
  const activities = activitiesOf(key.run.installation);
  let planned: PlannedBucket | undefined;
  try {
    planned = await activities.planRun(key);
    const { handle } = planned;
    if (planned.end) return { handle, counts: planned.end.counts, wasEmpty: true };
    if (planned.kept) return { handle, counts, wasEmpty: false };
    await runBatches(key, planned, counts);
    const end = await activities.finishRun(key, handle, counts);
    if (end.tooManyFailures === undefined) return { handle, counts: end.counts, wasEmpty: false };
    throw ApplicationFailure.create({
      type: 'TooManyFailures',
      message: end.tooManyFailures,
      nonRetryable: true,
      details: [end.counts],
    });
  } catch (error) {
    // The failure over the limit is recorded already.
    if (error instanceof ApplicationFailure && error.type === 'TooManyFailures') throw error;
    return abandon(key, 'Observations', error, planned?.handle, counts);
  }
}

/** Runs all batches at once; the slots of the workers limit how many run at a time. The first failure stops the others. */
async function runBatches(key: PlanKey, planned: PlannedBucket, counts: RunCounts): Promise<void> {
  const failures: unknown[] = [];
  const scope = new CancellationScope();
  const { observeBatch } = activitiesOf(key.run.installation);
  await scope.run(() =>
    Promise.all(
      planned.batches.map(async batch => {
        try {
          addCounts(counts, await observeBatch(key, planned.handle, batch));
        } catch (error) {
          // The data that it stored before it failed or stopped have been read and count.
          const { counts: stored } = reasonOf(error);
          if (stored) addCounts(counts, stored);
          failures.push(error);
          scope.cancel();
        }
      }),
    ),
  );
  if (failures.length > 0) throw failures[0];
}

async function analyse(key: PlanKey, observed: Observed | undefined): Promise<readonly string[]> {
  try {
    return await activitiesOf(key.run.installation).analyse(key, observed?.handle.generation ?? null);
  } catch (error) {
    // The observations are complete, whatever happens to the verdicts.
    return abandon(key, 'Analysis', error, observed?.handle, observed?.counts);
  }
}

/** Records the end of a run that does not finish, then throws: a cancellation as such, any other error with reason and counts. */
async function abandon(
  key: PlanKey,
  stage: Stage,
  error: unknown,
  handle?: RunHandle,
  counts: RunCounts = noCounts(),
): Promise<never> {
  const told = reasonOf(error);
  // A run that was cancelled while its worker was gone ends with that worker's timeout, but still counts as cancelled.
  const cancelled = told.cancelled || CancellationScope.current().consideredCancelled;
  const { reason, message } = cancelled ? CANCELLED : told;
  const failure = { state: cancelled ? 'cancelled' : 'failed', reason, message } as const;
  try {
    await CancellationScope.nonCancellable(() =>
      recordsOf(key.run.installation).abandonRun(key, stage, failure, handle, counts),
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
