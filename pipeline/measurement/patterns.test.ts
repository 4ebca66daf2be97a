import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Pattern, PatternMatcher } from './patterns.ts';
import { load } from './scanner.ts';

const body = (kind: Pattern['kind'], text: string): Pattern => ({ place: 'body', kind, text });

/** The straightforward matcher: one pattern after the other, on the whole text. */
function expected(patterns: readonly Pattern[], place: string, text: string): number[] {
  return patterns.flatMap((pattern, index) => {
    if (pattern.place !== place) return [];
    const { kind, text: searched } = pattern;
    if (kind === 'full') return text === searched ? [index] : [];
    if (kind === 'prefix') return text.startsWith(searched) ? [index] : [];
    if (kind === 'contains') return text.includes(searched) ? [index] : [];
    return new RegExp(searched, 's').test(text) ? [index] : [];
  });
}

describe('PatternMatcher', () => {
  it('finds literals of every length at every position', () => {
    const source = 'Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. 0123456789';
    for (let length = 1; length <= source.length; length++) {
      const matcher = new PatternMatcher([body('contains', source.slice(0, length))]);
      for (const before of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 40]) {
        const text = '#'.repeat(before) + source.slice(0, length);
        expect(matcher.inBody(Buffer.from(text)), `${length} characters at ${before}`).toEqual([0]);
        expect(matcher.inBody(Buffer.from(text.slice(0, -1)))).toEqual([]);
      }
    }
  });

  it('equals a straightforward matcher on generated texts and patterns', () => {
    // Few letters, so that patterns overlap, share beginnings and occur by chance.
    const letters = fc.constantFrom('a', 'b', 'ab', 'é', '<b>', '\n', '0');
    const text = fc.array(letters, { maxLength: 60 }).map(parts => parts.join(''));
    const literal = fc.array(letters, { minLength: 1, maxLength: 30 }).map(parts => parts.join(''));
    const pattern = fc.oneof(
      fc.record({
        place: fc.constantFrom('body', 'header.server', 'header.via'),
        kind: fc.constantFrom<Pattern['kind']>('full', 'prefix', 'contains'),
        text: literal,
      }),
      fc
        .array(fc.oneof(literal, fc.constantFrom('.*', '.', '.+', '.*?')), { maxLength: 4 })
        .map(parts => body('regexp', `ab${parts.join('')}`)),
    );
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 12 }), fc.array(text, { maxLength: 4 }), (patterns, texts) => {
        const matcher = new PatternMatcher(patterns);
        for (const each of texts) {
          expect(matcher.inBody(Buffer.from(each))).toEqual(expected(patterns, 'body', each));
          expect(matcher.inHeader('server', Buffer.from(each))).toEqual(expected(patterns, 'header.server', each));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('searches a text in the memory of the scanner in place', () => {
    const matcher = new PatternMatcher([body('contains', 'this page is blocked'), body('contains', '\0zero\0')]);
    matcher.prepare();
    const text = load(Buffer.from('<h1>this page is blocked</h1>\0zero\0'));
    const before = Buffer.from(text);
    expect(matcher.inBody(text)).toEqual([0, 1]);
    expect(text.equals(before)).toBe(true);
  });

  it('works in turns with another matcher', () => {
    const [one, two] = ['first pattern', 'second pattern'].map(text => new PatternMatcher([body('contains', text)]));
    for (let i = 0; i < 3; i++) {
      expect(one!.inBody(Buffer.from('the first pattern'))).toEqual([0]);
      expect(two!.inBody(Buffer.from('the first pattern'))).toEqual([]);
    }
  });

  it('reads hostile bodies in proportion to their length', () => {
    const matcher = new PatternMatcher([
      body('regexp', 'aaaa.*aaaa.*aaaa.*aaaa.*b'),
      body('contains', `${'a'.repeat(40)}b`),
      body('contains', `${'a'.repeat(12)}b`),
      body('contains', 'aaab'),
    ]);
    // A matcher that backtracks would need more steps than there are atoms.
    expect(matcher.inBody(Buffer.alloc(2_000_000, 'a'))).toEqual([]);
  });
});
