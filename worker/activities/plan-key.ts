import { Context } from '@temporalio/activity';
import { attemptID, type OpenedRun, type RunOrigin } from '../../pipeline/ledger/ledger.ts';
import type { AnalysisTask } from '../../pipeline/runs/analysis.ts';
import type { BucketKey } from '../../pipeline/runs/observations.ts';
import { CODE_VERSION } from '../../pipeline/version.ts';
import type { RunInput } from '../contract.ts';
import type { ActivityTools } from './tools.ts';
import type { PlanKey, RunHandle } from './types.ts';

/** Returns the origin of the run of the current activity, for the ledger. */
export function originOf({ run, plan }: PlanKey, { referenceVersions }: ActivityTools): RunOrigin {
  const { workflowExecution } = Context.current().info;
  return {
    workflowID: workflowExecution?.workflowId ?? '',
    runID: attemptID(workflowExecution?.runId ?? '', plan),
    backfill: run.backfill ?? '',
    codeVersion: CODE_VERSION,
    referenceVersions,
  };
}

/** Returns the bucket of a run under its filter, as the ledger names it. */
export function bucketOf({ bucket, filter, filterID }: RunInput): BucketKey {
  return { bucket, filter, filterID };
}

/** Returns the opened run that a handle stands for. */
export function openedRun({ run }: PlanKey, handle: RunHandle): OpenedRun {
  return { ...bucketOf(run), stage: 'Observations', ...handle };
}

/** Returns the analysis of a run, without the generation of its observations. */
export function analysisTask({ run, startedAt }: PlanKey): AnalysisTask {
  const { settledBy } = run;
  return { bucket: bucketOf(run), startedAt, ...(settledBy && { settledBy }) };
}
