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

/** Number of failures in the progress. */
const SHOWN_FAILURES = 10;

/**
 * State of a backfill as plain data, because the workflow passes it to its next run when the history grows long. Only the page of waiting
 * buckets grows with the range.
 */
export interface BackfillState {
  /** Start of the first run, in milliseconds since 1970. */
  readonly startedAt: number;
  plan?: BackfillPlan;
  /** Buckets of the current page that are not started yet. */
  queue: string[];
  /** Runs that an earlier history of this backfill started and that had not ended. States of older versions do not have it. */
  carried?: CarriedRun[];
  /** Start of the next page: null at the beginning of the range, undefined after its end. */
  cursor?: string | null;
  /** True while the failed buckets are retried. */
  retrying: boolean;
  /** The desired attempt. The failed buckets are retried when it is above `attempt`. */
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
  /** Number of messages handled. States of older versions do not have it. */
  messages?: number;
}

/** An active run that a backfill carries into its next history. */
export interface CarriedRun {
  readonly bucket: string;
  readonly runID: string;
}

/** Returns the state of a backfill before its plan. `startedAt`: milliseconds since 1970. */
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

/** Result of a run. */
export type RunEnd =
  | { readonly end: 'succeeded'; readonly counts: RunCounts }
  | { readonly end: 'failed'; readonly failure: BackfillFailure; readonly counts?: RunCounts }
  /** Another run has processed the bucket. */
  | { readonly end: 'inFlight' }
  /** The run was stopped with the backfill and counts as not started. */
  | { readonly end: 'stopped' };

/** Adds the result of a run to the state. */
export function recordEnd(state: BackfillState, run: RunEnd): void {
  if (run.end === 'succeeded') state.succeeded++;
  if (run.end === 'inFlight') state.skipped.InFlight = (state.skipped.InFlight ?? 0) + 1;
  if (run.end === 'failed') {
    state.failed++;
    state.failures = [...state.failures, run.failure].slice(-SHOWN_FAILURES);
  }
  if ('counts' in run && run.counts) addCounts(state.counts, run.counts);
}

/** Removes a failed bucket from the failures, because it is retried. */
export function recordRetry(state: BackfillState, bucket: string): void {
  state.failed = Math.max(0, state.failed - 1);
  state.failures = state.failures.filter(failure => failure.bucket !== bucket);
}

/** Returns the number of buckets in the range; 0 when the range is invalid (the plan reports why). */
export function totalOf(input: BackfillInput): number {
  return countBuckets(input.startAt, input.endAt, input.granularity);
}

function skippedOf(state: BackfillState): number {
  return Object.values(state.skipped).reduce((sum, count) => sum + count, 0);
}

/** Returns the number of buckets that are neither done nor active. */
export function waitingOf(input: BackfillInput, state: BackfillState, active: number): number {
  return totalOf(input) - state.succeeded - state.failed - skippedOf(state) - active;
}

/**
 * Counts the remaining buckets at the end of a plan that was not cancelled. The plan counted them but no page had them, because others
 * completed them meanwhile.
 */
export function countRest(input: BackfillInput, state: BackfillState): void {
  if (input.dryRun) return;
  const rest = waitingOf(input, state, 0);
  if (rest > 0) state.skipped.Completed = (state.skipped.Completed ?? 0) + rest;
}

/** Returns the phase while the backfill runs. */
export function currentPhase(state: BackfillState): BackfillPhase {
  if (state.cancel === 'Now') return 'Cancelling';
  if (state.cancel === 'Drain') return 'Draining';
  if (!state.plan) return 'Planning';
  return state.suspended ? 'Suspended' : 'Running';
}

/** Returns the final phase. A cancellation after all buckets were done has cancelled nothing. */
export function finalPhase(input: BackfillInput, state: BackfillState): BackfillPhase {
  if (input.dryRun) return state.cancel === 'None' ? 'Planned' : 'Cancelled';
  if (state.cancel !== 'None' && waitingOf(input, state, 0) > 0) return 'Cancelled';
  return state.failed > 0 ? 'Failed' : 'Complete';
}

/** Returns the progress of a backfill, the result of the query `progress`. `finishedAt`: milliseconds since 1970. */
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
        // Buckets skipped since the plan was made count as well, so that the numbers add up.
        toRun: plan.buckets - skippedOf(state),
        ...(plan.first !== undefined && { first: plan.first }),
        ...(plan.last !== undefined && { last: plan.last }),
        skipped: { ...state.skipped },
        ...(plan.bytes !== undefined && { bytes: plan.bytes }),
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
    suspended: state.suspended,
    messages: state.messages ?? 0,
    startedAt: new Date(state.startedAt).toISOString(),
    ...(finishedAt !== undefined && { finishedAt: new Date(finishedAt).toISOString() }),
  };
}
