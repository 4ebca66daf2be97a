import {
  ApplicationFailure,
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  defineUpdate,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  patched,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { BucketError } from '../../pipeline/bucket.ts';
import { noCounts } from '../../pipeline/counts.ts';
import type { Activities } from '../activities/types.ts';
import {
  BACKFILL_MESSAGES,
  type BackfillInput,
  type BackfillProgress,
  PRIORITIES,
  type RunInput,
  runWorkflowID,
} from '../contract.ts';
import {
  type BackfillState,
  type CarriedRun,
  countRest,
  currentPhase,
  finalPhase,
  initialState,
  progressOf,
  type RunEnd,
  recordEnd,
  recordRetry,
  totalOf,
} from './backfill-progress.ts';
import { reasonOf } from './failure.ts';
import { activitiesOf, recordsOf, refuseOtherInstallation } from './options.ts';
import { startAfterOthers, waitBefore } from './other-run.ts';
import { startRun, workflowIDOf } from './start-run.ts';

/** Limit of runs at a time. More have no benefit and burden Temporal. */
const MOST_ACTIVE_RUNS = 200;

const progress = defineQuery<BackfillProgress>(BACKFILL_MESSAGES.progress);
const pause = defineUpdate(BACKFILL_MESSAGES.pause);
const resume = defineUpdate(BACKFILL_MESSAGES.resume);
const resize = defineUpdate<void, [number]>(BACKFILL_MESSAGES.resize);
const cancel = defineUpdate<void, ['Drain' | 'Now']>(BACKFILL_MESSAGES.cancel);
const retryFailed = defineUpdate<void, [number]>(BACKFILL_MESSAGES.retryFailed);
const drain = defineSignal(BACKFILL_MESSAGES.drain);

/**
 * Runs a range of buckets, `maxActiveRuns` at a time, and starts the next one as soon as one ends. The ledger selects the buckets
 * (`planBackfill`), so a plan remains valid beyond Temporal's retention. The workflow keeps only counters and the current page of
 * buckets. When the history grows long, it continues as a new run with its state and its active runs. It ends with its
 * progress, whatever the results of the buckets.
 *
 * It may run for weeks, so it moves on to a new version of this code as soon as that version is current; `patched()` guards changes.
 */
export async function BackfillWorkflow(input: BackfillInput, carried?: BackfillState): Promise<BackfillProgress> {
  check(input);
  const state = carried ?? initialState(input, workflowInfo().startTime.getTime());
  const backfill = new Backfill(input, state);
  setHandler(progress, () => backfill.progress());
  setHandler(pause, () => backfill.pause());
  setHandler(resume, () => backfill.resume());
  setHandler(resize, size => backfill.resize(size), { validator: checkSize });
  setHandler(cancel, mode => backfill.cancel(mode), { validator: checkMode });
  setHandler(retryFailed, attempt => backfill.retryFailed(attempt), {
    validator: attempt => {
      checkAttempt(attempt);
      if (state.cancel !== 'None') throw refusal('the backfill is being cancelled; start it again instead');
    },
  });
  setHandler(drain, () => backfill.cancel('Drain'));
  // A cancellation of the workflow has the effect of the update `cancel(Now)`: it stops and records the runs, then ends.
  const watch = CancellationScope.current().cancelRequested.catch(error => {
    if (!isCancellation(error)) throw error;
    backfill.cancel('Now');
  });
  void watch;
  return CancellationScope.nonCancellable(() => backfill.run());
}

class Backfill {
  readonly #input: BackfillInput;
  readonly #activities: Activities;
  readonly #state: BackfillState;
  /** Active buckets, the one that was started first at the beginning. */
  readonly #active = new Map<string, Step>();
  /** `#runs` is cancelled to stop the active runs, `#planning` to stop further planning. */
  readonly #runs = new CancellationScope();
  readonly #planning = new CancellationScope();
  /** Incremented after each change that the loop waits for. */
  #changes = 0;
  #finished: BackfillProgress | undefined;

  constructor(input: BackfillInput, state: BackfillState) {
    this.#input = input;
    this.#activities = activitiesOf(input.installation);
    this.#state = state;
  }

  progress(): BackfillProgress {
    if (this.#finished) return this.#finished;
    const [bucket] = this.#active.keys();
    const { installation, filterID } = this.#input;
    return {
      ...progressOf(this.#input, this.#state, this.#active.size, currentPhase(this.#state)),
      ...(bucket !== undefined && { oldest: { bucket, workflowID: runWorkflowID(installation, filterID, bucket) } }),
    };
  }

  pause(): void {
    this.#state.suspended = true;
    this.#handled();
  }

  resume(): void {
    this.#state.suspended = false;
    this.#handled();
  }

  resize(size: number): void {
    this.#state.maxActiveRuns = size;
    this.#handled();
  }

  /** Cancels the backfill. A draining backfill can be stopped, but a stopping one cannot drain again. */
  cancel(mode: 'Drain' | 'Now'): void {
    if (this.#state.cancel !== 'Now') this.#state.cancel = mode;
    this.#stopScopes();
    this.#handled();
  }

  /** Retries the failed buckets, once per attempt number. */
  retryFailed(attempt: number): void {
    this.#state.wantedAttempt = Math.max(this.#state.wantedAttempt, attempt);
    this.#handled();
  }

  #handled(): void {
    this.#state.messages = (this.#state.messages ?? 0) + 1;
    this.#changes++;
  }

  async run(): Promise<BackfillProgress> {
    const state = this.#state;
    this.#stopScopes();
    const carried = state.carried ?? [];
    state.carried = [];
    for (const run of carried) this.#track(run.bucket, { at: 'running', runID: run.runID }, () => this.#follow(run));
    do {
      await this.#work();
      // An update that arrived with the last change may require another round.
      await condition(allHandlersFinished);
    } while (this.#wantsRetry());
    this.#finished = progressOf(this.#input, state, 0, finalPhase(this.#input, state), Date.now());
    setCurrentDetails(detailsOf(this.#finished));
    return this.#finished;
  }

  /** Runs until no run is active and none is left to start. */
  async #work(): Promise<void> {
    const state = this.#state;
    for (;;) {
      const changes = this.#changes;
      setCurrentDetails(detailsOf(this.progress()));
      const next = await this.#next();
      // The state may have changed during planning, so it is checked again first.
      if (changes !== this.#changes) continue;
      if (workflowInfo().continueAsNewSuggested && state.cancel === 'None') await this.#continue();
      if (typeof next === 'object' && this.#mayStart()) {
        this.#start(next.bucket);
        continue;
      }
      if (this.#active.size === 0) {
        if (state.cancel !== 'None') return;
        if (next === 'end') {
          if (!this.#wantsRetry()) {
            countRest(this.#input, state);
            return;
          }
          this.#beginRetry();
          continue;
        }
      }
      await condition(() => this.#changes !== changes);
    }
  }

  #wantsRetry(): boolean {
    const { cancel, wantedAttempt, attempt } = this.#state;
    return cancel === 'None' && !this.#input.dryRun && wantedAttempt > attempt;
  }

  #stopScopes(): void {
    if (this.#state.cancel !== 'None') this.#planning.cancel();
    if (this.#state.cancel === 'Now') this.#runs.cancel();
  }

  #mayStart(): boolean {
    const { cancel, suspended, maxActiveRuns } = this.#state;
    return cancel === 'None' && !suspended && this.#active.size < maxActiveRuns;
  }

  /**
   * Returns the next bucket to run, which stays in the queue; `end` after the last; `later` when no run may start now and the answer is
   * therefore unknown. Makes the plan if there is none, and fetches pages until one has a bucket.
   */
  async #next(): Promise<{ bucket: string } | 'end' | 'later'> {
    const state = this.#state;
    try {
      await this.#planning.run(async () => {
        if (!state.plan) {
          state.plan = await this.#activities.planBackfill(this.#input, Date.now());
          state.skipped = { ...state.plan.skipped };
        }
        while (!this.#input.dryRun && state.queue.length === 0 && state.cursor !== undefined && this.#mayStart()) {
          const { asOf, now, selection } = state.plan;
          const plan = { asOf, now, ...(selection !== undefined && { selection }) };
          const retry = state.retrying ? { since: state.startedAt, backfill: workflowInfo().workflowId } : null;
          const page = await this.#activities.pageBackfill(this.#input, plan, state.cursor, retry);
          state.queue = [...page.buckets];
          state.cursor = page.next;
        }
      });
    } catch (error) {
      if (!isCancellation(error) || state.cancel === 'None') throw error;
      return 'later';
    }
    const [bucket] = state.queue;
    if (bucket !== undefined) return { bucket };
    return state.cursor === undefined || this.#input.dryRun ? 'end' : 'later';
  }

  #beginRetry(): void {
    const state = this.#state;
    state.attempt = state.wantedAttempt;
    state.retrying = true;
    state.queue = [];
    state.cursor = null;
  }

  #start(bucket: string): void {
    const state = this.#state;
    state.queue.shift();
    if (state.retrying) recordRetry(state, bucket);
    this.#track(bucket, { at: 'starting' }, () => this.#runBucket(bucket));
  }

  /** Counts a bucket as active until `work` has returned its end. */
  #track(bucket: string, step: Step, work: () => Promise<RunEnd>): void {
    this.#active.set(bucket, step);
    void this.#runs.run(work).then(end => {
      recordEnd(this.#state, end);
      this.#active.delete(bucket);
      this.#changes++;
    });
  }

  /** Waits for the end of a run that an earlier history started. It is not a child of this history, so nobody reports its end. */
  async #follow({ bucket, runID }: CarriedRun): Promise<RunEnd> {
    const { installation, filter, filterID, stages } = this.#input;
    const workflowID = runWorkflowID(installation, filterID, bucket);
    const run: RunInput = { installation, bucket, filter, filterID, stages, backfill: workflowInfo().workflowId };
    // The cancellation of the backfill must not end the wait: the run stops and records its end first.
    return CancellationScope.nonCancellable(async () => {
      let cancelled = false;
      for (let look = 1; ; look++) {
        const seen = await this.#activities.describeRun({ installation, workflowID, runID });
        if (seen.state === 'succeeded') return { end: 'succeeded', counts: seen.counts ?? noCounts() };
        if (seen.state === 'cancelled' && this.#state.cancel === 'Now') return { end: 'stopped' };
        if (seen.state !== 'running') {
          const { reason, message, counts, recorded } =
            seen.state === 'failed' ? seen : { ...GONE[seen.state], counts: undefined };
          if (!recorded) await this.#recordFor(run, reason, message);
          return { end: 'failed', failure: { bucket, reason, message, workflowID }, ...(counts && { counts }) };
        }
        if (this.#state.cancel === 'Now' && !cancelled) {
          cancelled = true;
          look = 1;
          await getExternalWorkflowHandle(workflowID, runID)
            .cancel()
            .catch(() => {});
        }
        await condition(() => this.#state.cancel === 'Now' && !cancelled, waitBefore(look));
      }
    });
  }

  /** Returns the bucket that judges the complete day: the last of the waiting buckets of this upload day. */
  #settledBy(bucket: string): RunInput['settledBy'] {
    const { plan, queue } = this.#state;
    if (!plan || this.#input.granularity !== 'Hour') return undefined;
    const last = queue.findLast(each => each.slice(0, 10) === bucket.slice(0, 10));
    return { bucket: last ?? bucket, since: plan.asOf };
  }

  async #runBucket(bucket: string): Promise<RunEnd> {
    const { installation, filter, filterID, stages, reprocess, attempt, allowShrink } = this.#input;
    const { workflowId: backfill } = workflowInfo();
    // With `reprocess: All` the archive is read again. A further attempt continues where the previous one failed.
    const mayKeep = stages.length > 1 && (reprocess !== 'All' || attempt > 1 || this.#state.retrying);
    const settledBy = this.#settledBy(bucket);
    const run: RunInput = {
      ...{ installation, bucket, filter, filterID, stages, backfill },
      ...(mayKeep && { mayKeep }),
      ...(settledBy && { settledBy }),
      ...(allowShrink && { allowShrink }),
    };
    const at = (step: Step) => void this.#active.set(bucket, step);
    try {
      // A start that follows a wait must end before the backfill continues in a new history, or the run would be lost from its counts.
      const start = () => {
        at({ at: 'starting' });
        return startRun(run, PRIORITIES.backfill);
      };
      const wait = () => at({ at: 'waiting' });
      const stop = () => this.#state.cancel !== 'None';
      const child = await startAfterOthers(run, reprocess === 'All', start, wait, stop);
      if (child === 'done') return { end: 'inFlight' };
      if (child === 'stopped') return { end: 'stopped' };
      at({ at: 'running', runID: child.firstExecutionRunId });
      const { counts } = await child.result();
      return { end: 'succeeded', counts };
    } catch (error) {
      at({ at: 'recording' });
      const { reason, message, counts, recorded, cancelled } = reasonOf(error);
      if (cancelled && this.#state.cancel === 'Now') return { end: 'stopped' };
      if (!recorded) await this.#recordFor(run, reason, message);
      return {
        end: 'failed',
        failure: { bucket, reason, message, workflowID: workflowIDOf(run) },
        ...(counts && { counts }),
      };
    }
  }

  /** Records the failure of a run that was ended from outside and could not record it. A further attempt finds failed buckets in the ledger. */
  async #recordFor(run: RunInput, reason: string, message: string): Promise<void> {
    const key = { run, startedAt: Date.now(), plan: 1 };
    const stage = run.stages[0] ?? 'Observations';
    try {
      await CancellationScope.nonCancellable(() =>
        recordsOf(run.installation).abandonRun(key, stage, { state: 'failed', reason, message }),
      );
    } catch (unrecorded) {
      log.warn(`the end of ${run.bucket} could not be recorded: ${reasonOf(unrecorded).message}`);
    }
  }

  /**
   * Continues with an empty history. It carries the active runs over, because one that is retried for days would stop all others. Buckets
   * that wait for another run return to the queue.
   */
  async #continue(): Promise<void> {
    const state = this.#state;
    if (patched('carry-active-runs')) {
      const settled = ({ at }: Step) => at === 'running' || at === 'waiting';
      await condition(() => [...this.#active.values()].every(settled));
      await condition(allHandlersFinished);
      const active = [...this.#active];
      const waiting = active.filter(([, step]) => step.at === 'waiting').map(([bucket]) => bucket);
      // The start of a retry has counted them as no longer failed.
      if (state.retrying) state.failed += waiting.length;
      state.queue = [...waiting, ...state.queue];
      state.carried = active.flatMap(([bucket, step]) =>
        step.at === 'running' ? [{ bucket, runID: step.runID }] : [],
      );
    } else {
      await condition(() => this.#active.size === 0);
      await condition(allHandlersFinished);
    }
    await continueAsNew<typeof BackfillWorkflow>(this.#input, this.#state);
  }
}

/** Progress of an active bucket: it is being started, waits for a run of another workflow, runs, or its failure is being recorded. */
type Step = { readonly at: 'starting' | 'waiting' | 'recording' } | { readonly at: 'running'; readonly runID: string };

/** Ends of a carried run that did not record its end. */
const GONE = {
  absent: { reason: 'Error', message: 'Temporal does not know the run any more', recorded: false },
  cancelled: { reason: 'Cancelled', message: 'the run was cancelled in Temporal', recorded: true },
} as const;

/** Returns the details of a running backfill for the Temporal UI, as Markdown. */
function detailsOf({ phase, total, succeeded, failed, skipped, active, failures }: BackfillProgress): string {
  const done = succeeded + failed + skipped;
  const last = failures.at(-1);
  return [
    `**${phase}**: ${done} of ${total} buckets are done: ${succeeded} succeeded, ${failed} failed, ${skipped} were skipped. ${active} are running.`,
    ...(last ? [`The last failure is of ${last.bucket}: ${last.reason}.`] : []),
  ].join('\n\n');
}

function refusal(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, 'InvalidBackfill');
}

function checkSize(size: unknown): void {
  if (!Number.isInteger(size) || (size as number) < 1 || (size as number) > MOST_ACTIVE_RUNS) {
    throw refusal(`maxActiveRuns = ${JSON.stringify(size)}: must be a whole number from 1 to ${MOST_ACTIVE_RUNS}`);
  }
}

function checkMode(mode: unknown): void {
  if (mode !== 'Drain' && mode !== 'Now') throw refusal(`cancel = ${JSON.stringify(mode)}: must be Drain or Now`);
}

function checkAttempt(attempt: unknown): void {
  if (!Number.isInteger(attempt) || (attempt as number) < 1) {
    throw refusal(`attempt = ${JSON.stringify(attempt)}: must be a whole number from 1 up`);
  }
}

/** Fails the workflow for an input that no plan can be made of. Temporal treats an error of another kind as a defect and retries it forever. */
function check(input: BackfillInput): void {
  refuseOtherInstallation(input.installation);
  checkSize(input.maxActiveRuns);
  checkAttempt(input.attempt);
  if (input.stages.length === 0) throw refusal('a backfill needs a stage');
  try {
    totalOf(input);
  } catch (error) {
    throw error instanceof BucketError ? refusal(error.message) : error;
  }
}
