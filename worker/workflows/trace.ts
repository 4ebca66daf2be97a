import {
  ContinueAsNew,
  type Headers,
  proxySinks,
  type Sinks,
  TemporalFailure,
  type WorkflowInterceptorsFactory,
  workflowInfo,
} from '@temporalio/workflow';
import type { PlainSpan } from '../../pipeline/telemetry/spans.ts';
import { formatTraceParent, parseTraceParent } from '../../pipeline/telemetry/trace-parent.ts';
import type { ResourceName } from '../../pipeline/telemetry/work-context.ts';
import { traceHeaderOf, traceHeaders } from '../../temporal/trace-header.ts';
import { type RunCounts, resourceOf } from '../contract.ts';
import { reasonOf } from './failure.ts';

/** A workflow run that has ended. `error`: reason of the failure, if the run failed. */
export type WorkflowEnd = Omit<PlainSpan, 'name' | 'attributes'> & {
  readonly counts?: RunCounts;
  readonly resource?: ResourceName;
};

export interface EndSinks extends Sinks {
  workflows: { ended(end: WorkflowEnd): void };
}

const { workflows } = proxySinks<EndSinks>();

/**
 * Interceptors that carry the position in a trace, and the resource that the work is for, from a workflow to its activities, child workflows and
 * next runs, and report its end. Ids come from the run id, so a replay makes the same ones. A workflow without the header, such as one that a
 * schedule starts, begins a trace. Workflows do not know whether their worker traces, so they always pass the header: about 200 bytes for
 * each activity.
 */
export const interceptors: WorkflowInterceptorsFactory = () => {
  const own: { header?: Headers; original?: Headers } = {};
  const pass = <T extends { readonly headers: Headers }>(input: T): T => ({
    ...input,
    headers: { ...input.headers, ...own.header },
  });
  return {
    inbound: [
      {
        async execute(input, next) {
          const { runId, runStartTime, startTime, workflowId } = workflowInfo();
          const header = traceHeaderOf(input.headers);
          const resource = header.resource ?? resourceOf(workflowId);
          const { traceID, spanID: parentID } = parseTraceParent(header.traceparent) ?? {
            traceID: runId.replaceAll('-', ''),
            spanID: undefined,
          };
          // The first half of a run id is mostly a time.
          const spanID = runId.replaceAll('-', '').slice(16);
          own.header = traceHeaders(formatTraceParent({ traceID, spanID }), resource);
          // The next run of the same workflow has the same parent. It is a child of this run only if this run began the trace.
          own.original = traceHeaders(formatTraceParent({ traceID, spanID: parentID ?? spanID }), resource);
          const ended = (outcome: Pick<WorkflowEnd, 'error' | 'counts'>) => {
            const start = (runStartTime ?? startTime).getTime();
            const ids = { traceID, spanID, ...(parentID && { parentID }) };
            workflows.ended({ ...ids, start, end: Date.now(), ...(resource && { resource }), ...outcome });
          };
          try {
            const result: unknown = await next(input);
            const { counts } = (result ?? {}) as { counts?: RunCounts };
            ended({ ...(counts && { counts }) });
            return result;
          } catch (error) {
            if (error instanceof ContinueAsNew) ended({});
            // Temporal repeats a task that failed with another error; the run goes on.
            else if (error instanceof TemporalFailure) {
              const { reason, counts } = reasonOf(error);
              ended({ error: reason, ...(counts && { counts }) });
            }
            throw error;
          }
        },
      },
    ],
    outbound: [
      {
        scheduleActivity: (input, next) => next(pass(input)),
        startChildWorkflowExecution: (input, next) => next(pass(input)),
        continueAsNew: (input, next) => next({ ...input, headers: { ...input.headers, ...own.original } }),
      },
    ],
  };
};
