import { isAscii, isUtf8 } from 'node:buffer';
import { MeasurementError } from './errors.ts';
import { SourceNumber } from './python.ts';
import { reduce } from './reduction.ts';
import type { ResponseSearch } from './response-search.ts';
import { load, mayBeUnsound } from './scanner.ts';

/**
 * A value takes 25 to 90 bytes of memory, and as little as two bytes of JSON: 32 MB of `[[[[` would take more than a gigabyte. Real
 * documents have some thousand values. The check counts characters that can precede a value, so it also counts commas inside
 * strings.
 */
const MOST_VALUES = 1_000_000;
const BEGINS_VALUE = new Uint8Array(256);
for (const character of '[{,') BEGINS_VALUE[character.charCodeAt(0)] = 1;

function beginsOfValues(json: Buffer): number {
  let count = 0;
  for (let at = 0; at < json.length; at++) count += BEGINS_VALUE[json[at]!]!;
  return count;
}

export interface Parsed {
  readonly value: unknown;
  /**
   * True if members were left out. A well-formed document never needs them, so after an error the document must be parsed again
   * with `exact`.
   */
  readonly partial: boolean;
}

/**
 * Parses a JSON document as strictly as upstream does: invalid UTF-8, lone surrogates and numbers that overflow a double are errors
 * (archive.md section 7). Bodies become digests and unread members become zeros (reduction.ts). With `exact`, both stay unchanged
 * and numbers become SourceNumber. `search` searches bodies that become digests. Throws MeasurementError.
 */
export function parseJson(bytes: Buffer, exact = false, search?: ResponseSearch): Parsed {
  if (!isUtf8(bytes)) throw broken('not UTF-8');
  const { json, partial } = exact ? { json: load(bytes), partial: false } : reduce(bytes, search);
  if (json.length > MOST_VALUES && beginsOfValues(json) > MOST_VALUES) {
    throw new MeasurementError('decode', 'TooManyValues', `the document may hold more than ${MOST_VALUES} values`);
  }
  // Most measurements without their bodies are ASCII, and Latin-1 is decoded by copying.
  const text = json.toString(isAscii(json) ? 'latin1' : 'utf8');
  let value: unknown;
  try {
    value = exact ? JSON.parse(text, keepSource) : JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw broken(error.message);
  }
  if (mayBeUnsound(json.length) || hasLongNumber(text)) refuseUnsound(value);
  return { value, partial };
}

// JSON.parse accepts two things that upstream's decoder rejects: lone surrogates, which can only be written as an escape, and
// numbers beyond a double, which need an exponent of three digits or a few hundred digits. If the text has none of these, the
// values need no check.
const LONG_NUMBER = 200;

/**
 * Reports whether the text has LONG_NUMBER digits in a row. Such a sequence covers a position that is a multiple of LONG_NUMBER, so
 * it checks only those.
 */
function hasLongNumber(text: string): boolean {
  for (let at = LONG_NUMBER - 1; at < text.length; at += LONG_NUMBER) {
    let first = at;
    while (isDigit(text.charCodeAt(first))) first--;
    let end = at;
    while (isDigit(text.charCodeAt(end))) end++;
    if (end - first > LONG_NUMBER) return true;
  }
  return false;
}

function isDigit(unit: number): boolean {
  return unit >= 0x30 && unit <= 0x39;
}

function keepSource(_key: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === 'number' ? new SourceNumber(value, context?.source ?? String(value)) : value;
}

function refuseUnsound(root: unknown): void {
  const open: unknown[] = [root];
  while (open.length > 0) {
    const value = open.pop();
    if (typeof value === 'string') {
      if (!value.isWellFormed()) throw broken('a lone surrogate');
    } else if (typeof value === 'number' || value instanceof SourceNumber) {
      if (!Number.isFinite(typeof value === 'number' ? value : value.value)) throw broken('a number out of range');
    } else if (typeof value === 'object' && value !== null) {
      for (const [key, member] of Object.entries(value)) {
        if (!Array.isArray(value)) open.push(key);
        open.push(member);
      }
    }
  }
}

function broken(what: string): MeasurementError {
  return new MeasurementError('decode', 'InvalidJSON', `the document is not JSON: ${what}`);
}
