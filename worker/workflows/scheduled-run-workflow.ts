import { ApplicationFailure, defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { setWorkflowOptions, workflowInfo } from '@temporalio/workflow';
import { lastCompleteBucket } from '../../pipeline/bucket.ts';
import { type Granularity, PRIORITIES, type RunInput, type RunResult, type ScheduledRunInput } from '../contract.ts';
import { pinned, refuseOtherInstallation } from './options.ts';
import { startAfterOthers } from './other-run.ts';
import { startRun, workflowIDOf } from './start-run.ts';

const NOMINAL = defineSearchAttributeKey('TemporalScheduledStartTime', SearchAttributeType.DATETIME);

/** Result of a firing of a schedule: the run's result, or that another run has done all of it. */
export type ScheduledRunResult =
  | RunResult
  | { readonly bucket: string; readonly skipped: 'InFlight'; readonly workflowID: string };

/**
 * Handles one firing of a schedule, or one run of `input.bucket` on request. The bucket of a firing is the last one that is complete at the
 * *nominal* time, so that a late firing handles the intended bucket. Its run is a child with the id `runWorkflowID(...)`. When that id is
 * taken, another run is processing the bucket; this firing waits for its end, and runs the bucket if stages are left to do.
 */
export async function ScheduledRunWorkflow(input: ScheduledRunInput): Promise<ScheduledRunResult> {
  const { installation, filter, filterID, stages, granularity } = input;
  refuseOtherInstallation(installation);
  const bucket = input.bucket ?? bucketOfFiring(granularity);
  const run: RunInput = { installation, bucket, filter, filterID, stages };
  const child = await startAfterOthers(run, false, () => startRun(run, PRIORITIES.scheduled));
  if (typeof child === 'string') return { bucket, skipped: 'InFlight', workflowID: workflowIDOf(run) };
  return child.result();
}

/** Returns the last bucket that is complete at the nominal time of the firing. */
function bucketOfFiring(granularity: Granularity): string {
  const nominal = workflowInfo().typedSearchAttributes.get(NOMINAL);
  if (!nominal) {
    throw ApplicationFailure.nonRetryable(
      'started without a schedule: TemporalScheduledStartTime, the nominal time, is missing',
      'InvalidRun',
    );
  }
  return lastCompleteBucket(nominal.getTime(), granularity);
}

setWorkflowOptions(pinned, ScheduledRunWorkflow);
