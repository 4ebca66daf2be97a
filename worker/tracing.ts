import type { ActivityInterceptorsFactory, InjectedSinks } from '@temporalio/worker';
import type { RunMetrics } from '../pipeline/runs/metrics.ts';
import type { Logger } from '../pipeline/telemetry/log.ts';
import type { Tracing } from '../pipeline/telemetry/otel.ts';
import {
  type Attributes,
  attributesOfResource,
  attributesOfState,
  countAttributes,
  underTraceParent,
  withSpan,
} from '../pipeline/telemetry/spans.ts';
import { inWork } from '../pipeline/telemetry/work-context.ts';
import { traceHeaderOf } from '../temporal/trace-header.ts';
import { type BackfillInput, type RunInput, type Stage, WORKFLOWS } from './contract.ts';
import type { EndSinks } from './workflows/trace.ts';

/**
 * Returns the sink of workflows: it exports their spans while tracing is on, and logs the end of each bucket with its counts and duration, in
 * one line. For a run that belongs to no backfill it records the delay of the bucket.
 */
export function workflowSinks(tracing: Tracing | undefined, metrics: RunMetrics, log: Logger): InjectedSinks<EndSinks> {
  return {
    workflows: {
      ended: {
        fn: ({ workflowId, workflowType, attempt, searchAttributes }, run) => {
          const { start, end, error, counts, resource, ...ids } = run;
          const bucket = searchAttributes.OoniBucket?.[0];
          const filter = searchAttributes.OoniFilter?.[0];
          tracing?.export({
            name: `workflow ${workflowType}`,
            ...ids,
            start,
            end,
            ...(error !== undefined && { error }),
            attributes: {
              'temporal.workflow_id': workflowId,
              'temporal.attempt': attempt,
              ...(resource && attributesOfResource(resource)),
              ...(bucket !== undefined && { 'ooni.bucket': String(bucket), 'ooni.filter': String(filter) }),
              ...(error !== undefined && attributesOfState('failed', error)),
              ...(counts && countAttributes(counts)),
            },
          });
          if (workflowType !== WORKFLOWS.bucket) return;
          const line = {
            resource,
            bucket,
            filter,
            run: workflowId,
            trace_id: ids.traceID,
            seconds: (end - start) / 1000,
            ...counts,
          };
          if (error === undefined) {
            log.info(line, `bucket ${bucket} completed`);
            if (!searchAttributes.OoniBackfill?.[0]) metrics.completed(String(bucket), end);
          } else log.warn({ ...line, reason: error }, `bucket ${bucket} did not complete: ${error}`);
        },
      },
    },
  };
}

/**
 * Runs each activity in a span below the span of its workflow, and names its resource and its bucket in spans, logs and ClickHouse's query
 * log. A Backfill that plans has no bucket yet, so its spans have its range.
 */
export const activityTracing: ActivityInterceptorsFactory = context => ({
  inbound: {
    execute: (input, next) => {
      const { activityType, attempt, workflowExecution } = context.info;
      const workflowID = workflowExecution?.workflowId ?? '';
      const { resource, traceparent } = traceHeaderOf(input.headers);
      const { run, startAt, endAt } = (input.args[0] ?? {}) as { readonly run?: RunInput } & Partial<BackfillInput>;
      const stage = activityType === 'analyse' || input.args[1] === 'Analysis' ? 'Analysis' : 'Observations';
      const work = {
        ...(resource && { resource }),
        ...(startAt !== undefined && endAt !== undefined && { range: { startAt, endAt } }),
        ...(run && { bucket: run.bucket, filter: run.filterID, stage: stage satisfies Stage }),
        run: workflowID,
      };
      const attributes = {
        'temporal.workflow_id': workflowID,
        'temporal.attempt': attempt,
      };
      return inWork(work, () =>
        underTraceParent(traceparent, () =>
          withSpan(`activity ${activityType}`, attributes, async span => {
            const result = await next(input);
            span.setAttributes(numbersOf(result));
            return result;
          }),
        ),
      );
    },
  },
});

/** Returns the counts and the generation in the result of an activity, as attributes. */
function numbersOf(result: unknown): Attributes {
  const { counts, handle, ...rest } = (result ?? {}) as { counts?: object; handle?: object };
  return countAttributes({ ...rest, ...handle, ...counts });
}
