import { createHash } from 'node:crypto';

/** Short stable hash (16 hex digits) of a JSON value, independent of the order of keys: what was asked for, for comparison. */
export function hashOf(value: unknown): string {
  return createHash('sha256').update(canonical(value)).digest('hex').slice(0, 16);
}

/** JSON with the keys of every object in order and absent ones left out: equal values give equal texts. */
export function canonical(value: unknown): string {
  const text = JSON.stringify(value, (_, item: unknown) =>
    item && typeof item === 'object' && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
  return text ?? '';
}
