import { z } from 'zod';
import { conditions } from './conditions.ts';
import { cronProblem } from './cron.ts';
import { count, duration, granularity, instant, links, probeCC, stages, testNames } from './fields.ts';
import type { CommonStatus, Kind, Resource } from './resource.ts';
import { timeZoneProblem } from './time-zones.ts';

const spec = z
  .object({
    schedule: z.string().min(1).max(200).meta({
      description:
        'When a run starts, as a cron line of five fields as in crontab(5): minute, hour, day of month, month, day of week. "0 2 * * *" is every day at two. With a day of month and a day of week it fires when either matches: "0 2 13 * 5" is each 13th and each Friday.',
    }),
    timeZone: z.string().min(1).max(64).default('Etc/UTC').meta({
      description:
        'Time zone of the cron line, a name of the IANA database in its spelling, such as Europe/Rome. Buckets are always UTC.',
    }),
    granularity: granularity().default('Day').meta({
      description: 'A firing handles the last bucket complete at its nominal time: the day before, or the hour before.',
    }),
    stages: stages().default(['Observations', 'Analysis']),
    probeCC: probeCC().default([]),
    testNames: testNames().default([]),
    suspend: z.boolean().default(false).meta({
      description:
        'true: nothing fires; runs that have begun go on. Firings missed meanwhile are not made up: that is what a Backfill is for.',
    }),
    catchUpWindow: duration('10s', '8760h').default('24h').meta({
      description: 'After an outage of Temporal, firings missed for longer than this are not made up.',
    }),
    overlap: z.enum(['Allow', 'Skip', 'Buffer']).default('Allow').meta({
      description:
        'What happens when the run before has not ended. Allow: both go on (they handle different buckets). Skip: the new firing is dropped. Buffer: it waits.',
    }),
  })
  .superRefine((it, context) => {
    const zone = timeZoneProblem(it.timeZone);
    if (zone) context.addIssue({ code: 'custom', path: ['timeZone'], message: zone });
    const cron = cronProblem(it.schedule);
    if (cron) context.addIssue({ code: 'custom', path: ['schedule'], message: cron });
  })
  .meta({ description: 'When which buckets are handled, and how.' });

const status = z
  .object({
    observedGeneration: count('metadata.generation of the spec this status speaks of.'),
    conditions: conditions(),
    scheduleID: z.string().meta({ description: 'Id of the schedule in Temporal.' }),
    scheduleHash: z.string().meta({
      description:
        'Hash of the schedule as Temporal described it when it was in force; shows that somebody changed it there.',
    }),
    nextBuckets: z
      .array(
        z.object({
          bucket: z.string().meta({ description: 'The bucket.' }),
          at: instant('When it will be handled.'),
        }),
      )
      .max(3)
      .meta({ description: 'The next firings, as Temporal plans them.', 'x-kubernetes-list-type': 'atomic' }),
    active: count('Runs of this schedule that are going on.'),
    lastRun: z
      .object({
        bucket: z.string().meta({ description: 'The bucket.' }),
        state: z
          .enum(['Running', 'Succeeded', 'Failed', 'Cancelled', 'Skipped'])
          .meta({ description: 'How it went. Skipped: another run had the bucket in work.' }),
        at: instant('Nominal time of the firing.'),
        workflowID: z.string().meta({ description: 'Id of the launching workflow in Temporal.' }),
      })
      .meta({ description: 'The last firing.' }),
    lastSuccessfulBucket: z.string().meta({ description: 'The latest bucket that this schedule has completed.' }),
    lag: count('Buckets that have become due since lastSuccessfulBucket and are not done.'),
    links: links(),
  })
  .partial()
  .meta({ description: 'What is the case, written by the operator.' });

/** PipelineSchedule (psched): handles each new bucket once it is complete, by a schedule in Temporal. */
export const PIPELINE_SCHEDULE = {
  kind: 'PipelineSchedule',
  plural: 'pipelineschedules',
  singular: 'pipelineschedule',
  shortName: 'psched',
  description:
    'A PipelineSchedule takes each new upload day or hour through the stages, at the times of a cron line. Deleting it deletes the schedule in Temporal; runs that have begun go on.',
  spec,
  status,
  columns: [
    { name: 'Schedule', type: 'string', path: '.spec.schedule', description: 'Cron line.' },
    {
      name: 'Status',
      type: 'string',
      path: '.status.conditions[?(@.type=="Ready")].reason',
      description: 'Whether it is as it should be: the reason of Ready.',
    },
    { name: 'Last', type: 'string', path: '.status.lastRun.bucket', description: 'Bucket of the last run.' },
    { name: 'Result', type: 'string', path: '.status.lastRun.state', description: 'How the last run went.' },
    { name: 'Next', type: 'string', path: '.status.nextBuckets[0].at', description: 'When the next run starts.' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp', description: 'Since when it exists.' },
    { name: 'Time zone', type: 'string', path: '.spec.timeZone', description: 'Zone of the cron line.', wide: true },
    {
      name: 'Warning',
      type: 'string',
      path: '.status.conditions[?(@.type=="Warning")].reason',
      description: 'Reason of Warning.',
      wide: true,
    },
    { name: 'Lag', type: 'integer', path: '.status.lag', description: 'Buckets due and not done.', wide: true },
    { name: 'Active', type: 'integer', path: '.status.active', description: 'Runs going on.', wide: true },
  ],
  selectable: ['.spec.granularity', '.spec.suspend'],
} as const satisfies Kind;

export type PipelineScheduleSpec = z.output<typeof spec>;
export type PipelineScheduleSpecInput = z.input<typeof spec>;
export type PipelineScheduleStatus = Omit<z.output<typeof status>, 'conditions'> & CommonStatus;
export type PipelineSchedule = Resource<PipelineScheduleSpecInput, PipelineScheduleStatus>;
