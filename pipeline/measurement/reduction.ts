import { randomBytes } from 'node:crypto';
import { type BodyDigest, digestOf, type ResponseSearch } from './response-search.ts';
import { findKey, lastText, load, readBase64, readText, skipValue } from './scanner.ts';

/**
 * Removes parts that no column needs from the JSON text before it is parsed. HTTP bodies are most of the bytes of most
 * measurements, and only their length, SHA-1, title and matching fingerprints are stored. A short text replaces each body, so no string
 * is made of it and JSON.parse does not read it. On objects full of bodies this halves the decoding time. Newer probes also write much about
 * themselves that no column uses.
 */

/** Prefix of a digest. No document can contain it, because it differs from process to process. */
const MARK = `${randomBytes(12).toString('hex')}:`;
/** Bodies of the last document, in the order of its text. */
let bodies: BodyDigest[] = [];
/** Shorter bodies are not replaced. */
const SHORTEST = 200;

/**
 * Members of `test_keys` that the model does not declare: a sixth of the bytes of a measurement of web_connectivity 0.5. Objects
 * and lists with these names are removed anywhere in the document.
 */
export const UNREAD: ReadonlySet<string> = new Set([
  'x_conn_priority_log',
  'x_control_request',
  'x_dns_duplicate_responses',
  'x_dns_late_replies',
  'x_dns_whoami',
  'x_do53',
  'x_doh',
]);
const LONGEST_NAME = Math.max(...[...UNREAD].map(name => name.length));
/** Most names that begin with `x_` are not unread, and nearly all of these have another length. */
const UNREAD_LENGTHS: ReadonlySet<number> = new Set([...UNREAD].map(name => name.length));

const BODY = Buffer.from('body"');
/** Text around the base64 of a binary body, as probes and mirrors write it. Other forms are not replaced. */
const BINARY_FORMS = [
  ['{"data":"', '","format":"base64"}'],
  ['{"format":"base64","data":"', '"}'],
  ['{"data": "', '", "format": "base64"}'],
  ['{"format": "base64", "data": "', '"}'],
] as const;
/** First letter of `body`. The names of unread members begin with another one. */
const LETTER_B = 0x62;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const BRACE = 0x7b;
const BRACKET = 0x5b;
const ZERO = '0';

/** Returns the digest that replaces a body in the last document, or undefined if the text is the body itself. */
export function readDigest(text: string): BodyDigest | undefined {
  if (!text.startsWith(MARK)) return undefined;
  const digest = bodies[Number(text.slice(MARK.length))];
  if (!digest) throw new TypeError('the body belongs to an earlier document');
  return digest;
}

export interface Reduced {
  /** View of memory that the next call overwrites. */
  readonly json: Buffer;
  /**
   * True if a zero replaces an unread member, or a text replaces an object with a body. Only a document with an unexpected type in
   * these places is affected, and it causes an error. The document must then be parsed completely.
   */
  readonly partial: boolean;
}

/**
 * Replaces the texts and binaries of members named `body` with digests, and unread members with zeros. Invalid JSON stays
 * unchanged, so that the parser reports it. The bytes must be UTF-8. Digests of an earlier document become invalid.
 */
export function reduce(json: Buffer, search?: ResponseSearch): Reduced {
  bodies = [];
  search?.prepare();
  // Works in place, because a replacement is shorter than the original.
  const out = load(json);
  let partial = false;
  let to = 0;
  let copied = 0;
  for (let at = findKey(0), next = 0; at >= 0; at = findKey(next)) {
    next = at + 1;
    // A quote without a backslash before it opens or closes a string. If it closes one, the following text would not be JSON.
    if (json[at - 1] === BACKSLASH) continue;
    const cut = json[at + 1] === LETTER_B ? bodyAt(json, at + 1, search) : unreadAt(json, at + 1);
    if (!cut) continue;
    if (to < copied) out.copyWithin(to, copied, cut.from);
    to += cut.from - copied;
    to += out.write(cut.standIn, to, 'latin1');
    // Replacing text with text has no effect on decoding; every other replacement has another type than the original.
    partial ||= json[cut.from] !== QUOTE;
    copied = cut.end;
    next = cut.end;
  }
  if (to < copied) out.copyWithin(to, copied);
  return { json: out.subarray(0, to + json.length - copied), partial };
}

/** A removed part of a document, and its replacement. */
interface Cut {
  readonly from: number;
  readonly end: number;
  readonly standIn: string;
}

/** Finds the text or binary of the body. Its key begins at `at`, after the opening quote. */
function bodyAt(json: Buffer, at: number, search?: ResponseSearch): Cut | undefined {
  // A loop, because a call into the runtime costs more than five bytes.
  for (let i = 0; i < BODY.length; i++) if (json[at + i] !== BODY[i]) return undefined;
  const from = valueStart(json, at + BODY.length);
  if (from < 0) return undefined;
  if (json[from] === BRACE) return binaryAt(json, from, search);
  const quote = json[from] === QUOTE ? readText(from + 1) : -1;
  if (quote - from <= SHORTEST) return undefined;
  return { from, end: quote + 1, standIn: standInFor(lastText(), search) };
}

/** Finds the object with clean base64 that begins at `from`. */
function binaryAt(json: Buffer, from: number, search?: ResponseSearch): Cut | undefined {
  for (const [head, tail] of BINARY_FORMS) {
    const start = from + head.length;
    if (json.toString('latin1', from, start) !== head) continue;
    const quote = json.indexOf(QUOTE, start);
    const end = quote + tail.length;
    if (quote - start <= SHORTEST || json.toString('latin1', quote, end) !== tail) return undefined;
    const body = readBase64(start, quote);
    return body && { from, end, standIn: standInFor(body, search) };
  }
  return undefined;
}

function standInFor(body: Buffer, search?: ResponseSearch): string {
  bodies.push(search ? search.digestOf(body) : digestOf(body));
  return `"${MARK}${bodies.length - 1}"`;
}

/** Finds the object or list of the unread member. Its key begins at `at`, after the opening quote. */
function unreadAt(json: Buffer, at: number): Cut | undefined {
  // A loop, because a call into the runtime costs more than the few bytes of a name.
  let length = 0;
  while (length <= LONGEST_NAME && json[at + length] !== QUOTE) length++;
  if (!UNREAD_LENGTHS.has(length) || !UNREAD.has(json.toString('latin1', at, at + length))) return undefined;
  const from = valueStart(json, at + length + 1);
  if (from < 0 || (json[from] !== BRACE && json[from] !== BRACKET)) return undefined;
  const end = skipValue(from);
  return end < 0 ? undefined : { from, end, standIn: ZERO };
}

/** Returns the position of the value of the member with a name that ends before `at`, or -1 if there is none. */
function valueStart(json: Buffer, at: number): number {
  const colon = skipBlanks(json, at);
  return json[colon] === COLON ? skipBlanks(json, colon + 1) : -1;
}

function skipBlanks(json: Buffer, from: number): number {
  let at = from;
  while (json[at] === 0x20 || json[at] === 0x09) at++;
  return at;
}
