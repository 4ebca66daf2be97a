/**
 * Contract between the worker and its callers (the operator and the commands): names, ids, arguments and results of its workflows. This
 * file imports only types, so that a caller does not load workflow code.
 */
import type { Batch } from '../pipeline/archive/batches.ts';
import type { Granularity } from '../pipeline/bucket.ts';
import type { Counts } from '../pipeline/counts.ts';
import type { Filter } from '../pipeline/filter.ts';
import type { RunStage } from '../pipeline/ledger/ledger.ts';
import type { ResourceName } from '../pipeline/telemetry/work-context.ts';

export type { Granularity };
export type Stage = RunStage;
/** Filter as `normaliseFilter` returns it. */
export type RunFilter = Filter;
export type RunCounts = Counts;

/** Names of the task queues of an installation. */
export interface Queues {
  readonly workflows: string;
  readonly activities: string;
}

/**
 * Returns the task queues of an installation. Workflow tasks and activity tasks have one each, so that different pools of workers can
 * serve and scale them. Installations that share a Temporal namespace share no queue.
 */
export function queuesOf(installation: string): Queues {
  return { workflows: `oonipipeline-${installation}-workflows`, activities: `oonipipeline-${installation}-activities` };
}

/** Returns the name of the worker deployment of an installation in Temporal. Its versions are those of the workflow code. */
export function workerDeploymentOf(installation: string): string {
  return `oonipipeline-${installation}`;
}

/** Returns the installation in the name of a queue of workflow tasks; undefined for any other queue. */
export function installationOfQueue(queue: string): string | undefined {
  return /^oonipipeline-(.+)-workflows$/.exec(queue)?.[1];
}

/** Type of a wait for an archive that answers slowly. */
export const ARCHIVE_SLOW = 'ArchiveSlow';

/** Error type of a task that reached a worker of another installation. */
export const OTHER_INSTALLATION = 'OtherInstallation';

/** Search attributes with their Temporal types, registered at start-up. */
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

/** Arguments of BucketWorkflow, which runs one bucket under one filter through the stages. */
export interface RunInput {
  readonly installation: string;
  readonly bucket: string;
  readonly filter: RunFilter;
  /** `filterIDOf(filter)`, which is part of ids. */
  readonly filterID: string;
  readonly stages: readonly Stage[];
  /** Keeps the observations that an earlier run has completed, if only their verdicts are missing and the archive has not changed. */
  readonly mayKeep?: boolean;
  /**
   * For a bucket of an hour: the last bucket of its day in the same plan, which was made at `since` by ClickHouse's clock. That bucket
   * judges the complete day.
   */
  readonly settledBy?: { readonly bucket: string; readonly since: number };
  /** Workflow id of the backfill that started the run, for search; absent for scheduled runs. */
  readonly backfill?: string;
  /** Replaces rows even if the archive lists far less of the bucket than was read before. */
  readonly allowShrink?: boolean;
}

export interface RunResult {
  readonly bucket: string;
  /** Start of the run in milliseconds since 1970, the value of `run_generation`. */
  readonly generation: number;
  readonly counts: RunCounts;
  /** Measurement days that the analysis stage judged, oldest first; empty when the run did not include the stage. */
  readonly analysedDays: readonly string[];
}

/** Arguments of ScheduledRunWorkflow, which converts the nominal firing time into a bucket and runs it as its child. */
export interface ScheduledRunInput {
  readonly installation: string;
  readonly granularity: Granularity;
  readonly filter: RunFilter;
  readonly filterID: string;
  readonly stages: readonly Stage[];
  /** The bucket of a run that a person requested. Absent for a firing of the schedule, whose nominal time gives the bucket. */
  readonly bucket?: string;
}

/** Arguments of ReferenceRefreshWorkflow, which loads one data set of reference data from the source in the worker's settings. */
export interface ReferenceRefreshInput {
  readonly installation: string;
  /** Name of the table that it fills: `fingerprints_dns`, `fingerprints_http`, `citizenlab`, `asnmeta`. */
  readonly dataset: string;
}

export interface ReferenceRefreshResult {
  readonly dataset: string;
  /** The version in use; absent when the settings name no source. */
  readonly version?: string;
  /** False when the data of the source were loaded already. */
  readonly changed: boolean;
  readonly rows: number;
  /** Number of rows that were left out because they are invalid. */
  readonly leftOut: number;
  /** Problems of the first of these rows. */
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
  /** 1 for the first try. A higher attempt of a backfill that has ended runs only the buckets that failed before. */
  readonly attempt: number;
  /** With reprocess All: buckets that a run since this time has completed are done. Milliseconds since 1970. */
  readonly since?: number;
}

export type BackfillPhase =
  | 'Planning'
  | 'Running'
  | 'Suspended'
  | 'Draining'
  | 'Cancelling'
  /** Final phases: all buckets done; some buckets failed; stopped on request; a dry run that made its plan. */
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

/** Result of the query `progress`, and of the workflow itself. Its size is limited: counters, final states and the last ten failures. */
export interface BackfillProgress {
  readonly phase: BackfillPhase;
  /** The plan: buckets in the range = toRun + skipped, the first and the last bucket to run, the number of skipped buckets by reason. */
  readonly plan?: {
    readonly buckets: number;
    readonly toRun: number;
    readonly first?: string;
    readonly last?: string;
    readonly skipped: Partial<Record<SkipReason, number>>;
    /** Compressed bytes of the buckets to run. Only a dry run counts them. */
    readonly bytes?: number;
  };
  /** total = succeeded + failed + skipped + active + waiting. */
  readonly total: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly skipped: number;
  readonly active: number;
  /** The active run that was started first: the place to look when the backfill does not progress. */
  readonly oldest?: { readonly bucket: string; readonly workflowID: string };
  readonly counts: RunCounts;
  readonly failures: readonly BackfillFailure[];
  readonly maxActiveRuns: number;
  readonly attempt: number;
  /** Whether the backfill starts no runs for the moment, also while it plans. Workers of older versions do not report it. */
  readonly suspended?: boolean;
  /** Number of messages that the workflow has handled. Workers of older versions do not report it. */
  readonly messages?: number;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly finishedAt?: string;
}

/**
 * Updates, the signal and the query of BackfillWorkflow. Every update is idempotent, because it states the desired state instead of a
 * change.
 */
export const BACKFILL_MESSAGES = {
  /** () => void: starts no new runs; active ones finish. */
  pause: 'pause',
  resume: 'resume',
  /** (maxActiveRuns: number) => void */
  resize: 'resize',
  /** (mode: 'Drain' | 'Now') => void */
  cancel: 'cancel',
  /** (attempt: number) => void: runs the failed buckets again, once per attempt number. */
  retryFailed: 'retryFailed',
  /** signal: () => void: the effect of cancel('Drain'). Temporal keeps it until a worker takes it. */
  drain: 'drain',
  /** query: () => BackfillProgress */
  progress: 'progress',
} as const;

/** Number of names listed in a summary, for which Temporal accepts 400 bytes. */
const LISTED = 8;

/** Returns a filter in words for the Temporal UI: `IT, US; signal`, or `all countries; all tests`. Long lists are cut. */
export function filterWords({ probeCC, testNames }: RunFilter): string {
  const words = (names: readonly string[], all: string) => {
    if (names.length === 0) return all;
    const more = names.length - LISTED;
    const shown = names.slice(0, LISTED).map(name => name.slice(0, 32));
    return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
  };
  return `${words(probeCC, 'all countries')}; ${words(testNames, 'all tests')}`;
}

/** Returns a batch in words for the Temporal UI: its files, compressed megabytes (10^6 bytes) and the name of its first file. */
export function batchWords({ first, files, bytes }: Batch): string {
  const name = first.slice(first.lastIndexOf('/') + 1).slice(0, 100);
  return `${files} ${files === 1 ? 'file' : 'files'}, ${(bytes / 1e6).toFixed(1)} MB, from ${name}`;
}

/** Returns the workflow id of a run. It depends only on installation, filter and bucket, so that only one run at a time processes a bucket. */
export function runWorkflowID(installation: string, filterID: string, bucket: string): string {
  return `${installation}/${filterID}/${bucket}`;
}

/** Returns the workflow id of a Backfill resource; the UID distinguishes a resource that was deleted and created again. */
export function backfillWorkflowID(installation: string, namespace: string, name: string, uid: string): string {
  return `${installation}/backfill/${namespace}/${name}/${uid}`;
}

/**
 * Stands for the namespace in the ids of schedules and backfills that a command makes in Temporal, without a resource. It is not a valid name
 * of a namespace, so these ids never equal those of a resource.
 */
export const COMMAND_NAMESPACE = '_command';

/** Returns the workflow id of a backfill that a command starts. */
export function commandBackfillWorkflowID(installation: string, name: string): string {
  return `${installation}/backfill/${COMMAND_NAMESPACE}/${name}`;
}

/** Returns the schedule id of a PipelineSchedule resource. */
export function scheduleIDOf(installation: string, namespace: string, name: string): string {
  return `${installation}/schedule/${namespace}/${name}`;
}

/** Returns the prefix of the workflow ids that a schedule starts; Temporal appends the nominal firing time. */
export function launchIDPrefix(installation: string, namespace: string, name: string): string {
  return `${installation}/launch/${namespace}/${name}`;
}

/**
 * Returns the id of the workflow that runs a bucket once, on request. It depends on the request alone, so that a repeated request starts
 * nothing.
 */
export function requestedRunWorkflowID(installation: string, namespace: string, name: string, request: string): string {
  return `${installation}/requested/${namespace}/${name}/${request}`;
}

/** Returns the id of the schedule that refreshes a data set, which is also the prefix of the ids of its workflows. */
export function referenceScheduleIDOf(installation: string, dataset: string): string {
  return `${installation}/reference/${dataset}`;
}

/** Ids of the workflows that a resource starts: of a Backfill, of a firing of a PipelineSchedule, and of a run that a person requested. */
const OF_RESOURCE = /^[^/]+\/(backfill|launch|requested)\/([^/]+)\/([^/]+)/;
/** The nominal time that Temporal appends to the id of a firing. */
export const NOMINAL_TIME = /-(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z)$/;

/** Returns the resource that started a workflow, by its id; undefined for a workflow that none starts, and for a run, which has a parent. */
export function resourceOf(workflowID: string): ResourceName | undefined {
  const [, what, namespace, name] = OF_RESOURCE.exec(workflowID) ?? [];
  if (name === undefined || namespace === undefined) return undefined;
  return {
    kind: what === 'backfill' ? 'Backfill' : 'PipelineSchedule',
    ...(namespace !== COMMAND_NAMESPACE && { namespace }),
    name: what === 'launch' ? name.replace(NOMINAL_TIME, '') : name,
  };
}
