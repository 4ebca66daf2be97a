import { hash, randomBytes } from 'node:crypto';
import type { PatternMatcher } from './patterns.ts';
import { findKey, lastText, load, readBase64, readText, skipValue } from './scanner.ts';
import { titleOf } from './title.ts';

/**
 * Removes parts that no column needs from the JSON text before it is parsed. HTTP bodies are most of the bytes of most
 * measurements, and only their length, SHA-1, title and matching fingerprints are stored. A short text replaces each body, so no string
 * is made of it and JSON.parse does not read it. On objects full of bodies this halves the decoding time. Newer probes also write much about
 * themselves that no column uses.
 */

/** Facts about a body without its text. */
export interface BodyDigest {
  /** Bytes of the body; for text, its bytes as UTF-8. */
  readonly length: number;
  readonly sha1: string;
  /** Title of a page of HTML. */
  readonly title: string | null;
  /** Indexes of the patterns that match. */
  readonly patterns: readonly number[];
}

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

const BODY = 'body"';
/** Text around the base64 of a binary body, as probes and mirrors write it. Other forms are not replaced. */
const BINARY_FORMS = [
  ['{"data":"', '","format":"base64"}'],
  ['{"format":"base64","data":"', '"}'],
  ['{"data": "', '", "format": "base64"}'],
  ['{"format": "base64", "data": "', '"}'],
] as const;
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

/** Makes the digest of a body. `matcher` may overwrite the memory of the scanner if the body is not in it. */
export function digestOf(body: Buffer, matcher?: PatternMatcher): BodyDigest {
  const title = titleOf(body);
  const sha1 = hash('sha1', body);
  return { length: body.length, sha1, title, patterns: matcher?.inBody(body) ?? [] };
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
export function reduce(json: Buffer, matcher?: PatternMatcher): Reduced {
  bodies = [];
  matcher?.prepare();
  // Works in place, because a replacement is shorter than the original.
  const out = load(json);
  let partial = false;
  let to = 0;
  let copied = 0;
  for (let at = findKey(0), next = 0; at >= 0; at = findKey(next)) {
    next = at + 1;
    // A quote without a backslash before it opens or closes a string. If it closes one, the following text would not be JSON.
    if (json[at - 1] === BACKSLASH) continue;
    const cut = bodyAt(json, at + 1, matcher) ?? unreadAt(json, at + 1);
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
function bodyAt(json: Buffer, at: number, matcher?: PatternMatcher): Cut | undefined {
  if (json.toString('latin1', at, at + BODY.length) !== BODY) return undefined;
  const from = valueStart(json, at + BODY.length);
  if (from < 0) return undefined;
  if (json[from] === BRACE) return binaryAt(json, from, matcher);
  const quote = json[from] === QUOTE ? readText(from + 1) : -1;
  if (quote - from <= SHORTEST) return undefined;
  return { from, end: quote + 1, standIn: standInFor(lastText(), matcher) };
}

/** Finds the object with clean base64 that begins at `from`. */
function binaryAt(json: Buffer, from: number, matcher?: PatternMatcher): Cut | undefined {
  for (const [head, tail] of BINARY_FORMS) {
    const start = from + head.length;
    if (json.toString('latin1', from, start) !== head) continue;
    const quote = json.indexOf(QUOTE, start);
    const end = quote + tail.length;
    if (quote - start <= SHORTEST || json.toString('latin1', quote, end) !== tail) return undefined;
    const body = readBase64(start, quote);
    return body && { from, end, standIn: standInFor(body, matcher) };
  }
  return undefined;
}

function standInFor(body: Buffer, matcher?: PatternMatcher): string {
  bodies.push(digestOf(body, matcher));
  return `"${MARK}${bodies.length - 1}"`;
}

/** Finds the object or list of the unread member. Its key begins at `at`, after the opening quote. */
function unreadAt(json: Buffer, at: number): Cut | undefined {
  const length = json.subarray(at, at + LONGEST_NAME + 1).indexOf(QUOTE);
  if (length < 0 || !UNREAD.has(json.toString('latin1', at, at + length))) return undefined;
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
