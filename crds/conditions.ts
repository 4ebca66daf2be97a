import { z } from 'zod';

/**
 * Conditions and reasons are part of the API: people wait for them, alert on them and script against them. Within v1alpha1 a
 * reason keeps its name and meaning. docs/conditions.md is generated from this table.
 */
export const CONDITIONS = {
  Ready:
    'Always present. True: what the resource asks for is in force. False for a Backfill that ended without doing what it was asked. Unknown: the operator cannot tell at the moment.',
  Reconciling:
    'Present only while true: the operator, or what it started, is still on the way to what the spec asks for.',
  Stalled: 'Present only while true: nothing will happen until a person changes something; the message says what.',
  Complete: 'Backfill only, present once it has ended well: every bucket is done or was skipped for a reason.',
  Failed:
    'Backfill only, present once it has ended otherwise: buckets failed, it was cancelled, or its workflow was ended by hand.',
  Warning:
    'Present only while true: the spec is accepted, but its filter, its cron line or what came of it is probably not what was meant. The message says what to check. It changes no other condition.',
  ScalingActive:
    'WorkerPool with autoscaling only. True: replicas follow the load. Unknown: a signal is missing or stale, the replicas are held.',
} as const;
export type ConditionType = keyof typeof CONDITIONS;

/** Every reason, the conditions it may stand in, and what it means. */
export const REASONS = {
  Accepted: {
    in: ['Ready', 'Reconciling'],
    meaning: 'The resource was seen and its finalizer is being set; nothing was started yet.',
  },
  Scheduled: { in: ['Ready'], meaning: 'The Temporal schedule exists and is what the spec asks for.' },
  Suspended: {
    in: ['Ready'],
    meaning: 'spec.suspend is true: nothing new starts, what runs goes on.',
  },
  PausedInTemporal: {
    in: ['Ready', 'Stalled'],
    meaning:
      'Somebody paused the schedule in Temporal. The operator reports it and leaves it: unpause it there, or set spec.suspend to true and back.',
  },
  Started: { in: ['Ready'], meaning: 'The backfill was accepted and its workflow runs.' },
  Retrying: {
    in: ['Ready'],
    meaning:
      'What the active buckets need is away or cannot be used: the archive, ClickHouse, a setting. status.blockedBy says what. They are tried again with pauses of up to two minutes, for a week, and go on without a restart once it is mended.',
  },
  NoWorker: {
    in: ['Ready', 'Reconciling'],
    meaning:
      'No worker has answered for the workflow, or none has taken up the active buckets. Is there a WorkerPool that takes Workflows and one that takes Activities, with pods that are ready? They may also be busy with something else.',
  },
  Ended: {
    in: ['Ready'],
    meaning: 'The backfill has ended as it was asked to: it is complete, or spec.cancel ended it.',
  },
  Available: { in: ['Ready'], meaning: 'All worker pods of the pool are there and ready.' },
  Starting: { in: ['Ready', 'Reconciling'], meaning: 'The workflow or schedule is being started.' },
  RollingOut: { in: ['Ready', 'Reconciling'], meaning: 'Worker pods are being started or replaced.' },
  RolloutStuck: {
    in: ['Ready', 'Reconciling'],
    meaning: 'New worker pods do not become ready within the progress deadline of the Deployment; look at the pods.',
  },
  Cancelling: {
    in: ['Ready', 'Reconciling'],
    meaning: 'A cancel was asked for; active runs finish (Drain) or are being cancelled (Now).',
  },
  Deleting: {
    in: ['Ready', 'Reconciling'],
    meaning: 'The resource is being deleted; what it made in Temporal is removed or drained first.',
  },
  TemporalUnavailable: {
    in: ['Ready', 'ScalingActive'],
    meaning:
      'Temporal does not answer. Nothing is scaled, deleted or declared until it does; work that is running goes on.',
  },
  RequestFailed: { in: ['Ready'], meaning: 'A request to Kubernetes or Temporal failed; it is being tried again.' },
  SignalMissing: {
    in: ['ScalingActive'],
    meaning: 'A queue or its workers report no load figures, or old ones; replicas are held.',
  },
  FollowingLoad: {
    in: ['ScalingActive'],
    meaning: 'Replicas follow backlog and used slots; status.lastDecision shows the arithmetic.',
  },
  AtBound: {
    in: ['ScalingActive'],
    meaning: 'The load asks for fewer or more replicas than minReplicas or maxReplicas allow.',
  },
  InvalidSpec: {
    in: ['Ready', 'Stalled'],
    meaning: 'The spec cannot work as written; the message names field, value and remedy.',
  },
  RangeIncomplete: {
    in: ['Ready'],
    meaning: 'Accepted. No bucket of the range is complete yet; the backfill starts by itself once the first one is.',
  },
  AdoptionRefused: {
    in: ['Ready', 'Stalled'],
    meaning:
      'A Schedule, workflow or Deployment of that name exists and is not ours. Annotate the resource with pipeline.ooni.org/adopt: "true" to take it over, or remove it.',
  },
  Rejected: {
    in: ['Ready', 'Stalled'],
    meaning: 'Kubernetes or Temporal refused what the spec leads to; the message is theirs.',
  },
  AllBucketsDone: {
    in: ['Complete'],
    meaning: 'Every bucket of the plan succeeded or was skipped; the message and status.progress.skippedFor say why.',
  },
  Planned: {
    in: ['Complete'],
    meaning: 'A dry run: status.plan says what would be done. Set dryRun to false to do it.',
  },
  BucketsFailed: {
    in: ['Failed', 'Ready', 'Stalled'],
    meaning: 'Some buckets failed; status.failures shows the last ones. Raise spec.attempt to try them again.',
  },
  Cancelled: {
    in: ['Failed', 'Ready', 'Stalled'],
    meaning:
      'The backfill was cancelled before its end. Ready is False only when somebody cancelled it in Temporal and not by spec.cancel.',
  },
  WorkflowFailed: {
    in: ['Failed', 'Ready', 'Stalled'],
    meaning:
      'The workflow itself failed, timed out or was terminated in Temporal. Raise spec.attempt to start it again.',
  },
  ResultExpired: {
    in: ['Failed', 'Ready', 'Stalled'],
    meaning:
      "Temporal does not know the workflow any more: its retention removed it before the operator saw the result, or Temporal's data were lost. Raise spec.attempt, or create another Backfill with reprocess None, to run the buckets that are not done.",
  },
  UnknownName: {
    in: ['Warning'],
    meaning:
      'spec.testNames or spec.probeCC holds a name that no known test or country has, so it probably selects nothing. The message names the nearest known one.',
  },
  ScheduleMismatch: {
    in: ['Warning'],
    meaning: 'The cron line does not fire once for each bucket: it leaves buckets out, or handles some several times.',
  },
  FailedBefore: {
    in: ['Warning'],
    meaning:
      'The backfill skipped buckets whose last run failed, because spec.reprocess is None. Another Backfill with reprocess Failed tries them again.',
  },
  NothingMatched: {
    in: ['Warning'],
    meaning: 'The backfill has ended, and no object of the archive matched its range and filter.',
  },
} as const satisfies Record<string, { in: readonly ConditionType[]; meaning: string }>;
export type Reason = keyof typeof REASONS;

const reasonPattern = '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$';

/** A condition as all of Kubernetes writes it (metav1.Condition). */
export const condition = () =>
  z
    .object({
      type: z.string().max(316).meta({ description: 'Name of the condition, see docs/conditions.md.' }),
      status: z.enum(['True', 'False', 'Unknown']).meta({ description: 'Whether it holds.' }),
      observedGeneration: z.int().min(0).meta({ description: 'metadata.generation this was said about.' }),
      lastTransitionTime: z.string().meta({ format: 'date-time', description: 'When the status last changed.' }),
      reason: z.string().min(1).max(1024).meta({ pattern: reasonPattern, description: 'Why, in one documented word.' }),
      message: z.string().max(32768).meta({ description: 'Why, in a sentence for people.' }),
    })
    .meta({ description: 'One aspect of the state of the resource.' });

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
        'Ready is always there, Reconciling, Stalled and Warning only while true. Reasons: docs/conditions.md.',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
    });
