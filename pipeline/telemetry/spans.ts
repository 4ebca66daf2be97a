import { type Attributes, context, type Span, SpanStatusCode, trace } from '@opentelemetry/api';
import { formatTraceParent, parseTraceParent, type TraceParent } from './trace-parent.ts';
import { currentWork, type ResourceName } from './work-context.ts';

export type { Attributes, Span };

/**
 * Spans of the pipeline. Without `startTracing` (tracing.ts) the OpenTelemetry API makes spans that record nothing. Attributes hold buckets,
 * counts and sizes; they never hold the content of a measurement or a secret.
 */
const tracer = () => trace.getTracer('ooni-pipeline');

/** Returns the attributes by which every span of some work is found: resource, range or bucket, filter and stage, where there is one. */
function attributesOfWork(): Attributes {
  const { resource, range, bucket, filter, stage } = currentWork() ?? {};
  return {
    ...(resource && attributesOfResource(resource)),
    ...(range && attributesOfRange(range.startAt, range.endAt)),
    ...(bucket !== undefined && { 'ooni.bucket': bucket }),
    ...(filter !== undefined && { 'ooni.filter': filter }),
    ...(stage !== undefined && { 'ooni.stage': stage }),
  };
}

/** Returns the attributes that name a resource. */
export function attributesOfResource({ kind, namespace, name }: ResourceName): Attributes {
  return { 'ooni.kind': kind, ...(namespace !== undefined && { 'ooni.namespace': namespace }), 'ooni.name': name };
}

/** Returns the attributes of a range of buckets; `endAt` is exclusive. */
export function attributesOfRange(startAt: string, endAt: string): Attributes {
  return { 'ooni.start_at': startAt, 'ooni.end_at': endAt };
}

/** Runs `work` in a span. An error ends the span as failed and passes unchanged. The span has the attributes of the current work. */
export async function withSpan<T>(name: string, attributes: Attributes, work: (span: Span) => Promise<T>): Promise<T> {
  return tracer().startActiveSpan(name, { attributes: { ...attributesOfWork(), ...attributes } }, async span => {
    try {
      return await work(span);
    } catch (error) {
      // The message may quote text of a measurement.
      const { name, type } = error as Error & { type?: unknown };
      const reason = typeof type === 'string' ? type : name;
      failSpan(span, reason);
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Returns the attributes of work that failed or waits. A search for `ooni.state` finds it; not every trace store finds spans by their status. */
export function attributesOfState(state: 'failed' | 'waiting', reason: string): Attributes {
  return { 'ooni.state': state, 'ooni.reason': reason };
}

/** Marks a span as failed, or as waiting, for a reason. */
export function failSpan(span: Span, reason: string, state: 'failed' | 'waiting' = 'failed'): void {
  span.setAttributes(attributesOfState(state, reason));
  span.setStatus({ code: SpanStatusCode.ERROR, message: reason });
}

/** Records a span that has ended, with the attributes of the current work. Times are milliseconds since 1970. */
export function recordSpan(name: string, start: number, end: number, attributes: Attributes): void {
  tracer()
    .startSpan(name, { startTime: start, attributes: { ...attributesOfWork(), ...attributes } })
    .end(end);
}

/**
 * Records a wait that may not have ended: a collector gets a span when it ends, so the span of what waits comes too late. The span has the
 * attributes of the current work. Times are milliseconds since 1970.
 *
 * @param reason an error type such as `ClickHouseUnavailable`; no message, which may quote text of a measurement
 * @returns the position of the span, or undefined while tracing is off
 */
export function recordWait(
  reason: string,
  start: number,
  end: number,
  attributes: Attributes,
): TraceParent | undefined {
  const span = tracer().startSpan(`wait ${reason}`, {
    startTime: start,
    attributes: { ...attributesOfWork(), ...attributes },
  });
  failSpan(span, reason, 'waiting');
  // Jaeger marks a span without duration as one with a negative duration.
  span.end(Math.max(end, start + 1));
  return positionOf(span);
}

/** Returns the numbers of an object, such as Counts, as attributes. Numbers inside of other objects are left out. */
export function countAttributes(counts: object): Attributes {
  const numbers = Object.entries(counts).filter(([, value]) => typeof value === 'number');
  return Object.fromEntries(numbers.map(([name, value]) => [`ooni.${name}`, value]));
}

/** Returns the position of the current span, or undefined while tracing is off. */
export function currentTraceParent(): TraceParent | undefined {
  const span = trace.getActiveSpan();
  return span && positionOf(span);
}

function positionOf(span: Span): TraceParent | undefined {
  const context = span.spanContext();
  return trace.isSpanContextValid(context)
    ? formatTraceParent({ traceID: context.traceId, spanID: context.spanId })
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
