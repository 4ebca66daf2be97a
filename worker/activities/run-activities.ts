import { Context } from '@temporalio/activity';
import { noCounts } from '../../pipeline/counts.ts';
import { openRun } from '../../pipeline/ledger/ledger.ts';
import { overlappingBuckets } from '../../pipeline/ledger/replaced-rows.ts';
import { abandonAnalysis, recordNothingToAnalyse, settlesDay } from '../../pipeline/runs/analysis.ts';
import { type BackfillRange, pageOfBackfill, planBackfill } from '../../pipeline/runs/backfill-plan.ts';
import { abandonBucket, finishBucket } from '../../pipeline/runs/observations.ts';
import { keepOrPlan } from '../../pipeline/runs/resume.ts';
import { activity } from './activity.ts';
import { bucketsInFlight } from './buckets-in-flight.ts';
import { analysisTask, bucketOf, openedRun, originOf } from './plan-key.ts';
import { reportingSlowArchive } from './slow-archive.ts';
import type { ActivityTools } from './tools.ts';
import type { RunActivities } from './types.ts';

/** Returns the activities that plan and record runs. */
export function runActivities(tools: ActivityTools): RunActivities {
  const { archive, clickhouse, metrics, settings, rulesVersion, log } = tools;
  const bucketTools = { archive, clickhouse, log, maxFailedShare: settings.max_failed_share };
  return {
    planRun: key =>
      activity(tools, key.run, async (signal, { wait }) => {
        const origin = originOf(key, tools);
        const { allowShrink, mayKeep = false } = key.run;
        const context = { ...bucketTools, allowShrink, rulesVersion, origin, signal };
        const found = await reportingSlowArchive(archive, wait, measured =>
          keepOrPlan({ ...context, archive: measured }, bucketOf(key.run), key.startedAt, mayKeep),
        );
        if ('kept' in found) return { handle: found.kept, batches: [], files: 0, bytes: 0, kept: true };
        const { run, ...plan } = found.plan;
        const handle = { generation: run.generation, openedAt: run.openedAt };
        const judges = key.run.stages.includes('Analysis') && settlesDay(key.run);
        if (plan.batches.length > 0 || judges) return { handle, ...plan };
        // Most buckets of a narrow filter are empty, and another activity for each would be most of the work.
        const end = await finishBucket(context, run, noCounts());
        metrics.runs.inc({ stage: 'Observations', state: 'completed' });
        if (key.run.stages.includes('Analysis')) {
          const task = { ...analysisTask(key), observations: run.generation };
          await recordNothingToAnalyse(context, task);
          metrics.runs.inc({ stage: 'Analysis', state: 'completed' });
        }
        return { handle, ...plan, end };
      }),

    finishRun: (key, handle, counts) =>
      activity(tools, key.run, async signal => {
        const context = { ...bucketTools, origin: originOf(key, tools), signal };
        const end = await finishBucket(context, openedRun(key, handle), counts);
        metrics.runs.inc({ stage: 'Observations', state: end.tooManyFailures ? 'failed' : 'completed' });
        return end;
      }),

    abandonRun: (key, stage, failure, handle, counts) =>
      activity(tools, key.run, async signal => {
        metrics.runs.inc({ stage, state: failure.state });
        const context = { clickhouse, log, origin: originOf(key, tools), signal };
        if (stage === 'Analysis') return abandonAnalysis(context, analysisTask(key), failure);
        const bucket = bucketOf(key.run);
        const opened = handle
          ? openedRun(key, handle)
          : await openRun(context, { ...bucket, stage }, overlappingBuckets(bucket.bucket), key.startedAt);
        return abandonBucket(context, opened, { ...failure, counts });
      }),

    planBackfill: (input, now) =>
      activity(tools, input, (signal, { wait }) =>
        reportingSlowArchive(archive, wait, measured =>
          planBackfill({ archive: measured, clickhouse }, input satisfies BackfillRange, now, {
            signal,
            ...(input.dryRun && { dryRun: { inFlight: () => bucketsInFlight(Context.current().client, input) } }),
          }),
        ),
      ),

    pageBackfill: (input, plan, cursor, retry) =>
      activity(tools, input, signal =>
        pageOfBackfill({ clickhouse, signal }, input, plan, { cursor: cursor ?? undefined, retry: retry ?? undefined }),
      ),
  };
}
