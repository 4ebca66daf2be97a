import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { contentDigest } from './content-digest.ts';
import { parseJson } from './json.ts';

const digest = (text: string) => contentDigest(parseJson(Buffer.from(text)).value, Buffer.from(text));

describe('contentDigest', () => {
  it('depends on the value, not on its notation', () => {
    const one = digest('{"a": [1, {"b": null, "c": "é"}], "d": 1.0}');
    expect(one).toMatch(/^[0-9a-f]{30}$/);
    expect(digest('{"d":1,"a":[1,{"c":"\\u00e9","b":null}]}')).toBe(one);
  });

  it('is SHAKE-128 of the JSON text with sorted keys and without white space, because the digests are stored', () => {
    const text = (value: unknown): string => {
      if (typeof value !== 'object' || value === null) return JSON.stringify(value);
      if (Array.isArray(value)) return `[${value.map(text).join()}]`;
      const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
      return `{${entries.map(([key, member]) => `${JSON.stringify(key)}:${text(member)}`).join()}}`;
    };
    const keys = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.integer(), { maxKeys: 60 });
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'grapheme' }), keys, (value, dictionary) => {
        const json = JSON.stringify({ value, dictionary });
        const parsed: unknown = JSON.parse(json);
        const expected = createHash('shake128', { outputLength: 15 }).update(text(parsed)).digest('hex');
        expect(contentDigest(parsed, Buffer.from(json))).toBe(expected);
      }),
    );
  });

  it.each([
    ['plain', 'x'.repeat(61)],
    ['plain and longer than the memory', 'x'.repeat(3_000_000)],
    ['with a quote at its end', `${'x'.repeat(100)}"`],
    ['of other letters and longer than the memory', 'é'.repeat(2_000_000)],
    ['of escapes', '\u0001'.repeat(1_000_000)],
  ])('is SHAKE-128 of a long text %s, in quotes', (_, text) => {
    const expected = createHash('shake128', { outputLength: 15 }).update(JSON.stringify(text)).digest('hex');
    expect(contentDigest(text, Buffer.alloc(0))).toBe(expected);
    // The memory is small again.
    expect(contentDigest('a', Buffer.alloc(0))).toBe(
      createHash('shake128', { outputLength: 15 }).update('"a"').digest('hex'),
    );
  });

  it.each([
    ['{"a": null}', '{}'],
    ['{"a": 1}', '{"a": "1"}'],
    ['{"a": [1, 2]}', '{"a": [2, 1]}'],
    ['{"a": {"b": 1}, "c": 1}', '{"a": {"b": 1, "c": 1}}'],
    ['{"a": "b,c"}', '{"a": ["b", "c"]}'],
  ])('differs for %s and %s', (a, b) => expect(digest(a)).not.toBe(digest(b)));

  it('digests the bytes of a value that is nested too deeply', () => {
    const deep = (end: string) => `${'['.repeat(100_000)}${end}${']'.repeat(100_000)}`;
    expect(digest(deep('1'))).toMatch(/^[0-9a-f]{30}$/);
    expect(digest(deep('1'))).not.toBe(digest(deep('2')));
  });

  it('digests a replaced body by its length and hash', () => {
    const document = (body: string) => `{"response": {"body": "${body}"}}`;
    const long = 'x'.repeat(1000);
    expect(digest(document(long))).toBe(digest(document(`${'x'.repeat(999)}\\u0078`)));
    expect(digest(document(long))).not.toBe(digest(document(`${long}x`)));
  });
});
