import { randomUUID } from 'node:crypto';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import protobuf from 'protobufjs';

/** A span as OTLP transports it. */
export interface CollectedSpan {
  readonly service: string;
  readonly traceID: string;
  readonly spanID: string;
  readonly parentID: string;
  readonly name: string;
  /** Whether the span ended with an error. */
  readonly failed: boolean;
  readonly attributes: Readonly<Record<string, string | number>>;
}

/** The part of OTLP (opentelemetry-proto 1.x, trace/v1/trace.proto and common/v1/common.proto) that the tests read. */
const SCHEMA = `
syntax = "proto3";
message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; } }
message KeyValue { string key = 1; AnyValue value = 2; }
message Status { string message = 2; int32 code = 3; }
message Span {
  bytes trace_id = 1; bytes span_id = 2; bytes parent_span_id = 4; string name = 5;
  fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8; repeated KeyValue attributes = 9; Status status = 15;
}
message ScopeSpans { repeated Span spans = 2; }
message Resource { repeated KeyValue attributes = 1; }
message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
message Request { repeated ResourceSpans resource_spans = 1; }
`;
const Request = protobuf.parse(SCHEMA, { keepCase: false }).root.lookupType('Request');

type Value = { stringValue?: string; boolValue?: boolean; intValue?: string; doubleValue?: number };
interface Decoded {
  resourceSpans?: {
    resource?: { attributes?: { key: string; value: Value }[] };
    scopeSpans?: {
      spans?: {
        traceId: string;
        spanId: string;
        parentSpanId?: string;
        name: string;
        attributes?: { key: string; value: Value }[];
        status?: { code?: number };
      }[];
    }[];
  }[];
}

/** Receives spans over OTLP/gRPC, as a collector does. */
export class OtlpCollector {
  readonly spans: CollectedSpan[] = [];
  readonly endpoint: string;
  readonly #server: Server;

  private constructor(server: Server, port: number, spans: CollectedSpan[]) {
    this.#server = server;
    this.spans = spans;
    this.endpoint = `http://127.0.0.1:${port}`;
  }

  static async start(): Promise<OtlpCollector> {
    const spans: CollectedSpan[] = [];
    const server = new Server({ 'grpc.max_receive_message_length': 64 * 1024 * 1024 });
    const same = (bytes: Buffer) => bytes;
    server.addService(
      {
        export: {
          path: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
          requestStream: false,
          responseStream: false,
          requestSerialize: same,
          requestDeserialize: same,
          responseSerialize: same,
          responseDeserialize: same,
        },
      },
      {
        export: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
          spans.push(...decode(call.request));
          answer(null, Buffer.alloc(0));
        },
      },
    );
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      ),
    );
    return new OtlpCollector(server, port, spans);
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}

function decode(request: Buffer): CollectedSpan[] {
  const decoded = Request.toObject(Request.decode(request), { longs: String, bytes: String }) as Decoded;
  return (decoded.resourceSpans ?? []).flatMap(({ resource, scopeSpans = [] }) => {
    const service = String(attributesOf(resource?.attributes)['service.name'] ?? randomUUID());
    return scopeSpans
      .flatMap(({ spans = [] }) => spans)
      .map(span => ({
        service,
        traceID: hex(span.traceId),
        spanID: hex(span.spanId),
        parentID: hex(span.parentSpanId ?? ''),
        name: span.name,
        failed: span.status?.code === 2,
        attributes: attributesOf(span.attributes),
      }));
  });
}

const hex = (base64: string) => Buffer.from(base64, 'base64').toString('hex');

function attributesOf(pairs: readonly { key: string; value: Value }[] = []): Record<string, string | number> {
  return Object.fromEntries(
    pairs.map(({ key, value }) => [
      key,
      value.stringValue ??
        (value.intValue === undefined ? (value.doubleValue ?? String(value.boolValue)) : Number(value.intValue)),
    ]),
  );
}
