import type { Batch } from '../../pipeline/archive/batches.ts';
import type { BackfillPage, BackfillPlan } from '../../pipeline/runs/backfill-plan.ts';
import type {
  BackfillInput,
  ReferenceRefreshInput,
  ReferenceRefreshResult,
  RunCounts,
  RunInput,
  Stage,
} from '../contract.ts';

/** A run of the ledger, in the form passed between workflow and activities. */
export interface RunHandle {
  readonly generation: number;
  /** Milliseconds since 1970 by ClickHouse's clock. */
  readonly openedAt: number;
}

/** Identifies a plan of a workflow run. A repeated activity finds its own record in the ledger by it. */
export interface PlanKey {
  readonly run: RunInput;
  /** Start of the workflow run, in milliseconds since 1970. */
  readonly startedAt: number;
  /** 1 for the first plan of a workflow run, which plans again when the archive changed meanwhile. */
  readonly plan: number;
}

export interface PlannedBucket {
  readonly handle: RunHandle;
  readonly batches: readonly Batch[];
  readonly files: number;
  readonly bytes: number;
  /** Set when the observations of an earlier run are kept: the handle is that run's, and only the analysis remains. */
  readonly kept?: boolean;
  /** Set when the bucket was empty: the run is finished, including the analysis if it was requested. */
  readonly end?: FinishedBucket;
}

export interface FinishedBucket {
  readonly counts: RunCounts;
  readonly rowsStored: Readonly<Record<string, number>>;
  /** A sentence, if more measurements failed than `max_failed_share` allows. */
  readonly tooManyFailures?: string;
}

export interface RunFailure {
  readonly state: 'failed' | 'cancelled';
  readonly reason: string;
  readonly message: string;
}

/** Short activities that plan, record and write little. */
export interface RunActivities {
  planRun(key: PlanKey): Promise<PlannedBucket>;
  finishRun(key: PlanKey, handle: RunHandle, counts: RunCounts): Promise<FinishedBucket>;
  /** Records a run that will not finish. Without a handle, it is recorded as a run that never reached its plan. */
  abandonRun(key: PlanKey, stage: Stage, failure: RunFailure, handle?: RunHandle, counts?: RunCounts): Promise<void>;
  planBackfill(input: BackfillInput, now: number): Promise<BackfillPlan>;
  pageBackfill(
    input: BackfillInput,
    plan: Pick<BackfillPlan, 'asOf' | 'now' | 'selection'>,
    cursor: string | null,
    retry: { readonly since: number; readonly backfill: string } | null,
  ): Promise<BackfillPage>;
}

/** Long activities that read the archive, each on its own thread, or use ClickHouse heavily. */
export interface WorkActivities {
  observeBatch(key: PlanKey, handle: RunHandle, batch: Batch): Promise<RunCounts>;
  /** Judges the days that the observations of `generation` touched, or without it the bucket's own day. Returns the days, oldest first. */
  analyse(key: PlanKey, generation: number | null): Promise<readonly string[]>;
}

/** A run that another workflow started, or a workflow that was continued since. */
export interface RunAddress {
  readonly installation: string;
  readonly workflowID: string;
  /** Absent: the latest run of this workflow id. */
  readonly runID?: string;
}

export type RunState =
  | { readonly state: 'running' | 'absent' | 'cancelled' }
  | { readonly state: 'succeeded'; readonly counts?: RunCounts }
  | {
      readonly state: 'failed';
      readonly reason: string;
      readonly message: string;
      readonly counts?: RunCounts;
      /** Whether the run recorded its failure itself; false when it was ended from outside. */
      readonly recorded: boolean;
    };

/** Short activities about runs that are not children of the asking workflow. */
export interface OtherRunActivities {
  describeRun(run: RunAddress): Promise<RunState>;
  /** Returns whether stages of the bucket are not done, according to the ledger. */
  needsRun(run: RunInput): Promise<boolean>;
}

export interface ReferenceActivities {
  /** Loads a data set from its source and replaces the old one, unless it is current. */
  refreshReference(input: ReferenceRefreshInput): Promise<ReferenceRefreshResult>;
}

export type Activities = RunActivities & WorkActivities & OtherRunActivities & ReferenceActivities;
