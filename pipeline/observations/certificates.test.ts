import { createHash, X509Certificate } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { CertificateCache } from './certificate-cache.ts';
import { readCertificate } from './certificates.ts';
import { DerError } from './der.ts';
import { isSignalChainValid } from './signal-chain.ts';

/** Builds DER by hand, so that expected values come from the specification and not from the reader. */
function der(tag: number, ...content: (Buffer | string)[]): Buffer {
  const bytes = Buffer.concat(content.map(part => Buffer.from(part as string)));
  const [high, low] = [bytes.length >> 8, bytes.length & 0xff];
  const size = bytes.length < 0x80 ? [low] : high === 0 ? [0x81, low] : [0x82, high, low];
  return Buffer.concat([Buffer.from([tag, ...size]), bytes]);
}
const sequence = (...parts: Buffer[]) => der(0x30, ...parts);
const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'));
const attribute = (type: string, value: Buffer) => sequence(oid(type), value);
const relative = (...attributes: Buffer[]) => der(0x31, ...attributes);
const utf8 = (text: string) => der(0x0c, text);

const COUNTRY = '550406';
const ORGANISATION = '55040a';
const COMMON_NAME = '550403';
const SAN = '551d11';

function certificate(o: { subject?: Buffer; extensions?: Buffer[]; dates?: Buffer[] } = {}): Buffer {
  const name = o.subject ?? sequence(relative(attribute(COMMON_NAME, utf8('x'))));
  const dates = o.dates ?? [der(0x17, '491231235959Z'), der(0x18, '20500101000000Z')];
  const extensions = o.extensions ? [der(0xa3, sequence(...o.extensions))] : [];
  const fields = [
    der(0xa0, der(0x02, '\x02')),
    der(0x02, '\x01'),
    sequence(oid('2a03')),
    sequence(relative(attribute(COMMON_NAME, utf8('ca')))),
    sequence(...dates),
    name,
    sequence(),
  ];
  return sequence(sequence(...fields, ...extensions), sequence(oid('2a03')), der(0x03, '\0'));
}
const names = (...general: Buffer[]) => sequence(oid(SAN), der(0x04, sequence(...general)));

describe('names (observations.md section 13.4)', () => {
  const subjectOf = (...relatives: Buffer[]) =>
    readCertificate(certificate({ subject: sequence(...relatives) })).subject;

  it('are in reverse order, several attributes of one name joined by a plus, unknown attributes by number', () => {
    const subject = subjectOf(
      relative(attribute(COUNTRY, der(0x13, 'IT'))),
      relative(attribute(ORGANISATION, utf8('Ö')), attribute('2a864886f70d010901', der(0x16, 'a@b'))),
      relative(attribute(COMMON_NAME, der(0x1e, Buffer.from('0041004d', 'hex')))),
    );
    expect(subject).toBe('CN=AM,O=Ö+1.2.840.113549.1.9.1=a@b,C=IT');
  });

  it.each([
    ['a,b', 'a\\,b'],
    ['a+b"c\\d;e<f>', 'a\\+b\\"c\\\\d\\;e\\<f\\>'],
    ['#a', '\\#a'],
    [' a ', '\\ a\\ '],
    ['a\0b', 'a\\00b'],
    ['a=b#c d', 'a=b#c d'],
    ['', ''],
  ])('%j is written %j', (value, expected) => {
    expect(subjectOf(relative(attribute(ORGANISATION, utf8(value))))).toBe(`O=${expected}`);
  });

  it('show a bit string in hexadecimal', () => {
    expect(subjectOf(relative(attribute('55042d', der(0x03, Buffer.from([0, 255])))))).toBe('2.5.4.45=#00ff');
  });

  it('have the first common name, unescaped, or an empty one', () => {
    const two = sequence(relative(attribute(COMMON_NAME, utf8('a,b'))), relative(attribute(COMMON_NAME, utf8('c'))));
    expect(readCertificate(certificate({ subject: two })).subject_common_name).toBe('a,b');
    expect(readCertificate(certificate({ subject: sequence() }))).toMatchObject({
      subject: '',
      subject_common_name: '',
    });
  });
});

describe('readCertificate', () => {
  it('reads validity, fingerprint and DNS names in order', () => {
    const extension = names(der(0x82, 'b.example'), der(0x87, Buffer.from([1, 2, 3, 4])), der(0x82, 'a.example'));
    const bytes = certificate({ extensions: [extension] });
    expect(readCertificate(bytes)).toMatchObject({
      not_valid_before: Date.UTC(2049, 11, 31, 23, 59, 59),
      not_valid_after: Date.UTC(2050, 0, 1),
      fingerprint: createHash('sha256').update(bytes).digest('hex'),
      issuer: 'CN=ca',
      issuer_common_name: 'ca',
      san_list: ['b.example', 'a.example'],
    });
    expect(readCertificate(certificate()).san_list).toEqual([]);
    expect(
      readCertificate(certificate({ dates: [der(0x17, '500101000000Z'), der(0x17, '991231000000Z')] }))
        .not_valid_before,
    ).toBe(Date.UTC(1950, 0, 1));
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['half a certificate', certificate().subarray(0, 40)],
    ['bytes after the certificate', Buffer.concat([certificate(), Buffer.from([5, 0])])],
    ['an address of five bytes', certificate({ extensions: [names(der(0x87, '12345'))] })],
    ['a DNS name that is not ASCII', certificate({ extensions: [names(der(0x82, 'é'))] })],
    ['a repeated extension', certificate({ extensions: [names(), names()] })],
    [
      'a day that is not in the calendar',
      certificate({ dates: [der(0x17, '230230000000Z'), der(0x17, '240101000000Z')] }),
    ],
    [
      'a text that is not UTF-8',
      certificate({ subject: sequence(relative(attribute(COMMON_NAME, der(0x0c, Buffer.from([0xff]))))) }),
    ],
  ])('rejects %s', (_what, bytes) => {
    expect(() => readCertificate(bytes)).toThrow(DerError);
  });

  it('is cached by base64, also for a certificate that cannot be read', () => {
    const cache = new CertificateCache();
    const base64 = certificate().toString('base64');
    expect(cache.leaf(base64)).toBe(cache.leaf(base64));
    expect(cache.leaf('AAAA')).toBeNull();
    expect(cache.fingerprint('not base64!')).toBeNull();
    expect(
      cache.decode([
        { format: 'base64', data: base64 },
        { format: '', data: 'a' },
      ]),
    ).toBeUndefined();
  });
});

describe('chains of Signal (section 9.1)', () => {
  const archive = join(import.meta.dirname, '../../test/fixtures/archive');
  const chains = globSync('**/*signal*.jsonl.gz', { cwd: archive })
    .sort()
    .flatMap(path =>
      gunzipSync(readFileSync(join(archive, path)))
        .toString()
        .trimEnd()
        .split('\n'),
    )
    .map(line => JSON.parse(line))
    .flatMap(each => each.test_keys.tls_handshakes ?? [])
    .map(
      each =>
        (each.peer_certificates ?? []).map(({ data }: { data: string }) => Buffer.from(data, 'base64')) as Buffer[],
    )
    .filter(chain => chain.length > 0);
  const chain = chains.find(each => new X509Certificate(each.at(-1)!).issuer.includes('TextSecure'))!;
  const during = Date.UTC(2021, 5, 1);

  it('are valid while all their certificates are valid', () => {
    const { validFromDate, validToDate } = new X509Certificate(chain[0]!);
    const middle = (validFromDate.getTime() + Math.min(validToDate.getTime(), Date.UTC(2023, 2, 1))) / 2;
    expect(isSignalChainValid(chain, middle)).toBe(true);
    expect(isSignalChainValid(chain, validFromDate.getTime() - 1000)).toBe(false);
    // TextSecure itself expired on 2023-03-23.
    expect(isSignalChainValid(chain, Date.UTC(2023, 2, 24))).toBe(false);
  });

  it('are invalid under another root, and when the signature is not the issuer’s', () => {
    expect(isSignalChainValid([certificateOfOthers()], during)).toBe(false);
    const forged = Buffer.from(chain[0]!);
    forged[forged.length - 1]! ^= 1;
    expect(isSignalChainValid([forged, ...chain.slice(1)], during)).toBe(false);
  });

  it('make the measurement fail when a certificate cannot be read', () => {
    expect(() => isSignalChainValid([Buffer.from('x')], during)).toThrow('cannot be read');
  });

  function certificateOfOthers(): Buffer {
    return chains.flat().find(each => !/TextSecure|Signal/.test(new X509Certificate(each).issuer))!;
  }
});
