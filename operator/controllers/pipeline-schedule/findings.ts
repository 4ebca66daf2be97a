import type { PipelineScheduleSpec } from '../../../crds/pipeline-schedule.ts';
import { lastCompleteBucket } from '../../../pipeline/bucket.ts';
import { nominalTime } from '../../temporal/nominal-time.ts';
import type { DesiredCondition } from '../conditions.ts';
import type { Warning } from '../warnings.ts';
import type { ObservedSchedule } from './plan-types.ts';

/** Returns the warning about due buckets that are not completed; empty when there are none, or when this is not known. */
export function missingWarnings({ missing }: ObservedSchedule): Warning[] {
  if (!missing?.known || missing.value.count === 0) return [];
  const { count, first, last } = missing.value;
  const which =
    count === 1
      ? `1 due bucket is not completed: ${first}.`
      : `${count} due buckets are not completed, from ${first} to ${last}.`;
  return [{ reason: 'BucketsMissing', message: `${which} Create a Backfill with reprocess: Failed over this range.` }];
}

/** Returns the condition LastRunFailed; empty when the last ended run succeeded, or when nothing is missing any more. */
export function lastRunFailed({ launches, missing }: ObservedSchedule, spec: PipelineScheduleSpec): DesiredCondition[] {
  if (!launches.known || (missing?.known && missing.value.count === 0)) return [];
  const ended = launches.value
    .flatMap(launch => {
      const at = nominalTime(launch.workflowID);
      return at === undefined || launch.state === 'Running' ? [] : [{ ...launch, at }];
    })
    .sort((a, b) => b.at - a.at);
  const [last] = ended;
  if (last?.state !== 'Failed' && last?.state !== 'Cancelled') return [];
  const [reason, what] =
    last.state === 'Failed' ? (['RunFailed', 'failed'] as const) : (['RunCancelled', 'was cancelled'] as const);
  const message = `The run of ${lastCompleteBucket(last.at, spec.granularity)} ${what}; look at workflow ${last.workflowID} in Temporal.`;
  return [{ type: 'LastRunFailed', status: 'True', reason, message }];
}
