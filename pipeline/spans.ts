import { type Attributes, context, type Span, SpanStatusCode, trace } from '@opentelemetry/api';
import { formatTraceParent, parseTraceParent, type TraceParent } from './trace-parent.ts';

export type { Attributes, Span };

/**
 * Spans of the pipeline. Without `startTracing` (tracing.ts) the OpenTelemetry API makes spans that record nothing. Attributes hold buckets,
 * counts and sizes; they never hold the content of a measurement or a secret.
 */
const tracer = () => trace.getTracer('ooni-pipeline');

/** Runs `work` in a span. An error ends the span as failed and passes unchanged. */
export async function withSpan<T>(name: string, attributes: Attributes, work: (span: Span) => Promise<T>): Promise<T> {
  return tracer().startActiveSpan(name, { attributes }, async span => {
    try {
      return await work(span);
    } catch (error) {
      // The message may quote text of a measurement.
      failSpan(span, (error as Error).name);
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Marks a span as failed. */
export function failSpan(span: Span, reason: string): void {
  span.setStatus({ code: SpanStatusCode.ERROR, message: reason });
}

/** Records a span that has ended. Times are milliseconds since 1970. */
export function recordSpan(name: string, start: number, end: number, attributes: Attributes): void {
  tracer().startSpan(name, { startTime: start, attributes }).end(end);
}

/**
 * Records a wait that may not have ended: a collector gets a span when it ends, so the span of what waits comes too late. Times are milliseconds
 * since 1970.
 *
 * @param reason an error type such as `ClickHouseUnavailable`; no message, which may quote text of a measurement
 */
export function recordWait(reason: string, start: number, end: number, attributes: Attributes): void {
  const span = tracer().startSpan(`wait ${reason}`, {
    startTime: start,
    attributes: { ...attributes, 'ooni.reason': reason },
  });
  failSpan(span, reason);
  // Jaeger marks a span without duration as one with a negative duration.
  span.end(Math.max(end, start + 1));
}

/** Returns the numbers of an object, such as Counts, as attributes. Numbers inside of other objects are left out. */
export function countAttributes(counts: object): Attributes {
  const numbers = Object.entries(counts).filter(([, value]) => typeof value === 'number');
  return Object.fromEntries(numbers.map(([name, value]) => [`ooni.${name}`, value]));
}

/** Returns the position of the current span, or undefined while tracing is off. */
export function currentTraceParent(): TraceParent | undefined {
  const span = trace.getActiveSpan()?.spanContext();
  return span && trace.isSpanContextValid(span)
    ? formatTraceParent({ traceID: span.traceId, spanID: span.spanId })
    : undefined;
}

/** Calls `work` so that its spans are children of the position. A position that cannot be parsed begins a new trace. */
export function underTraceParent<T>(parent: TraceParent | undefined, work: () => T): T {
  const position = parseTraceParent(parent);
  if (!position) return work();
  const remote = { traceId: position.traceID, spanId: position.spanID, traceFlags: 1, isRemote: true };
  return context.with(trace.setSpanContext(context.active(), remote), work);
}

/** A span as plain data, for passing it between threads, and out of the isolate of a workflow. Times are milliseconds since 1970. */
export interface PlainSpan {
  readonly name: string;
  readonly traceID: string;
  readonly spanID: string;
  readonly parentID?: string;
  readonly start: number;
  readonly end: number;
  readonly error?: string;
  readonly attributes: Attributes;
}
