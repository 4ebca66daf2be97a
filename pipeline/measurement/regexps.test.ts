import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRegexp, searchRegexp } from './regexps.ts';

const search = (source: string, text: string) => {
  const regexp = parseRegexp(source);
  if (typeof regexp === 'string') throw new Error(regexp);
  return searchRegexp(regexp, Buffer.from(text));
};

describe('regular expressions of fingerprints', () => {
  it.each([
    ['URL .* Sp.*er Gate', 'URL of\nthe Spider Gate'],
    ['You don.t have', 'You don’t have'],
    ['U\\.S\\..*Command', 'U.S. Cyber Command'],
    ['{"msg":.*"id":', '{"msg":1,"id":'],
    ['<br>.* \\+0300', '<br>10:00 +0300'],
  ])('%s matches', (source, text) => {
    expect(search(source, text)).toBe(true);
  });

  it.each([
    ['You don.t have', 'You dont have'],
    ['a.+b', 'ab'],
    ['a.*b', 'ba'],
  ])('%s does not match %s', (source, text) => {
    expect(search(source, text)).toBe(false);
  });

  it.each(['(a+)+b', 'a|b', '[a-z]+x', 'ab?', 'a{2}', '^a', 'a$', '\\d+', 'a\\.*', '.?a', '.{3}a'])(
    'rejects %s',
    source => {
      expect(parseRegexp(source)).toMatch(/is not supported$/);
    },
  );

  it('rejects an expression without literal text', () => {
    expect(parseRegexp('.*')).toBe('it has no literal text');
  });

  it('equals the runtime on generated expressions', () => {
    const part = fc.constantFrom('a', 'b', 'é', '😀', '.', '.*', '.+', '\\.', 'ab');
    const text = fc.array(fc.constantFrom('a', 'b', 'é', '😀', '.', '\n'), { maxLength: 20 }).map(all => all.join(''));
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 8 }), text, (parts, each) => {
        const source = `a${parts.join('')}`;
        expect(search(source, each)).toBe(new RegExp(source, 'su').test(each));
      }),
      { numRuns: 2000 },
    );
  });
});
