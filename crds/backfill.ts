import { z } from 'zod';
import { conditions } from './conditions.ts';
import {
  BUCKET,
  blockedBy,
  bucket,
  count,
  duration,
  granularity,
  instant,
  links,
  probeCC,
  stages,
  testNames,
} from './fields.ts';
import type { CommonStatus, Kind, Resource } from './resource.ts';
import { immutable, rules } from './rules.ts';

/** `2024-01-01` and `2024-01-01T00` are the same instant: a day compares as its first hour. */
const hour = (text: string) => (text.length === 10 ? `${text}T00` : text);
/** A rule of its own reports an invalid bucket; the comparisons ignore it. */
const isBucket = (text: string) => new RegExp(BUCKET).test(text);
const isHour = (text: string) => isBucket(text) && text.length > 10;
const firstHour = (field: string) => `(self.${field}.size() == 10 ? self.${field} + 'T00' : self.${field})`;
const NOT_BOTH = `!self.startAt.matches('${BUCKET}') || !self.endAt.matches('${BUCKET}')`;
const hourNeedsHour = (field: 'startAt' | 'endAt') =>
  ({
    cel: `self.granularity == 'Hour' || self.${field}.size() != 13 || !self.${field}.matches('${BUCKET}')`,
    message: 'an hour (YYYY-MM-DDTHH) needs granularity Hour; with granularity Day write YYYY-MM-DD',
    field,
  }) as const;
const OTHER = 'create another Backfill with the new value';

const spec = rules(
  z.object({
    startAt: immutable('startAt', bucket(), OTHER).meta({
      description:
        'First bucket of the range, inclusive: an upload day YYYY-MM-DD or, with granularity Hour, an upload hour YYYY-MM-DDTHH, in UTC. Immutable.',
    }),
    endAt: immutable('endAt', bucket(), OTHER).meta({
      description:
        'End of the range, exclusive, in the form of startAt. Buckets that are not complete yet are skipped. Immutable.',
    }),
    granularity: immutable('granularity', granularity(), OTHER)
      .default('Day')
      .meta({ description: 'Size of a bucket: a day or an hour of uploads. Immutable.' }),
    stages: immutable('stages', stages(), OTHER).default(['Observations', 'Analysis']),
    probeCC: immutable('probeCC', probeCC(), OTHER).default([]),
    testNames: immutable('testNames', testNames(), OTHER).default([]),
    order: immutable('order', z.enum(['OldestFirst', 'NewestFirst']), OTHER)
      .default('OldestFirst')
      .meta({ description: 'Order in which buckets are processed. Immutable.' }),
    reprocess: immutable('reprocess', z.enum(['None', 'Failed', 'All']), OTHER)
      .default('None')
      .meta({
        description:
          'Selects the buckets to process. None: buckets that are not done and whose last run did not fail. Failed: also buckets whose last run failed. All: every bucket; new rows replace older ones. A bucket is done when its last run completed all stages and read every object that the archive has of it. Immutable.',
      }),
    allowShrink: immutable('allowShrink', z.boolean(), OTHER).default(false).meta({
      description:
        'Replaces rows of a bucket even if the archive lists less than half of the objects or bytes that its last completed run read. If false, such a bucket fails with reason ArchiveShrank and keeps its rows. Immutable.',
    }),
    maxActiveRuns: z.int().min(1).max(200).default(4).meta({
      description: 'Maximum number of buckets that are active at a time. It can be changed while the backfill runs.',
    }),
    suspend: z.boolean().default(false).meta({
      description: 'Stops starting runs while true; active runs finish. Set it to false to continue.',
    }),
    cancel: rules(z.enum(['None', 'Drain', 'Now']), {
      cel: "oldSelf == 'None' || oldSelf == self || (oldSelf == 'Drain' && self == 'Now')",
      message:
        'cancel can only change from None to Drain to Now; create another Backfill to continue (reprocess: None processes the missing buckets)',
    })
      .default('None')
      .meta({
        description:
          'Ends the backfill early. Drain: active runs finish and no new runs start. Now: active runs are cancelled; the next run of a bucket replaces the rows of its cancelled run. It can only change from None to Drain to Now.',
      }),
    attempt: rules(z.int().min(1).max(1000), {
      cel: 'self >= oldSelf',
      message: 'attempt cannot be decreased; increase it by one to try the failed buckets again',
    })
      .default(1)
      .meta({
        description:
          'Number of the attempt. Increase it to process the failed buckets again, also after the backfill has ended. It cannot be decreased.',
      }),
    dryRun: rules(z.boolean(), {
      cel: 'oldSelf || !self',
      message:
        'dryRun can be switched off (then the planned backfill starts) but not on; create another Backfill to plan only',
    })
      .default(false)
      .meta({
        description:
          'Only plans the backfill while true; status.plan shows the plan. Set it to false to start the planned work.',
      }),
    ttlAfterFinished: duration('1s', '87600h').nullish().meta({
      description:
        'Time after which the ended Backfill is deleted, for example 168h. Its rows are kept. Without it the resource is kept.',
    }),
  }),
  {
    cel: `${NOT_BOTH} || ${firstHour('startAt')} < ${firstHour('endAt')}`,
    message: 'startAt must lie before endAt, which is exclusive: one day is startAt 2024-01-01 and endAt 2024-01-02',
    messageExpression:
      "'startAt ' + self.startAt + ' must lie before endAt ' + self.endAt + ', which is exclusive: one day is startAt 2024-01-01 and endAt 2024-01-02'",
    field: 'endAt',
    check: it => !isBucket(it.startAt) || !isBucket(it.endAt) || hour(it.startAt) < hour(it.endAt),
  },
  { ...hourNeedsHour('startAt'), check: it => it.granularity === 'Hour' || !isHour(it.startAt) },
  { ...hourNeedsHour('endAt'), check: it => it.granularity === 'Hour' || !isHour(it.endAt) },
  {
    cel: "self.attempt == oldSelf.attempt || self.cancel == 'None'",
    message:
      'a cancelled backfill cannot be retried; create another Backfill (reprocess: None processes the missing buckets)',
    field: 'attempt',
  },
).meta({ description: 'Desired work: the range, the filter, and the way to process them.' });

const status = z
  .object({
    observedGeneration: count('Value of metadata.generation that this status describes.'),
    conditions: conditions(),
    phase: z
      .enum([
        'Pending',
        'Planning',
        'Running',
        'Suspended',
        'Draining',
        'Cancelling',
        'Complete',
        'Failed',
        'Cancelled',
        'Planned',
      ])
      .meta({
        description: 'Phase of the backfill. Complete, Failed, Cancelled and Planned (a dry run) are final.',
      }),
    plan: z
      .object({
        buckets: count('Number of buckets in the range.'),
        toRun: count('Number of buckets that need a run, including those whose run has ended.'),
        bytes: count(
          'Number of compressed bytes in the archive of the buckets that need a run. Only a dry run counts them; absent for more than 1000 buckets, whose listing would take long, and for stages that do not read the archive.',
        ).optional(),
        first: z.string().meta({ description: 'First bucket that needs a run.' }).optional(),
        last: z.string().meta({ description: 'Last bucket that needs a run.' }).optional(),
        skipped: z.record(z.string(), z.int().min(0)).meta({
          description:
            'Number of buckets that do not need a run, by reason: Completed (an earlier run completed it), FailedBefore (its last run failed, and reprocess is None), Empty (the archive has no object of it), InFlight (another run processes it), Incomplete (its time is not over). Together with toRun they add up to buckets.',
        }),
      })
      .meta({
        description:
          'Plan of the backfill. A bucket that was skipped after the plan was made counts in skipped, and no longer in toRun.',
      }),
    progress: z
      .object({
        total: count('Number of buckets in the range.'),
        succeeded: count('Number of buckets whose run succeeded.'),
        failed: count('Number of buckets whose run failed.'),
        skipped: count('Number of buckets that did not need a run.'),
        skippedFor: z
          .string()
          .meta({ description: 'Reasons for skipped buckets as text, for example "29 Completed, 7 FailedBefore".' })
          .optional(),
        active: count('Number of active buckets.'),
        percent: count('Percentage of the buckets that succeeded, failed or were skipped.'),
        done: z
          .string()
          .meta({ description: 'Number of finished buckets and of all buckets as text, for example "13/31".' }),
      })
      .meta({ description: 'Number of buckets by state.' }),
    bytes: count(
      'Number of compressed bytes that the runs of the workflow have read from the archive, including failed runs.',
    ),
    measurements: count(
      'Number of measurements that the runs of the workflow have read, including failed runs. Each is in the tables, or pipeline_failures has the reason.',
    ),
    rate: z
      .object({
        bucketsPerHour: z.number().min(0).meta({ description: 'Finished buckets per hour.' }),
        measurementsPerSecond: z.number().min(0).meta({ description: 'Measurements read per second.' }),
        bytesPerSecond: z.number().min(0).meta({ description: 'Compressed bytes read per second.' }),
      })
      .meta({ description: 'Average rate of the last minutes.' }),
    eta: instant('Estimated time of the end at the current rate.'),
    blockedBy: blockedBy(
      'Cause that blocks the plan or the active buckets, which are retried or wait. Absent while nothing blocks them.',
      'Bucket that has been active for the longest time; absent while the plan itself waits.',
    ),
    noProgressSince: instant(
      'Time since which no active run has progressed. Absent until five minutes have passed, and while no run is active.',
    ),
    failures: z
      .array(
        z.object({
          bucket: z.string().meta({ description: 'The bucket.' }),
          reason: z.string().meta({ description: 'Class of the error.' }),
          message: z.string().meta({ description: 'The error.' }),
          link: z.string().meta({ description: 'The run in the Temporal UI.' }).optional(),
        }),
      )
      .max(10)
      .meta({ description: 'Buckets that failed last, at most ten.', 'x-kubernetes-list-type': 'atomic' }),
    attempt: count('Attempt that the workflow processes.'),
    workflowID: z.string().meta({ description: 'ID of the coordinating workflow in Temporal.' }),
    links: links(),
    startedAt: instant(
      'Time at which the workflow started. A further attempt with reprocess All keeps the time of the first start.',
    ),
    seenAt: instant('Time at which the workflow was last seen running, in steps of ten minutes.'),
    finishedAt: instant('Time at which the backfill ended.'),
  })
  .partial()
  .meta({ description: 'Observed state, written by the operator.' });

/** Backfill (bf): runs a range of buckets through the stages, with a limited number of runs at a time. */
export const BACKFILL = {
  kind: 'Backfill',
  plural: 'backfills',
  singular: 'backfill',
  shortName: 'bf',
  description:
    'A Backfill processes a range of upload days or hours of the archive once, several at a time, and counts the results. It runs in Temporal and continues while the operator is down.',
  spec,
  status,
  columns: [
    { name: 'Phase', type: 'string', path: '.status.phase', description: 'Phase of the backfill.' },
    {
      name: 'Progress',
      type: 'string',
      path: '.status.progress.done',
      description: 'Finished buckets and all buckets.',
    },
    { name: 'Failed', type: 'integer', path: '.status.progress.failed', description: 'Buckets that failed.' },
    {
      name: 'Skipped',
      type: 'string',
      path: '.status.progress.skippedFor',
      description: 'Buckets that needed no run, by reason.',
    },
    { name: 'ETA', type: 'string', path: '.status.eta', description: 'Estimated end at the current rate.' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp', description: 'Age of the resource.' },
    { name: 'Start', type: 'string', path: '.spec.startAt', description: 'First bucket.', wide: true },
    { name: 'End', type: 'string', path: '.spec.endAt', description: 'End of the range, exclusive.', wide: true },
    {
      name: 'Active',
      type: 'integer',
      path: '.status.progress.active',
      description: 'Number of active buckets.',
      wide: true,
    },
    {
      name: 'Warning',
      type: 'string',
      path: '.status.conditions[?(@.type=="Warning")].reason',
      description: 'Reason of Warning.',
      wide: true,
    },
    {
      name: 'Measurements',
      type: 'integer',
      path: '.status.measurements',
      description: 'Measurements read.',
      wide: true,
    },
    {
      name: 'Status',
      type: 'string',
      path: '.status.conditions[?(@.type=="Ready")].reason',
      description: 'Reason of Ready.',
      wide: true,
    },
  ],
  selectable: ['.spec.granularity', '.status.phase'],
} as const satisfies Kind;

export type BackfillSpec = z.output<typeof spec>;
export type BackfillSpecInput = z.input<typeof spec>;
export type BackfillStatus = Omit<z.output<typeof status>, 'conditions'> & CommonStatus;
/** A Backfill as the API server returns it; `parseSpec(BACKFILL, object)` returns a checked spec. */
export type Backfill = Resource<BackfillSpecInput, BackfillStatus>;
