import type { Backfill, BackfillSpec, BackfillStatus } from '../../../crds/backfill.ts';
import type { BackfillProgress } from '../../../worker/contract.ts';
import type { BackfillMessage, RunningBackfill } from '../../temporal/backfills.ts';
import { blockedSummary } from '../blocked.ts';
import { type ReadySummary, seconds } from '../conditions.ts';
import { type Check, firstOf, REFRESH } from '../plan-types.ts';
import { type BackfillAction, type BackfillPlan, type ObservedBackfill, workflowIDOf } from './plan-types.ts';

/** A valid Backfill with a running workflow. */
interface Active {
  readonly spec: BackfillSpec;
  readonly workflow: RunningBackfill;
  readonly phase: string | undefined;
  readonly actions: BackfillAction[];
  /** Milliseconds until the next pass. */
  readonly after: number;
}

/** Decides about a valid Backfill with a running workflow. */
export function planRunning(
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
      summary: progressing(workflow, object.status, stillSince),
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
function progressing(
  workflow: RunningBackfill,
  before: BackfillStatus | undefined,
  stillSince: number | undefined,
): ReadySummary {
  const message = workflow.progress ? describe(workflow.progress) : describeLast(before);
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

/** Describes the progress that a status has, for a workflow whose progress cannot be read now. */
function describeLast(before: BackfillStatus | undefined): string {
  // The figures of a Backfill that had ended are those of its previous attempt.
  if (!before?.progress || before.finishedAt) return 'The workflow has started and has not reported its progress yet.';
  const { done, total, failed, skipped } = before.progress;
  return `${done.split('/')[0]} of ${total} buckets were done (${failed} failed, ${skipped} skipped) when the workflow last reported its progress.`;
}

function describe(progress: BackfillProgress): string {
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

function update(object: Backfill, installation: string, message: BackfillMessage, key: string): BackfillAction {
  return { do: 'update', workflowID: workflowIDOf(object, installation), message, key };
}
