import { Command } from 'commander';
import { PIPELINE_SCHEDULE } from '../../crds/pipeline-schedule.ts';
import { parseSpec } from '../../crds/resource.ts';
import { PIPELINE_SCHEDULES } from '../../operator/controllers/resources.ts';
import { boundsOf, granularityOf, lastCompleteBucket, nextBucket } from '../../pipeline/bucket.ts';
import { normaliseFilter } from '../../pipeline/filter.ts';
import { EXIT_STATUS } from '../help.ts';
import { resourceName } from '../names.ts';
import { uploadBucket } from '../options.ts';
import { startBackfillAt } from '../orchestration/backfill.ts';
import { type ClusterOptions, resourceNamed, withCluster, withClusterOptions } from './cluster.ts';

/** Creates `kubectl ooni schedule` with its commands. */
export function scheduleCommand(): Command {
  const schedule = new Command('schedule').description('Run, suspend and resume schedules');
  schedule.addCommand(runCommand());
  for (const suspend of [true, false]) schedule.addCommand(suspendCommand(suspend));
  return schedule;
}

function runCommand(): Command {
  return withClusterOptions(new Command('run'))
    .description('Process a bucket of a schedule now')
    .argument('<name>', 'name of the PipelineSchedule', resourceName)
    .option('--bucket <bucket>', 'the bucket; the last complete one unless given', uploadBucket)
    .option('--dry-run', 'show what would be created; create nothing')
    .addHelpText(
      'after',
      `\nCreates a Backfill of one bucket with the filter and the stages of the schedule, which replaces rows of earlier runs.\n\n${EXIT_STATUS}`,
    )
    .action((name: string, options: ClusterOptions & { bucket?: string; dryRun?: boolean }) =>
      withCluster('schedule run', options, async ({ client, namespace, server }) => {
        const object = await resourceNamed({ client, namespace }, PIPELINE_SCHEDULES, name);
        const spec = parseSpec(PIPELINE_SCHEDULE, object);
        const { granularity, stages } = spec;
        const now = Date.now();
        const last = lastCompleteBucket(now, granularity);
        const bucket = options.bucket ?? last;
        if (granularityOf(bucket) !== granularity) {
          console.error(
            `kubectl ooni schedule run: ${bucket} is not a bucket of pipelineschedule/${name}, because its granularity is ${granularity}; write one such as ${last}`,
          );
          return 1;
        }
        if (options.dryRun) {
          console.log(`would create a Backfill of ${bucket} for pipelineschedule/${name}`);
          return 0;
        }
        const target = { at: 'Kubernetes', client, namespace, description: server, close: async () => {} } as const;
        const request = {
          startAt: bucket,
          endAt: nextBucket(bucket),
          granularity,
          filter: normaliseFilter(spec),
          stages,
          order: 'OldestFirst' as const,
          reprocess: 'All' as const,
          maxActiveRuns: 1,
          allowShrink: false,
        };
        const created = await startBackfillAt(target, '', request, now);
        const { end } = boundsOf(bucket);
        const waits = end > now ? `; it starts when the bucket is complete, at ${new Date(end).toISOString()}` : '';
        console.log(`${created} is created for ${bucket}${waits}`);
        return 0;
      }),
    );
}

function suspendCommand(suspend: boolean): Command {
  return withClusterOptions(new Command(suspend ? 'suspend' : 'resume'))
    .description(suspend ? 'Stop firing; active runs finish' : 'Resume a suspended schedule')
    .argument('<name>', 'name of the PipelineSchedule', resourceName)
    .option('--dry-run', 'let the API server check it; change nothing')
    .addHelpText('after', `\n${EXIT_STATUS}`)
    .action((name: string, options: ClusterOptions & { dryRun?: boolean }) =>
      withCluster(`schedule ${suspend ? 'suspend' : 'resume'}`, options, async ({ client, namespace }) => {
        const { spec } = await resourceNamed({ client, namespace }, PIPELINE_SCHEDULES, name);
        if ((spec.suspend ?? false) === suspend) {
          console.log(
            `pipelineschedule/${name} is ${suspend ? 'suspended already' : 'not suspended'}; nothing was changed`,
          );
          return 0;
        }
        await client.patch(
          PIPELINE_SCHEDULES,
          { namespace, name },
          { spec: { suspend } },
          { dryRun: options.dryRun ?? false },
        );
        const done = suspend ? 'is suspended' : 'fires again';
        console.log(
          options.dryRun
            ? `pipelineschedule/${name}: would set suspend to ${suspend}`
            : `pipelineschedule/${name} ${done}`,
        );
        return 0;
      }),
    );
}
