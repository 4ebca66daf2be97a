import { createHash } from 'node:crypto';

/** Returns a short stable hash (16 hex digits) of a JSON value, independent of the order of keys. It serves to compare desired states. */
export function hashOf(value: unknown): string {
  return createHash('sha256').update(canonical(value)).digest('hex').slice(0, 16);
}

/** Returns the value as JSON with sorted keys and without absent ones, so that equal values give equal texts. */
export function canonical(value: unknown): string {
  const text = JSON.stringify(value, (_, item: unknown) =>
    item && typeof item === 'object' && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
  return text ?? '';
}

/** Returns whether two values are equal as JSON: the order of keys does not matter, and an undefined value is an absent one. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, index) => sameJson(item, b[index]));
  }
  const own = (map: object, key: string) =>
    Object.hasOwn(map, key) ? (map as Record<string, unknown>)[key] : undefined;
  return (
    Object.keys(a).every(key => sameJson(own(a, key), own(b, key))) &&
    Object.keys(b).every(key => own(b, key) === undefined || own(a, key) !== undefined)
  );
}
