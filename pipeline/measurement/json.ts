import { isUtf8 } from 'node:buffer';
import { MeasurementError } from './errors.ts';
import { SourceNumber } from './python.ts';

/**
 * What `JSON.parse` accepts and upstream's decoder does not: an escaped surrogate (which may be a lone one), and a number that may
 * overflow a double, which takes an exponent of three digits or some two hundred digits. Where this finds nothing, nothing is wrong.
 */
const SUSPICIOUS = /\\u[dD][89a-fA-F]|\d[eE]\+?\d{3}|\d{200}/;

/**
 * The value of a JSON document, decoded as strictly as upstream does: invalid UTF-8, lone surrogates and numbers that overflow a
 * double make it broken (archive.md section 7). `withSources` replaces numbers by SourceNumber. Throws MeasurementError.
 */
export function parseJson(bytes: Buffer, withSources = false): unknown {
  if (!isUtf8(bytes)) throw broken('not UTF-8');
  return parseJsonText(bytes.toString(), withSources);
}

/** The same for text that is known to be well-formed Unicode. */
export function parseJsonText(text: string, withSources = false): unknown {
  let value: unknown;
  try {
    value = withSources ? JSON.parse(text, keepSource) : JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw broken(error.message);
  }
  if (SUSPICIOUS.test(text)) refuseUnsound(value);
  return value;
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
