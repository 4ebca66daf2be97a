import { addCounts, type Counts, noCounts } from '../counts.ts';
import type { RunStage } from '../ledger/ledger.ts';
import type { BucketEnd } from './observations.ts';

/** Number of plans of a run, which plans again when the archive changed meanwhile. */
const PLANS = 5;

/** Work to do for the observations of a bucket. Each orchestrator adds what its steps need. */
export interface RunPlan<Batch> {
  readonly batches: readonly Batch[];
  /** Set when the observations of an earlier run are kept, and only the analysis remains. */
  readonly kept?: boolean;
  /** Set when the bucket was empty: the run is finished and recorded, including its analysis. */
  readonly end?: BucketEnd;
}

/** Complete observations of a bucket. */
export interface Observed<Plan> {
  readonly plan: Plan;
  readonly counts: Counts;
  readonly rowsStored: Readonly<Record<string, number>>;
}

/** Stage that does not complete, with the observations that the run has so far. */
export interface BrokenStage<Plan> {
  readonly stage: RunStage;
  readonly error: unknown;
  /** Undefined if the run did not reach its plan. */
  readonly plan: Plan | undefined;
  readonly counts: Counts;
  readonly rowsStored: Readonly<Record<string, number>>;
}

/** Batches that run at the same time and stop together. */
export interface BatchGroup<Batch> {
  /** Runs work that observes batches. `cancel` stops all batches that this work started. */
  run(work: () => Promise<unknown>): Promise<unknown>;
  observe(batch: Batch): Promise<Counts>;
  /** Returns the counts of what a batch had stored before it failed or stopped; undefined if it had stored nothing. */
  storedBefore(error: unknown, batch: Batch): Counts | undefined;
  cancel(): void;
}

/** Steps of a run. Workflows do them as activities; the command does them in its process. */
export interface RunSteps<Batch, Plan extends RunPlan<Batch>, Analysis> {
  /** @param attempt 1 for the first plan of the run */
  plan(attempt: number): Promise<Plan>;
  openBatches(plan: Plan): BatchGroup<Batch>;
  /** Ends the observations and records them, also those of which too many measurements failed. */
  finish(plan: Plan, counts: Counts): Promise<BucketEnd>;
  analyse(observed: Observed<Plan> | undefined): Promise<Analysis>;
  /** Records the end of a stage that does not complete, if that is possible, and throws the error of the run. */
  abandon(broken: BrokenStage<Plan>): Promise<never>;
  /** Returns the error of a run of which too many measurements failed. */
  tooManyFailures(message: string, end: BucketEnd): Error;
  /** Returns whether an error of `abandon` says that the archive changed during the run. */
  archiveChanged(error: unknown): boolean;
}

export interface RunEnd<Plan, Analysis> {
  /** Undefined when the run did not include the stage. */
  readonly observed: Observed<Plan> | undefined;
  /** Undefined when the run did not include the stage, or when the bucket was empty. */
  readonly analysis: Analysis | undefined;
}

/**
 * Runs one bucket through its stages. This is the algorithm of every run: BucketWorkflow and `oonipipeline run` call it with their steps.
 * It does no I/O and takes no time or random number, so a workflow can replay it. Throws the errors of `abandon` and `tooManyFailures`.
 */
export async function runStages<Batch, Plan extends RunPlan<Batch>, Analysis>(
  stages: readonly RunStage[],
  steps: RunSteps<Batch, Plan, Analysis>,
): Promise<RunEnd<Plan, Analysis>> {
  const observed = stages.includes('Observations') ? await observe(steps) : undefined;
  if (!stages.includes('Analysis') || observed?.plan.end) return { observed, analysis: undefined };
  try {
    return { observed, analysis: await steps.analyse(observed) };
  } catch (error) {
    // The observations are complete, whatever happens to the verdicts.
    const { plan, counts = noCounts(), rowsStored = {} } = observed ?? {};
    return steps.abandon({ stage: 'Analysis', error, plan, counts, rowsStored });
  }
}

/** Runs the observations. When an object changed or vanished, it starts again from the listing, and the next generation replaces the data. */
async function observe<Batch, Plan extends RunPlan<Batch>, Analysis>(
  steps: RunSteps<Batch, Plan, Analysis>,
): Promise<Observed<Plan>> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await observeOnce(steps, attempt);
    } catch (error) {
      if (attempt === PLANS || !steps.archiveChanged(error)) throw error;
    }
  }
}

async function observeOnce<Batch, Plan extends RunPlan<Batch>, Analysis>(
  steps: RunSteps<Batch, Plan, Analysis>,
  attempt: number,
): Promise<Observed<Plan>> {
  const counts = noCounts();
  let plan: Plan | undefined;
  let end: BucketEnd;
  try {
    plan = await steps.plan(attempt);
    if (plan.kept) return { plan, counts, rowsStored: {} };
    if (!plan.end) await runBatches(steps.openBatches(plan), plan.batches, counts);
    end = plan.end ?? (await steps.finish(plan, counts));
  } catch (error) {
    return steps.abandon({ stage: 'Observations', error, plan, counts, rowsStored: {} });
  }
  // The ledger already records this.
  if (end.tooManyFailures !== undefined) throw steps.tooManyFailures(end.tooManyFailures, end);
  return { plan, counts: end.counts, rowsStored: end.rowsStored };
}

/** Runs all batches at once; slots and threads limit how many run at a time. The first failure stops the others. */
async function runBatches<Batch>(group: BatchGroup<Batch>, batches: readonly Batch[], counts: Counts): Promise<void> {
  const failures: unknown[] = [];
  await group.run(() =>
    Promise.all(
      batches.map(async batch => {
        try {
          addCounts(counts, await group.observe(batch));
        } catch (error) {
          // The data that it stored before it failed or stopped have been read and count.
          const stored = group.storedBefore(error, batch);
          if (stored) addCounts(counts, stored);
          failures.push(error);
          group.cancel();
        }
      }),
    ),
  );
  if (failures.length > 0) throw failures[0];
}
