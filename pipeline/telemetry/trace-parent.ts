/** Position in a trace, in W3C's form `00-<trace id>-<span id>-01`. */
export type TraceParent = string;

/** A position in a trace, in its parts: lower-case hexadecimal, 32 and 16 digits. */
export interface TracePosition {
  readonly traceID: string;
  readonly spanID: string;
}

/** Returns the text of a position, which marks the trace as recorded. */
export function formatTraceParent({ traceID, spanID }: TracePosition): TraceParent {
  return `00-${traceID}-${spanID}-01`;
}

/** Returns the parts of a position; undefined for a text of another form. */
export function parseTraceParent(text: TraceParent | undefined): TracePosition | undefined {
  const [, traceID, spanID] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-01$/.exec(text ?? '') ?? [];
  return traceID && spanID ? { traceID, spanID } : undefined;
}
