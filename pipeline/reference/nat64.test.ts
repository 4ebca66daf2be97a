import { describe, expect, it } from 'vitest';
import { TranslationPrefixes, translatedAddress } from './nat64.ts';

/** The examples of RFC 6052 section 2.4: 192.0.2.33 after prefixes of each length. */
const EXAMPLES = [
  '2001:db8:c000:221::',
  '2001:db8:1c0:2:21::',
  '2001:db8:122:c000:2:2100::',
  '2001:db8:122:3c0:0:221::',
  '2001:db8:122:344:c0:2:2100::',
  '2001:db8:122:344::192.0.2.33',
];

describe('translatedAddress', () => {
  it.each([
    ['64:ff9b::192.0.2.33', '192.0.2.33'],
    ['64:ff9b::180:1', '1.128.0.1'],
    ['64:FF9B:0:0:0:0:0180:0001', '1.128.0.1'],
    ['0064:ff9b::180:1%eth0', '1.128.0.1'],
    ['64:ff9b:1::180:1', '1.128.0.1'],
    ['64:ff9b:1:abcd:ef::180:1', '1.128.0.1'],
    ['64:ff9b:1:180:0:100::', '1.128.0.1'],
    ['64:ff9b:2::180:1', undefined],
    ['64:ff9b::1:180:1', undefined],
    ['2001:db8::180:1', undefined],
    ['64:ff9b::x', undefined],
    ['64.255.155.1', undefined],
    ['', undefined],
  ])('%s: %s', (text, inside) => expect(translatedAddress(text)).toBe(inside));
});

describe('TranslationPrefixes', () => {
  const found = (answers: string[], control: string[] = [], differ = true, hostname = 'a') =>
    new TranslationPrefixes({
      answers: answers.map(answer => ({ hostname, answer })),
      control,
      differ: () => differ,
    });

  it.each(EXAMPLES)('finds the prefix of %s from another answer, or from the control', example => {
    expect(found([example, '192.0.2.33']).inside(example)).toBe('192.0.2.33');
    expect(found([example], ['192.0.2.33']).inside(example)).toBe('192.0.2.33');
    expect(found([example], ['192.0.2.34']).inside(example)).toBe(example);
  });

  it('translates every address after a prefix, and no other', () => {
    const prefixes = found(['2a00:1:2:3::5db8:d822'], ['93.184.216.34']);
    expect(prefixes.inside('2a00:1:2:3::180:1')).toBe('1.128.0.1');
    expect(prefixes.inside('2a00:1:2:4::180:1')).toBe('2a00:1:2:4::180:1');
    expect(prefixes.inside('1.2.3.4')).toBe('1.2.3.4');
    expect(prefixes.inside('2a00:1:2:3::zz')).toBe('2a00:1:2:3::zz');
  });

  it('does not translate an address that is the host’s own', () => {
    const native = '2606:4700::6810:84e5';
    expect(found([native], ['104.16.132.229', native]).inside(native)).toBe(native);
    expect(found([native, '104.16.132.229'], [], false).inside(native)).toBe(native);
  });

  it('finds the prefix that the network returns on request (RFC 7050)', () => {
    const answer = '2a00:1:2:3::192.0.0.170';
    expect(found([answer], [], false, 'ipv4only.arpa').inside('2a00:1:2:3::180:1')).toBe('1.128.0.1');
    expect(found([answer], [], false, 'other').inside(answer)).toBe(answer);
  });
});
