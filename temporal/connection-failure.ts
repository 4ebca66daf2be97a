/** Time at the end of an error of grpc-js. A status with it would differ at each attempt. */
const TIME = / \(\d{4}-\d\d-\d\dT[\d:.]+Z\)$/;

/**
 * Returns the cause of a failed request to Temporal from the text of the SDK: its worker shows a structure of Rust, its client the texts
 * of grpc-js, with an empty note, or with times that differ in each message. Any other text is returned unchanged.
 */
export function connectionFailure(text: string): string {
  if (text.startsWith('tonic::')) {
    // Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }; Custom { kind: …, error: "failed to lookup …" }
    const cause = [...text.matchAll(/\b(?:message|error): "([^"]+)"/g)].at(-1)?.[1];
    const address = /"tcp connect error", ([^,]+),/.exec(text)?.[1];
    return cause ? `${cause}${address ? ` (${address})` : ''}` : text;
  }
  if (/^Deadline exceeded after [\d.]+s/.test(text)) return 'no answer in time';
  const [, last, note] =
    /^No connection established\. Last error: (?:Error: )?(.*?)\. Resolution note: ?(.*)$/s.exec(text) ?? [];
  if (last === undefined) return text;
  const cause = last.replace(TIME, '');
  return note ? `${cause} (${note})` : cause;
}
