import type { temporal } from '@temporalio/proto';

type Payload = temporal.api.common.v1.IPayload;

const bytes = (text: string) => new TextEncoder().encode(text);

/** A JSON value as Temporal carries it (`json/plain`, what every SDK's default converter writes and reads). */
export function toPayload(value: unknown): Payload {
  return { metadata: { encoding: bytes('json/plain') }, data: bytes(JSON.stringify(value)) };
}

/** A search attribute of type Keyword. */
export function toKeyword(value: string): Payload {
  return { metadata: { encoding: bytes('json/plain'), type: bytes('Keyword') }, data: bytes(JSON.stringify(value)) };
}

/** The JSON value in a payload; undefined when there is none or it is encoded otherwise. */
export function fromPayload(payload: Payload | null | undefined): unknown {
  if (!payload?.data || new TextDecoder().decode(payload.metadata?.encoding ?? undefined) !== 'json/plain')
    return undefined;
  return JSON.parse(new TextDecoder().decode(payload.data));
}

/** A text in a payload, or undefined when it holds anything else. */
export function textOf(payload: Payload | null | undefined): string | undefined {
  const value = fromPayload(payload);
  return typeof value === 'string' ? value : undefined;
}

interface Timestamp {
  seconds?: { toNumber(): number } | null;
  nanos?: number | null;
}

/** Milliseconds of a protobuf Timestamp or Duration; undefined when absent. */
export function milliseconds(time: Timestamp | null | undefined): number | undefined {
  if (!time) return undefined;
  return (time.seconds?.toNumber() ?? 0) * 1000 + Math.floor((time.nanos ?? 0) / 1e6);
}
