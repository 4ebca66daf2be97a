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
