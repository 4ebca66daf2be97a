import { defaultPayloadConverter, type Headers } from '@temporalio/common';
import { currentTraceParent, type TraceParent } from '../pipeline/spans.ts';

/**
 * Key of the header that carries the position in a trace, as JSON `{"traceparent": ...}`. Temporal's SDKs use the same key. The workflows have
 * a copy of it (worker/workflows/trace.ts).
 */
export const TRACE_HEADER = '_tracer-data';

/** Returns the header for a workflow that the current span starts. It is empty while tracing is off. */
export function traceHeaders(): Headers {
  const traceparent = currentTraceParent();
  return traceparent ? { [TRACE_HEADER]: defaultPayloadConverter.toPayload({ traceparent })! } : {};
}

/** Returns the position that a header carries. */
export function traceParentOf(headers: Headers): TraceParent | undefined {
  const payload = headers[TRACE_HEADER];
  return payload && defaultPayloadConverter.fromPayload<{ traceparent?: string }>(payload).traceparent;
}
