import { countBuckets } from '../../pipeline/bucket.ts';
import { addCounts, noCounts } from '../../pipeline/counts.ts';
import type { BackfillPlan } from '../../pipeline/runs/backfill-plan.ts';
import type {
  BackfillFailure,
  BackfillInput,
  BackfillPhase,
  BackfillProgress,
  RunCounts,
  SkipReason,
} from '../contract.ts';

/** Failures that progress shows. */
const SHOWN_FAILURES = 10;

/**
 * What a backfill knows of itself. Plain data: it is handed to the next run of the workflow when the history grows long. Nothing in
 * it grows with the range but the page of buckets that wait.
 */
export interface BackfillState {
  /** Start of the first run, milliseconds since 1970. */
  readonly startedAt: number;
  plan?: BackfillPlan;
  /** Buckets of the page at hand that are still to be run. */
  queue: string[];
  /** Where the next page begins: null at the beginning of the range, undefined behind its end. */
  cursor?: string | null;
  /** True while the failed buckets are being tried again. */
  retrying: boolean;
  /** The number of the attempt that is wanted; the failed buckets are tried again when it is above `attempt`. */
  wantedAttempt: number;
  attempt: number;
  succeeded: number;
  failed: number;
  skipped: Partial<Record<SkipReason, number>>;
  readonly counts: RunCounts;
  failures: BackfillFailure[];
  maxActiveRuns: number;
  suspended: boolean;
  cancel: 'None' | 'Drain' | 'Now';
}

export function initialState(input: BackfillInput, startedAt: number): BackfillState {
  return {
    startedAt,
    queue: [],
    cursor: null,
    retrying: false,
    wantedAttempt: input.attempt,
    attempt: input.attempt,
    succeeded: 0,
    failed: 0,
    skipped: {},
    counts: noCounts(),
    failures: [],
    maxActiveRuns: input.maxActiveRuns,
    suspended: input.suspended,
    cancel: 'None',
  };
}

/** What became of a run. */
export type RunEnd =
  | { readonly end: 'succeeded'; readonly counts: RunCounts }
  | { readonly end: 'failed'; readonly failure: BackfillFailure; readonly counts?: RunCounts }
  /** Somebody else has the bucket in work. */
  | { readonly end: 'inFlight' }
  /** It was stopped with the backfill, so it counts as not begun. */
  | { readonly end: 'stopped' };

export function recordEnd(state: BackfillState, run: RunEnd): void {
  if (run.end === 'succeeded') state.succeeded++;
  if (run.end === 'inFlight') state.skipped.InFlight = (state.skipped.InFlight ?? 0) + 1;
  if (run.end === 'failed') {
    state.failed++;
    state.failures = [...state.failures, run.failure].slice(-SHOWN_FAILURES);
  }
  if ('counts' in run && run.counts) addCounts(state.counts, run.counts);
}

/** A failed bucket is taken up again: it does not count as failed any more. */
export function recordRetry(state: BackfillState, bucket: string): void {
  state.failed = Math.max(0, state.failed - 1);
  state.failures = state.failures.filter(failure => failure.bucket !== bucket);
}

/** How many buckets the range has; 0 when it cannot be read (the plan says why). */
export function totalOf(input: BackfillInput): number {
  return countBuckets(input.startAt, input.endAt, input.granularity);
}

export function skippedOf(state: BackfillState): number {
  return Object.values(state.skipped).reduce((sum, count) => sum + count, 0);
}

/** Buckets that are neither done nor in work. */
export function waitingOf(input: BackfillInput, state: BackfillState, active: number): number {
  return totalOf(input) - state.succeeded - state.failed - skippedOf(state) - active;
}

/**
 * At the end of a plan that was not cancelled nothing waits. What the plan counted and its pages did not show has been completed by
 * others in the moment between.
 */
export function countRest(input: BackfillInput, state: BackfillState): void {
  if (input.dryRun) return;
  const rest = waitingOf(input, state, 0);
  if (rest > 0) state.skipped.Completed = (state.skipped.Completed ?? 0) + rest;
}

/** The phase while it runs. */
export function currentPhase(state: BackfillState): BackfillPhase {
  if (state.cancel === 'Now') return 'Cancelling';
  if (state.cancel === 'Drain') return 'Draining';
  if (!state.plan) return 'Planning';
  return state.suspended ? 'Suspended' : 'Running';
}

/** The phase at its end. A cancellation that came when everything was done has cancelled nothing. */
export function finalPhase(input: BackfillInput, state: BackfillState): BackfillPhase {
  if (input.dryRun) return state.cancel === 'None' ? 'Planned' : 'Cancelled';
  if (state.cancel !== 'None' && waitingOf(input, state, 0) > 0) return 'Cancelled';
  return state.failed > 0 ? 'Failed' : 'Complete';
}

export function progressOf(
  input: BackfillInput,
  state: BackfillState,
  active: number,
  phase: BackfillPhase,
  finishedAt?: number,
): BackfillProgress {
  const { plan } = state;
  return {
    phase,
    ...(plan && {
      plan: {
        buckets: plan.buckets,
        // What was found since the plan was made counts as well, so that the figures add up.
        toRun: plan.buckets - skippedOf(state),
        ...(plan.first !== undefined && { first: plan.first }),
        ...(plan.last !== undefined && { last: plan.last }),
        skipped: { ...state.skipped },
      },
    }),
    total: totalOf(input),
    succeeded: state.succeeded,
    failed: state.failed,
    skipped: skippedOf(state),
    active,
    counts: state.counts,
    failures: state.failures,
    maxActiveRuns: state.maxActiveRuns,
    attempt: state.attempt,
    startedAt: new Date(state.startedAt).toISOString(),
    ...(finishedAt !== undefined && { finishedAt: new Date(finishedAt).toISOString() }),
  };
}
