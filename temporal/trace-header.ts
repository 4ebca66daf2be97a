import { defaultPayloadConverter, type Headers } from '@temporalio/common';
import type { TraceParent } from '../pipeline/trace-parent.ts';

/** Key of the header that carries the position in a trace, as JSON `{"traceparent": ...}`. Temporal's SDKs of other languages use the same key. */
const TRACE_HEADER = '_tracer-data';

/** Returns the header that carries a position. It is empty without one. */
export function traceHeaders(traceparent: TraceParent | undefined): Headers {
  return traceparent ? { [TRACE_HEADER]: defaultPayloadConverter.toPayload({ traceparent })! } : {};
}

/** Returns the position that a header carries. */
export function traceParentOf(headers: Headers): TraceParent | undefined {
  const payload = headers[TRACE_HEADER];
  const carrier = payload && defaultPayloadConverter.fromPayload<{ traceparent?: unknown } | null>(payload);
  return typeof carrier?.traceparent === 'string' ? carrier.traceparent : undefined;
}
