import { z } from 'zod';

/**
 * Conditions and reasons are part of the API: people wait for them, alert on them and use them in scripts. Within v1alpha1 a reason keeps
 * its name and meaning. docs/conditions.md is generated from this table.
 */
export const CONDITIONS = {
  Ready:
    'Always present. True: the desired state is in force. False: it is not, or a Backfill ended without doing all of its work. Unknown: the operator does not know the state at the moment.',
  Reconciling: 'Present only while true: the operator, or work that it started, is still moving to the desired state.',
  Stalled:
    'Present only while true: nothing happens until a person changes something. The message says what to change.',
  Complete: 'Backfill only, present after a good end: every bucket succeeded or was skipped for a reason.',
  Failed:
    'Backfill only, present after any other end: buckets failed, the backfill was cancelled, or somebody ended its workflow.',
  LastRunFailed:
    'PipelineSchedule only, present while true: the last run of the schedule failed or was cancelled, and no other run has completed its bucket since.',
  Warning:
    'Present only while true: the spec is accepted, but its filter, its cron line, its annotation or its result is probably not what its author intended. The message says what to check. It does not change other conditions.',
  ScalingActive:
    'WorkerPool with autoscaling only. True: the number of pods follows the load. Unknown: a signal is missing or old, and the number does not become smaller.',
} as const;
export type ConditionType = keyof typeof CONDITIONS;

/** Every reason, the conditions that may have it, and its meaning. */
export const REASONS = {
  Accepted: {
    in: ['Ready', 'Reconciling'],
    meaning: 'The operator has seen the resource and sets its finalizer. It has not started anything yet.',
  },
  Scheduled: { in: ['Ready'], meaning: 'The Temporal schedule exists and equals the spec.' },
  Suspended: {
    in: ['Ready'],
    meaning: 'spec.suspend is true: no new runs start, and active runs continue.',
  },
  PausedInTemporal: {
    in: ['Ready', 'Stalled'],
    meaning:
      'Somebody paused the schedule in Temporal. The operator reports this and does not change it: unpause it there, or set spec.suspend to true and back to false.',
  },
  Started: { in: ['Ready'], meaning: 'The backfill was accepted and its workflow runs.' },
  Retrying: {
    in: ['Ready'],
    meaning:
      'The active buckets need something that is unavailable or unusable: the archive, ClickHouse, or a setting. status.blockedBy names it. They are retried with pauses of up to two minutes, for a week, and continue without a restart when it is repaired.',
  },
  ArchiveSlow: {
    in: ['Ready'],
    meaning:
      'For nearly all of the last 30 seconds, the oldest active bucket has waited for the archive, and no request has failed permanently. status.blockedBy names the archive. The run continues at the speed of the archive.',
  },
  NotProgressing: {
    in: ['Ready'],
    meaning:
      'Buckets are active, but for five minutes or more none of them has ended, none of their activities has reported progress, and no error is reported. Look at the workers (are they killed again and again?) and at long statements in ClickHouse.',
  },
  WorkflowStuck: {
    in: ['Ready'],
    meaning:
      'The code of the workflow, or of a run, fails in each attempt, so it does not progress. The message has the error. Give the WorkerPools that take Workflows the former image, or a corrected one; Temporal tries again by itself.',
  },
  WorkflowLost: {
    in: ['Ready'],
    meaning:
      'Temporal does not know the workflow, which ran within the last hour, so it cannot have expired: Temporal lost its data, or temporal_namespace names another namespace. The operator does not start the workflow again by itself. Increase spec.attempt to process the buckets that are not done.',
  },
  NoWorker: {
    in: ['Ready', 'Reconciling'],
    meaning:
      'No worker has answered for the workflow, or no worker has taken the active buckets. Check that a WorkerPool takes Workflows and one takes Activities, and that their pods are ready. The workers may also be busy with other work.',
  },
  Ended: {
    in: ['Ready'],
    meaning: 'The backfill has ended as desired: it is complete, or spec.cancel ended it.',
  },
  Available: { in: ['Ready'], meaning: 'All worker pods of the pool exist and are ready.' },
  Starting: { in: ['Ready', 'Reconciling'], meaning: 'The operator starts the workflow or creates the schedule.' },
  RollingOut: { in: ['Ready', 'Reconciling'], meaning: 'Kubernetes starts or replaces worker pods.' },
  RolloutStuck: {
    in: ['Ready', 'Reconciling'],
    meaning: 'New worker pods do not become ready within the progress deadline of the Deployment; look at the pods.',
  },
  Cancelling: {
    in: ['Ready', 'Reconciling'],
    meaning: 'spec.cancel is set; active runs finish (Drain) or are being cancelled (Now).',
  },
  Deleting: {
    in: ['Ready', 'Reconciling'],
    meaning: 'The resource is being deleted. First the operator removes or drains its work in Temporal.',
  },
  TemporalUnavailable: {
    in: ['Ready', 'ScalingActive'],
    meaning:
      'Temporal does not answer. Until it answers, the operator does not scale down, delete or report progress; active work continues, and a pool between two waves of tasks gets its pods back.',
  },
  RequestFailed: { in: ['Ready'], meaning: 'A request to Kubernetes or Temporal failed; the operator retries it.' },
  SignalMissing: {
    in: ['ScalingActive'],
    meaning:
      'A queue or its workers report no load, or an old one. The number of pods does not become smaller; with active runs it can become as great as it was in the last cooldown.',
  },
  FollowingLoad: {
    in: ['ScalingActive'],
    meaning: 'The number of pods follows backlog and used slots; status.lastDecision shows the computation.',
  },
  AtBound: {
    in: ['ScalingActive'],
    meaning: 'The load needs fewer pods than minReplicas or more than maxReplicas.',
  },
  InvalidSpec: {
    in: ['Ready', 'Stalled'],
    meaning: 'The spec cannot work as written. The message names field, value and remedy.',
  },
  RangeIncomplete: {
    in: ['Ready'],
    meaning:
      'The spec is accepted. No bucket of the range is complete yet; the backfill starts by itself when the first one is.',
  },
  AdoptionRefused: {
    in: ['Ready', 'Stalled'],
    meaning:
      'A Schedule, workflow or Deployment of that name exists and does not belong to this resource. Annotate the resource with pipeline.ooni.org/adopt: "true" to take it over, or remove it.',
  },
  Rejected: {
    in: ['Ready', 'Stalled'],
    meaning:
      'Kubernetes or Temporal rejected the object that the operator made from the spec. The message has their reason.',
  },
  AllBucketsDone: {
    in: ['Complete'],
    meaning:
      'Every bucket of the plan succeeded or was skipped. The message and status.progress.skippedFor give the reasons.',
  },
  Planned: {
    in: ['Complete'],
    meaning: 'A dry run: status.plan shows the work. Set dryRun to false to start it.',
  },
  BucketsFailed: {
    in: ['Failed', 'Ready', 'Stalled'],
    meaning: 'Some buckets failed; status.failures shows the last ones. Increase spec.attempt to process them again.',
  },
  Cancelled: {
    in: ['Failed', 'Ready', 'Stalled'],
    meaning:
      'The backfill was cancelled before its end. Ready is False only when somebody cancelled it in Temporal instead of by spec.cancel.',
  },
  WorkflowFailed: {
    in: ['Failed', 'Ready', 'Stalled'],
    meaning:
      'The workflow itself failed, timed out or was terminated in Temporal. Increase spec.attempt to start it again.',
  },
  ResultExpired: {
    in: ['Failed', 'Ready', 'Stalled'],
    meaning:
      'Temporal no longer has the workflow: its retention removed it before the operator saw the result, or Temporal lost its data. Increase spec.attempt, or create another Backfill with reprocess None, to process the buckets that are not done.',
  },
  RunFailed: {
    in: ['LastRunFailed'],
    meaning:
      'The last run of the schedule failed. The message names the bucket; status.missing has all buckets that are not completed.',
  },
  RunCancelled: {
    in: ['LastRunFailed'],
    meaning: 'Somebody cancelled the last run of the schedule.',
  },
  BucketsMissing: {
    in: ['Warning'],
    meaning:
      'Buckets of the schedule became due, and the ledger does not record them as completed: their run failed, or the schedule did not fire for them. Create a Backfill with reprocess Failed over the range that the message names.',
  },
  InvalidAnnotation: {
    in: ['Warning'],
    meaning:
      'The value of the annotation pipeline.ooni.org/run-bucket is not a bucket of this schedule, or the bucket is not complete yet. The message says what to write.',
  },
  RequestedRunFailed: {
    in: ['Warning'],
    meaning:
      'The run that the annotation pipeline.ooni.org/run-bucket requests failed or was cancelled, or its end is not known. The message has the error and the value that runs the bucket again.',
  },
  UnknownName: {
    in: ['Warning'],
    meaning:
      'spec.testNames or spec.probeCC contains an unknown test or country, which probably selects nothing. The message names the nearest known one.',
  },
  ScheduleMismatch: {
    in: ['Warning'],
    meaning:
      'The cron line does not fire once for each bucket: it omits buckets, or processes some of them several times.',
  },
  FailedBefore: {
    in: ['Warning'],
    meaning:
      'The backfill skipped buckets whose last run failed, because spec.reprocess is None. Create another Backfill with reprocess Failed to process them.',
  },
  InFlight: {
    in: ['Warning'],
    meaning:
      'The backfill skipped buckets that another run was processing, and that run may fail. When it has ended, create another Backfill with reprocess Failed, which processes those that are not done.',
  },
  NothingMatched: {
    in: ['Warning'],
    meaning: 'The backfill has ended, and no object of the archive matched its range and filter.',
  },
} as const satisfies Record<string, { in: readonly ConditionType[]; meaning: string }>;
export type Reason = keyof typeof REASONS;

const reasonPattern = '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$';

/** A condition in the common form of Kubernetes (metav1.Condition). */
export const condition = () =>
  z
    .object({
      type: z.string().max(316).meta({ description: 'Type of the condition; docs/conditions.md lists them.' }),
      status: z.enum(['True', 'False', 'Unknown']).meta({ description: 'Status of the condition.' }),
      observedGeneration: z
        .int()
        .min(0)
        .meta({ description: 'Value of metadata.generation that this condition describes.' }),
      lastTransitionTime: z.string().meta({ format: 'date-time', description: 'Time of the last change of status.' }),
      reason: z
        .string()
        .min(1)
        .max(1024)
        .meta({ pattern: reasonPattern, description: 'Reason in one word; docs/conditions.md lists them.' }),
      message: z.string().max(32768).meta({ description: 'Explanation in a sentence.' }),
    })
    .meta({ description: 'One aspect of the observed state.' });

export type Condition = Omit<z.infer<ReturnType<typeof condition>>, 'type' | 'reason'> & {
  type: ConditionType;
  reason: Reason;
};

export const conditions = () =>
  z
    .array(condition())
    .max(16)
    .meta({
      description:
        'Conditions of the resource. Ready is always present; Reconciling, Stalled and Warning only while true. docs/conditions.md lists the reasons.',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
    });
