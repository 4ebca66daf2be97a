import { hash } from 'node:crypto';
import { children, contentOf, DerError, type Element, expect, readElements, readOid, readTime, TAG } from './der.ts';

/** Stored facts of a server's certificate, with the names of the columns. */
export interface LeafCertificate {
  readonly fingerprint: string;
  /** Names in the format of RFC 4514 (observations.md section 13.4). */
  readonly subject: string;
  readonly subject_common_name: string;
  readonly issuer: string;
  readonly issuer_common_name: string;
  /** DNS names of the subject alternative name, in order. */
  readonly san_list: readonly string[];
  /** Milliseconds since 1970. */
  readonly not_valid_after: number;
  readonly not_valid_before: number;
}

/** Reads the facts of a certificate. Throws DerError if any of them cannot be read. */
export function readCertificate(der: Buffer): LeafCertificate {
  const [certificate, ...rest] = readElements(der);
  if (rest.length > 0) throw new DerError('bytes after the certificate');
  const parts = children(certificate, TAG.sequence);
  if (parts.length !== 3) throw new DerError('not the three parts of a certificate');
  const fields = children(parts[0], TAG.sequence);
  const version = fields[0]?.tag === 0xa0 ? 1 : 0;
  // Fields: serial, signature, issuer, validity, subject, key, then unique identifiers and extensions.
  const [issuer, validity, subject] = fields.slice(version + 2, version + 5);
  const dates = children(validity, TAG.sequence);
  const issuerNames = readName(issuer);
  const subjectNames = readName(subject);
  return {
    fingerprint: hash('sha256', der),
    subject: nameText(subjectNames),
    subject_common_name: commonName(subjectNames),
    issuer: nameText(issuerNames),
    issuer_common_name: commonName(issuerNames),
    san_list: readSans(fields.find(field => field.tag === 0xa3)),
    not_valid_after: readTime(dates[1]),
    not_valid_before: readTime(dates[0]),
  };
}

interface Attribute {
  readonly oid: string;
  /** Text, or the content of a bit string. */
  readonly value: string | Buffer;
}

const COMMON_NAME = '2.5.4.3';
const SHORT_NAMES: Record<string, string> = {
  [COMMON_NAME]: 'CN',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
  '2.5.4.6': 'C',
  '2.5.4.9': 'STREET',
  '0.9.2342.19200300.100.1.25': 'DC',
  '0.9.2342.19200300.100.1.1': 'UID',
};

/** Reads a name as its relative names, in the order of the certificate. */
function readName(name: Element | undefined): Attribute[][] {
  const relatives: Attribute[][] = [];
  for (const relative of children(name, TAG.sequence)) {
    const attributes: Attribute[] = [];
    for (const attribute of children(relative, TAG.set)) {
      const [type, value] = children(attribute, TAG.sequence);
      if (!value) throw new DerError('an attribute of a name without value');
      attributes.push({ oid: readOid(type), value: attributeText(value) });
    }
    relatives.push(attributes);
  }
  return relatives;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const utf16 = new TextDecoder('utf-16be', { fatal: true, ignoreBOM: true });

function attributeText(value: Element): string | Buffer {
  const { bytes, tag, start, end } = value;
  if (tag === TAG.bitString) return contentOf(value);
  try {
    if (tag === TAG.universalString) return utf32(contentOf(value));
    if (tag === TAG.bmpString) return utf16.decode(contentOf(value));
    return isPlain(bytes, start, end) ? bytes.toString('latin1', start, end) : utf8.decode(contentOf(value));
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    throw new DerError(`a text that does not decode: ${error.message}`);
  }
}

function isPlain(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at]! > 0x7f) return false;
  return true;
}

function utf32(content: Buffer): string {
  if (content.length % 4 !== 0) throw new DerError('a text that ends within a character');
  const points = Array.from({ length: content.length / 4 }, (_, i) => content.readUInt32BE(4 * i));
  return String.fromCodePoint(...points);
}

function commonName(name: readonly Attribute[][]): string {
  for (const relative of name) for (const { oid, value } of relative) if (oid === COMMON_NAME) return String(value);
  return '';
}

function nameText(name: readonly Attribute[][]): string {
  let text = '';
  for (let at = name.length - 1; at >= 0; at--) {
    let plus = '';
    for (const { oid, value } of name[at]!) {
      text += `${plus}${SHORT_NAMES[oid] ?? oid}=${valueText(value)}`;
      plus = '+';
    }
    if (at > 0) text += ',';
  }
  return text;
}

function valueText(value: string | Buffer): string {
  if (typeof value !== 'string') return value.length === 0 ? '' : `#${value.toString('hex')}`;
  if (!NEEDS_ESCAPE.test(value)) return value;
  return value
    .replace(/[\\"+,;<>]/g, '\\$&')
    .replaceAll('\0', '\\00')
    .replace(/^[# ]/, '\\$&')
    .replace(/ $/, '\\ ');
}

const NEEDS_ESCAPE = /[\\"+,;<>\0]|^[# ]| $/;

const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17';
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;

/** Reads the DNS names of the subject alternative name. Returns an empty list without the extension. */
function readSans(extensions: Element | undefined): string[] {
  if (!extensions) return [];
  const seen = new Set<string>();
  let names: string[] = [];
  const { bytes, start, end } = extensions;
  for (const extension of children(readElements(bytes, start, end)[0], TAG.sequence)) {
    const fields = children(extension, TAG.sequence);
    const oid = readOid(fields[0]);
    if (seen.has(oid)) throw new DerError(`the extension ${oid} occurs twice`);
    seen.add(oid);
    if (oid === SUBJECT_ALTERNATIVE_NAME) names = readGeneralNames(expect(fields.at(-1), TAG.octetString));
  }
  return names;
}

function readGeneralNames({ bytes, start, end }: Element): string[] {
  const names: string[] = [];
  for (const name of children(readElements(bytes, start, end)[0], TAG.sequence)) {
    const size = name.end - name.start;
    if (name.tag === IP_ADDRESS && size !== 4 && size !== 16) throw new DerError('an IP address of an invalid length');
    if (name.tag !== DNS_NAME) continue;
    if (!isPlain(bytes, name.start, name.end)) throw new DerError('a DNS name that is not ASCII');
    names.push(bytes.toString('latin1', name.start, name.end));
  }
  return names;
}
