import {
  ContinueAsNew,
  defaultPayloadConverter,
  type Headers,
  proxySinks,
  type Sinks,
  TemporalFailure,
  type WorkflowInterceptorsFactory,
  workflowInfo,
} from '@temporalio/workflow';
import type { RunCounts } from '../contract.ts';
import { reasonOf } from './failure.ts';

/**
 * Header with the position in a trace, as JSON `{"traceparent": ...}`. Temporal's SDKs of other languages use the same key. A workflow
 * without the header, such as one that a schedule starts, begins a trace. Workflows do not know whether their worker traces, so they always
 * pass the header: about 120 bytes for each activity.
 */
export const TRACE_HEADER = '_tracer-data';

/** A workflow run that has ended. Times are milliseconds since 1970. */
export interface WorkflowEnd {
  readonly traceID: string;
  readonly spanID: string;
  readonly parentID?: string;
  readonly start: number;
  readonly end: number;
  /** Reason of the failure, if the run failed. */
  readonly error?: string;
  readonly counts?: RunCounts;
}

export interface EndSinks extends Sinks {
  workflows: { ended(end: WorkflowEnd): void };
}

const { workflows } = proxySinks<EndSinks>();

/**
 * Interceptors that carry the position in a trace from a workflow to its activities, child workflows and next runs, and report its end. Ids
 * come from the run id, so a replay makes the same ones.
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
          const { runId, runStartTime, startTime } = workflowInfo();
          const [, traceID = runId.replaceAll('-', ''), parentID] = positionIn(input.headers);
          // The first half of a run id is mostly a time.
          const spanID = runId.replaceAll('-', '').slice(16);
          own.header = headerOf(traceID, spanID);
          // The next run of the same workflow has the same parent. It is a child of this run only if this run began the trace.
          own.original = headerOf(traceID, parentID ?? spanID);
          const ended = (outcome: Pick<WorkflowEnd, 'error' | 'counts'>) => {
            const start = (runStartTime ?? startTime).getTime();
            workflows.ended({ traceID, spanID, ...(parentID && { parentID }), start, end: Date.now(), ...outcome });
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

function headerOf(traceID: string, spanID: string): Headers {
  return { [TRACE_HEADER]: defaultPayloadConverter.toPayload({ traceparent: `00-${traceID}-${spanID}-01` })! };
}

/** Returns the match of a position: all of it, the trace id, the span id. It is empty for a header that has none. */
function positionIn(headers: Headers): readonly (string | undefined)[] {
  const payload = headers[TRACE_HEADER];
  const carrier = payload && defaultPayloadConverter.fromPayload<{ traceparent?: unknown } | null>(payload);
  return /^00-([0-9a-f]{32})-([0-9a-f]{16})-01$/.exec(String(carrier?.traceparent)) ?? [];
}
