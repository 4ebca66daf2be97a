import type { Batch } from '../../pipeline/archive/batches.ts';
import type { BackfillPage, BackfillPlan } from '../../pipeline/runs/backfill-plan.ts';
import type { BackfillInput, ReferenceRefreshResult, RunCounts, RunInput, Stage } from '../contract.ts';

/** A run that the ledger knows, as it travels between workflow and activities. */
export interface RunHandle {
  readonly generation: number;
  /** By ClickHouse's clock; milliseconds since 1970. */
  readonly openedAt: number;
}

/** Which plan of which workflow run: an activity that is repeated finds its own record in the ledger by it. */
export interface PlanKey {
  readonly run: RunInput;
  /** When the workflow run began, milliseconds since 1970. */
  readonly startedAt: number;
  /** 1 for the first plan of a workflow run; a run plans again when the archive changed under it. */
  readonly plan: number;
}

export interface PlannedBucket {
  readonly handle: RunHandle;
  readonly batches: readonly Batch[];
  readonly files: number;
  readonly bytes: number;
  /** Set when the observations of an earlier run are kept: the handle is that run's, and only the analysis is left. */
  readonly kept?: boolean;
  /** Set when there was nothing to read: the run is finished already, the analysis with it where it was asked for. */
  readonly end?: FinishedBucket;
}

export interface FinishedBucket {
  readonly counts: RunCounts;
  readonly rowsStored: Readonly<Record<string, number>>;
  /** A sentence, when more measurements failed than `max_failed_share` allows. */
  readonly tooManyFailures?: string;
}

export interface RunFailure {
  readonly state: 'failed' | 'cancelled';
  readonly reason: string;
  readonly message: string;
}

/** Activities that plan, record and write little. */
export interface RunActivities {
  planRun(key: PlanKey): Promise<PlannedBucket>;
  finishRun(key: PlanKey, handle: RunHandle, counts: RunCounts): Promise<FinishedBucket>;
  /** Records a run that will not be finished. Without a handle it is recorded as one that never came to its plan. */
  abandonRun(key: PlanKey, stage: Stage, failure: RunFailure, handle?: RunHandle, counts?: RunCounts): Promise<void>;
  planBackfill(input: BackfillInput, now: number): Promise<BackfillPlan>;
  pageBackfill(
    input: BackfillInput,
    plan: Pick<BackfillPlan, 'asOf' | 'now' | 'selection'>,
    cursor: string | null,
    retry: { readonly since: number; readonly backfill: string } | null,
  ): Promise<BackfillPage>;
}

/** Activities that read the archive, on a thread each, or keep ClickHouse busy for long. */
export interface WorkActivities {
  observeBatch(key: PlanKey, handle: RunHandle, batch: Batch): Promise<RunCounts>;
  /** The days that the observations of `generation` touched; without it the bucket's own day. Returns the days, oldest first. */
  analyse(key: PlanKey, generation: number | null): Promise<readonly string[]>;
}

export interface ReferenceActivities {
  /** Loads a data set from its source and swaps it in, unless it is current. */
  refreshReference(dataset: string): Promise<ReferenceRefreshResult>;
}

export type Activities = RunActivities & WorkActivities & ReferenceActivities;
