import { isAscii, isUtf8 } from 'node:buffer';
import { MeasurementError } from './errors.ts';
import { SourceNumber } from './python.ts';
import { reduce } from './reduction.ts';
import { load, mayBeUnsound } from './scanner.ts';

/**
 * Values take 25 to 90 bytes of memory each, and two to write; 32 MB of `[[[[` would take more than a gigabyte. Real documents have some
 * thousand values. Counted are the characters that a value can begin behind, so commas within texts count as well.
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
  /** Whether members were left out that only a malformed document can miss: what fails without them has to be judged exactly. */
  readonly partial: boolean;
}

/**
 * The value of a JSON document, decoded as strictly as upstream does: invalid UTF-8, lone surrogates and numbers that overflow a
 * double make it broken (archive.md section 7). Bodies are digests and unread members are zeros (reduction.ts). With `exact`, all are
 * as they were and numbers are SourceNumber. Throws MeasurementError.
 */
export function parseJson(bytes: Buffer, exact = false): Parsed {
  if (!isUtf8(bytes)) throw broken('not UTF-8');
  const { json, partial } = exact ? { json: load(bytes), partial: false } : reduce(bytes);
  if (json.length > MOST_VALUES && beginsOfValues(json) > MOST_VALUES) {
    throw new MeasurementError('decode', 'TooManyValues', `the document may hold more than ${MOST_VALUES} values`);
  }
  // Most measurements are ASCII without their bodies, and Latin-1 is decoded by copying.
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

// What JSON.parse accepts and upstream's decoder does not: lone surrogates, which can only be written as an escape, and numbers beyond a
// double, which take an exponent of three digits or a few hundred digits. Where none of these stand anywhere, the values need not
// be looked at.
const LONG_NUMBER = 200;

/** Whether that many digits stand in a row. Some position that is a multiple of their number would be among them. */
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
