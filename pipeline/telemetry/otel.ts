import { context, type HrTime, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
  type SpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { CODE_VERSION } from '../version.ts';
import type { PlainSpan } from './spans.ts';

const SCOPE = { name: 'ooni-pipeline' };

/** Traces of this process. */
export interface Tracing {
  /** Exports a span that another thread, or a workflow, has recorded. */
  export(span: PlainSpan): void;
  /** Exports the remaining spans and stops, within 5 s. A collector that does not answer is not an error. */
  close(): Promise<void>;
}

/** Description of the process in its traces. */
export interface TracedProcess {
  /** Name of the program, such as `ooni-worker`. */
  readonly service: string;
  readonly installation: string;
  /** Distinguishes processes of one program: name of the pod, or process and host. */
  readonly instance: string;
}

/**
 * Installs OpenTelemetry and exports all spans of this process over OTLP/gRPC. Spans wait in a bounded queue. If the collector is slow or
 * unavailable, spans are dropped and the work goes on.
 *
 * @param endpoint setting `telemetry_endpoint`: http://host:4317, or https for TLS
 * @param onChange called when spans begin to be dropped, with the error, and without it when they arrive again
 */
export function installTracing(
  endpoint: string,
  { service, installation, instance }: TracedProcess,
  onChange: (error?: Error) => void,
): Tracing {
  const resource = resourceFromAttributes({
    'service.name': service,
    'service.namespace': installation,
    'service.version': CODE_VERSION,
    'service.instance.id': instance,
  });
  const processor = new BatchSpanProcessor({
    exporter: watched(new OTLPTraceExporter({ url: endpoint, timeoutMillis: 4000 }), onChange),
    scheduledDelayMillis: 1000,
    exportTimeoutMillis: 5000,
  });
  install(new TracerProvider({ resource, spanProcessors: [processor] }));
  return {
    export: span => processor.onEnd(readable(span, resource)),
    close: async () => {
      const late = new Promise<void>(resolve => setTimeout(resolve, 5000).unref());
      await Promise.race([processor.shutdown().catch(() => {}), late]);
    },
  };
}

/** Returns the exporter, which reports each change between success and failure. */
function watched(exporter: OTLPTraceExporter, onChange: (error?: Error) => void): SpanExporter {
  let failing = false;
  return {
    export: (spans, done) =>
      exporter.export(spans, result => {
        const { error = result.code === 0 ? undefined : new Error('no reason was given') } = result;
        if (failing !== (error !== undefined)) onChange(error);
        failing = error !== undefined;
        done(result);
      }),
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
  };
}

/** Installs OpenTelemetry in a thread, which passes its spans to `send`. The main thread exports them. */
export function installThreadTracing(send: (span: PlainSpan) => void): void {
  const processor: SpanProcessor = {
    onStart: () => {},
    onEnd: span => send(plain(span)),
    forceFlush: async () => {},
    shutdown: async () => {},
  };
  install(new TracerProvider({ spanProcessors: [processor] }));
}

function install(provider: TracerProvider): void {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(provider);
}

function plain(span: ReadableSpan): PlainSpan {
  const { traceId, spanId } = span.spanContext();
  const { code, message } = span.status;
  return {
    name: span.name,
    traceID: traceId,
    spanID: spanId,
    ...(span.parentSpanContext && { parentID: span.parentSpanContext.spanId }),
    start: milliseconds(span.startTime),
    end: milliseconds(span.endTime),
    ...(code === SpanStatusCode.ERROR && { error: message ?? '' }),
    attributes: span.attributes,
  };
}

function readable(span: PlainSpan, resource: Resource): ReadableSpan {
  const { traceID, spanID, parentID, start, end, error } = span;
  return {
    name: span.name,
    kind: 0,
    spanContext: () => ({ traceId: traceID, spanId: spanID, traceFlags: 1 }),
    ...(parentID !== undefined && { parentSpanContext: { traceId: traceID, spanId: parentID, traceFlags: 1 } }),
    startTime: hrTime(start),
    endTime: hrTime(end),
    duration: hrTime(end - start),
    status: error === undefined ? { code: SpanStatusCode.UNSET } : { code: SpanStatusCode.ERROR, message: error },
    attributes: span.attributes,
    links: [],
    events: [],
    ended: true,
    resource,
    instrumentationScope: SCOPE,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

const milliseconds = ([seconds, nanoseconds]: HrTime) => seconds * 1000 + nanoseconds / 1e6;

const hrTime = (time: number): HrTime => [Math.floor(time / 1000), Math.round((time % 1000) * 1e6)];
