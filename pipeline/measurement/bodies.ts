import { hash, randomBytes } from 'node:crypto';
import { lastText, load, readText } from './scanner.ts';

/**
 * HTTP bodies are most of the bytes of most measurements, and all that is stored of them is length and SHA-1. So they are cut out
 * of the JSON text before it is parsed, and a short text that holds these two takes their place: no string is made of
 * a body, and JSON.parse does not see it. On objects full of bodies this halves the time of decoding.
 */

/** What is known of a body without its text. */
export interface BodyDigest {
  /** Bytes of the body as UTF-8. */
  readonly length: number;
  readonly sha1: string;
}

/** No document can contain it, as it differs from process to process. */
const MARK = `${randomBytes(12).toString('hex')}:`;
/** Shorter bodies are left where they are. */
const SHORTEST = 200;

/** The end of the key: searching begins with the first byte, and quotes are everywhere. */
const KEY = Buffer.from('body"');
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;

/** The digest that stands for a body; undefined when the text is the body itself. */
export function readDigest(text: string): BodyDigest | undefined {
  if (!text.startsWith(MARK)) return undefined;
  const [length, sha1] = text.slice(MARK.length).split(':') as [string, string];
  return { length: Number(length), sha1 };
}

/**
 * A JSON text in which the texts of members named `body` are replaced by digests, in memory that the next call writes over; the same
 * bytes when there are none. What is no valid text stays as it is, for the parser to judge. The bytes must be UTF-8.
 */
export function digestBodies(json: Buffer): Buffer {
  let at = json.indexOf(KEY);
  if (at < 0) return json;
  // In place: a digest is shorter than the body it stands for.
  const out = load(json);
  let to = 0;
  let copied = 0;
  while (at >= 0) {
    let next = at + KEY.length;
    const isKey = json[at - 1] === QUOTE && json[at - 2] !== BACKSLASH;
    const start = isKey ? textStart(json, next) : -1;
    const end = start < 0 ? -1 : readText(start);
    if (end - start >= SHORTEST) {
      if (to < copied) out.copyWithin(to, copied, start);
      to += start - copied;
      const body = lastText();
      to += out.write(`${MARK}${body.length}:${hash('sha1', body)}`, to, 'latin1');
      copied = end;
      next = end;
    }
    at = json.indexOf(KEY, next);
  }
  if (copied === 0) return json;
  out.copyWithin(to, copied);
  return out.subarray(0, to + json.length - copied);
}

/**
 * Where the text of a member begins whose key ends at `at`; -1 when its value is no text. A key it is: a quote without a backslash in
 * front opens or closes a text, and if it closed one, what follows would not be JSON.
 */
function textStart(json: Buffer, at: number): number {
  const colon = skipBlanks(json, at);
  if (json[colon] !== COLON) return -1;
  const quote = skipBlanks(json, colon + 1);
  return json[quote] === QUOTE ? quote + 1 : -1;
}

function skipBlanks(json: Buffer, from: number): number {
  let at = from;
  while (json[at] === 0x20 || json[at] === 0x09) at++;
  return at;
}
