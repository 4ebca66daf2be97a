/**
 * What the operator and the commands know of the worker: names, ids, arguments and results of its workflows. It imports
 * nothing, so that whoever talks to a workflow carries none of its code.
 */

/** Workflow tasks and activity tasks have a queue each, so that pools of workers can serve and scale them apart. */
export const QUEUES = { workflows: 'oonipipeline-workflows', activities: 'oonipipeline-activities' } as const;

/** Search attributes, registered at start-up, with their Temporal types. */
export const SEARCH_ATTRIBUTES = {
  OoniInstallation: 'Keyword',
  OoniBucket: 'Keyword',
  OoniFilter: 'Keyword',
  OoniBackfill: 'Keyword',
} as const;

/** Workflow types. */
export const WORKFLOWS = {
  bucket: 'BucketWorkflow',
  scheduledRun: 'ScheduledRunWorkflow',
  backfill: 'BackfillWorkflow',
  referenceRefresh: 'ReferenceRefreshWorkflow',
} as const;

/** Temporal priorities: 1 is served first. A daily run never waits behind a backfill of years. */
export const PRIORITIES = { scheduled: 2, backfill: 4 } as const;

export type Stage = 'Observations' | 'Analysis';
export type Granularity = 'Day' | 'Hour';

/** Normalised, as `normaliseFilter` leaves it: sorted, countries in upper case, test names without underscores. */
export interface RunFilter {
  readonly probeCC: readonly string[];
  readonly testNames: readonly string[];
}

/** Arguments of BucketWorkflow: one bucket under one filter through the stages. */
export interface RunInput {
  readonly installation: string;
  readonly bucket: string;
  readonly filter: RunFilter;
  /** `filterId(filter)`, carried along because it is part of ids. */
  readonly filterID: string;
  readonly stages: readonly Stage[];
  /** Observations that an earlier run has completed are kept when only their verdicts are missing, and the archive is as it was. */
  readonly mayKeep?: boolean;
  /** For a bucket of an hour: the bucket of its day that the same plan, made at `since` by ClickHouse's clock, runs last. It judges the day in full. */
  readonly settledBy?: { readonly bucket: string; readonly since: number };
  /** Workflow id of the backfill on whose behalf the run goes, for search; absent for scheduled runs. */
  readonly backfill?: string;
  /** Rows are replaced although the archive lists far less of the bucket than was read before. */
  readonly allowShrink?: boolean;
}

/** What a run did. Counts add up: read = transformed + skipped + failed + unsupported. */
export interface RunCounts {
  files: number;
  /** Compressed bytes read. */
  bytes: number;
  /** Measurements read. */
  read: number;
  transformed: number;
  skipped: number;
  failed: number;
  unsupported: number;
  /** Rows by table. */
  rows: Record<string, number>;
}

export interface RunResult {
  readonly bucket: string;
  /** Start of the run in milliseconds since 1970: what `run_generation` holds. */
  readonly generation: number;
  readonly counts: RunCounts;
  /** Measurement days that the analysis stage judged, oldest first; empty when the stage was not asked for. */
  readonly analysedDays: readonly string[];
}

/** Arguments of ScheduledRunWorkflow, which turns the nominal firing time into a bucket and runs it as its child. */
export interface ScheduledRunInput {
  readonly installation: string;
  readonly granularity: Granularity;
  readonly filter: RunFilter;
  readonly filterID: string;
  readonly stages: readonly Stage[];
}

/** Arguments of ReferenceRefreshWorkflow, which loads one data set of reference data from the source that the worker's settings name. */
export interface ReferenceRefreshInput {
  /** Named as the table it fills: `fingerprints_dns`, `fingerprints_http`, `citizenlab`, `asnmeta`. */
  readonly dataset: string;
}

export interface ReferenceRefreshResult {
  readonly dataset: string;
  /** The version in use; absent when the settings name no source. */
  readonly version?: string;
  /** False when the source holds what was loaded already. */
  readonly changed: boolean;
  readonly rows: number;
  /** Rows that were left out, because something is wrong with them. */
  readonly leftOut: number;
  /** What is wrong with the first of them. */
  readonly problems: readonly string[];
}

export type BackfillOrder = 'OldestFirst' | 'NewestFirst';
export type Reprocess = 'None' | 'Failed' | 'All';

/** Arguments of BackfillWorkflow. */
export interface BackfillInput {
  readonly installation: string;
  /** First bucket, inclusive. */
  readonly startAt: string;
  /** Exclusive. */
  readonly endAt: string;
  readonly granularity: Granularity;
  readonly filter: RunFilter;
  readonly filterID: string;
  readonly stages: readonly Stage[];
  readonly order: BackfillOrder;
  readonly reprocess: Reprocess;
  /** As in RunInput, for every bucket. */
  readonly allowShrink?: boolean;
  readonly maxActiveRuns: number;
  readonly suspended: boolean;
  readonly dryRun: boolean;
  /** 1 for the first try; a higher one, given to a backfill that has ended, takes only the buckets that failed before. */
  readonly attempt: number;
}

export type BackfillPhase =
  | 'Planning'
  | 'Running'
  | 'Suspended'
  | 'Draining'
  | 'Cancelling'
  /** Ends: all done; some buckets failed; stopped on request; a dry run that planned. */
  | 'Complete'
  | 'Failed'
  | 'Cancelled'
  | 'Planned';

export const FINAL_PHASES: readonly BackfillPhase[] = ['Complete', 'Failed', 'Cancelled', 'Planned'];

export type SkipReason = 'Completed' | 'FailedBefore' | 'Empty' | 'InFlight' | 'Incomplete';

export interface BackfillFailure {
  readonly bucket: string;
  /** An error type such as `TooManyFailures` or `ArchiveMissing`. */
  readonly reason: string;
  readonly message: string;
  readonly workflowID: string;
}

/** Result of the query `progress`, and of the workflow itself. Grows with nothing: counters, ends, the last ten failures. */
export interface BackfillProgress {
  readonly phase: BackfillPhase;
  /** Of the plan: buckets in the range = toRun + skipped, first and last bucket to run, how many are skipped and why. */
  readonly plan?: {
    readonly buckets: number;
    readonly toRun: number;
    readonly first?: string;
    readonly last?: string;
    readonly skipped: Partial<Record<SkipReason, number>>;
  };
  /** total = succeeded + failed + skipped + active + those not begun. */
  readonly total: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly skipped: number;
  readonly active: number;
  /** Of the active runs the one that was started first: where to look when nothing moves. */
  readonly oldest?: { readonly bucket: string; readonly workflowID: string };
  readonly counts: RunCounts;
  readonly failures: readonly BackfillFailure[];
  readonly maxActiveRuns: number;
  readonly attempt: number;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly finishedAt?: string;
}

/** Updates and the query that BackfillWorkflow answers. Every update is idempotent: it states what should be, not a change. */
export const BACKFILL_MESSAGES = {
  /** () => void: no new runs, active ones finish. */
  pause: 'pause',
  resume: 'resume',
  /** (maxActiveRuns: number) => void */
  resize: 'resize',
  /** (mode: 'Drain' | 'Now') => void */
  cancel: 'cancel',
  /** (attempt: number) => void: takes the failed buckets up again, once for each attempt number. */
  retryFailed: 'retryFailed',
  /** query: () => BackfillProgress */
  progress: 'progress',
} as const;

/** Names listed in a summary; Temporal takes 400 bytes. */
const LISTED = 8;

/** A filter in words, for the Temporal UI: `IT, US; signal`, or `all countries; all tests`. Long lists are cut. */
export function filterWords({ probeCC, testNames }: RunFilter): string {
  const words = (names: readonly string[], all: string) => {
    if (names.length === 0) return all;
    const more = names.length - LISTED;
    const shown = names.slice(0, LISTED).map(name => name.slice(0, 32));
    return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
  };
  return `${words(probeCC, 'all countries')}; ${words(testNames, 'all tests')}`;
}

/** A run's id is its meaning, so whoever starts it, a bucket is worked on once at a time. */
export function runId(installation: string, filterID: string, bucket: string): string {
  return `${installation}/${filterID}/${bucket}`;
}

/** Workflow id of a Backfill resource's coordinator; the UID keeps a deleted and re-created resource apart. */
export function backfillId(installation: string, namespace: string, name: string, uid: string): string {
  return `${installation}/backfill/${namespace}/${name}/${uid}`;
}

/** Schedule id of a PipelineSchedule resource. */
export function scheduleId(installation: string, namespace: string, name: string): string {
  return `${installation}/schedule/${namespace}/${name}`;
}

/** Base of the workflow ids a schedule starts; Temporal appends the nominal firing time. */
export function launchId(installation: string, namespace: string, name: string): string {
  return `${installation}/launch/${namespace}/${name}`;
}

/** Schedule id of the refreshing of a data set; the workflows it starts are named by it too. */
export function referenceScheduleId(installation: string, dataset: string): string {
  return `${installation}/reference/${dataset}`;
}
