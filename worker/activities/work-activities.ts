import type { Counts } from '../../pipeline/counts.ts';
import { sourceOf } from '../../pipeline/reference/datasets.ts';
import { ensureReference, tryReference } from '../../pipeline/reference/load.ts';
import { type AnalysisEnd, analyseBucket } from '../../pipeline/runs/analysis.ts';
import type { BatchStage, Checkpoint } from '../../pipeline/runs/batch.ts';
import type { RunCounts } from '../contract.ts';
import { activity } from './activity.ts';
import { BatchProgress } from './batch-progress.ts';
import { analysisTask, openedRun, originOf } from './plan-key.ts';
import { SlowArchive } from './slow-archive.ts';
import type { ActivityTools } from './tools.ts';
import type { WorkActivities } from './types.ts';
import type { Wait } from './waits.ts';

/** Returns the activities that read the archive and judge measurements. */
export function workActivities(tools: ActivityTools): WorkActivities {
  const { archive, clickhouse, pool, metrics, settings, rulesVersion, log } = tools;
  /** The first batch of a worker loads the fingerprints of a new installation. Later, a schedule does. */
  let firstLoad: Promise<void> | undefined;
  const httpFingerprints = (): Promise<void> => {
    const source = sourceOf(settings, 'fingerprints_http');
    firstLoad ??= tryReference(clickhouse, 'fingerprints_http', source, { now: Date.now(), log }).catch(error => {
      firstLoad = undefined;
      throw error;
    });
    return firstLoad;
  };

  return {
    observeBatch: (key, handle, batch) =>
      activity<RunCounts, Checkpoint>(
        tools,
        key.run,
        async (signal, heartbeat) => {
          const resume = heartbeat.details;
          const watch = metrics.watchBatch(resume?.counts);
          const progress = new BatchProgress(batch.files, log);
          const slow = new SlowArchive(heartbeat.wait, archive.url);
          try {
            await httpFingerprints();
            const task = { run: openedRun(key, handle), batch, ...(resume && { resume }) };
            const listener = {
              onCheckpoint: (checkpoint: Checkpoint) => {
                heartbeat.send(checkpoint);
                watch.reached(checkpoint.counts);
              },
              ...metrics.batchListener,
              onProgress: (counts: Counts) => progress.reached(counts),
              onStage: (stage: BatchStage, seconds: number) => {
                metrics.batchListener.onStage(stage, seconds);
                progress.took(stage, seconds);
                slow.took(stage, seconds);
              },
              onRetry: (cause: Wait, wait: number) => {
                metrics.batchListener.onRetry();
                heartbeat.wait.note(cause, wait);
              },
            };
            return await pool.run(task, listener, signal);
          } finally {
            progress.end();
            watch.end();
          }
        },
        ({ counts }) => counts,
      ),

    analyse: (key, generation) =>
      activity<readonly string[], AnalysisEnd>(tools, key.run, async (signal, heartbeat) => {
        const task = { ...analysisTask(key), ...(generation !== null && { observations: generation }) };
        const watch = {
          signal,
          resume: heartbeat.details,
          onDay: (done: AnalysisEnd) => heartbeat.send(done),
          onVerdicts: metrics.countVerdicts,
        };
        const source = sourceOf(settings, 'fingerprints_dns');
        await ensureReference(clickhouse, 'fingerprints_dns', source, { now: Date.now(), log, signal });
        const analysisTools = { clickhouse, log, rulesVersion, withoutFingerprints: source === undefined };
        const { days } = await metrics.timeAnalysis(() =>
          analyseBucket(analysisTools, task, originOf(key, tools), watch),
        );
        metrics.runs.inc({ stage: 'Analysis', state: 'completed' });
        return days;
      }),
  };
}
