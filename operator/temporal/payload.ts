import type { temporal } from '@temporalio/proto';

type Payload = temporal.api.common.v1.IPayload;

const bytes = (text: string) => new TextEncoder().encode(text);

/** Returns a JSON value as a payload (`json/plain`, the format of every SDK's default converter). */
export function toPayload(value: unknown): Payload {
  return { metadata: { encoding: bytes('json/plain') }, data: bytes(JSON.stringify(value)) };
}

/** Returns a search attribute of type Keyword. */
export function toKeyword(value: string): Payload {
  return { metadata: { encoding: bytes('json/plain'), type: bytes('Keyword') }, data: bytes(JSON.stringify(value)) };
}

/** Returns the JSON value of a payload; undefined when it is absent or encoded otherwise. */
export function fromPayload(payload: Payload | null | undefined): unknown {
  if (!payload?.data || new TextDecoder().decode(payload.metadata?.encoding ?? undefined) !== 'json/plain')
    return undefined;
  return JSON.parse(new TextDecoder().decode(payload.data));
}

/** Returns the text of a payload; undefined when it holds anything else. */
export function textOf(payload: Payload | null | undefined): string | undefined {
  const value = fromPayload(payload);
  return typeof value === 'string' ? value : undefined;
}

interface Timestamp {
  seconds?: { toNumber(): number } | null;
  nanos?: number | null;
}

/** Returns the milliseconds of a protobuf Timestamp or Duration; undefined when absent. */
export function milliseconds(time: Timestamp | null | undefined): number | undefined {
  if (!time) return undefined;
  return (time.seconds?.toNumber() ?? 0) * 1000 + Math.floor((time.nanos ?? 0) / 1e6);
}
