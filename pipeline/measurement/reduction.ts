import { hash, randomBytes } from 'node:crypto';
import { findKey, lastText, load, readBase64, readText, skipValue } from './scanner.ts';

/**
 * What no column is made of is cut out of the JSON text before it is parsed. HTTP bodies are most of the bytes of most measurements, and all that
 * is stored of them is length and SHA-1: a short text that holds these two takes their place, no string is made of a body, and
 * JSON.parse does not see it. On objects full of bodies this halves the time of decoding. And newer probes tell much of themselves that nobody reads.
 */

/** What is known of a body without its text. */
export interface BodyDigest {
  /** Bytes of the body, a text as UTF-8. */
  readonly length: number;
  readonly sha1: string;
}

/** No document can contain it, as it differs from process to process. */
const MARK = `${randomBytes(12).toString('hex')}:`;
/** No number can begin behind it: hashes often look as if they had an exponent (scanner.wat). */
const SEPARATOR = '/';
/** Shorter bodies are left where they are. */
const SHORTEST = 200;

/**
 * Members of `test_keys` that the model does not declare, a sixth of the bytes of a measurement of web_connectivity 0.5. Objects and lists are
 * cut out under these names wherever they stand.
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
/** What stands around the base64 of a binary body, as probes and mirrors write it; in other forms it is left where it is. */
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

/** The digest that stands for a body; undefined when the text is the body itself. */
export function readDigest(text: string): BodyDigest | undefined {
  if (!text.startsWith(MARK)) return undefined;
  const [length, sha1] = text.slice(MARK.length).split(SEPARATOR) as [string, string];
  return { length: Number(length), sha1 };
}

export interface Reduced {
  /** In memory that the next call writes over. */
  readonly json: Buffer;
  /**
   * A zero stands where an unread member was, or a text where an object with a body was. Only a document that has it where others have
   * something else can tell, and it tells by an error: then it has to be judged whole.
   */
  readonly partial: boolean;
}

/**
 * A JSON text in which digests stand for the texts and binaries of members named `body`, and zeros for unread members. What is no valid
 * JSON stays as it is, for the parser to judge. The bytes must be UTF-8.
 */
export function reduce(json: Buffer): Reduced {
  // In place: what is written is shorter than what it stands for.
  const out = load(json);
  let partial = false;
  let to = 0;
  let copied = 0;
  for (let at = findKey(0), next = 0; at >= 0; at = findKey(next)) {
    next = at + 1;
    // A quote without a backslash in front opens or closes a text, and if it closed one, what follows would not be JSON.
    if (json[at - 1] === BACKSLASH) continue;
    const cut = bodyAt(json, at + 1) ?? unreadAt(json, at + 1);
    if (!cut) continue;
    if (to < copied) out.copyWithin(to, copied, cut.from);
    to += cut.from - copied;
    to += out.write(cut.standIn, to, 'latin1');
    // A text for a text goes unnoticed; every other stand-in is of another type than what was there.
    partial ||= json[cut.from] !== QUOTE;
    copied = cut.end;
    next = cut.end;
  }
  if (to < copied) out.copyWithin(to, copied);
  return { json: out.subarray(0, to + json.length - copied), partial };
}

/** What is cut out of a document, and what stands there instead. */
interface Cut {
  readonly from: number;
  readonly end: number;
  readonly standIn: string;
}

/** The text or binary of the body whose key goes on at `at`. */
function bodyAt(json: Buffer, at: number): Cut | undefined {
  if (json.toString('latin1', at, at + BODY.length) !== BODY) return undefined;
  const from = valueStart(json, at + BODY.length);
  if (from < 0) return undefined;
  if (json[from] === BRACE) return binaryAt(json, from);
  const quote = json[from] === QUOTE ? readText(from + 1) : -1;
  if (quote - from <= SHORTEST) return undefined;
  return { from, end: quote + 1, standIn: digestOf(lastText()) };
}

/** The object with clean base64 that begins at `from`. */
function binaryAt(json: Buffer, from: number): Cut | undefined {
  for (const [head, tail] of BINARY_FORMS) {
    const start = from + head.length;
    if (json.toString('latin1', from, start) !== head) continue;
    const quote = json.indexOf(QUOTE, start);
    const end = quote + tail.length;
    if (quote - start <= SHORTEST || json.toString('latin1', quote, end) !== tail) return undefined;
    const body = readBase64(start, quote);
    return body && { from, end, standIn: digestOf(body) };
  }
  return undefined;
}

function digestOf(body: Buffer): string {
  return `"${MARK}${body.length}${SEPARATOR}${hash('sha1', body)}"`;
}

/** The object or list of the unread member whose key goes on at `at`. */
function unreadAt(json: Buffer, at: number): Cut | undefined {
  const length = json.subarray(at, at + LONGEST_NAME + 1).indexOf(QUOTE);
  if (length < 0 || !UNREAD.has(json.toString('latin1', at, at + length))) return undefined;
  const from = valueStart(json, at + length + 1);
  if (from < 0 || (json[from] !== BRACE && json[from] !== BRACKET)) return undefined;
  const end = skipValue(from);
  return end < 0 ? undefined : { from, end, standIn: ZERO };
}

/** Where the value of a member begins whose name ends in front of `at`; -1 when none does. */
function valueStart(json: Buffer, at: number): number {
  const colon = skipBlanks(json, at);
  return json[colon] === COLON ? skipBlanks(json, colon + 1) : -1;
}

function skipBlanks(json: Buffer, from: number): number {
  let at = from;
  while (json[at] === 0x20 || json[at] === 0x09) at++;
  return at;
}
