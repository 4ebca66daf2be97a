import type { PipelineScheduleSpec, PipelineScheduleStatus } from '../../../crds/pipeline-schedule.ts';
import { SpecError } from '../../../crds/resource.ts';
import {
  countBuckets,
  type Granularity,
  granularityOf,
  lastCompleteBucket,
  nextBucket,
} from '../../../pipeline/bucket.ts';
import { scheduleIDOf } from '../../../worker/contract.ts';
import type { Launch } from '../../temporal/launches.ts';
import { nominalTime } from '../../temporal/nominal-time.ts';
import { blockedStatus } from '../blocked.ts';
import { seconds } from '../conditions.ts';
import { scheduleLink, type TemporalUI } from '../links.ts';
import { coverageOf } from './coverage.ts';
import type { ObservedSchedule, SchedulePlan } from './plan-types.ts';
import { recordOf } from './record.ts';
import { requestedRunStatus } from './requested-run.ts';

type Body = Omit<PipelineScheduleStatus, 'conditions' | 'observedGeneration'>;

/** Returns the status of a PipelineSchedule without conditions. Values that cannot be read now keep their former value. */
export function scheduleStatus(
  observed: ObservedSchedule,
  plan: SchedulePlan,
  installation: string,
  ui: TemporalUI,
): Body {
  const { object, spec, schedule, launches, missing, buckets } = observed;
  const { namespace = '', name } = object.metadata;
  const { conditions: _, observedGeneration: __, blockedBy: ___, ...before } = object.status ?? {};
  const id = scheduleIDOf(installation, namespace, name);
  const link = scheduleLink(ui, id);
  const requestedRun = requestedRunStatus(observed.requested, before.requestedRun);
  const base: Body = {
    ...before,
    ...(requestedRun && { requestedRun }),
    ...(observed.blockedBy && { blockedBy: blockedStatus(observed.blockedBy, ui) }),
    ...(link && { links: { schedule: link } }),
  };
  if (spec instanceof SpecError) return base;
  const runs = launches.known ? runsOf(launches.value, spec, before) : {};
  const after: Body = {
    ...base,
    ...runs,
    ...(missing?.known && { missing: missing.value }),
    ...(buckets && { buckets }),
  };
  if (!schedule.known) return after;
  const seen = schedule.value;
  // Only a schedule with our mark is recorded. The record later identifies one that lost its mark as ours.
  const ours = seen?.ownerUID === object.metadata.uid;
  if (!seen || (!ours && plan.summary.reason === 'AdoptionRefused')) {
    return { ...after, scheduleID: undefined, scheduleHash: undefined, nextBuckets: undefined };
  }
  if (!ours) return after;
  const changes = plan.actions.some(action => action.do !== 'startRun');
  // The next firing of a schedule that is being changed is not one of the spec.
  const coverage =
    launches.known && !changes ? coverageOf(spec, before.coverage, seen, launches.value) : before.coverage;
  const due = seen.recent.at(-1)?.at;
  return {
    ...after,
    scheduleID: id,
    // After a change by the operator, the next description is accepted without comparison, because a server may describe the same
    // schedule differently.
    scheduleHash: changes ? undefined : recordOf(seen),
    nextBuckets: seen.unseen
      ? undefined
      : seen.paused
        ? []
        : seen.nextFirings
            .slice(0, 3)
            .map(at => ({ bucket: lastCompleteBucket(at, spec.granularity), at: seconds(at) })),
    ...(coverage && { coverage }),
    lag: lagOf(after.lastSuccessfulBucket, due, spec.granularity),
  };
}

function runsOf(launches: readonly Launch[], spec: PipelineScheduleSpec, before: Body): Body {
  const runs = launches.flatMap(launch => {
    const at = nominalTime(launch.workflowID);
    return at === undefined ? [] : [{ ...launch, at, bucket: lastCompleteBucket(at, spec.granularity) }];
  });
  const last = runs.reduce((a, b) => (a && a.at >= b.at ? a : b), runs[0]);
  // A bucket of the other granularity dates from before a change of the spec and cannot be compared.
  const kept = before.lastSuccessfulBucket;
  const succeeded = [
    ...(kept && granularityOf(kept) === spec.granularity ? [kept] : []),
    ...runs.filter(({ state }) => state === 'Succeeded').map(({ bucket }) => bucket),
  ].sort();
  return {
    active: runs.filter(({ state }) => state === 'Running').length,
    ...(last && {
      lastRun: { bucket: last.bucket, state: last.state, at: seconds(last.at), workflowID: last.workflowID },
    }),
    lastSuccessfulBucket: succeeded.at(-1),
  };
}

/** Returns the number of buckets after the last success up to the last firing; undefined while there was no success or no firing. */
function lagOf(
  lastSuccessful: string | undefined,
  due: number | undefined,
  granularity: Granularity,
): number | undefined {
  if (lastSuccessful === undefined || due === undefined) return undefined;
  return countBuckets(nextBucket(lastSuccessful), nextBucket(lastCompleteBucket(due, granularity)), granularity);
}
