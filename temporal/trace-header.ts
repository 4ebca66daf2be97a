import { defaultPayloadConverter, type Headers } from '@temporalio/common';
import type { TraceParent } from '../pipeline/telemetry/trace-parent.ts';
import type { ResourceName } from '../pipeline/telemetry/work-context.ts';

/** Key of the header, as JSON `{"traceparent": ...}`. Temporal's SDKs of other languages use the same key. */
const TRACE_HEADER = '_tracer-data';

/** Data of the header: the position in a trace, and the resource that the work is for. */
export interface TraceHeader {
  readonly traceparent?: TraceParent;
  readonly resource?: ResourceName;
}

/** Returns the header that carries a position. It is empty without one. */
export function traceHeaders(traceparent: TraceParent | undefined, resource?: ResourceName): Headers {
  if (!traceparent) return {};
  const header: TraceHeader = { traceparent, ...(resource && { resource }) };
  return { [TRACE_HEADER]: defaultPayloadConverter.toPayload(header)! };
}

/** Returns the data that a header carries. */
export function traceHeaderOf(headers: Headers): TraceHeader {
  const payload = headers[TRACE_HEADER];
  const carrier = payload && defaultPayloadConverter.fromPayload<Record<string, unknown> | null>(payload);
  const { traceparent, resource } = carrier ?? {};
  return {
    ...(typeof traceparent === 'string' && { traceparent }),
    ...(isResourceName(resource) && { resource }),
  };
}

function isResourceName(value: unknown): value is ResourceName {
  const { kind, namespace, name } = (value ?? {}) as Record<string, unknown>;
  return typeof kind === 'string' && typeof name === 'string' && ['string', 'undefined'].includes(typeof namespace);
}
