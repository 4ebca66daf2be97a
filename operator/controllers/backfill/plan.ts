import type { Backfill, BackfillSpec } from '../../../crds/backfill.ts';
import { durationSeconds } from '../../../crds/fields.ts';
import { ANNOTATIONS, FINALIZER, SpecError } from '../../../crds/resource.ts';
import { boundsOf, bucketAt, lastCompleteBucket } from '../../../pipeline/bucket.ts';
import { byteSize } from '../../../pipeline/byte-size.ts';
import { filterIDOf, normaliseFilter } from '../../../pipeline/filter.ts';
import { sentence } from '../../../pipeline/sentence.ts';
import { type BackfillProgress, backfillWorkflowID, FINAL_PHASES } from '../../../worker/contract.ts';
import type { Observation } from '../../observation.ts';
import type {
  BackfillMessage,
  BackfillStart,
  BackfillState,
  EndedBackfill,
  RunningBackfill,
} from '../../temporal/backfills.ts';
import { blockedSummary, shorten } from '../blocked.ts';
import { type DesiredCondition, type ReadySummary, seconds } from '../conditions.ts';
import { annotated, type Check, firstOf, invalid, type Plan, REFRESH, unavailable } from '../plan-types.ts';
import { filterWarnings, type Warning, warningCondition } from '../warnings.ts';
import type { Standstill } from './progress-watch.ts';

/** All inputs of a decision about a Backfill. */
export interface ObservedBackfill extends Standstill {
  readonly object: Backfill;
  readonly spec: BackfillSpec | SpecError;
  readonly workflow: Observation<BackfillState>;
}

export type BackfillAction =
  | { readonly do: 'addFinalizer' | 'removeFinalizer' }
  /** Deletes the resource after its ttlAfterFinished. */
  | { readonly do: 'delete' }
  | ({ readonly do: 'start' } & BackfillStart)
  /** Asks the workflow to start no more runs, whether or not a worker is there. */
  | { readonly do: 'drain'; readonly workflowID: string }
  | { readonly do: 'update'; readonly workflowID: string; readonly message: BackfillMessage; readonly key: string };

export type BackfillPlan = Plan<BackfillAction>;

/** Milliseconds for which Temporal keeps an ended workflow at least. */
const MIN_RETENTION = 3_600_000;

/** Longest time in milliseconds between two passes over a resource that waits for a date. */
const HOUR = 3_600_000;

/** Returns the id of the workflow of a Backfill. */
export function workflowIDOf(object: Backfill, installation: string): string {
  const { namespace = '', name, uid = '' } = object.metadata;
  return backfillWorkflowID(installation, namespace, name, uid);
}

/**
 * Returns whether the status records the end of the backfill, and the spec has not changed since. Temporal is then not asked again, and its
 * retention does not matter.
 */
export function hasRecordedEnd({ metadata, status }: Backfill): boolean {
  return (
    !metadata.deletionTimestamp &&
    metadata.finalizers?.includes(FINALIZER) === true &&
    status?.observedGeneration === metadata.generation &&
    status?.workflowID !== undefined &&
    status.startedAt !== undefined &&
    status.finishedAt !== undefined &&
    FINAL_PHASES.some(phase => phase === status.phase) &&
    status.conditions?.some(({ type }) => type === 'Complete' || type === 'Failed') === true
  );
}

/** Decides about one Backfill and adds warnings about probable mistakes. `now` is in milliseconds since 1970. */
export function planBackfill(observed: ObservedBackfill, installation: string, now: number): BackfillPlan {
  const plan = decide(observed, installation, now);
  const { object, spec } = observed;
  if (object.metadata.deletionTimestamp || spec instanceof SpecError) return plan;
  const kept = hasRecordedEnd(object) && object.status?.conditions?.find(({ type }) => type === 'Warning');
  if (kept) return { ...plan, own: [...plan.own, kept] };
  const outcome = observed.workflow.known ? outcomeWarnings(spec, observed.workflow.value) : [];
  return { ...plan, own: [...plan.own, ...warningCondition([...outcome, ...filterWarnings(spec)])] };
}

/** Decides in this order: deletion, finalizer, invalid spec, workflow. */
function decide(observed: ObservedBackfill, installation: string, now: number): BackfillPlan {
  const { object, spec, workflow } = observed;
  if (object.metadata.deletionTimestamp) return planDeletion(observed, installation);
  if (!object.metadata.finalizers?.includes(FINALIZER)) {
    return {
      actions: [{ do: 'addFinalizer' }],
      summary: { kind: 'working', reason: 'Accepted', message: 'Accepted; the workflow is started next.' },
      own: [],
    };
  }
  if (spec instanceof SpecError) return invalid(spec.problems);
  if (!workflow.known) return unavailable(workflow.message);
  switch (workflow.value.state) {
    case 'absent':
      return planAbsent({ object, spec, installation, now });
    case 'running':
      return planRunning(observed, spec, workflow.value, installation);
    case 'ended':
      return planEnded({ object, spec, workflow: workflow.value, installation, now });
  }
}

/** Deletion cancels by drain. The resource may go once Temporal has accepted the signal. */
function planDeletion({ object, workflow }: ObservedBackfill, installation: string): BackfillPlan {
  const deleting = (message: string, actions: BackfillAction[]): BackfillPlan => ({
    actions,
    summary: { kind: 'working', reason: 'Deleting', message },
    own: [],
  });
  const release = [{ do: 'removeFinalizer' }] as const;
  if (!object.metadata.finalizers?.includes(FINALIZER)) return deleting('Nothing is left to clean up.', []);
  if (annotated(object, ANNOTATIONS.abandon))
    return deleting('Abandoned: the workflow is left as it is.', [...release]);
  if (!workflow.known) {
    return unavailable(
      `${sentence(workflow.message)} The operator cannot ask the workflow to stop; to delete the Backfill anyway and leave it running, annotate it with ${ANNOTATIONS.abandon}: "true"`,
    );
  }
  if (workflow.value.state !== 'running') return deleting('The workflow has ended.', [...release]);
  const phase = workflow.value.progress?.phase;
  if (phase === 'Draining' || phase === 'Cancelling') {
    return deleting('The workflow takes no new buckets; active ones finish.', [...release]);
  }
  return deleting(
    'The workflow gets a signal to take no new buckets, which Temporal keeps until a worker takes it; active buckets finish.',
    [{ do: 'drain', workflowID: workflowIDOf(object, installation) }, ...release],
  );
}

/** A valid Backfill whose workflow Temporal does not know. */
interface Absent {
  readonly object: Backfill;
  readonly spec: BackfillSpec;
  readonly installation: string;
  readonly now: number;
}

/** A valid Backfill whose workflow existed and is gone: Temporal removed it after its retention, or lost its data. */
interface Gone extends Absent {
  readonly status: NonNullable<Backfill['status']>;
  /** Start of the workflow, in milliseconds since 1970. */
  readonly startedAt: number;
  /** Phase with which the workflow ended; undefined when its end was not seen. */
  readonly phase: (typeof FINAL_PHASES)[number] | undefined;
}

function planAbsent(absent: Absent): BackfillPlan {
  const { status } = absent.object;
  if (!status?.workflowID || !status.startedAt) {
    return firstOf(BEFORE_START, absent) ?? start(absent, 'First', completedSince(absent.object));
  }
  const phase = FINAL_PHASES.find(final => final === status.phase);
  const gone = { ...absent, status, startedAt: Date.parse(status.startedAt), phase };
  return firstOf(GONE, gone) ?? expired(gone);
}

/** Checks of a workflow that is gone, in order. The spec alone does not ask for a second run. */
const GONE: readonly Check<Gone, BackfillPlan>[] = [hasNewAttempt, wasDryRun, endWasSeen, wasLost];

function hasNewAttempt(gone: Gone): BackfillPlan | undefined {
  const { spec, status, phase, startedAt } = gone;
  if (spec.cancel !== 'None' || spec.attempt <= (status.attempt ?? 1)) return undefined;
  const failed = status.conditions?.find(({ type }) => type === 'Failed')?.reason;
  const reachedItsEnd = phase === 'Complete' || failed === 'BucketsFailed';
  return start(gone, reachedItsEnd ? 'FailedOnes' : 'Missing', startedAt);
}

function wasDryRun(gone: Gone): BackfillPlan | undefined {
  return gone.phase === 'Planned' && !gone.spec.dryRun ? afterDryRun(gone) : undefined;
}

/** Starts the planned work, unless it was cancelled before it began. */
function afterDryRun(planned: Absent): BackfillPlan {
  return wasCancelledBeforeStart(planned) ?? start(planned, 'Planned');
}

function endWasSeen({ spec, status, phase, now }: Gone): BackfillPlan | undefined {
  if (!phase) return undefined;
  const end = status.conditions?.find(({ type }) => type === 'Complete' || type === 'Failed');
  // Without finishedAt nobody saw the end, and the time until the deletion begins now.
  return ended(spec, end, status.finishedAt ? Date.parse(status.finishedAt) : now, now);
}

function wasLost({ status, now }: Gone): BackfillPlan | undefined {
  const reported = status.conditions?.some(({ type, reason }) => type === 'Ready' && reason === 'WorkflowLost');
  if (!reported && !(now - Date.parse(status.seenAt ?? '') < MIN_RETENTION)) return undefined;
  const message = `Temporal does not know workflow ${status.workflowID}, which ran at ${status.seenAt}. It cannot have expired since: Temporal has lost its data, or temporal_namespace has changed. To run the buckets that are not done, increase spec.attempt.`;
  return {
    actions: [],
    summary: { kind: 'unknown', reason: 'WorkflowLost', message },
    own: [],
    after: REFRESH.idle,
  };
}

function expired({ spec, status, now }: Gone): BackfillPlan {
  const message = `Temporal does not know workflow ${status.workflowID} any more: it removed the workflow after its retention, or lost its data. How it ended is not known. To run the buckets that are not done, increase spec.attempt, or create another Backfill with reprocess None.`;
  return ended(spec, { type: 'Failed', status: 'True', reason: 'ResultExpired', message }, now, now);
}

/** Checks of a Backfill that has not started, in order. */
const BEFORE_START: readonly Check<Absent, BackfillPlan>[] = [
  wasCancelledBeforeStart,
  hasInvalidSince,
  hasNoCompleteBucket,
];

function wasCancelledBeforeStart({ spec, now }: Absent): BackfillPlan | undefined {
  if (spec.cancel === 'None') return undefined;
  const message = 'Cancelled before it began: no bucket was run.';
  return ended(spec, { type: 'Failed', status: 'True', reason: 'Cancelled', message }, now, now);
}

function hasNoCompleteBucket({ spec, now }: Absent): BackfillPlan | undefined {
  const first = bucketAt(boundsOf(spec.startAt).start, spec.granularity);
  const last = lastCompleteBucket(now, spec.granularity);
  if (first <= last) return undefined;
  const { end } = boundsOf(first);
  return {
    actions: [],
    summary: {
      kind: 'ready',
      reason: 'RangeIncomplete',
      message: `spec.startAt "${spec.startAt}": no bucket of the range is complete yet, the last complete one is ${last}. The backfill starts by itself at ${seconds(end)}; for new buckets as they come, use a PipelineSchedule.`,
    },
    own: [],
    after: Math.min(HOUR, end - now),
  };
}

/** A valid Backfill with a running workflow. */
interface Active {
  readonly spec: BackfillSpec;
  readonly workflow: RunningBackfill;
  readonly phase: string | undefined;
  readonly actions: BackfillAction[];
  /** Milliseconds until the next pass. */
  readonly after: number;
}

function planRunning(
  { object, stillFor = 0, stillSince }: ObservedBackfill,
  spec: BackfillSpec,
  workflow: RunningBackfill,
  installation: string,
): BackfillPlan {
  const message = nextMessage(spec, workflow.progress, object.status?.phase, workflow.attempt);
  // The number of handled messages distinguishes a message from an equal one whose effect somebody has undone in Temporal since.
  const key = `${object.metadata.generation ?? 0}-${workflow.progress?.messages ?? 0}`;
  const actions = message ? [update(object, installation, message, key)] : [];
  const after = message ? REFRESH.soon : isEnding(workflow.progress, stillFor) ? REFRESH.ending : REFRESH.active;
  const phase = workflow.progress?.phase ?? object.status?.phase;
  return (
    firstOf(RUNNING, { spec, workflow, phase, actions, after }) ?? {
      actions,
      summary: progressing(workflow, stillSince),
      own: [],
      after,
    }
  );
}

/** Milliseconds without progress after which the runs of a Backfill count as long. */
const LONG_RUN = 10_000;

/** Returns whether the last buckets are active and their runs are short, so that people wait for the end. */
function isEnding(progress: BackfillProgress | undefined, stillFor: number): boolean {
  if (!progress) return false;
  const { total, succeeded, failed, skipped, active } = progress;
  return active > 0 && succeeded + failed + skipped + active === total && stillFor < LONG_RUN;
}

/** Checks of a running workflow, in order. */
const RUNNING: readonly Check<Active, BackfillPlan>[] = [isCancelling, isSuspended];

function isCancelling({ spec, actions, after }: Active): BackfillPlan | undefined {
  if (spec.cancel === 'None') return undefined;
  const message =
    spec.cancel === 'Drain'
      ? 'Cancelled: active buckets finish, no new ones start.'
      : 'Cancelled: active buckets are being cancelled.';
  return { actions, summary: { kind: 'working', reason: 'Cancelling', message }, own: [], after };
}

function isSuspended({ spec, workflow, phase, actions, after }: Active): BackfillPlan | undefined {
  if (!spec.suspend || phase !== 'Suspended') return undefined;
  const message = 'Suspended: active buckets finish, no new ones start.';
  return {
    actions,
    summary: { kind: 'ready', reason: 'Suspended', message },
    own: [],
    after: workflow.progress?.active === 0 ? REFRESH.idle : after,
  };
}

/** Returns the summary of a running workflow. A run that is retried still progresses: Ready stays true, with the cause as its reason. */
function progressing(workflow: RunningBackfill, stillSince: number | undefined): ReadySummary {
  const message = describe(workflow.progress);
  return firstOf(OBSTACLES, { ...workflow, stillSince, message }) ?? { kind: 'ready', reason: 'Started', message };
}

/** A running workflow, the time since which its runs have not progressed, and its figures as a sentence. */
type Progressing = RunningBackfill & { readonly stillSince: number | undefined; readonly message: string };

/** Checks for an obstacle of the runs, in order. */
const OBSTACLES: readonly Check<Progressing, ReadySummary>[] = [getsNoAnswer, isBlocked, doesNotProgress];

function getsNoAnswer({ silent }: Progressing): ReadySummary | undefined {
  return silent ? { kind: 'ready', reason: 'NoWorker', message: NO_ANSWER } : undefined;
}

function isBlocked({ blockedBy, message }: Progressing): ReadySummary | undefined {
  return blockedBy && blockedSummary(blockedBy, blockedBy.bucket, message);
}

function doesNotProgress({ stillSince, progress, message }: Progressing): ReadySummary | undefined {
  if (stillSince === undefined) return undefined;
  // An instant, because a duration would change the status of each such Backfill every minute.
  const text = `No run has progressed since ${seconds(stillSince)}, although ${progress?.active} are active; look at the workers and at the run of ${progress?.oldest?.bucket ?? 'the oldest bucket'}. ${message}`;
  return { kind: 'ready', reason: 'NotProgressing', message: text };
}

const NO_ANSWER =
  'No worker answers for the workflow, so it does not progress; it needs a WorkerPool that takes Workflows, with pods that are ready.';

function describe(progress: BackfillProgress | undefined): string {
  if (!progress) return 'The workflow has started and has not reported its progress yet.';
  if (progress.phase === 'Planning') return 'The workflow looks for buckets that need a run.';
  const { succeeded, failed, skipped, active, total } = progress;
  return `${succeeded + failed + skipped} of ${total} buckets done (${failed} failed, ${skipped} skipped), ${active} active.`;
}

/**
 * Returns a message for the first difference between the workflow and the spec. While no worker answers, the progress is unknown, and
 * only `cancel` and `suspend` are compared with the last known phase. A repeated message does no harm.
 */
function nextMessage(
  spec: BackfillSpec,
  progress: BackfillProgress | undefined,
  lastPhase: string | undefined,
  startedWith: number,
): BackfillMessage | undefined {
  const phase = progress?.phase ?? lastPhase;
  const stopping = phase === 'Cancelling' || (phase === 'Draining' && spec.cancel !== 'Now');
  if (spec.cancel !== 'None') return stopping ? undefined : { name: 'cancel', mode: spec.cancel };
  if (stopping || phase === 'Draining') return undefined;
  // A worker of an older version does not report whether a planning backfill is suspended; it gets the message after the plan.
  const suspended = progress?.suspended ?? (phase === 'Planning' ? spec.suspend : phase === 'Suspended');
  if (spec.suspend && !suspended) return { name: 'pause' };
  if (!spec.suspend && suspended) return { name: 'resume' };
  if (progress && progress.maxActiveRuns !== spec.maxActiveRuns) {
    return { name: 'resize', maxActiveRuns: spec.maxActiveRuns };
  }
  if (progress && spec.attempt > Math.max(progress.attempt, startedWith)) {
    return { name: 'retryFailed', attempt: spec.attempt };
  }
  return undefined;
}

/** A valid Backfill whose workflow has ended. */
interface Finished extends Absent {
  readonly workflow: EndedBackfill;
}

function planEnded(finished: Finished): BackfillPlan {
  const { spec, workflow, now } = finished;
  const attempt = Math.max(workflow.result?.attempt ?? 1, workflow.attempt);
  const phase = workflow.result?.phase;
  if (spec.cancel === 'None' && spec.attempt > attempt) {
    const beginning = phase === 'Complete' || phase === 'Failed' ? 'FailedOnes' : 'Missing';
    return start(finished, beginning, workflow.startedAt);
  }
  if (phase === 'Planned' && !spec.dryRun) return afterDryRun(finished);
  const finishedAt = workflow.result?.finishedAt ? Date.parse(workflow.result.finishedAt) : workflow.endedAt;
  return ended(spec, ending(workflow), finishedAt, now);
}

/** Returns the condition Complete or Failed, with its reason. */
function ending({ result, ending: word, message }: EndedBackfill): DesiredCondition {
  if (!result) {
    const text = `The workflow did not reach its end: ${sentence(shorten(message ? `${word}: ${message}` : word))} Increase spec.attempt to start it again.`;
    return { type: 'Failed', status: 'True', reason: 'WorkflowFailed', message: text };
  }
  const { phase, succeeded, failed, skipped, total } = result;
  const why = skippedFor(result);
  const counts = `${succeeded} of ${total} buckets succeeded, ${failed} failed, ${skipped} were skipped${why ? ` (${why})` : ''}`;
  if (phase === 'Planned') {
    const size = result.plan?.bytes === undefined ? '' : ` (${byteSize(result.plan.bytes)} of the archive)`;
    return {
      type: 'Complete',
      status: 'True',
      reason: 'Planned',
      message: `${result.plan?.toRun ?? 0} of ${total} buckets would be run${size}, ${skipped} skipped${why ? ` (${why})` : ''}; set spec.dryRun to false to start them.`,
    };
  }
  if (phase === 'Cancelled')
    return { type: 'Failed', status: 'True', reason: 'Cancelled', message: `Cancelled: ${counts}.` };
  if (phase === 'Complete')
    return { type: 'Complete', status: 'True', reason: 'AllBucketsDone', message: `${counts}.` };
  return {
    type: 'Failed',
    status: 'True',
    reason: 'BucketsFailed',
    message: `${counts}. Increase spec.attempt to process the failed ones again.`,
  };
}

/** Returns the reasons of skipped buckets as text: `29 Completed, 7 FailedBefore`. Undefined when none were skipped or the plan is unknown. */
export function skippedFor({ plan }: BackfillProgress): string | undefined {
  const reasons = Object.entries(plan?.skipped ?? {}).filter(([, count]) => count > 0);
  return reasons.length === 0 ? undefined : reasons.map(([reason, count]) => `${count} ${reason}`).join(', ');
}

function bucketsWere(count: number): string {
  return count === 1 ? '1 bucket was' : `${count} buckets were`;
}

/** Returns warnings about a result that probably differs from the intent. */
function outcomeWarnings(spec: BackfillSpec, workflow: BackfillState): Warning[] {
  if (workflow.state !== 'ended' || !workflow.result || workflow.result.phase !== 'Complete') return [];
  const { succeeded, counts, plan } = workflow.result;
  const { Completed = 0, FailedBefore = 0, InFlight = 0, Incomplete: _, ...others } = plan?.skipped ?? {};
  const warnings: Warning[] = [];
  if (FailedBefore > 0) {
    const message = `${bucketsWere(FailedBefore)} skipped because the last run failed; another Backfill with reprocess: Failed processes what failed.`;
    warnings.push({ reason: 'FailedBefore', message });
  }
  if (InFlight > 0) {
    const message = `${bucketsWere(InFlight)} skipped because another run was processing the same bucket, and that run may fail. When it has ended, another Backfill with reprocess: Failed processes what is not done.`;
    warnings.push({ reason: 'InFlight', message });
  }
  const looked = succeeded + Object.values<number>(others).reduce((sum, count) => sum + count, 0);
  const all = Completed + FailedBefore + InFlight === 0;
  if (spec.stages.includes('Observations') && counts.files === 0 && looked > 0 && all) {
    const message =
      'No object of the archive matched the range, probeCC and testNames. Check them, and the archive of the workers.';
    warnings.push({ reason: 'NothingMatched', message });
  }
  return warnings;
}

/**
 * Returns the plan for a backfill that has ended. It is ready when it ended as the spec says: complete, or cancelled by its spec.
 * Otherwise a person has to decide, as after a failed Job, and it is stalled with the reason of Failed.
 */
function ended(spec: BackfillSpec, end: DesiredCondition | undefined, finishedAt: number, now: number): BackfillPlan {
  const failed = end?.type === 'Failed' && !(end.reason === 'Cancelled' && spec.cancel !== 'None');
  const summary: ReadySummary = failed
    ? { kind: 'stalled', reason: end.reason, message: end.message }
    : { kind: 'ready', reason: 'Ended', message: `The backfill has ended. ${end?.message ?? ''}`.trim() };
  const own = end ? [end] : [];
  if (!spec.ttlAfterFinished) return { actions: [], summary, own };
  const left = finishedAt + (durationSeconds(spec.ttlAfterFinished) ?? 0) * 1000 - now;
  if (left <= 0) return { actions: [{ do: 'delete' }], summary, own };
  return { actions: [], summary, own, after: Math.min(left, HOUR) };
}

/**
 * Why a workflow is started, which decides the buckets that it runs. `First` and `Planned`: as `reprocess` says. `FailedOnes`: the failed
 * buckets of a workflow that reached its end. `Missing`: all buckets that are not done, of a workflow that did not reach its end and has
 * buckets that it never began.
 */
type Beginning = 'First' | 'Planned' | 'FailedOnes' | 'Missing';

/** Returns the instant of the annotation on a restored Backfill, in milliseconds since 1970; undefined without it, NaN when it is invalid. */
function completedSince({ metadata }: Backfill): number | undefined {
  const text = metadata.annotations?.[ANNOTATIONS.completedSince];
  return text === undefined ? undefined : Date.parse(text);
}

function hasInvalidSince({ object }: Absent): BackfillPlan | undefined {
  if (!Number.isNaN(completedSince(object))) return undefined;
  const text = object.metadata.annotations?.[ANNOTATIONS.completedSince];
  return invalid([
    `annotation ${ANNOTATIONS.completedSince} = "${text}" is not an instant; write it as 2024-05-01T00:00:00Z`,
  ]);
}

/**
 * `before`: the start of the first workflow, for a further attempt or a restored resource, in milliseconds since 1970.
 */
function start(
  { object, spec, installation }: Pick<Absent, 'object' | 'spec' | 'installation'>,
  beginning: Beginning,
  before?: number,
): BackfillPlan {
  const { startAt, endAt, granularity, stages, order, maxActiveRuns, dryRun, attempt } = spec;
  const filter = normaliseFilter(spec);
  // A further attempt of a backfill that replaces everything does not replace again what it has replaced already.
  const since = spec.reprocess === 'All' ? before : undefined;
  const action: BackfillAction = {
    do: 'start',
    workflowID: workflowIDOf(object, installation),
    attempt,
    again: beginning !== 'First',
    ...(since !== undefined && { startedAt: since }),
    input: {
      installation,
      startAt,
      endAt,
      granularity,
      filter,
      filterID: filterIDOf(filter),
      stages,
      order,
      reprocess: beginning === 'Missing' && spec.reprocess === 'None' ? 'Failed' : spec.reprocess,
      ...(spec.allowShrink && { allowShrink: true }),
      maxActiveRuns,
      suspended: spec.suspend,
      dryRun,
      attempt: beginning === 'FailedOnes' ? attempt : 1,
      ...(since !== undefined && (beginning === 'Missing' || beginning === 'First') && { since }),
    },
  };
  return {
    actions: [action],
    summary: { kind: 'working', reason: 'Starting', message: 'The workflow is being started.' },
    own: [],
    after: 0,
  };
}

function update(object: Backfill, installation: string, message: BackfillMessage, key: string): BackfillAction {
  return { do: 'update', workflowID: workflowIDOf(object, installation), message, key };
}
