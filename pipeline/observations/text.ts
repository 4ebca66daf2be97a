import { isUtf8 } from 'node:buffer';
import { cleanLength } from '../measurement/base64.ts';
import { transformError } from '../measurement/errors.ts';
import type { TextOrBinary } from '../measurement/model.ts';

/**
 * Decodes base64 (observations.md section 13.2): the standard alphabet, other ASCII characters ignored, nothing read after the
 * padding. Throws MeasurementError InvalidBase64 for missing padding or a dangling character.
 */
export function decodeBase64(text: string): Buffer {
  const clean = cleanLength(text);
  if (clean >= 0) {
    const bytes = Buffer.from(text, 'base64');
    if (bytes.length === clean) return bytes;
  }
  if (Buffer.byteLength(text) !== text.length)
    throw transformError('InvalidBase64', 'base64 with characters beyond ASCII');
  let digits = '';
  let padding = 0;
  for (const character of text) {
    if (character === '=') {
      padding++;
      if (digits.length % 4 >= 2 && (digits.length % 4) + padding >= 4) return Buffer.from(digits, 'base64');
    } else if (/[A-Za-z0-9+/]/.test(character)) {
      digits += character;
      padding = 0;
    }
  }
  if (digits.length % 4 !== 0) throw transformError('InvalidBase64', 'base64 is cut off or lacks its padding');
  return Buffer.from(digits, 'base64');
}

/** Decodes bytes as UTF-8, or as Latin-1 if they are not UTF-8 (observations.md section 13.3). */
export function bytesToText(bytes: Buffer): string {
  return bytes.toString(isUtf8(bytes) ? 'utf8' : 'latin1');
}

/** Returns the text of a value that may be binary. */
export function textOf(value: TextOrBinary): string {
  return typeof value === 'string' ? value : bytesToText(decodeBase64(value.data));
}

/**
 * Returns the beginning of a text, well-formed and in its own memory. The engine makes slices and messages as views of the
 * original. So a failure that quotes a field of some MB would keep that field in memory until it is recorded.
 */
export function excerpt(text: string, length: number): string {
  return Buffer.from(text.slice(0, length)).toString();
}
