import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { freeze, TextPool } from './freeze.ts';

it('changes no value, and freezes all of it', () => {
  const frozen = (value: unknown): boolean =>
    value === null || typeof value !== 'object' || (Object.isFrozen(value) && Object.values(value).every(frozen));
  const pool = new TextPool();
  fc.assert(
    fc.property(fc.jsonValue(), value => {
      const text = JSON.stringify(value);
      const kept = freeze(JSON.parse(text), pool);
      expect(JSON.stringify(kept)).toBe(text);
      expect(frozen(kept)).toBe(true);
    }),
  );
});

it('forgets texts that do not repeat', () => {
  const pool = new TextPool();
  for (let n = 0; n < 20_000; n++) {
    freeze({ uid: `00000000-0000-4000-8000-${n}`, message: 'All 12 buckets are done.' }, pool);
  }
  expect(pool.size).toBeGreaterThan(0);
  expect(pool.size).toBeLessThanOrEqual(2000);
});
