import type { PipelineSchedule, PipelineScheduleSpec } from '../../../crds/pipeline-schedule.ts';
import type { SpecError } from '../../../crds/resource.ts';
import type { Observation } from '../../observation.ts';
import type { BlockedRun } from '../../temporal/blocked-by.ts';
import type { Launch } from '../../temporal/launches.ts';
import type { PauseState, ScheduleRequest, ScheduleState } from '../../temporal/schedules.ts';
import type { Plan } from '../plan-types.ts';
import type { BucketCounts, Missing } from './coverage.ts';
import type { Requested, RunRequest } from './requested-run.ts';

/** All inputs of a decision about a PipelineSchedule. */
export interface ObservedSchedule {
  readonly object: PipelineSchedule;
  readonly spec: PipelineScheduleSpec | SpecError;
  /** The schedule with our id in Temporal, of any owner. */
  readonly schedule: Observation<ScheduleState | undefined>;
  /** The newest launches of this schedule, newest first. */
  readonly launches: Observation<readonly Launch[]>;
  /** Buckets that are due and not completed; undefined while none has become due. */
  readonly missing?: Observation<Missing>;
  /** Numbers of due buckets by progress; undefined while none is due or the ledger cannot be read. */
  readonly buckets?: BucketCounts;
  /** Cause that blocks the oldest active run; undefined when nothing blocks it or when this is not known. */
  readonly blockedBy?: BlockedRun;
  /** The run of one bucket that the annotation `run-bucket` requests; undefined without it. */
  readonly requested?: Requested;
}

export type ScheduleAction =
  | { readonly do: 'addFinalizer' | 'removeFinalizer' }
  | { readonly do: 'create'; readonly request: ScheduleRequest; readonly pause: PauseState }
  | {
      readonly do: 'update';
      readonly request: ScheduleRequest;
      readonly pause: PauseState;
      readonly seen: ScheduleState;
    }
  | { readonly do: 'startRun'; readonly request: RunRequest }
  | { readonly do: 'deleteSchedule'; readonly id: string; readonly ownerUID: string | undefined };

export type SchedulePlan = Plan<ScheduleAction>;
