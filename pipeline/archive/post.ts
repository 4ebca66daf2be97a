/**
 * The envelope of a postcan's member: the uploaded body `{"format": "json", "content": {...}}` (archive.md section 7). The
 * measurement stays bytes, so that it is decoded only once, by the code that needs its fields.
 */
export interface Post {
  /** Value of `format`, if it is a string. */
  readonly format?: string;
  /** JSON text of `content`. */
  readonly content?: Buffer;
}

/** The bytes are not a JSON object, as far as they were checked. */
export class BrokenPostError extends Error {
  override name = 'BrokenPostError';
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/**
 * Finds the members `format` and `content` of a JSON object; of repeated keys the last one counts. It follows only the brackets and
 * quotes of values, so the decoder of `content` must check that it is valid JSON. Throws BrokenPostError.
 */
export function openPost(bytes: Buffer): Post {
  let at = skipSpace(bytes, 0);
  if (bytes[at] !== OPEN_BRACE) throw new BrokenPostError('the post is not a JSON object');
  let format: string | undefined;
  let content: Buffer | undefined;
  at = skipSpace(bytes, at + 1);
  if (bytes[at] !== CLOSE_BRACE) {
    for (;;) {
      if (bytes[at] !== QUOTE) throw broken(at);
      const keyEnd = skipText(bytes, at);
      const key = textOf(bytes, at, keyEnd);
      at = skipSpace(bytes, keyEnd);
      if (bytes[at] !== COLON) throw broken(at);
      const start = skipSpace(bytes, at + 1);
      const end = skipValue(bytes, start);
      if (key === 'content') content = bytes.subarray(start, end);
      if (key === 'format') format = bytes[start] === QUOTE ? textOf(bytes, start, end) : undefined;
      at = skipSpace(bytes, end);
      if (bytes[at] === CLOSE_BRACE) break;
      if (bytes[at] !== COMMA) throw broken(at);
      at = skipSpace(bytes, at + 1);
    }
  }
  if (skipSpace(bytes, at + 1) !== bytes.length) throw broken(at + 1);
  return { format, content };
}

function broken(at: number): BrokenPostError {
  return new BrokenPostError(`the post is not valid JSON at byte ${at}`);
}

function skipSpace(bytes: Buffer, from: number): number {
  let at = from;
  for (let byte = bytes[at]; byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09; byte = bytes[at]) at++;
  return at;
}

/**
 * Returns the position after the string that starts at `from`. Bodies are long strings, so it searches for quotes instead of
 * reading each byte.
 */
function skipText(bytes: Buffer, from: number): number {
  for (let quote = bytes.indexOf(QUOTE, from + 1); quote !== -1; quote = bytes.indexOf(QUOTE, quote + 1)) {
    let slashes = 0;
    while (bytes[quote - 1 - slashes] === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return quote + 1;
  }
  throw new BrokenPostError(`the post ends within a text that starts at byte ${from}`);
}

/** Returns the position after the value that starts at `from`. */
function skipValue(bytes: Buffer, from: number): number {
  const first = bytes[from];
  if (first === QUOTE) return skipText(bytes, from);
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) {
    let at = from;
    for (let byte = bytes[at]; byte !== undefined && byte !== COMMA && byte !== CLOSE_BRACE && byte > 0x20; ) {
      byte = bytes[++at];
    }
    if (at === from) throw broken(from);
    return at;
  }
  let depth = 0; // a counter instead of a stack: deep nesting costs no memory
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) at = skipText(bytes, at) - 1;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth++;
    else if ((byte === CLOSE_BRACE || byte === CLOSE_BRACKET) && --depth === 0) return at + 1;
  }
  throw new BrokenPostError(`the post ends within a value that starts at byte ${from}`);
}

function textOf(bytes: Buffer, start: number, end: number): string {
  try {
    return JSON.parse(bytes.toString('utf8', start, end)) as string;
  } catch (error) {
    if (error instanceof SyntaxError) throw broken(start);
    throw error;
  }
}
