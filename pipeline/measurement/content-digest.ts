import { createHash } from 'node:crypto';
import { SourceNumber } from './python.ts';
import { readDigest } from './reduction.ts';

/**
 * Computes a digest of a measurement's content, 30 hexadecimal digits. Two documents with the same JSON value have the same digest,
 * in any order of keys and with any white space. A value nested too deeply to traverse is digested by its bytes.
 *
 * @param value result of `parseJson` without `exact`, before decoding, because decoding changes it in place
 */
export function contentDigest(value: unknown, bytes: Uint8Array): string {
  const hash = createHash('shake128', { outputLength: 15 });
  try {
    hash.update(canonical(value));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    hash.update(bytes);
  }
  return hash.digest('hex');
}

function canonical(value: unknown): string {
  if (typeof value === 'string') {
    // The text that replaces a body differs from process to process.
    const body = readDigest(value);
    return body ? `body ${body.length} ${body.sha1}` : JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value instanceof SourceNumber) return String(value.value);
  if (typeof value !== 'object' || value === null) return String(value);
  const object = value as Record<string, unknown>;
  const members = Object.keys(object)
    .sort()
    .map(key => `${JSON.stringify(key)}:${canonical(object[key])}`);
  return `{${members.join(',')}}`;
}
