import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hostForm } from './host-form.ts';

describe('hostForm', () => {
  it.each([
    ['www.example.com', 'www.example.com'],
    ['WWW.Example.COM', 'www.example.com'],
    ['www.example.com.', 'www.example.com'],
    ['WWW.EXAMPLE.COM..', 'www.example.com'],
    ['пример.рф', 'xn--e1afmkfd.xn--p1ai'],
    ['ПРИМЕР.РФ.', 'xn--e1afmkfd.xn--p1ai'],
    ['XN--E1afmkfd.xn--p1ai', 'xn--e1afmkfd.xn--p1ai'],
    ['пример。рф', 'xn--e1afmkfd.xn--p1ai'],
    ['%D0%BF%D1%80%D0%B8%D0%BC%D0%B5%D1%80.рф', 'xn--e1afmkfd.xn--p1ai'],
    ['faß.de', 'xn--fa-hia.de'],
    // From Python: 'ΟΔΟΣ.example'.encode('idna').
    ['ΟΔΟΣ.example', 'xn--pxavbq.example'],
    ['_dmarc.пример.рф', '_dmarc.xn--e1afmkfd.xn--p1ai'],
    ['8.8.4.4', '8.8.4.4'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1%eth0'],
    ['::FFFF:8.8.4.4', '8.8.4.4'],
    ['::8.8.4.4', '::808:404'],
    ['not:an:Address', 'not:an:address'],
    ['100%', '100%'],
    ['', ''],
    ['.', '.'],
  ])('%j: %j', (name, form) => expect(hostForm(name)).toBe(form));

  it('returns its own result unchanged, for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), name => {
        const form = hostForm(name.replaceAll('%', ''));
        expect(hostForm(form)).toBe(form);
      }),
    );
  });

  it('takes little time for a long text', () => {
    expect(hostForm('П'.repeat(5_000_000)).length).toBe(5_000_000);
  });
});
