import { parseCron } from '../../../crds/cron.ts';
import { durationSeconds } from '../../../crds/fields.ts';
import type { PipelineSchedule, PipelineScheduleSpec } from '../../../crds/pipeline-schedule.ts';
import { ANNOTATIONS, FINALIZER, SpecError } from '../../../crds/resource.ts';
import { lastCompleteBucket } from '../../../pipeline/bucket.ts';
import { filterIDOf, normaliseFilter } from '../../../pipeline/filter.ts';
import { sentence } from '../../../pipeline/sentence.ts';
import { filterWords, launchIDPrefix, scheduleIDOf, WORKFLOWS } from '../../../worker/contract.ts';
import { hashOf } from '../../hash.ts';
import type { Stored } from '../../kube/resource.ts';
import type { Observation } from '../../observation.ts';
import type { BlockedRun } from '../../temporal/blocked-by.ts';
import type { Launch } from '../../temporal/launches.ts';
import { nominalTime } from '../../temporal/nominal-time.ts';
import type { ScheduleRecord } from '../../temporal/schedule-reader.ts';
import type { PauseState, ScheduleRequest, ScheduleState } from '../../temporal/schedules.ts';
import { blockedSummary } from '../blocked.ts';
import type { DesiredCondition, ReadySummary } from '../conditions.ts';
import { annotated, type Check, firstOf, invalid, type Plan, REFRESH, unavailable } from '../plan-types.ts';
import { filterWarnings, type Warning, warningCondition } from '../warnings.ts';
import type { BucketCounts, Missing } from './coverage.ts';
import { mismatches } from './mismatch.ts';
import { decideRun, type Requested, type RunRequest } from './requested-run.ts';

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

/** Note that distinguishes the operator's own pause from a pause by a person. */
export const OUR_NOTE = 'spec.suspend of the PipelineSchedule is true';
const RUNNING: PauseState = { paused: false, note: '' };

/** Returns the desired schedule of a PipelineSchedule. */
export function requestOf(object: PipelineSchedule, spec: PipelineScheduleSpec, installation: string): ScheduleRequest {
  const { namespace = '', name, uid = '' } = object.metadata;
  const filter = normaliseFilter(spec);
  const content = {
    id: scheduleIDOf(installation, namespace, name),
    installation,
    launchID: launchIDPrefix(installation, namespace, name),
    ownerUID: uid,
    cron: parseCron(spec.schedule).lines,
    timeZone: spec.timeZone,
    overlap: spec.overlap,
    catchUpWindow: durationSeconds(spec.catchUpWindow) ?? 0,
    workflowType: WORKFLOWS.scheduledRun,
    summary: `the ${spec.granularity === 'Day' ? 'day' : 'hour'} before, ${filterWords(filter)}`,
    input: { installation, granularity: spec.granularity, filter, filterID: filterIDOf(filter), stages: spec.stages },
    attributes: { OoniInstallation: installation, OoniFilter: filterIDOf(filter) },
  };
  return { ...content, hash: hashOf(content) };
}

/** Decides about one PipelineSchedule and adds warnings about probable mistakes. `now` is in milliseconds since 1970. */
export function planSchedule(observed: ObservedSchedule, installation: string, now: number): SchedulePlan {
  const plan = decide(observed, installation);
  const { object, spec } = observed;
  if (object.metadata.deletionTimestamp || spec instanceof SpecError) return plan;
  const run = decideRun(observed.requested, object.status?.requestedRun);
  const warnings = [...run.warnings, ...missingWarnings(observed), ...filterWarnings(spec), ...mismatches(spec, now)];
  const starts = run.start && isInForce(plan) ? [{ do: 'startRun', request: run.start } as const] : [];
  const wait = starts.length > 0 ? REFRESH.soon : run.running ? REFRESH.active : undefined;
  return {
    ...plan,
    actions: [...plan.actions, ...starts],
    events: run.start && starts.length === 0 ? [] : run.events,
    ...(wait !== undefined && { after: Math.min(wait, plan.after ?? wait) }),
    summary: withUnknown(withBlocked(plan.summary, observed), observed),
    own: [...plan.own, ...lastRunFailed(observed, spec), ...warningCondition(warnings)],
  };
}

/** Returns whether the schedule in Temporal belongs to this resource and equals its spec, paused or not. A requested run starts only then. */
function isInForce({ actions, summary }: SchedulePlan): boolean {
  return actions.length === 0 && ['Scheduled', 'Suspended', 'PausedInTemporal'].includes(summary.reason);
}

/** Says in the summary of a schedule in force what its oldest active run waits for. */
function withBlocked(summary: ReadySummary, { blockedBy }: ObservedSchedule): ReadySummary {
  if (summary.reason !== 'Scheduled' || !blockedBy) return summary;
  return blockedSummary(blockedBy, blockedBy.bucket, summary.message);
}

/** Says in the summary of a ready schedule that missing buckets are not known. */
function withUnknown(summary: ReadySummary, { missing }: ObservedSchedule): ReadySummary {
  if (summary.kind !== 'ready' || !missing || missing.known) return summary;
  return {
    ...summary,
    message: `${summary.message} Whether buckets are missing is not known: ${sentence(missing.message)}`,
  };
}

function missingWarnings({ missing }: ObservedSchedule): Warning[] {
  if (!missing?.known || missing.value.count === 0) return [];
  const { count, first, last } = missing.value;
  const which =
    count === 1
      ? `1 due bucket is not completed: ${first}.`
      : `${count} due buckets are not completed, from ${first} to ${last}.`;
  return [{ reason: 'BucketsMissing', message: `${which} Create a Backfill with reprocess: Failed over this range.` }];
}

/** Returns the condition LastRunFailed; empty when the last ended run succeeded, or when nothing is missing any more. */
function lastRunFailed({ launches, missing }: ObservedSchedule, spec: PipelineScheduleSpec): DesiredCondition[] {
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

/** Decides in this order: deletion, finalizer, invalid spec, creation, another owner, update, pause. */
function decide(observed: ObservedSchedule, installation: string): SchedulePlan {
  const { object, spec, schedule } = observed;
  if (object.metadata.deletionTimestamp) return planDeletion(observed, installation);
  if (!object.metadata.finalizers?.includes(FINALIZER)) {
    return {
      actions: [{ do: 'addFinalizer' }],
      summary: { kind: 'working', reason: 'Accepted', message: 'Accepted; the schedule is created next.' },
      own: [],
    };
  }
  if (spec instanceof SpecError) return invalid(spec.problems);
  if (!schedule.known) return unavailable(schedule.message);
  const request = requestOf(object, spec, installation);
  const seen = schedule.value;
  if (!seen) {
    return working('The schedule is being created.', { do: 'create', request, pause: pauseFor(spec, RUNNING) });
  }
  if (seen.unseen) return { ...working('The schedule is being created.'), after: REFRESH.active };
  return firstOf(CHECKS, { object, spec, request, seen, pause: pauseFor(spec, seen) }) ?? scheduled();
}

/** An existing schedule of a valid resource. */
interface Existing {
  readonly object: PipelineSchedule;
  readonly spec: PipelineScheduleSpec;
  readonly request: ScheduleRequest;
  readonly seen: ScheduleState;
  /** Desired pause. */
  readonly pause: PauseState;
}

/** Checks of an existing schedule, in order. The first one that applies decides. */
const CHECKS: readonly Check<Existing, SchedulePlan>[] = [
  hasAnotherOwner,
  differsFromSpec,
  isPausedOtherwise,
  wasChangedByHand,
  isSuspended,
  isPausedInTemporal,
];

function hasAnotherOwner({ object, seen, request }: Existing): SchedulePlan | undefined {
  if (isOurs(object, seen, request.id) || annotated(object, ANNOTATIONS.adopt)) return undefined;
  return waiting({
    kind: 'stalled',
    reason: 'AdoptionRefused',
    message: `Temporal has a schedule ${request.id} that was not made for this resource, so it is left alone. Delete it there, or annotate this resource with ${ANNOTATIONS.adopt}: "true" to take it over.`,
  });
}

function differsFromSpec(existing: Existing): SchedulePlan | undefined {
  const { seen, request } = existing;
  if (seen.hash === request.hash && seen.ownerUID === request.ownerUID) return undefined;
  return update(existing, 'The schedule is being updated.');
}

function isPausedOtherwise(existing: Existing): SchedulePlan | undefined {
  const { seen, pause } = existing;
  if (seen.paused === pause.paused && seen.note === pause.note) return undefined;
  return update(existing, 'The schedule is being paused or unpaused.');
}

function wasChangedByHand(existing: Existing): SchedulePlan | undefined {
  const { scheduleHash } = existing.object.status ?? {};
  if (scheduleHash === undefined || isAsRecorded(existing.seen, scheduleHash)) return undefined;
  return update(existing, 'Somebody changed the schedule in Temporal; the operator restores the schedule of the spec.');
}

/** Returns the record of a schedule for `status.scheduleHash`: the request, and what Temporal made of it. Undefined without a description. */
export function recordOf({ hash, described }: ScheduleState): string | undefined {
  return described === undefined ? undefined : `${hash}:${described}`;
}

/**
 * Returns the record in the status of a resource; undefined if it has none, if it is one of an older version, or if the spec has changed
 * since: then an operator may have updated the schedule and ended before it wrote the status.
 */
export function recordIn({ metadata, status }: Stored<PipelineSchedule>, id: string): ScheduleRecord | undefined {
  const { observedGeneration, scheduleID, scheduleHash } = status ?? {};
  if (scheduleID !== id || observedGeneration !== metadata.generation) return undefined;
  const [hash, described] = scheduleHash?.split(':') ?? [];
  return hash && described ? { ownerUID: metadata.uid, hash, described } : undefined;
}

/** Returns whether the schedule in Temporal is about to be changed. Its state must be new then. */
export function changesSchedule(observed: ObservedSchedule, installation: string): boolean {
  return decide(observed, installation).actions.some(
    action => action.do === 'update' || action.do === 'deleteSchedule',
  );
}

/**
 * Returns whether a schedule is as it was recorded. A record of an earlier request says nothing: an operator has updated the schedule since, and
 * ended before it wrote the status. Records of older versions have no request.
 */
function isAsRecorded({ hash, described }: ScheduleState, record: string): boolean {
  if (described === undefined) return true;
  const [request, description] = record.includes(':') ? record.split(':') : [hash, record];
  return request !== hash || description === described;
}

function isSuspended({ spec }: Existing): SchedulePlan | undefined {
  if (!spec.suspend) return undefined;
  const message = 'Suspended: nothing fires; runs that have started continue.';
  return waiting({ kind: 'ready', reason: 'Suspended', message });
}

function isPausedInTemporal({ seen }: Existing): SchedulePlan | undefined {
  if (!seen.paused) return undefined;
  const note = seen.note ? ` ("${seen.note.slice(0, 200)}")` : '';
  const message = `Somebody paused the schedule in Temporal${note}. Unpause it there, or set spec.suspend to true and back to false.`;
  return waiting({ kind: 'stalled', reason: 'PausedInTemporal', message });
}

function scheduled(): SchedulePlan {
  return waiting({ kind: 'ready', reason: 'Scheduled', message: 'The schedule is in force.' });
}

/** Returns a plan without actions, until the next look at Temporal. */
function waiting(summary: ReadySummary): SchedulePlan {
  return { actions: [], summary, own: [], after: REFRESH.idle };
}

function update({ request, pause, seen }: Existing, message: string): SchedulePlan {
  return working(message, { do: 'update', request, pause, seen });
}

/**
 * Returns whether the schedule belongs to this resource. An edit by hand drops the mark of the owner; a schedule without a mark is ours
 * if our status has its id.
 */
function isOurs(object: PipelineSchedule, seen: ScheduleState, id: string): boolean {
  if (seen.ownerUID !== undefined) return seen.ownerUID === object.metadata.uid;
  return object.status?.scheduleID === id;
}

/** Returns the desired pause. The spec decides, but only a person may end a pause that a person made in Temporal. */
function pauseFor(spec: PipelineScheduleSpec, seen: PauseState): PauseState {
  if (spec.suspend) return { paused: true, note: OUR_NOTE };
  if (seen.paused && seen.note !== OUR_NOTE) return { paused: true, note: seen.note };
  return RUNNING.paused === seen.paused ? { paused: false, note: seen.note } : RUNNING;
}

function working(message: string, ...actions: ScheduleAction[]): SchedulePlan {
  // The server may silently drop an update that lost a race. The operator therefore reads the schedule again at once.
  return { actions, summary: { kind: 'working', reason: 'Starting', message }, own: [], after: REFRESH.soon };
}

function planDeletion({ object, schedule }: ObservedSchedule, installation: string): SchedulePlan {
  const { namespace = '', name } = object.metadata;
  const id = scheduleIDOf(installation, namespace, name);
  const deleting = (message: string, actions: ScheduleAction[]): SchedulePlan => ({
    actions,
    summary: { kind: 'working', reason: 'Deleting', message },
    own: [],
  });
  if (!object.metadata.finalizers?.includes(FINALIZER)) return deleting('Nothing is left to clean up.', []);
  if (annotated(object, ANNOTATIONS.abandon)) {
    return deleting('Abandoned: the schedule is left as it is.', [{ do: 'removeFinalizer' }]);
  }
  if (!schedule.known) {
    return unavailable(
      `${sentence(schedule.message)} The schedule ${id} cannot be deleted; to delete the PipelineSchedule anyway and leave it in force, annotate it with ${ANNOTATIONS.abandon}: "true"`,
    );
  }
  if (!schedule.value) return deleting('The schedule is gone.', [{ do: 'removeFinalizer' }]);
  if (!isOurs(object, schedule.value, id)) {
    return deleting('The schedule of that name is not ours and is left alone.', [{ do: 'removeFinalizer' }]);
  }
  return deleting('The schedule is being deleted.', [
    { do: 'deleteSchedule', id, ownerUID: schedule.value.ownerUID },
    { do: 'removeFinalizer' },
  ]);
}
