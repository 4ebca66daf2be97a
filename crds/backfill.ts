import { z } from 'zod';
import { conditions } from './conditions.ts';
import { BUCKET, bucket, count, duration, granularity, instant, links, probeCC, stages, testNames } from './fields.ts';
import type { CommonStatus, Kind, Resource } from './resource.ts';
import { immutable, rules } from './rules.ts';

/** `2024-01-01` and `2024-01-01T00` are the same instant: days compare as their first hour. */
const hour = (text: string) => (text.length === 10 ? `${text}T00` : text);
/** What is no bucket is told so by its own rule, and compares with nothing. */
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
const OTHER = 'create another Backfill for something else';

const spec = rules(
  z.object({
    startAt: immutable('startAt', bucket(), OTHER).meta({
      description:
        'First bucket, inclusive: an upload day as YYYY-MM-DD or, with granularity Hour, also an upload hour as YYYY-MM-DDTHH. UTC. Immutable.',
    }),
    endAt: immutable('endAt', bucket(), OTHER).meta({
      description:
        'End of the range, exclusive, written like startAt. Buckets that are not complete yet are skipped. Immutable.',
    }),
    granularity: immutable('granularity', granularity(), OTHER)
      .default('Day')
      .meta({ description: 'Size of a bucket: Day or Hour of upload. Immutable.' }),
    stages: immutable('stages', stages(), OTHER).default(['Observations', 'Analysis']),
    probeCC: immutable('probeCC', probeCC(), OTHER).default([]),
    testNames: immutable('testNames', testNames(), OTHER).default([]),
    order: immutable('order', z.enum(['OldestFirst', 'NewestFirst']), OTHER)
      .default('OldestFirst')
      .meta({ description: 'Which end of the range is done first. Immutable.' }),
    reprocess: immutable('reprocess', z.enum(['None', 'Failed', 'All']), OTHER)
      .default('None')
      .meta({
        description:
          'None: buckets that are not done and whose last run did not fail. Failed: also those whose last run failed. All: everything, replacing rows. A bucket is done when all stages of its last run were completed and the archive has no object that this run did not read. Immutable.',
      }),
    allowShrink: immutable('allowShrink', z.boolean(), OTHER).default(false).meta({
      description:
        'true: rows are replaced also where the archive lists less than half of the objects or bytes that the last completed run of the bucket read. Otherwise such a bucket fails with the reason ArchiveShrank and keeps its rows. Immutable.',
    }),
    maxActiveRuns: z.int().min(1).max(200).default(4).meta({
      description: 'Buckets in work at a time. May be changed while the backfill runs.',
    }),
    suspend: z.boolean().default(false).meta({
      description: 'true: no new runs start, active ones finish. Set it back to go on.',
    }),
    cancel: rules(z.enum(['None', 'Drain', 'Now']), {
      cel: "oldSelf == 'None' || oldSelf == self || (oldSelf == 'Drain' && self == 'Now')",
      message:
        'cancel goes one way, None -> Drain -> Now; create another Backfill to go on (reprocess: None takes up what is missing)',
    })
      .default('None')
      .meta({
        description:
          'Ends the backfill before its time. Drain: active runs finish, no new ones start. Now: active runs are cancelled too; rows of a cancelled run are replaced by the next run of its bucket. One way: None, Drain, Now.',
      }),
    attempt: rules(z.int().min(1).max(1000), {
      cel: 'self >= oldSelf',
      message: 'attempt only goes upwards; raise it by one to try the failed buckets again',
    })
      .default(1)
      .meta({
        description: 'Raise it to try the failed buckets again, also after the backfill has ended. Only upwards.',
      }),
    dryRun: rules(z.boolean(), {
      cel: 'oldSelf || !self',
      message:
        'dryRun can be switched off (then the planned backfill starts) but not on; create another Backfill to plan only',
    })
      .default(false)
      .meta({ description: 'true: plan only, the plan is in the status. Set it to false to start exactly that.' }),
    ttlAfterFinished: duration('1s', '87600h').nullish().meta({
      description: 'Delete this resource so long after it ended, such as 168h. Its rows stay. Absent: it is kept.',
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
      'a cancelled backfill cannot be tried again; create another Backfill (reprocess: None takes up what is missing)',
    field: 'attempt',
  },
).meta({ description: 'What to do: the range, the filter, and how.' });

const status = z
  .object({
    observedGeneration: count('metadata.generation of the spec this status speaks of.'),
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
        description:
          'Where the backfill is, in one word. Complete, Failed, Cancelled and Planned (a dry run) are ends.',
      }),
    plan: z
      .object({
        buckets: count('Buckets in the range.'),
        toRun: count('Buckets that need a run.'),
        first: z.string().meta({ description: 'First bucket that needs a run.' }).optional(),
        last: z.string().meta({ description: 'Last bucket that needs a run.' }).optional(),
        skipped: z.record(z.string(), z.int().min(0)).meta({
          description:
            'Buckets that need no run, by reason; with toRun they add up to buckets: Completed (an earlier run did it), FailedBefore (its last run failed, and reprocess is None), Empty (the archive has no object of it), InFlight (another run has it), Incomplete (its time is not over).',
        }),
      })
      .meta({ description: 'What was found to be done: when the plan was made, and since.' }),
    progress: z
      .object({
        total: count('Buckets in the plan.'),
        succeeded: count('Buckets done.'),
        failed: count('Buckets whose run failed.'),
        skipped: count('Buckets that needed no run.'),
        skippedFor: z
          .string()
          .meta({ description: 'Why buckets were skipped, for people: 29 Completed, 7 FailedBefore.' })
          .optional(),
        active: count('Buckets in work.'),
        percent: count('Share of the buckets that are done, failed or skipped.'),
        done: z.string().meta({ description: 'Done, failed and skipped buckets of all, for people: 13/31.' }),
      })
      .meta({ description: 'Buckets by state.' }),
    bytes: count('Compressed bytes read from the archive in this attempt, also by runs that failed.'),
    measurements: count(
      'Measurements read in this attempt, also by runs that failed: what is in the tables or has its reason in pipeline_failures.',
    ),
    rate: z
      .object({
        bucketsPerHour: z.number().min(0).meta({ description: 'Buckets ended per hour.' }),
        measurementsPerSecond: z.number().min(0).meta({ description: 'Measurements read per second.' }),
        bytesPerSecond: z.number().min(0).meta({ description: 'Compressed bytes read per second.' }),
      })
      .meta({ description: 'Speed over the last minutes.' }),
    eta: instant('When it ends if it goes on at this rate.'),
    blockedBy: z
      .object({
        bucket: z
          .string()
          .meta({ description: 'The bucket that has been in work for longest; absent when it is the plan that waits.' })
          .optional(),
        reason: z.string().meta({ description: 'Class of the error; NoWorker when nobody has taken it up.' }),
        message: z.string().meta({ description: 'The error.' }),
        link: z.string().meta({ description: 'The run in the Temporal UI.' }).optional(),
      })
      .meta({
        description:
          'What keeps the plan or the active buckets from being done; they are tried again. Absent while nothing does.',
      }),
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
      .meta({ description: 'The last buckets that failed, ten at most.', 'x-kubernetes-list-type': 'atomic' }),
    attempt: count('The attempt that the workflow works on.'),
    workflowID: z.string().meta({ description: 'Id of the coordinating workflow in Temporal.' }),
    links: links(),
    startedAt: instant('When the workflow started.'),
    finishedAt: instant('When it ended.'),
  })
  .partial()
  .meta({ description: 'What is the case, written by the operator.' });

/** Backfill (bf): takes a range of buckets through the stages, a window of runs at a time. */
export const BACKFILL = {
  kind: 'Backfill',
  plural: 'backfills',
  singular: 'backfill',
  shortName: 'bf',
  description:
    'A Backfill takes a range of upload days or hours of the archive through the stages, some at a time, and keeps count. It runs in Temporal and goes on while the operator is away.',
  spec,
  status,
  columns: [
    { name: 'Phase', type: 'string', path: '.status.phase', description: 'Where the backfill is.' },
    { name: 'Progress', type: 'string', path: '.status.progress.done', description: 'Buckets done, of all.' },
    { name: 'Failed', type: 'integer', path: '.status.progress.failed', description: 'Buckets that failed.' },
    {
      name: 'Skipped',
      type: 'string',
      path: '.status.progress.skippedFor',
      description: 'Buckets that needed no run, and why.',
    },
    { name: 'ETA', type: 'string', path: '.status.eta', description: 'When it ends at this rate.' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp', description: 'Since when it exists.' },
    { name: 'Start', type: 'string', path: '.spec.startAt', description: 'First bucket.', wide: true },
    { name: 'End', type: 'string', path: '.spec.endAt', description: 'End of the range, exclusive.', wide: true },
    { name: 'Active', type: 'integer', path: '.status.progress.active', description: 'Buckets in work.', wide: true },
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
/** As the API server returns it; `parseSpec(BACKFILL, object)` gives a checked spec. */
export type Backfill = Resource<BackfillSpecInput, BackfillStatus>;
