import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonical, sameJson } from './hash.ts';

test('two values are the same exactly if they have the same canonical text', () => {
  const values = fc.oneof(
    fc.tuple(fc.jsonValue(), fc.jsonValue()),
    // Random values are hardly ever equal.
    fc.jsonValue().map(value => [value, JSON.parse(JSON.stringify(value))] as const),
  );
  fc.assert(
    fc.property(values, ([a, b]) => {
      expect(sameJson(a, b)).toBe(canonical(a) === canonical(b));
    }),
  );
});

test('the order of keys and undefined values do not matter, the order of items and inherited names do', () => {
  expect(sameJson({ a: 1, b: [{ c: 2 }], d: undefined }, { b: [{ c: 2, e: undefined }], a: 1 })).toBe(true);
  expect(sameJson({ a: [1, 2] }, { a: [2, 1] })).toBe(false);
  expect(sameJson({}, { a: 1 })).toBe(false);
  expect(sameJson({}, { constructor: 1 })).toBe(false);
  expect(sameJson({ a: null }, {})).toBe(false);
});
