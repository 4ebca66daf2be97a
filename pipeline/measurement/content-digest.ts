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
    return body ? `body ${body.length} ${body.sha1}` : quoted(value);
  }
  if (typeof value !== 'object' || value === null) return String(value);
  if (Array.isArray(value)) {
    let text = '[';
    for (let i = 0; i < value.length; i++) text += i > 0 ? `,${canonical(value[i])}` : canonical(value[i]);
    return `${text}]`;
  }
  if (value instanceof SourceNumber) return String(value.value);
  const object = value as Record<string, unknown>;
  const keys = sorted(Object.keys(object));
  let text = '{';
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    text += `${i > 0 ? ',' : ''}${quoted(key)}:${canonical(object[key])}`;
  }
  return `${text}}`;
}

/** Printable ASCII that JSON writes unchanged. The test costs a third of JSON.stringify. */
const PLAIN = /^[ !#-[\]-~]*$/;

function quoted(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text);
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
