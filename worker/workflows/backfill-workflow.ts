import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  ApplicationFailure,
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  defineUpdate,
  isCancellation,
  log,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { BucketError } from '../../pipeline/bucket.ts';
import type { Activities } from '../activities/types.ts';
import {
  BACKFILL_MESSAGES,
  type BackfillInput,
  type BackfillProgress,
  PRIORITIES,
  type RunInput,
  runId,
} from '../contract.ts';
import {
  type BackfillState,
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
import { startRun, workflowIdOf } from './start-run.ts';

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
 * buckets. When the history grows long, it waits for the active runs and continues as a new run with its state. It ends with its
 * progress, whatever the results of the buckets.
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
  readonly #active = new Set<string>();
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
    const [bucket] = this.#active;
    const { installation, filterID } = this.#input;
    return {
      ...progressOf(this.#input, this.#state, this.#active.size, currentPhase(this.#state)),
      ...(bucket !== undefined && { oldest: { bucket, workflowID: runId(installation, filterID, bucket) } }),
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
    this.#active.add(bucket);
    void this.#runs
      .run(() => this.#runBucket(bucket))
      .then(end => {
        recordEnd(state, end);
        this.#active.delete(bucket);
        this.#changes++;
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
    try {
      const child = await startRun(run, PRIORITIES.backfill);
      const { counts } = await child.result();
      return { end: 'succeeded', counts };
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return { end: 'inFlight' };
      const { reason, message, counts, recorded, cancelled } = reasonOf(error);
      if (cancelled && this.#state.cancel === 'Now') return { end: 'stopped' };
      if (!recorded) await this.#recordFor(run, reason, message);
      return {
        end: 'failed',
        failure: { bucket, reason, message, workflowID: workflowIdOf(run) },
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

  /** Starts no more runs, waits for the active ones, and continues with an empty history. */
  async #continue(): Promise<void> {
    await condition(() => this.#active.size === 0);
    await condition(allHandlersFinished);
    await continueAsNew<typeof BackfillWorkflow>(this.#input, this.#state);
  }
}

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
