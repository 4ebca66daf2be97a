import { z } from 'zod';
import { conditions } from './conditions.ts';
import { cronProblem } from './cron.ts';
import { blockedBy, count, duration, granularity, instant, links, probeCC, stages, testNames } from './fields.ts';
import type { CommonStatus, Kind, Resource } from './resource.ts';
import { timeZoneProblem } from './time-zones.ts';

const spec = z
  .object({
    schedule: z.string().min(1).max(200).meta({
      description:
        'Cron line of five fields, as in crontab(5): minute, hour, day of month, month, day of week. "0 2 * * *" fires every day at two. A line that restricts both day fields fires when either matches: "0 2 13 * 5" fires on each 13th and on each Friday.',
    }),
    timeZone: z.string().min(1).max(64).default('Etc/UTC').meta({
      description:
        'Time zone of the cron line: a name of the IANA database in its exact spelling, for example Europe/Rome. Buckets are always in UTC.',
    }),
    granularity: granularity().default('Day').meta({
      description:
        'Size of a bucket. A firing processes the last bucket that is complete at its nominal time: the previous day, or the previous hour.',
    }),
    stages: stages().default(['Observations', 'Analysis']),
    probeCC: probeCC().default([]),
    testNames: testNames().default([]),
    suspend: z.boolean().default(false).meta({
      description:
        'Stops firing while true; runs that have started continue. Firings that fall into this time are lost; process their buckets with a Backfill.',
    }),
    catchUpWindow: duration('10s', '8760h').default('24h').meta({
      description:
        'Maximum age of a firing that an outage of Temporal delayed. An older one is lost; process its bucket with a Backfill.',
    }),
    overlap: z.enum(['Allow', 'Skip', 'Buffer']).default('Allow').meta({
      description:
        'Behaviour when the previous run has not ended. Allow: both run, because they process different buckets. Skip: the new firing is dropped. Buffer: the new firing waits.',
    }),
  })
  .superRefine((it, context) => {
    const zone = timeZoneProblem(it.timeZone);
    if (zone) context.addIssue({ code: 'custom', path: ['timeZone'], message: zone });
    const cron = cronProblem(it.schedule);
    if (cron) context.addIssue({ code: 'custom', path: ['schedule'], message: cron });
  })
  .meta({ description: 'Desired schedule: when to process which buckets, and how.' });

const status = z
  .object({
    observedGeneration: count('Value of metadata.generation that this status describes.'),
    conditions: conditions(),
    scheduleID: z.string().meta({ description: 'ID of the schedule in Temporal.' }),
    scheduleHash: z.string().meta({
      description:
        'Hash of the schedule that the spec describes, a colon, and the hash of what Temporal described after the last update. It shows whether somebody changed the schedule in Temporal.',
    }),
    nextBuckets: z
      .array(
        z.object({
          bucket: z.string().meta({ description: 'The bucket.' }),
          at: instant('Time at which the bucket will be processed.'),
        }),
      )
      .max(3)
      .meta({ description: 'Next firings, as Temporal plans them.', 'x-kubernetes-list-type': 'atomic' }),
    active: count('Number of active runs of this schedule.'),
    blockedBy: blockedBy(
      'Cause that blocks the oldest active run, which is retried or waits. Absent while nothing blocks it.',
      'Bucket of the run.',
    ),
    lastRun: z
      .object({
        bucket: z.string().meta({ description: 'The bucket.' }),
        state: z
          .enum(['Running', 'Succeeded', 'Failed', 'Cancelled', 'Skipped'])
          .meta({ description: 'State of the run. Skipped: another run was processing the bucket.' }),
        at: instant('Nominal time of the firing.'),
        workflowID: z.string().meta({
          description: 'ID of the workflow in Temporal that the firing started, which runs the bucket as its child.',
        }),
      })
      .meta({ description: 'Last firing.' }),
    lastSuccessfulBucket: z.string().meta({ description: 'Latest bucket that this schedule has completed.' }),
    lag: count(
      'Number of due buckets after lastSuccessfulBucket, including those that are active and those that another run has completed.',
    ),
    coverage: z
      .object({
        from: z.string().meta({ description: 'First bucket of this schedule.' }),
        selection: z.string().meta({
          description:
            'Hash of granularity, filter and stages. When it changes, the coverage begins with the next firing.',
        }),
      })
      .meta({ description: 'Buckets that this schedule is responsible for.' }),
    missing: z
      .object({
        count: count('Number of missing buckets.'),
        first: z.string().meta({ description: 'First missing bucket.' }).optional(),
        last: z.string().meta({ description: 'Last missing bucket.' }).optional(),
      })
      .meta({
        description:
          'Due buckets from coverage.from on that are not completed according to the ledger. Active buckets do not count. Absent while unknown.',
      }),
    buckets: z
      .object({
        expected: count('Number of due buckets from coverage.from on.'),
        listed: count('Number of these for which the listing of the archive has begun.').optional(),
        read: count('Number of these whose observations are complete.').optional(),
        judged: count('Number of these whose verdicts are complete.').optional(),
      })
      .meta({
        description:
          'Progress of the due buckets according to the ledger. Active buckets count in the steps that they have completed. A step that spec.stages does not contain is absent.',
      }),
    requestedRun: z
      .object({
        request: z.string().meta({ description: 'Value of the annotation.' }),
        bucket: z.string().meta({ description: 'The bucket.' }),
        state: z.enum(['Running', 'Succeeded', 'Failed', 'Cancelled', 'Skipped', 'Unknown']).meta({
          description:
            'State of the run. Skipped: another run has processed the bucket. Unknown: Temporal removed the workflow before the operator saw its end.',
        }),
        startedAt: instant('Start of the run.'),
        finishedAt: instant('End of the run.').optional(),
        message: z.string().meta({ description: 'Error of a run that did not succeed.' }).optional(),
        workflowID: z.string().meta({ description: 'ID of the workflow in Temporal.' }),
      })
      .meta({ description: 'Last run that the annotation pipeline.ooni.org/run-bucket requested.' }),
    links: links(),
  })
  .partial()
  .meta({ description: 'Observed state, written by the operator.' });

/** PipelineSchedule (psched): processes each new bucket once it is complete, by a schedule in Temporal. */
export const PIPELINE_SCHEDULE = {
  kind: 'PipelineSchedule',
  plural: 'pipelineschedules',
  singular: 'pipelineschedule',
  shortName: 'psched',
  description:
    'A PipelineSchedule processes each new upload day or hour of the archive, at the times of a cron line. Deleting it deletes the schedule in Temporal; runs that have started continue.',
  spec,
  status,
  columns: [
    { name: 'Schedule', type: 'string', path: '.spec.schedule', description: 'Cron line.' },
    {
      name: 'Status',
      type: 'string',
      path: '.status.conditions[?(@.type=="Ready")].reason',
      description: 'Reason of the condition Ready.',
    },
    { name: 'Last', type: 'string', path: '.status.lastRun.bucket', description: 'Bucket of the last run.' },
    { name: 'Result', type: 'string', path: '.status.lastRun.state', description: 'State of the last run.' },
    {
      name: 'Missing',
      type: 'integer',
      path: '.status.missing.count',
      description: 'Buckets that are due and not completed.',
    },
    { name: 'Next', type: 'string', path: '.status.nextBuckets[0].at', description: 'Time of the next firing.' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp', description: 'Age of the resource.' },
    {
      name: 'Time zone',
      type: 'string',
      path: '.spec.timeZone',
      description: 'Time zone of the cron line.',
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
      name: 'Lag',
      type: 'integer',
      path: '.status.lag',
      description: 'Due buckets after the latest one that this schedule has completed.',
      wide: true,
    },
    { name: 'Active', type: 'integer', path: '.status.active', description: 'Active runs.', wide: true },
  ],
  selectable: ['.spec.granularity', '.spec.suspend'],
} as const satisfies Kind;

export type PipelineScheduleSpec = z.output<typeof spec>;
export type PipelineScheduleSpecInput = z.input<typeof spec>;
export type PipelineScheduleStatus = Omit<z.output<typeof status>, 'conditions'> & CommonStatus;
export type PipelineSchedule = Resource<PipelineScheduleSpecInput, PipelineScheduleStatus>;
