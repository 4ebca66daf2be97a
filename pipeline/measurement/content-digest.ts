import { createHash } from 'node:crypto';
import { SourceNumber } from './python.ts';
import { readDigest } from './reduction.ts';

/**
 * Computes a digest of a measurement's content, 30 hexadecimal digits. Two documents with the same JSON value have the same digest,
 * in any order of keys and with any white space. A value nested too deeply to traverse is digested by its bytes. The table `pipeline_uids` keeps
 * digests, so the digest of a value never changes.
 *
 * @param value result of `parseJson` without `exact`, before decoding, because decoding changes it in place
 */
export function contentDigest(value: unknown, bytes: Uint8Array): string {
  const hash = createHash('shake128', { outputLength: 15 });
  try {
    length = 0;
    write(value);
    hash.update(memory.subarray(0, length));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    hash.update(bytes);
  }
  if (memory.length > KEPT_BYTES) memory = Buffer.allocUnsafeSlow(KEPT_BYTES);
  return hash.digest('hex');
}

/** A hostile value makes the memory grow. It belongs to the thread and must not stay large. */
const KEPT_BYTES = 1 << 20;
/**
 * The canonical text, as UTF-8. It is written as bytes, because a string that is joined from small parts is a tree of them, which the collector
 * copies: such trees were a sixth of all objects that a thread made.
 */
let memory = Buffer.allocUnsafeSlow(KEPT_BYTES);
let length = 0;

function write(value: unknown): void {
  if (typeof value === 'string') {
    // The text that replaces a body differs from process to process.
    const body = readDigest(value);
    if (body) writeText(`body ${body.length} ${body.sha1}`);
    else writeQuoted(value);
  } else if (typeof value !== 'object' || value === null) {
    writeText(String(value));
  } else if (Array.isArray(value)) {
    writeByte(BRACKET);
    for (let i = 0; i < value.length; i++) {
      if (i > 0) writeByte(COMMA);
      write(value[i]);
    }
    writeByte(BRACKET + 2);
  } else if (value instanceof SourceNumber) {
    writeText(String(value.value));
  } else {
    // Not another function: with one call for each level, deeper values are traversed.
    const object = value as Record<string, unknown>;
    const keys = sorted(Object.keys(object));
    writeByte(BRACE);
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]!;
      if (i > 0) writeByte(COMMA);
      writeQuoted(key);
      writeByte(COLON);
      write(object[key]);
    }
    writeByte(BRACE + 2);
  }
}

const BRACE = 0x7b;
const BRACKET = 0x5b;
const COLON = 0x3a;
const COMMA = 0x2c;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

function reserve(size: number): void {
  const needed = length + size;
  if (needed <= memory.length) return;
  const grown = Buffer.allocUnsafeSlow(2 * needed);
  memory.copy(grown, 0, 0, length);
  memory = grown;
}

function writeByte(byte: number): void {
  reserve(1);
  memory[length++] = byte;
}

function writeText(text: string): void {
  reserve(3 * text.length);
  length += memory.write(text, length);
}

/** Longest text that is written by a loop. A call into the runtime costs as much as a loop over this many characters. */
const LOOPED = 60;
/** Printable ASCII that JSON writes unchanged. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** Writes a text as JSON does. */
function writeQuoted(text: string): void {
  if (!writePlain(text)) writeText(JSON.stringify(text));
}

/** Writes a text in quotes if nothing in it needs an escape. Otherwise returns false. */
function writePlain(text: string): boolean {
  const size = text.length;
  reserve(size + 2);
  const bytes = memory;
  let at = length;
  bytes[at++] = QUOTE;
  if (size <= LOOPED) {
    for (let i = 0; i < size; i++) {
      const unit = text.charCodeAt(i);
      if (unit < 0x20 || unit > 0x7e || unit === QUOTE || unit === BACKSLASH) return false;
      bytes[at++] = unit;
    }
  } else {
    if (!PLAIN.test(text)) return false;
    at += bytes.write(text, at, 'latin1');
  }
  bytes[at++] = QUOTE;
  length = at;
  return true;
}

/** Longest list that is sorted by insertion, whose cost is the square of the length. Longer lists are rare. */
const SHORT = 32;

/** Sorts keys in place, by UTF-16 units. The keys of most objects are few and nearly in order. */
function sorted(keys: string[]): string[] {
  if (keys.length > SHORT) return keys.sort();
  for (let i = 1; i < keys.length; i++) {
    const key = keys[i]!;
    let at = i;
    for (; at > 0 && keys[at - 1]! > key; at--) keys[at] = keys[at - 1]!;
    keys[at] = key;
  }
  return keys;
}
